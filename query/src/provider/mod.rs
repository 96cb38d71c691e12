//! Table providers: files in place and Delta.

mod aggregate;
mod axis;
mod delta;
mod grid;
mod listed;
mod open;
mod pushdown;
mod queue;
mod scan;
mod work;

pub use aggregate::{AggregateBelowBroadcast, GridAggregateExec};
pub use grid::GridTable;
pub use scan::GridScanExec;

pub(crate) use delta::DeltaScanExec;
pub(crate) use listed::ListedTable;
pub(crate) use open::{OpenFile, Opener, blocking, open_grid, say_left_out, schema_of};
