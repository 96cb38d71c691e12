//! What may be said of the tables of this lab.

use super::sizes::{Size, UNTOLD_ROWS, Values, number_of};
use crate::engine::obligations::GuardedTable;
use crate::provider::{DeltaEntryTable, GridTable};
use datafusion::catalog::TableProvider;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::TableScan;

/// Rows and columns of a scan; none for tables of other labs and of no kind that is known.
pub(super) fn scanned(scan: &TableScan) -> Option<Size> {
    let provider = source_as_provider(&scan.source).ok()?;
    let table: &dyn TableProvider = provider.as_ref();
    let of = |rows| Size {
        rows,
        columns: vec![Values::new(rows, None); scan.projected_schema.fields().len()],
    };
    if table.is::<GuardedTable>() {
        // The same whatever policy hides: an order that followed its rows would show in plans.
        return Some(of(UNTOLD_ROWS));
    }
    if let Some(delta) = table.downcast_ref::<DeltaEntryTable>() {
        let Some(rows) = delta.rows().map(number_of) else { return Some(of(UNTOLD_ROWS)) };
        let fields = scan.projected_schema.fields().iter();
        let columns = fields.map(|field| Values::new(rows, delta.known(field.name()))).collect();
        return Some(Size { rows, columns });
    }
    let grid = table.downcast_ref::<GridTable>()?;
    let rows = grid.statistics().and_then(|statistics| statistics.num_rows.get_value().copied());
    Some(of(rows.map_or(UNTOLD_ROWS, number_of)))
}
