//! Training streams: pinned, filtered, shuffled, sharded and resumable batches of one table.
//!
//! A [`StreamRequest`] names a table and how it is read; [`open`] plans it under the policy and
//! gives the batches of one rank. The same seed gives the same global order for any world size that
//! divides the global batch, and a stream goes on exactly where a [`Cursor`] says.

mod cache;
mod chain;
mod cursor;
mod fault;
mod filter;
mod nulls;
mod open;
mod order;
mod order_hash;
mod plan;
mod request;
mod source;
mod split;
mod tail;

pub use cursor::Cursor;
pub use fault::StreamFault;
pub use open::{StreamAnswer, Streams, open};
pub use plan::PlanInfo;
pub use request::{Nulls, StreamRequest, Tail};
pub use split::Split;

pub(crate) use chain::{Chain, Part, ResumePoint};
pub(crate) use order_hash::OrderHash;
pub(crate) use plan::Plan;
pub(crate) use tail::Shape;
