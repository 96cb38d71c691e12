//! Table providers: files in place and Delta.

mod aggregate;
mod ahead;
mod axis;
mod cost;
mod delta;
mod delta_log;
mod dynamic;
mod figures;
mod footers;
mod grid;
mod kernel;
mod listed;
mod open;
mod prune;
mod pushdown;
mod queue;
mod scan;
mod size;
mod sources;
mod statistics;
mod texts;
mod work;

pub use aggregate::{AggregateBelowBroadcast, GridAggregateExec};
pub use grid::GridTable;
pub use scan::GridScanExec;

pub(crate) use delta::{DeltaEntryTable, DeltaScanExec};
pub(crate) use delta_log::PHYSICAL_NAME;
pub(crate) use listed::ListedTable;
pub(crate) use open::{
    OpenFile, Opener, blocking, open_grid, say_left_out, schema_of, stays_inside,
};
pub(crate) use size::{arrow_bytes, row_bytes};
