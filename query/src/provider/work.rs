//! What a plan reads of a table: decided once, when it is planned.

use crate::provider::figures::Figures;
use crate::provider::prune::{kept, prunable};
use arrow::array::ArrayRef;
use datafusion::physical_expr::PhysicalExpr;
use std::ops::Range;
use std::sync::Arc;
use tarn_formats::table::{Block, Dependence};
use tarn_formats::{Selection, Table};

/// Most cells that are decoded at once. A chunk of more is read in pieces.
pub(crate) const PIECE_CELLS: u64 = 1 << 20;

/// One block of one file.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Index of the file in the table.
    pub(crate) part: usize,
    /// The block.
    pub(crate) block: Block,
    /// Its rows.
    pub(crate) rows: u64,
}

impl Piece {
    /// The first rows of the piece, at least `wanted` of them if there are as many, whole along its
    /// inner dimensions.
    pub(crate) fn first(self, wanted: u64) -> Self {
        let shape = self.block.shape();
        let mut block = self.block.clone();
        for (dimension, length) in shape.iter().enumerate() {
            let inner = shape.iter().skip(dimension + 1).copied().fold(1, u64::saturating_mul);
            let needed = wanted.div_ceil(inner.max(1)).max(1);
            if needed < *length {
                let Some(ranges) = block.selected().get(dimension) else { break };
                let Some(cut) = block.restricted(dimension, &first(ranges, needed)) else { break };
                block = cut;
            }
            if needed > 1 {
                break;
            }
        }
        let rows = block.rows().unwrap_or(self.rows);
        Self { part: self.part, block, rows }
    }
}

/// Pieces in the order of parts and chunks.
#[derive(Debug, Clone)]
pub(crate) enum Pieces {
    /// All of them.
    Listed(Arc<[Piece]>),
    /// So many that they are made when their turn comes: a small file may declare any shape.
    Counted(Arc<Counted>),
}

/// What pieces are made of.
#[derive(Debug)]
pub(crate) struct Counted {
    table: Arc<Table>,
    selections: Arc<[Option<Selection>]>,
    count: u64,
}

/// Most pieces that are listed, and looked at one by one when a query is planned: about 100 MB.
const MOST_LISTED: u64 = 1 << 17;

impl Pieces {
    /// All pieces of these selections of the parts of a table.
    pub(crate) fn all(table: &Arc<Table>, selections: &Arc<[Option<Selection>]>) -> Self {
        let parts = table.parts().iter().zip(selections.iter());
        let counts = parts.map(|(part, selection)| match selection {
            Some(selection) => part.count_blocks(selection, PIECE_CELLS),
            None => 0,
        });
        let count = counts.fold(0, u64::saturating_add);
        let (table, selections) = (Arc::clone(table), Arc::clone(selections));
        let counted = Self::Counted(Arc::new(Counted { table, selections, count }));
        if count > MOST_LISTED { counted } else { counted.iter().collect() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Listed(pieces) => u64::try_from(pieces.len()).unwrap_or(u64::MAX),
            Self::Counted(counted) => counted.count,
        }
    }

    /// All of them, if they are few enough to look at one by one.
    pub(crate) fn listed(&self) -> Option<&[Piece]> {
        match self {
            Self::Listed(pieces) => Some(pieces),
            Self::Counted(_) => None,
        }
    }

    /// One after the other.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = Piece> + Send> {
        match self {
            Self::Listed(pieces) => {
                let pieces = Arc::clone(pieces);
                Box::new((0..pieces.len()).filter_map(move |place| pieces.get(place).cloned()))
            }
            Self::Counted(counted) => {
                let counted = Arc::clone(counted);
                let parts = 0..counted.selections.len();
                Box::new(parts.flat_map(move |part| counted.of_part(part)))
            }
        }
    }

    /// Rows of all of them; `None` on overflow.
    fn rows(&self) -> Option<u64> {
        match self {
            Self::Listed(pieces) => {
                pieces.iter().try_fold(0_u64, |rows, piece| rows.checked_add(piece.rows))
            }
            Self::Counted(counted) => {
                let mut selections = counted.selections.iter().flatten();
                selections.try_fold(0_u64, |rows, own| rows.checked_add(own.cells()?))
            }
        }
    }

    /// How many files they are in.
    fn files(&self) -> usize {
        match self {
            Self::Listed(pieces) => {
                let mut files: Vec<usize> = pieces.iter().map(|piece| piece.part).collect();
                files.dedup();
                files.len()
            }
            Self::Counted(counted) => {
                let selections = counted.selections.iter().flatten();
                selections.filter(|selection| selection.cells() != Some(0)).count()
            }
        }
    }
}

impl FromIterator<Piece> for Pieces {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        Self::Listed(pieces.into_iter().collect())
    }
}

impl Counted {
    /// The pieces of a part.
    fn of_part(&self, index: usize) -> impl Iterator<Item = Piece> + use<> {
        let part = self.table.parts().get(index);
        let selection = self.selections.get(index).and_then(Option::as_ref);
        let blocks = part.zip(selection).map(|(part, own)| part.blocks(own, PIECE_CELLS));
        blocks.into_iter().flatten().map(move |block| Piece {
            part: index,
            // A block has at most as many rows as cells are decoded at once.
            rows: block.rows().unwrap_or(u64::MAX),
            block,
        })
    }
}

/// The first `wanted` indices of sorted ranges.
fn first(ranges: &[Range<u64>], mut wanted: u64) -> Vec<Range<u64>> {
    let mut first = Vec::new();
    for range in ranges {
        let length = (range.end - range.start).min(wanted);
        if length == 0 {
            break;
        }
        first.push(range.start..range.start + length);
        wanted -= length;
    }
    first
}

/// The pieces of a table to read.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// What plans call the table.
    pub(crate) name: Arc<str>,
    pub(crate) table: Arc<Table>,
    pub(crate) pieces: Pieces,
    /// What predicates on coordinates leave of each part; `None` where it is nothing.
    pub(crate) selections: Arc<[Option<Selection>]>,
    /// Whether the pieces are all of the selections: nothing was left out for a limit or by what
    /// is known of values.
    pub(crate) complete: bool,
    /// What is known of the values of variables, if the table is kept open.
    pub(crate) figures: Option<Arc<Figures>>,
    /// Pieces that were left out by what is known of values.
    pub(crate) excluded: usize,
}

impl Work {
    /// Rows of all pieces; `None` on overflow.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.pieces.rows()
    }

    /// Without the pieces that a predicate over the table's columns excludes; `None` if it excludes
    /// none, or if there are too many to look at.
    pub(crate) fn without_excluded(&self, predicate: &Arc<dyn PhysicalExpr>) -> Option<Self> {
        let pieces = self.pieces.listed()?;
        let kept = kept(self, pieces, &prunable(self, predicate)?);
        let excluded = kept.iter().filter(|kept| !**kept).count();
        if excluded == 0 {
            return None;
        }
        let pieces = pieces.iter().zip(kept).filter(|(_, kept)| *kept);
        Some(Self {
            pieces: pieces.map(|(piece, _)| piece.clone()).collect(),
            complete: false,
            excluded: self.excluded.saturating_add(excluded),
            ..self.clone()
        })
    }

    /// Remembers what a piece was found to hold, if it is a whole tile: `values` of the table's
    /// `columns`.
    pub(crate) fn learn(&self, piece: &Piece, columns: &[usize], values: &[ArrayRef]) {
        let Some(figures) = self.figures.as_ref().filter(|_| piece.block.is_whole_tile()) else {
            return;
        };
        let Some(part) = self.table.parts().get(piece.part) else { return };
        for (column, values) in columns.iter().zip(values) {
            if part.dependence(*column) == Dependence::Cells {
                figures.learn(piece.part, *column, piece.block.tile(), values);
            }
        }
    }

    /// How many blocks predicates on coordinates, or a limit, leave out whole.
    pub(crate) fn left_out(&self) -> usize {
        let left_out = self.all_pieces().saturating_sub(self.pieces.len());
        usize::try_from(left_out).unwrap_or(usize::MAX).saturating_sub(self.excluded)
    }

    /// How many blocks all files make.
    pub(crate) fn all_pieces(&self) -> u64 {
        let parts = self.table.parts().iter();
        parts.map(|part| part.tiles(PIECE_CELLS)).fold(0, u64::saturating_add)
    }

    /// How many files are read, of how many; how many blocks, of how many; rows of how many: for
    /// plans.
    pub(crate) fn describe(&self) -> String {
        let parts = self.table.parts();
        let number = |rows: Option<u64>| rows.map_or_else(|| "?".to_owned(), |n| n.to_string());
        format!(
            "files={}/{}, regions={}/{}, rows={}/{}",
            self.pieces.files(),
            parts.len(),
            self.pieces.len(),
            self.all_pieces(),
            number(self.rows()),
            number(self.table.rows()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarn_formats::Region;

    #[test]
    fn the_first_rows_of_a_piece_are_enough_and_not_many_more() {
        let block = Block::whole(Region::new(vec![5..9, 0..10, 3..8]));
        let piece = Piece { part: 0, rows: block.rows().unwrap(), block };
        for (wanted, shape) in [
            (1, [1, 1, 1]),
            (3, [1, 1, 3]),
            (6, [1, 2, 5]),
            (50, [1, 10, 5]),
            (51, [2, 10, 5]),
            (199, [4, 10, 5]),
            (1_000, [4, 10, 5]),
        ] {
            let first = piece.clone().first(wanted);
            assert_eq!(first.block.shape(), shape, "{wanted}");
            assert_eq!(first.rows, shape.iter().product::<u64>());
        }
        let gaps = piece.block.restricted(1, &[1..2, 4..6]).unwrap();
        let piece = Piece { part: 0, rows: gaps.rows().unwrap(), block: gaps };
        assert_eq!(piece.first(8).block.selected()[1], [1..2, 4..5]);
    }
}
