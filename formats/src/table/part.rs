//! One file of a table: its rows by region.

use super::Dependence;
use super::block::Block;
use super::broadcast::Coordinates;
use super::column::{Column, outside, to_usize};
use super::regions::{Blocks, Tiling};
use crate::error::FormatError;
use crate::reader::{Ahead, Reader};
use crate::region::{Region, Selection};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use std::ops::Range;
use std::sync::Arc;

/// One file of a table.
#[derive(Debug, Clone)]
pub struct Part {
    pub(super) reader: Arc<dyn Reader>,
    /// Name of the grid in the file.
    pub(super) grid: String,
    pub(super) schema: SchemaRef,
    pub(super) shape: Vec<u64>,
    pub(super) chunk: Option<Vec<u64>>,
    /// Cells behind one index of `shape`.
    pub(super) cells_of_row: u64,
    pub(super) columns: Vec<Column>,
}

impl Part {
    /// The file.
    pub fn location(&self) -> &str {
        self.reader.location()
    }

    /// Name of the grid that the rows are of, whatever the options called it.
    pub fn grid(&self) -> &str {
        &self.grid
    }

    /// Length of each dimension that rows run over: all of the grid's for cells, the leading one for
    /// tensors, none for a scalar grid (one row).
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Rows of the part; `None` on overflow.
    pub fn rows(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |rows, length| rows.checked_mul(*length))
    }

    /// What column `column` of the table's schema depends on in this part.
    pub fn dependence(&self, column: usize) -> Dependence {
        self.columns.get(column).map_or(Dependence::Cells, Column::dependence)
    }

    /// Whether column `column` of the table's schema is read by the fall-back.
    pub fn is_fallback(&self, column: usize) -> bool {
        let path = self.columns.get(column).and_then(Column::path);
        let variable = path.and_then(|path| self.reader.contents().variable(path));
        variable.is_some_and(|variable| variable.fallback)
    }

    /// The values of a column that depends on one dimension (one per index of it), or of a constant
    /// one (a single value), in the table's type.
    ///
    /// # Errors
    /// [`FormatError::Options`] for a column that depends on all dimensions; whatever reading gives.
    pub fn axis_values(&self, column: usize) -> Result<ArrayRef, FormatError> {
        let own = self.column(column)?;
        let length = match own.dependence() {
            Dependence::Constant => 1,
            Dependence::Dimension(dimension) => self.shape.get(dimension).copied().unwrap_or(0),
            Dependence::Cells => {
                return Err(FormatError::Options {
                    location: self.location().to_owned(),
                    problem: format!(
                        "column {:?} depends on all dimensions and has no values along one",
                        self.schema.fields().get(column).map_or("", |field| field.name())
                    ),
                });
            }
        };
        own.axis(self.reader.as_ref(), &(0..length))
    }

    /// As [`Self::axis_values`], at the indices `range` of the dimension alone.
    ///
    /// # Errors
    /// As [`Self::axis_values`].
    pub fn axis_range(&self, column: usize, range: &Range<u64>) -> Result<ArrayRef, FormatError> {
        match self.dependence(column) {
            Dependence::Dimension(_) => self.column(column)?.axis(self.reader.as_ref(), range),
            Dependence::Constant | Dependence::Cells => self.axis_values(column),
        }
    }

    /// The boxes to read for a selection, in chunk order: each inside one chunk of the grid's
    /// largest variable, or made of whole neighbouring chunks where these are small; none with more
    /// than `max_cells` cells (a chunk of more is cut along its outer dimensions, and data without
    /// chunks into slabs). Their cells are exactly the selected ones. For tensors a box has as many
    /// rows as `max_cells` allows by the cells of a row, at least one.
    ///
    /// Boxes are made as they are asked for: a file may declare any shape.
    pub fn regions(
        &self,
        selection: &Selection,
        max_cells: u64,
    ) -> impl Iterator<Item = Region> + use<> {
        self.tiling(max_cells).blocks(selection, false).map(|block| block.bounds())
    }

    /// The blocks to read for a selection, in chunk order: as [`Self::regions`], but selected
    /// indices that lie in the same stored chunk are one block, so that no chunk is decoded twice.
    pub fn blocks(&self, selection: &Selection, max_cells: u64) -> Blocks {
        self.tiling(max_cells).blocks(selection, true)
    }

    /// How many blocks [`Self::blocks`] gives; `u64::MAX` where they are more than that.
    pub fn count_blocks(&self, selection: &Selection, max_cells: u64) -> u64 {
        self.tiling(max_cells).count_of(selection)
    }

    /// How many blocks the whole part makes.
    pub fn tiles(&self, max_cells: u64) -> u64 {
        self.tiling(max_cells).count()
    }

    fn tiling(&self, max_cells: u64) -> Tiling {
        Tiling::new(&self.shape, self.chunk.as_deref(), self.cells_of_row, max_cells)
    }

    /// The rows of one box in C order, with the columns of `projection` (indices into the table's
    /// schema, in this order). An empty projection gives a batch without columns that knows its row
    /// count. Only variables of the projection are read.
    ///
    /// # Errors
    /// [`FormatError::Options`] for a region outside the part or a column that does not exist;
    /// whatever the reader says about the bytes.
    pub fn read(&self, region: &Region, projection: &[usize]) -> Result<RecordBatch, FormatError> {
        self.read_block(&Block::whole(region.clone()), projection, &Coordinates::default())
    }

    /// The rows of one block, as [`Self::read`]. Coordinates that neighbouring blocks share are
    /// taken from, and left in, `coordinates`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_block(
        &self,
        block: &Block,
        projection: &[usize],
        coordinates: &Coordinates,
    ) -> Result<RecordBatch, FormatError> {
        if !block.bounds().fits(&self.shape) {
            return Err(outside(self.location(), "region"));
        }
        let rows = block.rows().ok_or_else(|| outside(self.location(), "region"))?;
        let rows = to_usize(self.location(), rows)?;
        let columns = projection
            .iter()
            .map(|column| self.column(*column)?.read(self.reader.as_ref(), block, coordinates))
            .collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(self.schema.project(projection)?);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    /// How the part's file is asked for bytes before they are read, if that gains anything.
    pub fn ahead(&self) -> Option<&dyn Ahead> {
        self.reader.ahead()
    }

    /// The bytes of the file that reading the variables of a block takes, for [`Part::ahead`].
    pub fn ranges(&self, block: &Block, projection: &[usize]) -> Vec<Range<u64>> {
        let Some(ahead) = self.ahead() else { return vec![] };
        let wanted =
            projection.iter().filter_map(|column| self.columns.get(*column)?.cells_of(block));
        wanted.flat_map(|(path, region)| ahead.ranges(path, &region)).collect()
    }

    fn column(&self, column: usize) -> Result<&Column, FormatError> {
        self.columns.get(column).ok_or_else(|| FormatError::NotFound {
            location: self.location().to_owned(),
            kind: "column",
            name: column.to_string(),
            available: format!("0 to {}", self.columns.len().saturating_sub(1)),
        })
    }
}
