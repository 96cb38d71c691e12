//! Record batches as Flight messages.
//!
//! Messages are made by arrow-ipc itself and not by `FlightDataEncoder`, which declares LargeList as
//! List (arrow-rs#10291), sizes slices by the memory of their parent and copies every row.

use super::message::Message;
use super::status::{hidden, to_status};
use crate::engine::{Answer, Sites};
use crate::error::QueryError;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions, StreamEncoder};
use arrow_flight::{IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use futures::stream::{self, BoxStream, StreamExt};
use std::collections::VecDeque;
use tarn_schemas::code::ErrorCode;
use tonic::Status;

/// Bytes of a message that rows are cut to; clients accept 16 MiB by default.
const MESSAGE_BYTES: usize = 8 << 20;

/// Messages of one call.
pub(crate) type MessageStream = BoxStream<'static, Result<Message, Status>>;

/// A schema as `FlightInfo`, prepared statements and listings carry it.
pub(crate) fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let message: Result<IpcMessage, ArrowError> = SchemaAsIpc::new(schema, &options).try_into();
    message.map(|message| message.0).map_err(|error| failed(&error))
}

fn failed(error: &ArrowError) -> Status {
    hidden(ErrorCode::Internal, "the answer cannot be encoded", error)
}

/// Encodes the batches of one stream.
pub(crate) struct Encoder {
    encoder: StreamEncoder,
    /// The encoder puts the schema before the first batch; it is sent before there is one.
    begun: bool,
}

impl Encoder {
    /// An encoder of batches of this schema.
    ///
    /// # Errors
    /// For a type that IPC has no words for: a dictionary of dictionaries.
    pub(crate) fn new(schema: &Schema) -> Result<Self, Status> {
        let encoder = StreamEncoder::try_new(schema).map_err(|error| failed(&error))?;
        Ok(Self { encoder, begun: false })
    }

    /// The first message.
    pub(crate) fn schema(schema: &Schema) -> Message {
        let mut dictionaries = DictionaryTracker::new(false);
        let options = IpcWriteOptions::default();
        let generator = IpcDataGenerator::default();
        let encoded =
            generator.schema_to_bytes_with_dictionary_tracker(schema, &mut dictionaries, &options);
        Message::bare(encoded.ipc_message)
    }

    /// The messages of one batch, in one piece: dictionaries that changed, then the rows.
    pub(crate) fn whole(&mut self, batch: &RecordBatch) -> Result<VecDeque<Message>, Status> {
        let buffers = self.encoder.encode(batch).map_err(|error| failed(&error))?;
        let mut messages = Message::split(buffers).map_err(|error| failed(&error))?;
        if !self.begun {
            messages.pop_front();
            self.begun = true;
        }
        Ok(messages)
    }

    /// The messages of one batch, cut by rows to the usual size.
    pub(crate) fn cut(&mut self, batch: &RecordBatch) -> Result<VecDeque<Message>, Status> {
        let mut messages = VecDeque::new();
        let mut parts = vec![batch.clone()];
        while let Some(part) = parts.pop() {
            let rows = part.num_rows();
            if rows > 1 && size(&part) > MESSAGE_BYTES {
                let half = rows / 2;
                parts.push(part.slice(half, rows - half));
                parts.push(part.slice(0, half));
            } else {
                messages.extend(self.whole(&part)?);
            }
        }
        Ok(messages)
    }
}

/// Bytes of the rows of a batch, which may be a slice of something larger.
fn size(batch: &RecordBatch) -> usize {
    let column = |array: &dyn Array| {
        let data = array.to_data();
        data.get_slice_memory_size().unwrap_or_else(|_| array.get_buffer_memory_size())
    };
    batch.columns().iter().map(|array| column(array.as_ref())).fold(0, usize::saturating_add)
}

/// One batch as a whole answer.
pub(crate) fn single(batch: &RecordBatch) -> Result<MessageStream, Status> {
    let mut encoder = Encoder::new(batch.schema_ref())?;
    let mut messages = VecDeque::from([Encoder::schema(batch.schema_ref())]);
    messages.extend(encoder.cut(batch)?);
    Ok(stream::iter(messages.into_iter().map(Ok)).boxed())
}

/// A query's answer. The last message says in `app_metadata` which labs took part:
/// `{"sites": […]}`.
pub(crate) fn answer(answer: Answer) -> Result<MessageStream, Status> {
    let Answer { schema, stream, sites, .. } = answer;
    batches(schema, stream, Some(sites))
}

/// A stream of batches; the last message carries the sites, if any.
pub(crate) fn batches(
    schema: SchemaRef,
    stream: SendableRecordBatchStream,
    sites: Option<Sites>,
) -> Result<MessageStream, Status> {
    let encoder = Encoder::new(&schema)?;
    let ready = VecDeque::from([Encoder::schema(&schema)]);
    let state = Sending { schema, encoder, ready, rows: false, ended: false };
    let messages = stream::try_unfold((state, stream), move |(mut state, mut stream)| {
        let sites = sites.clone();
        async move {
            // One message is held back: the last one carries the sites.
            while state.ready.len() < 2 && !state.ended {
                match stream.next().await {
                    Some(Ok(batch)) => {
                        state.ready.extend(state.encoder.cut(&batch)?);
                        state.rows = true;
                    }
                    Some(Err(error)) => {
                        return Err(to_status(&QueryError::from(error)));
                    }
                    None => {
                        state.ended = true;
                        if !state.rows {
                            let empty = RecordBatch::new_empty(state.schema.clone());
                            state.ready.extend(state.encoder.whole(&empty)?);
                        }
                        if let (Some(last), Some(sites)) = (state.ready.back_mut(), &sites) {
                            let sites = serde_json::json!({ "sites": sites.reports() });
                            last.app_metadata = sites.to_string().into();
                        }
                    }
                }
            }
            let next = state.ready.pop_front();
            Ok(next.map(|message| (message, (state, stream))))
        }
    });
    Ok(messages.boxed())
}

struct Sending {
    schema: SchemaRef,
    encoder: Encoder,
    ready: VecDeque<Message>,
    rows: bool,
    ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, LargeListArray, StringArray};
    use arrow::datatypes::Int64Type;
    use arrow_flight::FlightData;
    use arrow_flight::decode::FlightRecordBatchStream;
    use futures::TryStreamExt;
    use std::sync::Arc;

    async fn through(batch: &RecordBatch) -> Vec<RecordBatch> {
        let messages = single(batch).unwrap().map_ok(FlightData::from);
        FlightRecordBatchStream::new_from_flight_data(messages.map_err(Into::into))
            .try_collect()
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn large_lists_arrive_as_they_were_sent() {
        let lists = LargeListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), Some(2)]),
            None,
            Some(vec![Some(3)]),
        ]);
        let batch = RecordBatch::try_from_iter([("x", Arc::new(lists) as ArrayRef)]).unwrap();
        assert_eq!(through(&batch).await, vec![batch]);
    }

    #[tokio::test]
    async fn a_large_batch_is_cut_and_a_slice_of_one_is_not() {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4_000_000));
        let batch = RecordBatch::try_from_iter([("x", values)]).unwrap();
        let parts = through(&batch).await;
        assert_eq!(parts.len(), 4);
        assert_eq!(arrow::compute::concat_batches(batch.schema_ref(), &parts).unwrap(), batch);
        let slice = batch.slice(1_000_000, 10);
        assert_eq!(through(&slice).await, vec![slice]);
    }

    #[tokio::test]
    async fn rows_of_uneven_size_still_make_small_messages() {
        let mut texts = vec!["x".to_owned(); 100];
        texts[7] = "y".repeat(MESSAGE_BYTES - 100);
        texts[8] = "z".repeat(MESSAGE_BYTES - 100);
        let column: ArrayRef = Arc::new(StringArray::from(texts));
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let messages: Vec<Message> = single(&batch).unwrap().try_collect().await.unwrap();
        assert!(messages.iter().all(|message| message.body_length() < 16 << 20));
    }
}
