//! Values for the parameters of a prepared statement, as `DoPut` brings them.

use super::status::refuse;
use arrow::array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use datafusion::common::ScalarValue;
use futures::{StreamExt, TryStreamExt, stream};
use tarn_schemas::code::ErrorCode;
use tonic::{Status, Streaming};

/// Most values of one `DoPut`.
const MOST_VALUES: usize = 100_000;

/// All rows of values that a client sends, the first message of which was read already.
pub(crate) async fn rows(
    first: FlightData,
    rest: Streaming<FlightData>,
) -> Result<Vec<Vec<ScalarValue>>, Status> {
    // A client that has nothing to bind sends the descriptor alone.
    if first.data_header.is_empty() {
        return Ok(vec![]);
    }
    let messages = stream::iter([Ok(first)]).chain(rest).map_err(FlightError::from);
    let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
    let (mut rows, mut values) = (Vec::new(), 0_usize);
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| match error {
            FlightError::Tonic(status) => *status,
            error => {
                refuse(ErrorCode::InvalidArgument, format!("the values are malformed: {error}"))
            }
        })?;
        values = values.saturating_add(batch.num_rows().saturating_mul(batch.num_columns().max(1)));
        if values > MOST_VALUES {
            return Err(refuse(
                ErrorCode::ResourceExhausted,
                format!(
                    "more than {MOST_VALUES} values were bound; join VALUES or a table instead"
                ),
            ));
        }
        rows.extend(rows_of(&batch)?);
    }
    Ok(rows)
}

fn rows_of(batch: &RecordBatch) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let row = |row: usize| {
        let values = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, row));
        values.collect::<Result<Vec<_>, _>>()
    };
    (0..batch.num_rows()).map(row).collect::<Result<Vec<_>, _>>().map_err(|error| {
        refuse(ErrorCode::InvalidArgument, format!("values of this type cannot be bound: {error}"))
    })
}
