//! The batches of a stream, behind cuts and restarts.

use crate::message::{Message, Messages};
use crate::transport::Answer;
use crate::{ClientError, Lake, Request};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::root_as_message;
use arrow_flight::Ticket;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use rand::Rng;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tarn_schemas::ErrorCode;
use tarn_schemas::cursor::Cursor;

/// The first pause before another try, and the longest; the next is up to twice as long as the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// For how long a node that is away is asked again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pauses in which a node notices that a stream has ended.
const NOTICED: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(300)];
/// Bytes of a cursor; what follows is the state.
const CURSOR: usize = 48;
/// What messages of an IPC stream begin with (Arrow format, "Encapsulated message format").
const CONTINUATION: [u8; 4] = [0xFF; 4];

/// The batches of one rank, in order.
#[derive(Debug)]
pub struct BatchStream {
    lake: Lake,
    request: Request,
    plan: Value,
    schema: SchemaRef,
    ticket: Ticket,
    position: u64,
    /// The state after the batch that was given last, as the node sealed it.
    state: Option<String>,
    open: Option<Open>,
    over: bool,
    reconnects: u32,
}

/// A connection that is being read.
#[derive(Debug)]
struct Open {
    answer: Answer,
    bytes: Bytes,
    messages: Messages,
    decoder: StreamDecoder,
    /// Whether the decoder has the first bytes of the next message already.
    begun: bool,
}

impl BatchStream {
    pub(crate) async fn open(lake: Lake, request: Request) -> Result<Self, ClientError> {
        let position = request.start();
        let (request, plan, schema, ticket) = planned(&lake, &request).await?;
        Ok(Self {
            lake,
            request,
            plan,
            schema,
            ticket,
            position,
            state: None,
            open: None,
            over: false,
            reconnects: 0,
        })
    }

    /// What is pinned: plan id, versions, filter, selected rows, steps, order.
    pub fn plan(&self) -> &Value {
        &self.plan
    }

    /// Schema of every batch; tensors are `arrow.fixed_shape_tensor`.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Global position in rows after the batch that was given last: the `start` of a stream that goes on there.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How often the stream went on at its cursor after a cut.
    pub fn reconnects(&self) -> u32 {
        self.reconnects
    }

    /// The next batch and its cursor; none at the end of the epoch. After a cut it goes on behind the batch before, for
    /// a minute with growing pauses.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where policy ends the stream, too; [`ClientError::PlanChanged`] where it is another
    /// one after a cut.
    pub async fn next(&mut self) -> Result<Option<(RecordBatch, Cursor)>, ClientError> {
        let (began, mut pause) = (Instant::now(), PAUSE.0);
        loop {
            if self.over {
                return Ok(None);
            }
            match self.read().await {
                Ok(Some((batch, cursor))) => {
                    self.position = cursor.next_position;
                    return Ok(Some((batch, cursor)));
                }
                Ok(None) => self.over = true,
                Err(error) => {
                    self.open = None;
                    if !error.passes() || began.elapsed() > PATIENCE {
                        return Err(error);
                    }
                    tokio::time::sleep(rand::rng().random_range(pause / 2..pause)).await;
                    pause = (pause * 2).min(PAUSE.1);
                    if let Err(error) = self.plan_again().await
                        && !error.passes()
                    {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// What the node says was read, signed by its lab, once the stream has come to its end: over all its connections. A
    /// node that was killed before it noted the last of them hears of it now.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `conflict` where the stream was not read to its end.
    pub async fn receipt(&mut self) -> Result<Value, ClientError> {
        // Whoever goes before the end of an answer is noticed a moment later.
        if let Some(Open { answer, .. }) = &mut self.open
            && self.over
        {
            while let Ok(Some(_)) = answer.data().await {}
        }
        let mut kept = self.lake.receipt(&self.ticket).await;
        for pause in NOTICED {
            if !matches!(&kept, Err(ClientError::Refused { code: ErrorCode::Conflict, .. })) {
                break;
            }
            tokio::time::sleep(pause).await;
            kept = self.lake.receipt(&self.ticket).await;
        }
        let (Err(ClientError::Refused { code: ErrorCode::Conflict, .. }), true, Some(state)) =
            (&kept, self.over, &self.state)
        else {
            return kept;
        };
        let (_, _, _, ticket) = planned(&self.lake, &self.request.resumed(state)).await?;
        let mut rest = self.lake.get(&ticket).await?;
        while rest.data().await?.is_some() {}
        self.ticket = ticket;
        self.lake.receipt(&self.ticket).await
    }

    /// Asks for the rest of the stream: by its state, and by its position where the node does not take that any more.
    async fn plan_again(&mut self) -> Result<(), ClientError> {
        let resumed = match &self.state {
            Some(state) => match planned(&self.lake, &self.request.resumed(state)).await {
                Err(ClientError::Refused { code: ErrorCode::InvalidArgument, .. }) => None,
                planned => Some(planned?),
            },
            None => None,
        };
        let (request, plan, _, ticket) = match resumed {
            Some(planned) => planned,
            None => planned(&self.lake, &self.request.from(self.position)).await?,
        };
        if id(&plan) != id(&self.plan) {
            return Err(ClientError::PlanChanged { was: id(&self.plan), is: id(&plan) });
        }
        (self.request, self.ticket) = (request, ticket);
        self.reconnects = self.reconnects.saturating_add(1);
        Ok(())
    }

    /// The next batch of the connection that is open, or of a new one.
    async fn read(&mut self) -> Result<Option<(RecordBatch, Cursor)>, ClientError> {
        let address = self.lake.address().to_string();
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::new(self.lake.get(&self.ticket).await?),
        };
        loop {
            let message = open.messages.take(&mut open.bytes);
            let Some(message) = message.map_err(|error| ClientError::malformed(&address, error))?
            else {
                match open.answer.data().await? {
                    Some(bytes) => open.bytes = bytes,
                    None if open.messages.is_whole() => return Ok(None),
                    None => return Err(ClientError::malformed(&address, "half a message")),
                }
                continue;
            };
            // A sign of life.
            if message.header.is_empty() {
                continue;
            }
            let metadata = message.metadata.clone();
            let Some(batch) = open.decode(&address, message)? else { continue };
            let cursor = Cursor::from_bytes(&metadata).ok_or_else(|| {
                ClientError::malformed(&address, "a batch without the cursor of a stream")
            })?;
            let state = metadata.get(CURSOR..).filter(|state| !state.is_empty());
            self.state = state.map(|state| URL_SAFE_NO_PAD.encode(state));
            // Nothing comes after it: the end of the answer need not be waited for.
            self.over = cursor.last;
            self.open = Some(open);
            return Ok(Some((batch, cursor)));
        }
    }
}

impl Open {
    fn new(answer: Answer) -> Self {
        Self {
            answer,
            bytes: Bytes::new(),
            messages: Messages::default(),
            decoder: StreamDecoder::new(),
            begun: false,
        }
    }

    /// What a message holds: a batch, or something that the next batches need.
    fn decode(
        &mut self,
        address: &str,
        message: Message,
    ) -> Result<Option<RecordBatch>, ClientError> {
        let wrong = |problem: String| ClientError::malformed(address, problem);
        let told = root_as_message(&message.header).map_err(|error| wrong(error.to_string()))?;
        let length = message.body.len();
        if usize::try_from(told.bodyLength()) != Ok(length) {
            let problem =
                format!("a body of {length} bytes, and {} are announced", told.bodyLength());
            return Err(wrong(problem));
        }
        let size = u32::try_from(message.header.len()).map_err(|error| wrong(error.to_string()))?;
        let mut head = Vec::with_capacity(message.header.len().saturating_add(8));
        if !self.begun {
            head.extend_from_slice(&CONTINUATION);
        }
        head.extend_from_slice(&size.to_le_bytes());
        head.extend_from_slice(&message.header);
        self.begun = false;
        let unreadable = |error| ClientError::unreadable(address, &error);
        let mut decode = |bytes: &mut Buffer| self.decoder.decode(bytes).map_err(unreadable);
        if let Some(batch) = decode(&mut Buffer::from(head))? {
            return Ok(Some(batch));
        }
        if length > 0 {
            let mut body = message.body;
            return decode(&mut body);
        }
        // The decoder looks at a message without a body when the next one begins.
        let mut next = Buffer::from(CONTINUATION.as_slice());
        let batch = decode(&mut next)?;
        self.begun = next.is_empty();
        Ok(batch)
    }
}

/// What a node makes of a request: what it pins, the plan, the schema and the ticket.
async fn planned(
    lake: &Lake,
    request: &Request,
) -> Result<(Request, Value, SchemaRef, Ticket), ClientError> {
    let address = lake.address().to_string();
    let wrong = |problem: &dyn std::fmt::Display| ClientError::malformed(&address, problem);
    let info = lake.plan(request).await?;
    let plan: Value = serde_json::from_slice(&info.app_metadata).map_err(|error| wrong(&error))?;
    let pinned = info.flight_descriptor.as_ref().map_or(&[][..], |descriptor| &descriptor.cmd);
    let pinned = Request::pinned(pinned).map_err(|error| wrong(&error))?;
    let [endpoint] = info.endpoint.as_slice() else {
        return Err(wrong(&format!(
            "{} endpoints; a stream of one rank has one",
            info.endpoint.len()
        )));
    };
    let ticket = endpoint.ticket.clone().ok_or_else(|| wrong(&"no ticket"))?;
    let schema = info.try_decode_schema().map_err(|error| wrong(&error))?;
    Ok((pinned, plan, Arc::new(schema), ticket))
}

fn id(plan: &Value) -> String {
    plan.get("plan_id").and_then(Value::as_str).unwrap_or_default().to_owned()
}
