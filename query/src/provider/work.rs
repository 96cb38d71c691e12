//! What a plan reads of a table: decided once, when it is planned.

use std::sync::Arc;
use tarn_formats::table::Block;
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

/// The pieces of a table to read.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// What plans call the table.
    pub(crate) name: Arc<str>,
    pub(crate) table: Arc<Table>,
    /// In the order of parts and chunks.
    pub(crate) pieces: Arc<[Piece]>,
    /// What predicates on coordinates leave of each part; `None` where it is nothing.
    pub(crate) selections: Arc<[Option<Selection>]>,
}

impl Work {
    /// Rows of all pieces; `None` on overflow.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.pieces.iter().try_fold(0_u64, |rows, piece| rows.checked_add(piece.rows))
    }

    /// How many files are read, of how many; how many blocks, of how many; rows of how many: for
    /// plans.
    pub(crate) fn describe(&self) -> String {
        let mut files: Vec<usize> = self.pieces.iter().map(|piece| piece.part).collect();
        files.dedup();
        let parts = self.table.parts();
        let blocks: u64 =
            parts.iter().map(|part| part.tiles(PIECE_CELLS)).fold(0, u64::saturating_add);
        let number = |rows: Option<u64>| rows.map_or_else(|| "?".to_owned(), |n| n.to_string());
        format!(
            "files={}/{}, regions={}/{blocks}, rows={}/{}",
            files.len(),
            parts.len(),
            self.pieces.len(),
            number(self.rows()),
            number(self.table.rows()),
        )
    }
}
