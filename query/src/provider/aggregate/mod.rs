//! Aggregates below the broadcast.
//!
//! An aggregate grouped by coordinates does not need them as columns. The expressions of its keys
//! are evaluated once on the axes ([`keys`]), the combinations of their values are the groups
//! ([`groups`]), and a decoded block is added up along its strides ([`slots`],
//! [`moments`]). What has no kernel goes through DataFusion's own accumulators, with group numbers
//! from the strides instead of a hash of every row. Parts of other expressions that depend on one axis
//! are evaluated there, too ([`hoist`]).
//!
//! Least and greatest of floats follow IEEE 754's `totalOrder`, as DataFusion's do without GROUP BY.
//! With it, DataFusion 55's own depend on the order of rows where there is NaN.

mod compile;
mod exec;
mod groups;
mod hoist;
mod inline;
mod keys;
mod moments;
mod rule;
mod slots;
mod worker;

pub use exec::GridAggregateExec;
pub use rule::AggregateBelowBroadcast;
