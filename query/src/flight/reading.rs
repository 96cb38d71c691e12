//! A stream that is being read: its messages, and the receipt of what was sent.

use super::encode::{Encoder, MessageStream};
use super::message::Message;
use super::seal::{Kind, Seal};
use super::status::hidden;
use crate::stream::{Chain, Cursor, PlanInfo, ResumePoint, StreamRequest};
use arrow::array::RecordBatch;
use bytes::{BufMut, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tarn_catalog::{Catalog, NewReceipt};
use tarn_schemas::Principal;
use tarn_schemas::code::ErrorCode;
use tonic::Status;

/// How long a state may be gone on from. Training runs for months, and lies longer.
const STATE_LIFE: Duration = Duration::from_secs(400 * 24 * 3600);

/// What is read, and by whom.
pub(crate) struct About {
    pub(crate) plan: PlanInfo,
    /// Rows that make an epoch whole.
    pub(crate) whole: u64,
    pub(crate) policies: Vec<String>,
    pub(crate) request: StreamRequest,
    pub(crate) who: Principal,
    pub(crate) seal: Arc<Seal>,
    pub(crate) catalog: Option<Catalog>,
}

impl About {
    /// The state after what was sent, sealed.
    fn state(&self, chain: &Chain) -> Result<bytes::Bytes, Status> {
        let point = ResumePoint {
            plan_id: self.plan.plan_id.clone(),
            epoch: self.request.epoch,
            seed: self.request.seed,
            global_batch: self.request.global_batch(),
            position: chain.end(),
            chain: chain.clone(),
        };
        let payload = serde_json::to_vec(&point)
            .map_err(|error| hidden(ErrorCode::Internal, "the state cannot be told", &error))?;
        self.seal.close(Kind::State, &self.who, STATE_LIFE, &payload)
    }

    fn receipt(&self, chain: &Chain, last: bool) -> NewReceipt {
        let decided = serde_json::to_vec(&(&self.policies, &self.plan.policy)).unwrap_or_default();
        NewReceipt {
            batches: chain.batches(),
            columns: self.request.columns.clone(),
            complete: last && chain.start() == 0 && chain.rows() == self.whole,
            dataset: self.plan.dataset.clone(),
            epoch: self.request.epoch,
            filter: self.plan.filter.clone(),
            global_batch: self.request.global_batch(),
            hash: format!("sum:{}", chain.hash().to_hexadecimal()),
            id: chain.id.simple().to_string(),
            next_position: chain.end(),
            order: self.plan.order.to_owned(),
            plan_id: self.plan.plan_id.clone(),
            policies: self.policies.clone(),
            policy_digest: format!("blake3:{}", blake3::hash(&decided).to_hex()),
            rows: chain.rows(),
            seed: self.request.seed,
            segments: chain.segments(),
            selected: self.plan.selected,
            split: self.request.part(),
            start: chain.start(),
            versions: self.plan.versions.clone(),
        }
    }
}

/// A message on its way, and what will have been sent with it.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) message: Message,
    /// After the last message of a batch: all that was sent, and whether the epoch is at its end.
    sent: Option<(Chain, bool)>,
}

impl Sending {
    /// A message that is of no batch.
    pub(crate) fn bare(message: Message) -> Self {
        Self { message, sent: None }
    }
}

/// Makes messages of batches.
pub(crate) struct Reading {
    about: Arc<About>,
    encoder: Encoder,
    chain: Chain,
    ready: VecDeque<Sending>,
}

impl Reading {
    pub(crate) fn new(about: &Arc<About>, encoder: Encoder, first: Message, chain: Chain) -> Self {
        let ready = VecDeque::from([Sending::bare(first)]);
        Self { about: Arc::clone(about), encoder, chain, ready }
    }

    /// The next message, if one is ready.
    pub(crate) fn next(&mut self) -> Option<Sending> {
        self.ready.pop_front()
    }

    /// Makes messages of a batch.
    pub(crate) fn put(&mut self, batch: &RecordBatch, cursor: Cursor) -> Result<(), Status> {
        let messages = self.encoder.whole(batch)?;
        self.chain.add(cursor.rows, cursor.hash, cursor.next_position);
        self.ready.extend(messages.into_iter().map(Sending::bare));
        if let Some(last) = self.ready.back_mut() {
            let state = self.about.state(&self.chain)?;
            let bytes = cursor.to_bytes();
            let mut metadata = BytesMut::with_capacity(bytes.len().saturating_add(state.len()));
            metadata.put_slice(&bytes);
            metadata.put_slice(&state);
            last.message.app_metadata = metadata.freeze();
            last.sent = Some((self.chain.clone(), cursor.last));
        }
        Ok(())
    }
}

/// Notes what leaves, and keeps a receipt of it when the stream ends or its reader goes. What was made ready and did not
/// leave is not in it.
pub(crate) fn receipted(
    about: Arc<About>,
    chain: &Chain,
    messages: BoxStream<'static, Result<Sending, Status>>,
) -> MessageStream {
    // Whoever comes back with the state of an end was sent all of it, and may have no receipt yet.
    let ended = chain.rows() > 0 && about.request.steps(about.plan.selected) == 0;
    let sent = ended.then(|| (chain.clone(), true));
    let state = (Recorder { about, sent }, messages);
    let noted = stream::try_unfold(state, |(mut recorder, mut messages)| async move {
        match messages.next().await {
            Some(sending) => {
                let Sending { message, sent } = sending?;
                recorder.sent = sent.or(recorder.sent.take());
                Ok(Some((message, (recorder, messages))))
            }
            None => {
                // It is there before the reader learns that the stream is at its end.
                if let Some(keeping) = recorder.keeping() {
                    keeping.await;
                }
                Ok(None)
            }
        }
    });
    noted.boxed()
}

struct Recorder {
    about: Arc<About>,
    sent: Option<(Chain, bool)>,
}

impl Recorder {
    /// That a receipt cannot be kept does not take back what was sent.
    fn keeping(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (chain, last) = self.sent.take()?;
        let about = Arc::clone(&self.about);
        Some(async move {
            let Some(catalog) = &about.catalog else { return };
            let receipt = about.receipt(&chain, last);
            if let Err(error) = catalog.keep_receipt(&about.who, receipt).await {
                tracing::error!(%error, "the receipt of a stream is not kept");
            }
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let Some(keeping) = self.keeping() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(keeping);
        }
    }
}
