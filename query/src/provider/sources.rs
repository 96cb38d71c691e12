//! The Parquet sources within a scan that somebody else made.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// The scan with other sources in place of those for which `change` gives one.
pub(super) fn with_sources(
    scan: Arc<dyn ExecutionPlan>,
    change: impl Fn(&ParquetSource) -> Option<ParquetSource>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let changed = scan.transform_up(|node| {
        let found = node.downcast_ref::<DataSourceExec>();
        let found = found.and_then(DataSourceExec::downcast_to_file_source::<ParquetSource>);
        let Some((config, parquet)) = found.and_then(|(config, old)| Some((config, change(old)?)))
        else {
            return Ok(Transformed::no(node));
        };
        let config: FileScanConfig =
            FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(parquet)).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(changed.data)
}
