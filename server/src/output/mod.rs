//! What commands print.

mod batches;
mod progress;
mod query;
#[macro_use]
mod streams;

pub(crate) use batches::BatchWriter;
pub(crate) use progress::IngestBar;
pub(crate) use query::QueryLine;
pub(crate) use streams::{print, tell};

use tarn_schemas::shown::harmless;

/// Aligned columns with a header.
pub(crate) fn text_table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    // A cell is one line, whoever wrote what is in it.
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.iter().map(|value| harmless(value)).collect()).collect();
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in &rows {
        for (width, value) in widths.iter_mut().zip(row) {
            *width = (*width).max(value.chars().count());
        }
    }
    let line = |values: &[String]| {
        let cells: Vec<String> =
            values.iter().zip(&widths).map(|(value, width)| format!("{value:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    std::iter::once(line(&header))
        .chain(std::iter::once(line(&rule)))
        .chain(rows.iter().map(|row| line(row)))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_aligned() {
        let text = super::text_table(&["a", "long"], [vec!["wide one".to_owned(), "x".to_owned()]]);
        assert_eq!(text, "a         long\n────────  ────\nwide one  x\n");
    }
}
