//! How much a planned query will read, told before it runs.

use crate::engine::obligations::GuardedExec;
use crate::federation::PeerFragmentExec;
use crate::provider::{DeltaScanExec, GridAggregateExec, GridScanExec, row_bytes};
use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use std::sync::Arc;

/// What a query reads from tables of this lab at most, as far as that is known before it runs. Pieces of
/// files that its conditions exclude are left out already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Rows.
    pub rows: u64,
    /// Bytes as Arrow columns. A value of text or of a list is taken for 16 bytes.
    pub bytes: u64,
    /// Whether tables are read of which nothing may be said, or nothing is known: those of other labs, and
    /// those that policy guards.
    pub beyond: bool,
    /// Whether it will read all of that. Otherwise it may read less: a `LIMIT` or a join may end it early,
    /// and a condition may leave out parts of files that are opened only then.
    pub certain: bool,
}

impl Estimate {
    /// What these plans read together.
    pub(super) fn of<'a>(plans: impl IntoIterator<Item = &'a Arc<dyn ExecutionPlan>>) -> Self {
        let mut estimate = Self { rows: 0, bytes: 0, beyond: false, certain: true };
        for plan in plans {
            estimate.add(plan);
        }
        estimate
    }

    fn add(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        if let Some((rows, width)) = scanned(plan) {
            self.certain &= matches!(rows, Precision::Exact(_)) && width.is_some();
            let Some(rows) = rows.get_value().and_then(|rows| u64::try_from(*rows).ok()) else {
                self.beyond = true;
                return;
            };
            let width = width.unwrap_or_else(|| row_bytes(plan.schema().fields()));
            self.rows = self.rows.saturating_add(rows);
            self.bytes = self.bytes.saturating_add(rows.saturating_mul(width));
            return;
        }
        self.beyond |= plan.downcast_ref::<GuardedExec>().is_some()
            || plan.downcast_ref::<PeerFragmentExec>().is_some();
        let children = plan.children();
        self.certain &= plan.fetch().is_none() && children.len() < 2;
        for child in children {
            self.add(child);
        }
    }
}

/// Rows that the scan of an own table gives, and bytes of each if that is no guess.
fn scanned(plan: &Arc<dyn ExecutionPlan>) -> Option<(Precision<usize>, Option<u64>)> {
    if let Some(aggregate) = plan.downcast_ref::<GridAggregateExec>() {
        let (rows, width) = aggregate.below();
        let rows = rows.and_then(|rows| usize::try_from(rows).ok());
        // Some of it may be known without being read.
        return Some((rows.map_or(Precision::Absent, Precision::Inexact), Some(width)));
    }
    let grid = plan.downcast_ref::<GridScanExec>().is_some();
    if !grid && plan.downcast_ref::<DeltaScanExec>().is_none() {
        return None;
    }
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
    let schema = plan.schema();
    let fixed = schema.fields().iter().all(|field| field.data_type().primitive_width().is_some());
    let width = fixed.then(|| row_bytes(schema.fields()));
    Some((statistics.map_or(Precision::Absent, |known| known.num_rows), width))
}
