//! Training streams over Flight: descriptors, tickets, batches with cursors, receipts.

use super::encode::{Encoder, MessageStream, schema_bytes};
use super::message::Message;
use super::seal::{Kind, Seal};
use super::status::{hidden, refuse, to_status};
use crate::engine::Engine;
use crate::stream::{PlanInfo, StreamRequest, Streams};
use arrow::datatypes::SchemaRef;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tarn_schemas::Principal;
use tarn_schemas::code::ErrorCode;
use tonic::Status;
use url::Url;

/// How long a ticket opens its stream.
const TICKET_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Receipts that are kept for those who read a stream.
const MOST_RECEIPTS: usize = 4096;

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

/// What was read, once a stream has been read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Receipt {
    /// What was pinned.
    #[serde(flatten)]
    plan: PlanInfo,
    seed: u64,
    epoch: u32,
    world_size: u32,
    rank: u32,
    batch_size: u32,
    /// Global position of the first row.
    start: u64,
    /// Global position after the last step.
    next_position: u64,
    /// Batches sent.
    batches: u64,
    /// Rows sent.
    rows: u64,
    /// BLAKE3 over, for each batch: its step, the length of its IPC body (both u64 little-endian)
    /// and the body.
    hash: String,
}

/// The part of a request that a ticket carries beside the plan; the rest is pinned by the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slice {
    plan: [u8; 32],
    epoch: u32,
    batch_size: u32,
    world_size: u32,
    rank: u32,
    start: u64,
    drop_last: bool,
}

impl Slice {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.plan.to_vec();
        for number in [self.epoch, self.batch_size, self.world_size, self.rank] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.start.to_le_bytes());
        bytes.push(u8::from(self.drop_last));
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
            bytes.get(at..at.checked_add(N)?)?.try_into().ok()
        }
        let number = |at| part(bytes, at).map(u32::from_le_bytes);
        Some(Self {
            plan: part(bytes, 0)?,
            epoch: number(32)?,
            batch_size: number(36)?,
            world_size: number(40)?,
            rank: number(44)?,
            start: u64::from_le_bytes(part(bytes, 48)?),
            drop_last: *bytes.get(56)? != 0,
        })
    }
}

/// Receipts by ticket, the oldest forgotten first.
#[derive(Debug, Default)]
struct Receipts {
    by_ticket: HashMap<blake3::Hash, Receipt>,
    order: VecDeque<blake3::Hash>,
}

/// The stream side of the door.
#[derive(Debug)]
pub(crate) struct StreamDoor {
    streams: Streams,
    receipts: Arc<Mutex<Receipts>>,
}

impl StreamDoor {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { streams: Streams::new(engine), receipts: Arc::default() }
    }

    /// Answers `GetFlightInfo` for a stream's descriptor.
    pub(crate) async fn info(
        &self,
        seal: &Seal,
        who: &Principal,
        descriptor: &[u8],
        here: bool,
    ) -> Result<FlightInfo, Status> {
        let request = StreamRequest::parse(descriptor).map_err(|error| to_status(&error))?;
        let plan = self.streams.plan(who, &request).await.map_err(|error| to_status(&error))?;
        let request = plan.pin(request);
        let json = |value: Result<Vec<u8>, serde_json::Error>| {
            value.map_err(|error| hidden(ErrorCode::Internal, "the plan cannot be told", &error))
        };
        let mapped = if here { self.streams.mapped(&plan).await } else { None };
        let (folder, blocks) = mapped.unzip();
        let said = Said { plan: plan.describe(&request), blocks };
        let metadata = json(serde_json::to_vec(&said))?;
        let pinned = json(serde_json::to_vec(&request))?;
        let slice = Slice {
            plan: plan.id(),
            epoch: request.epoch,
            batch_size: request.batch_size,
            world_size: request.world_size,
            rank: request.rank,
            start: request.start,
            drop_last: request.drops_last(),
        };
        let ticket = seal.close(Kind::Stream, who, TICKET_LIFE, &slice.to_bytes())?;
        let mut endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
        if let Some(folder) = folder.and_then(|folder| Url::from_file_path(folder).ok()) {
            endpoint = endpoint.with_location(format!("{MAPPED}{}", folder.path()));
            endpoint = endpoint.with_location(THIS_CONNECTION);
        }
        let rows = request.rows(plan.selected());
        let total = |count: u64| i64::try_from(count).unwrap_or(-1);
        let mut info = FlightInfo::new()
            .with_descriptor(FlightDescriptor::new_cmd(pinned))
            .with_endpoint(endpoint)
            .with_total_records(total(rows))
            .with_total_bytes(total(rows.saturating_mul(plan.row_bytes())))
            .with_ordered(true)
            .with_app_metadata(metadata);
        info.schema = schema_bytes(plan.schema())?;
        Ok(info)
    }

    /// The schema of a stream's batches.
    pub(crate) async fn schema(
        &self,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<SchemaRef, Status> {
        let plan = self.streams.plan(who, request).await.map_err(|error| to_status(&error))?;
        Ok(Arc::clone(plan.schema()))
    }

    /// Answers `DoGet` for a stream's ticket.
    pub(crate) async fn get(
        &self,
        seal: &Seal,
        who: &Principal,
        ticket: &Bytes,
    ) -> Result<MessageStream, Status> {
        let payload = seal.open(Kind::Stream, who, ticket)?;
        let slice = Slice::from_bytes(&payload)
            .ok_or_else(|| refuse(ErrorCode::InvalidArgument, "the ticket is malformed"))?;
        let plan = self.streams.planned(who, slice.plan).ok_or_else(|| {
            refuse(
                ErrorCode::Conflict,
                "the plan of this stream has expired; ask for the stream again with `start` at your \
                 position",
            )
        })?;
        let mut request = plan.request().clone();
        request.epoch = slice.epoch;
        request.batch_size = slice.batch_size;
        request.world_size = slice.world_size;
        request.rank = slice.rank;
        request.start = slice.start;
        request.drop_last = Some(slice.drop_last);
        let answer = self.streams.start(who, plan, request.clone()).await;
        let answer = answer.map_err(|error| to_status(&error))?;
        let encoder = Encoder::new(&answer.schema)?;
        let first = Encoder::schema(&answer.schema);
        let reading = Reading {
            encoder,
            hash: blake3::Hasher::new(),
            ticket: blake3::hash(ticket),
            receipts: Arc::clone(&self.receipts),
            receipt: Receipt {
                plan: answer.plan,
                seed: request.seed,
                epoch: request.epoch,
                world_size: request.world_size,
                rank: request.rank,
                batch_size: request.batch_size,
                start: request.start,
                next_position: request.start,
                batches: 0,
                rows: 0,
                hash: String::new(),
            },
            ready: VecDeque::from([first]),
        };
        let batches = answer.batches;
        Ok(stream::try_unfold((reading, batches), |(mut reading, mut batches)| async move {
            while reading.ready.is_empty() {
                match batches.next().await {
                    Some(Ok((batch, cursor))) => reading.send(&batch, cursor)?,
                    Some(Err(error)) => return Err(to_status(&error)),
                    None => {
                        reading.finish();
                        return Ok(None);
                    }
                }
            }
            let next = reading.ready.pop_front();
            Ok(next.map(|message| (message, (reading, batches))))
        })
        .boxed())
    }

    /// The receipt of a stream that was read to its end, by its ticket.
    pub(crate) fn receipt(
        &self,
        seal: &Seal,
        who: &Principal,
        ticket: &[u8],
    ) -> Result<Receipt, Status> {
        seal.open(Kind::Stream, who, ticket)?;
        let receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        receipts.by_ticket.get(&blake3::hash(ticket)).cloned().ok_or_else(|| {
            refuse(
                ErrorCode::Conflict,
                "there is no receipt: the stream has not been read to its end, or that was long ago",
            )
        })
    }
}

/// A stream that is being read.
struct Reading {
    encoder: Encoder,
    hash: blake3::Hasher,
    ticket: blake3::Hash,
    receipts: Arc<Mutex<Receipts>>,
    receipt: Receipt,
    ready: VecDeque<Message>,
}

impl Reading {
    fn send(
        &mut self,
        batch: &arrow::array::RecordBatch,
        cursor: crate::stream::Cursor,
    ) -> Result<(), Status> {
        let mut messages = self.encoder.whole(batch)?;
        if let Some(last) = messages.back_mut() {
            self.hash.update(&cursor.step.to_le_bytes());
            self.hash.update(&(last.body_length() as u64).to_le_bytes());
            for piece in last.body() {
                self.hash.update(piece);
            }
            last.app_metadata = Bytes::copy_from_slice(&cursor.to_bytes());
        }
        self.receipt.batches += 1;
        self.receipt.rows += u64::from(cursor.rows);
        self.receipt.next_position = cursor.next_position;
        self.ready.extend(messages);
        // A client may stop reading at the last batch, before the end of the stream arrives.
        if cursor.last {
            self.finish();
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.receipt.hash = format!("blake3:{}", self.hash.finalize().to_hex());
        let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        if receipts.by_ticket.insert(self.ticket, self.receipt.clone()).is_none() {
            receipts.order.push_back(self.ticket);
        }
        while receipts.order.len() > MOST_RECEIPTS {
            if let Some(oldest) = receipts.order.pop_front() {
                receipts.by_ticket.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slice_of_a_ticket_reads_back() {
        let slice = Slice {
            plan: [9; 32],
            epoch: 1,
            batch_size: 2,
            world_size: 3,
            rank: 4,
            start: u64::MAX,
            drop_last: true,
        };
        assert_eq!(Slice::from_bytes(&slice.to_bytes()), Some(slice));
        assert_eq!(Slice::from_bytes(&slice.to_bytes()[1..]), None);
    }
}
