//! Training streams: pinned, filtered, shuffled, sharded and resumable batches of one table.
//!
//! A [`StreamRequest`] names a table and how it is read; [`open`] plans it under the policy and
//! gives the batches of one rank. The same seed gives the same global order for any world size that
//! divides the global batch, and a stream goes on exactly where a [`Cursor`] says.

mod blocks;
mod cache;
mod filter;
mod gather;
mod open;
mod order;
mod plan;
mod prepared;
mod request;
#[cfg(test)]
mod samples;
mod source;

pub use open::{StreamAnswer, Streams, open};
pub use plan::PlanInfo;
pub use prepared::PreparedConfig;
pub use request::StreamRequest;
pub use tarn_schemas::cursor::Cursor;
