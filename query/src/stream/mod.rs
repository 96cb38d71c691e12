//! Training streams: pinned, filtered, shuffled, sharded and resumable batches of one table, or of several that are
//! mixed by weights.
//!
//! A [`StreamRequest`] names tables and how they are read; [`open`] plans it under the policy and
//! gives the batches of one rank. The same seed gives the same global order for any world size that
//! divides the global batch, and a stream goes on exactly where a [`Cursor`] says.

mod alike;
mod blocks;
mod cache;
mod chain;
mod fault;
mod filter;
mod gather;
mod grant;
mod mixture;
mod nulls;
mod open;
mod order;
mod plan;
mod prepared;
mod request;
mod rows;
#[cfg(test)]
mod samples;
mod source;
mod sources;
mod split;
mod table;
mod tail;

pub use fault::StreamFault;
pub use open::{StreamAnswer, Streams, open};
pub use plan::PlanInfo;
pub use prepared::PreparedConfig;
pub use request::{Nulls, StreamRequest, Tail};
pub use sources::{MixedSource, Share};
pub use split::Split;
pub use tarn_schemas::cursor::Cursor;

pub(crate) use chain::{Chain, Part, ResumePoint};
pub(crate) use plan::Plan;
pub(crate) use tail::Shape;
pub(crate) use tarn_schemas::order_hash::OrderHash;
