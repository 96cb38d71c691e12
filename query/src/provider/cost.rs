//! What a scan asks of files and stores, for EXPLAIN ANALYZE.

use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use tarn_formats::traffic;

/// Requests and bytes of one partition of a scan: reads of local files, requests to stores.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    requests: Count,
    bytes: Count,
}

impl Cost {
    /// Counters of a partition.
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            requests: MetricBuilder::new(metrics).counter("requests", partition),
            bytes: MetricBuilder::new(metrics).counter("requested_bytes", partition),
        }
    }

    /// Does work and counts what it asks for in this thread.
    pub(crate) fn of<R>(&self, work: impl FnOnce() -> R) -> R {
        let (result, traffic) = traffic::during(work);
        self.requests.add(usize::try_from(traffic.requests).unwrap_or(usize::MAX));
        self.bytes.add(usize::try_from(traffic.bytes).unwrap_or(usize::MAX));
        result
    }
}
