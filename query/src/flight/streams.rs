//! Training streams over Flight: descriptors, tickets, batches with cursors, receipts.

use super::encode::{Encoder, MessageStream, schema_bytes};
use super::pump;
use super::reading::{About, Reading, receipted};
use super::seal::{Kind, Seal};
use super::status::{hidden, refuse, to_status};
use crate::engine::Engine;
use crate::error::QueryError;
use crate::stream::{
    Chain, Part, Plan, PlanInfo, ResumePoint, Shape, StreamFault, StreamRequest, Streams, Tail,
};
use arrow::datatypes::SchemaRef;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tarn_catalog::{Catalog, Receipt};
use tarn_schemas::Principal;
use tarn_schemas::code::ErrorCode;
use tonic::Status;
use url::Url;

/// How long a ticket opens its stream.
const TICKET_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Where a client of the same machine finds the blocks of a stream as files.
const MAPPED: &str = "tarn+mmap://";
/// That a ticket is taken where it was given (Arrow Flight, "Connection reuse").
const THIS_CONNECTION: &str = "arrow-flight-reuse-connection://?";

/// What `app_metadata` of a stream's `FlightInfo` says.
#[derive(Debug, Serialize)]
struct Said {
    #[serde(flatten)]
    plan: PlanInfo,
    /// Where blocks may be mapped: how many in a row have how many rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<Vec<(u64, u64)>>,
}

/// What a ticket carries: the whole request, so that its plan can be made again by another node or after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sealed {
    plan_id: String,
    request: StreamRequest,
    /// What the reader was sent before.
    chain: Chain,
}

/// The stream side of the door.
#[derive(Debug)]
pub(crate) struct StreamDoor {
    streams: Streams,
    catalog: Option<Catalog>,
}

impl StreamDoor {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { catalog: engine.catalog().cloned(), streams: Streams::new(engine) }
    }

    /// Plans what a descriptor asks for. With the state that it goes on from, if it names one.
    async fn planned(
        &self,
        seal: &Seal,
        who: &Principal,
        descriptor: &[u8],
    ) -> Result<(Arc<Plan>, StreamRequest, Option<ResumePoint>), Status> {
        let open = |text: &str| open_state(seal, who, text);
        let (request, point) =
            StreamRequest::parse_with(descriptor, open).map_err(|error| to_status(&error))?;
        let plan = self.streams.plan(who, &request).await.map_err(|error| to_status(&error))?;
        let id = hexadecimal(plan.id());
        if let Some(point) = point.as_ref().filter(|point| point.plan_id != id) {
            let fields = vec![("plan_id", id, point.plan_id.clone())];
            return Err(to_status(&StreamFault::ResumeMismatch { fields }.into()));
        }
        Ok((plan, request, point))
    }

    /// Answers `GetFlightInfo` for a stream's descriptor.
    pub(crate) async fn info(
        &self,
        seal: &Seal,
        who: &Principal,
        descriptor: &[u8],
        here: bool,
    ) -> Result<FlightInfo, Status> {
        let (plan, request, point) = self.planned(seal, who, descriptor).await?;
        let request = plan.pin(request);
        let shape = Shape::new(&plan, &request).map_err(|error| to_status(&error))?;
        let json = |value: Result<Vec<u8>, serde_json::Error>| {
            value.map_err(|error| hidden(ErrorCode::Internal, "the plan cannot be told", &error))
        };
        // Files hold the columns of the table, and no form of them.
        let plain = request.nulls.is_none() && request.tail() != Tail::Pad;
        let mapped = if here && plain { self.streams.mapped(&plan).await } else { None };
        let (folder, blocks) = mapped.unzip();
        let said = Said { plan: plan.describe(&request), blocks };
        let metadata = json(serde_json::to_vec(&said))?;
        let pinned = json(serde_json::to_vec(&request))?;
        let chain = point.map_or_else(Chain::new, |point| point.chain).go_on(Part {
            rank: request.rank,
            world_size: request.world_size,
            batch_size: request.batch_size,
            from: request.start,
            to: request.start,
            rows: 0,
            batches: 0,
            hash: crate::stream::OrderHash::default(),
        });
        // How many rows of a share are of one rank is known only when its pattern was read.
        let rows = request.share.is_none().then(|| request.rows(plan.selected(&request)));
        let total =
            |count: Option<u64>| count.and_then(|count| i64::try_from(count).ok()).unwrap_or(-1);
        let bytes = total(rows.map(|rows| rows.saturating_mul(plan.row_bytes())));
        let sealed = Sealed { plan_id: hexadecimal(plan.id()), request, chain };
        let mut endpoint = endpoint(seal, who, &sealed)?;
        if let Some(folder) = folder.and_then(|folder| Url::from_file_path(folder).ok()) {
            endpoint = endpoint.with_location(format!("{MAPPED}{}", folder.path()));
            endpoint = endpoint.with_location(THIS_CONNECTION);
        }
        let mut info = FlightInfo::new()
            .with_descriptor(FlightDescriptor::new_cmd(pinned))
            .with_endpoint(endpoint)
            .with_total_records(total(rows))
            .with_total_bytes(bytes)
            .with_ordered(true)
            .with_app_metadata(metadata);
        info.schema = schema_bytes(shape.schema())?;
        Ok(info)
    }

    /// The schema of a stream's batches.
    pub(crate) async fn schema(
        &self,
        seal: &Seal,
        who: &Principal,
        descriptor: &[u8],
    ) -> Result<SchemaRef, Status> {
        let (plan, request, _) = self.planned(seal, who, descriptor).await?;
        let shape = Shape::new(&plan, &request).map_err(|error| to_status(&error))?;
        Ok(Arc::clone(shape.schema()))
    }

    /// Answers `DoGet` for a stream's ticket. A plan that is not kept any more is made again.
    pub(crate) async fn get(
        &self,
        seal: &Arc<Seal>,
        who: &Principal,
        ticket: &Bytes,
    ) -> Result<MessageStream, Status> {
        let sealed = open(seal, who, ticket)?;
        let plan = match blake3::Hash::from_hex(&sealed.plan_id) {
            Ok(id) => self.streams.planned(who, *id.as_bytes()),
            Err(_) => None,
        };
        let plan = match plan {
            Some(plan) => plan,
            None => self.again(who, &sealed).await?,
        };
        let request = sealed.request;
        let whole = plan.whole(&request);
        let answer = self.streams.start(who, plan, request.clone()).await;
        let answer = answer.map_err(|error| to_status(&error))?;
        let encoder = Encoder::new(&answer.schema)?;
        let first = Encoder::schema(&answer.schema);
        let heartbeat = request.heartbeat_seconds.map(|every| Duration::from_secs(every.into()));
        let about = Arc::new(About {
            plan: answer.plan,
            whole,
            policies: answer.policies,
            request,
            who: who.clone(),
            seal: Arc::clone(seal),
            catalog: self.catalog.clone(),
        });
        let sent = sealed.chain.clone();
        let reading = Reading::new(&about, encoder, first, sealed.chain);
        let batches = answer.batches;
        let messages =
            stream::try_unfold((reading, batches), |(mut reading, mut batches)| async move {
                loop {
                    if let Some(sending) = reading.next() {
                        return Ok(Some((sending, (reading, batches))));
                    }
                    match batches.next().await {
                        Some(Ok((batch, cursor))) => reading.put(&batch, cursor)?,
                        Some(Err(error)) => return Err(to_status(&error)),
                        None => return Ok(None),
                    }
                }
            });
        Ok(receipted(about, &sent, pump::run(messages.boxed(), heartbeat)))
    }

    async fn again(&self, who: &Principal, sealed: &Sealed) -> Result<Arc<Plan>, Status> {
        let plan = self.streams.plan(who, &sealed.request).await;
        let plan = plan.map_err(|error| to_status(&error))?;
        if hexadecimal(plan.id()) == sealed.plan_id {
            Ok(plan)
        } else {
            Err(to_status(&StreamFault::PlanExpired.into()))
        }
    }

    /// The same endpoint with a ticket that opens its stream for longer, if it is one of a stream. Policy is asked again.
    pub(crate) async fn renew(
        &self,
        seal: &Seal,
        who: &Principal,
        old: &FlightEndpoint,
    ) -> Result<Option<FlightEndpoint>, Status> {
        let ticket = old.ticket.as_ref().map(|ticket| &ticket.ticket);
        let Some(ticket) = ticket.filter(|ticket| super::seal::is_sealed(ticket)) else {
            return Ok(None);
        };
        let sealed = open(seal, who, ticket)?;
        self.again(who, &sealed).await?;
        endpoint(seal, who, &sealed).map(Some)
    }

    /// The receipt of a stream, by its ticket.
    pub(crate) async fn receipt(
        &self,
        seal: &Seal,
        who: &Principal,
        ticket: &[u8],
    ) -> Result<Receipt, Status> {
        let sealed = open(seal, who, ticket)?;
        let none = || {
            refuse(
                ErrorCode::Conflict,
                "there is no receipt: nothing of the stream was read, or it is still being read",
            )
        };
        let catalog = self.catalog.as_ref().ok_or_else(none)?;
        let kept = catalog.receipt(who, &sealed.chain.id.simple().to_string()).await;
        kept.map_err(|error| to_status(&QueryError::Catalog(error)))?.ok_or_else(none)
    }
}

fn hexadecimal(id: [u8; 32]) -> String {
    blake3::Hash::from(id).to_hex().to_string()
}

fn endpoint(seal: &Seal, who: &Principal, sealed: &Sealed) -> Result<FlightEndpoint, Status> {
    let payload = serde_json::to_vec(sealed)
        .map_err(|error| hidden(ErrorCode::Internal, "the ticket cannot be written", &error))?;
    let ticket = seal.close(Kind::Stream, who, TICKET_LIFE, &payload)?;
    let mut endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
    endpoint.expiration_time = SystemTime::now().checked_add(TICKET_LIFE).map(Into::into);
    Ok(endpoint)
}

fn open(seal: &Seal, who: &Principal, ticket: &[u8]) -> Result<Sealed, Status> {
    let payload = seal.open(Kind::Stream, who, ticket)?;
    serde_json::from_slice(&payload).map_err(|_| {
        refuse(
            ErrorCode::PlanExpired,
            "the ticket is of another version of tarn; ask for a new one",
        )
    })
}

fn open_state(seal: &Seal, who: &Principal, text: &str) -> Result<ResumePoint, QueryError> {
    let other = || {
        QueryError::Invalid(
            "stream: `resume` is no state that this lab gave you: send the text that came behind the cursor as it is, or \
             give `epoch` and `start`"
                .to_owned(),
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| other())?;
    let payload = seal.open(Kind::State, who, &bytes).map_err(|_| other())?;
    serde_json::from_slice(&payload).map_err(|_| other())
}
