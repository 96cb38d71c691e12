//! Where the cells of a block are added up: strides instead of a hash of every row.
//!
//! A block is rows of equal length, one for each combination of the indices outside the innermost
//! grouped dimension. Each row is cut into runs, cells side by side that belong to one group; where
//! runs would be short, a row is added element by element instead. A slot is the sum of some runs,
//! or one element of a row; several slots may belong to one group.

use std::collections::HashMap;
use std::ops::Range;

/// Runs below this length are added element by element.
const SHORT: usize = 16;

/// A dimension of the block whose index decides the group.
#[derive(Debug, Clone)]
pub(super) struct Grouped {
    /// Which.
    pub(super) dimension: usize,
    /// What each selected index adds to the number of the combination.
    pub(super) codes: Vec<u64>,
}

/// How the cells of a block fall into slots.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slots {
    /// Cells of a row.
    row: usize,
    /// Cells of a run.
    run: usize,
    /// The first slot of each row.
    bases: Vec<usize>,
    /// The number of the combination of each slot.
    combinations: Vec<u64>,
}

impl Slots {
    /// The slots of a block of this shape, none of whose lengths is 0; `grouped` in order of
    /// dimension.
    pub(super) fn new(shape: &[usize], grouped: &[Grouped]) -> Self {
        let product = |lengths: &[usize]| lengths.iter().copied().fold(1, usize::saturating_mul);
        let Some((last, outer)) = grouped.split_last() else {
            let cells = product(shape);
            return Self { row: cells, run: cells, bases: vec![0], combinations: vec![0] };
        };
        let (before, rest) = shape.split_at_checked(last.dimension).unwrap_or_default();
        let tail = product(rest.get(1..).unwrap_or_default());
        let row = product(rest);
        let run = if tail < SHORT { 1 } else { tail };
        let width = row / run.max(1);

        // The number that the outer dimensions give to each row.
        let mut rows = vec![0_u64];
        for (dimension, length) in before.iter().enumerate() {
            let codes = outer.iter().find(|grouped| grouped.dimension == dimension);
            rows = rows
                .iter()
                .flat_map(|row| {
                    (0..*length).map(move |index| {
                        let code = codes.and_then(|grouped| grouped.codes.get(index));
                        row.saturating_add(code.copied().unwrap_or(0))
                    })
                })
                .collect();
        }
        let mut known: HashMap<u64, usize> = HashMap::new();
        let mut combinations = Vec::new();
        let elements = (tail / run.max(1)).max(1);
        let bases = rows
            .into_iter()
            .map(|row| {
                *known.entry(row).or_insert_with(|| {
                    let base = combinations.len();
                    let codes = (0..width).map(|slot| last.codes.get(slot / elements));
                    combinations
                        .extend(codes.map(|code| row.saturating_add(code.copied().unwrap_or(0))));
                    base
                })
            })
            .collect();
        Self { row, run, bases, combinations }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.combinations.len()
    }

    /// The number of the combination of each slot.
    pub(super) fn combinations(&self) -> &[u64] {
        &self.combinations
    }

    /// Whether rows are added element by element.
    pub(super) fn is_by_element(&self) -> bool {
        self.run == 1
    }

    /// The runs: a slot and its cells.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let width = self.row / self.run.max(1);
        self.bases.iter().enumerate().flat_map(move |(row, base)| {
            (0..width).map(move |place| {
                let start = row * self.row + place * self.run;
                (base + place, start..start + self.run)
            })
        })
    }

    /// The rows: the slots of their elements and the cells.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        self.bases.iter().enumerate().map(|(row, base)| {
            let start = row * self.row;
            (*base..base + self.row, start..start + self.row)
        })
    }

    /// The slot of every cell.
    pub(super) fn of_cells(&self) -> Vec<usize> {
        self.runs().flat_map(|(slot, cells)| cells.map(move |_| slot)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_cell_is_in_a_slot_of_its_combination(
            dimensions in prop::collection::vec((1_usize..20, prop::option::of(prop::collection::vec(0_u64..4, 20))), 0..4),
        ) {
            let shape: Vec<usize> = dimensions.iter().map(|(length, _)| *length).collect();
            let mut stride = 1;
            let mut grouped = vec![];
            for (dimension, (length, ids)) in dimensions.iter().enumerate() {
                if let Some(ids) = ids {
                    let codes = ids[..*length].iter().map(|id| id * stride).collect();
                    grouped.push(Grouped { dimension, codes });
                    stride *= 4;
                }
            }
            let slots = Slots::new(&shape, &grouped);
            let of_cells = slots.of_cells();
            let cells: usize = shape.iter().product();
            prop_assert_eq!(of_cells.len(), cells);
            for (cell, slot) in of_cells.iter().enumerate() {
                let (mut rest, mut code) = (cell, 0);
                for (dimension, length) in shape.iter().enumerate().rev() {
                    let index = rest % length;
                    rest /= length;
                    let own = grouped.iter().find(|grouped| grouped.dimension == dimension);
                    code += own.map_or(0, |grouped| grouped.codes[index]);
                }
                prop_assert_eq!(slots.combinations()[*slot], code);
            }
            if slots.is_by_element() {
                for (of_row, cells) in slots.rows() {
                    prop_assert_eq!(of_row.collect::<Vec<_>>(), &of_cells[cells]);
                }
            }
        }
    }
}
