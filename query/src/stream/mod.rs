//! Training streams: pinned, filtered, shuffled, sharded and resumable batches of one table.
//!
//! A [`StreamRequest`] names a table and how it is read; [`open`] plans it under the policy and
//! gives the batches of one rank. The same seed gives the same global order for any world size that
//! divides the global batch, and a stream goes on exactly where a [`Cursor`] says.

mod cache;
mod filter;
mod open;
mod order;
mod plan;
mod request;
mod source;

pub use open::{StreamAnswer, Streams, open};
pub use plan::PlanInfo;
pub use request::StreamRequest;
pub use tarn_schemas::cursor::Cursor;
