//! Grids of one file or many as one table: cells or tensors, with extra columns.

use crate::error::FormatError;
use crate::reader::Reader;
use crate::region::{Region, Selection};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use tarn_schemas::TableOptions;

/// One grid over one or more files as rows.
///
/// Columns are in this order unless `select` says otherwise: `_file` if asked for, extra columns,
/// coordinates (or dimension indices), variables. All parts have the table's schema.
#[derive(Debug, Clone)]
pub struct Table {
    schema: SchemaRef,
    parts: Vec<Part>,
}

/// What a column of one part depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dependence {
    /// On nothing: the same value in every row of the part (attributes, path captures, `_file`).
    Constant,
    /// On one dimension alone: a coordinate, a dimension index, a calendar part of a coordinate.
    Dimension(usize),
    /// On all dimensions: a variable.
    Cells,
}

impl Table {
    /// The table that `options` make of these files.
    ///
    /// # Errors
    /// [`FormatError::NotFound`] for a grid or column, [`FormatError::Union`] where files do not fit
    /// together (types that differ, calendars or units that differ and cannot be converted exactly),
    /// [`FormatError::Options`] for options that make no sense for these files.
    pub fn open(files: &[Arc<dyn Reader>], options: &TableOptions) -> Result<Self, FormatError> {
        let _ = (files, options);
        todo!()
    }

    /// Schema with field metadata.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// One part per file.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Rows of all parts; `None` on overflow.
    pub fn rows(&self) -> Option<u64> {
        self.parts.iter().try_fold(0_u64, |rows, part| rows.checked_add(part.rows()?))
    }
}

/// One file of a table.
#[derive(Debug, Clone)]
pub struct Part {
    location: String,
}

impl Part {
    /// The file.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Length of each dimension that rows run over: all of the grid's for cells, the leading one for
    /// tensors, none for a scalar grid (one row).
    pub fn shape(&self) -> &[u64] {
        todo!()
    }

    /// Rows of the part; `None` on overflow.
    pub fn rows(&self) -> Option<u64> {
        todo!()
    }

    /// What column `column` of the table's schema depends on in this part.
    pub fn dependence(&self, column: usize) -> Dependence {
        let _ = column;
        todo!()
    }

    /// The values of a column that depends on one dimension (one per index of it), or of a constant
    /// one (a single value), in the table's type.
    pub fn axis_values(&self, column: usize) -> Result<ArrayRef, FormatError> {
        let _ = column;
        todo!()
    }

    /// The boxes to read for a selection: each inside one chunk of the grid, in chunk order, none
    /// with more than `max_cells` cells (a chunk of more is cut along its outer dimensions).
    /// Their cells are exactly the selected ones.
    pub fn regions(&self, selection: &Selection, max_cells: u64) -> Vec<Region> {
        let _ = (selection, max_cells);
        todo!()
    }

    /// The rows of one box in C order, with the columns of `projection` (indices into the table's
    /// schema, in this order). An empty projection gives a batch without columns that knows its row
    /// count. Only variables of the projection are read.
    pub fn read(&self, region: &Region, projection: &[usize]) -> Result<RecordBatch, FormatError> {
        let _ = (region, projection);
        todo!()
    }
}
