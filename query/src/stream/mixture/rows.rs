//! The rows of a mixture, one position after the other.

use super::super::order::{Order, Row, Walk, epoch_key};
use super::super::request::StreamRequest;
use super::super::table::TablePlan;
use super::Mixture;
use super::pattern::{PERIOD, Pattern, pass_key};
use std::sync::Arc;

/// In hashes of the order the number of a source stands above that of the block, so that shares of a mixture add up to
/// what one node says that has all of its tables.
const SOURCE_BITS: u32 = 48;

/// A walk along a mixture.
#[derive(Debug)]
pub(crate) struct MixtureRows {
    pattern: Pattern,
    position: u64,
    end: u64,
    /// Number of a period, and the source of each of its positions.
    period: (u64, Arc<[u8]>),
    /// None for sources that are elsewhere.
    sources: Vec<Option<SourceRows>>,
}

/// What is at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Nothing: its source is elsewhere.
    Elsewhere,
    /// A row, with its block as it is numbered among those of all tables, and as hashes of the order name it.
    Row(Row, u64),
}

impl MixtureRows {
    /// The rows from a position on.
    pub(super) fn new(mixture: &Mixture, request: &StreamRequest, position: u64) -> Self {
        let mixing = &mixture.mixing;
        let pattern = mixture.pattern(request);
        let before = pattern.before(position);
        let mut sources: Vec<Option<SourceRows>> = before.iter().map(|_| None).collect();
        let key = request.shuffle.then(|| epoch_key(request.seed, request.epoch));
        for (place, (table, first)) in mixture.tables.iter().zip(&mixture.firsts).enumerate() {
            let number = mixing.source(place);
            if let Some((own, before)) = sources.get_mut(number).zip(before.get(number)) {
                let passes = Passes {
                    table: Arc::clone(table),
                    source: number as u64,
                    repeat: mixing.repeats(number),
                    key,
                };
                *own = Some(SourceRows::new(passes, *first, *before));
            }
        }
        let number = position / u64::from(PERIOD);
        let period = (number, pattern.period(number));
        Self { pattern, position, end: mixture.end(request), period, sources }
    }

    /// What is at the next position; none behind the end.
    pub(crate) fn read(&mut self) -> Option<At> {
        let source = self.next_source()?;
        match self.sources.get_mut(source)? {
            None => Some(At::Elsewhere),
            Some(own) => own.read(),
        }
    }

    /// Leaves out the next positions. Beyond a period it takes no longer, however many they are.
    pub(crate) fn advance(&mut self, count: u64) {
        let left_out = if count > u64::from(PERIOD) {
            let from = self.pattern.before(self.position);
            self.position = self.position.saturating_add(count).min(self.end.max(self.position));
            let until = self.pattern.before(self.position);
            until.iter().zip(&from).map(|(until, from)| until.saturating_sub(*from)).collect()
        } else {
            let mut left_out = vec![0_u64; self.sources.len()];
            for _ in 0..count {
                let Some(source) = self.next_source() else { break };
                if let Some(rows) = left_out.get_mut(source) {
                    *rows += 1;
                }
            }
            left_out
        };
        for (source, rows) in self.sources.iter_mut().zip(left_out) {
            if let Some(own) = source {
                own.advance(rows);
            }
        }
    }

    /// Goes on by a position.
    fn next_source(&mut self) -> Option<usize> {
        if self.position >= self.end {
            return None;
        }
        let period = u64::from(PERIOD);
        let (number, offset) = (self.position / period, self.position % period);
        if self.period.0 != number {
            self.period = (number, self.pattern.period(number));
        }
        self.position += 1;
        self.period.1.get(usize::try_from(offset).ok()?).map(|source| usize::from(*source))
    }
}

/// The passes over one source.
#[derive(Debug)]
struct Passes {
    table: Arc<TablePlan>,
    source: u64,
    repeat: bool,
    /// The key of the epoch, where rows are shuffled.
    key: Option<u64>,
}

impl Passes {
    /// A pass from one of its rows on.
    fn walk(&self, pass: u64, row: u64) -> Walk {
        let key = self.key.map(|epoch| pass_key(epoch, self.source, pass));
        let order: Arc<Order> = self.table.order(key);
        order.walk(row)
    }
}

/// The rows of one source, pass after pass.
#[derive(Debug)]
struct SourceRows {
    passes: Passes,
    /// Number of its first block among those of all tables.
    first: usize,
    pass: u64,
    /// Rows of the pass that were not read.
    left: u64,
    walk: Walk,
}

impl SourceRows {
    /// The rows after so many.
    fn new(passes: Passes, first: usize, before: u64) -> Self {
        let rows = passes.table.selected().max(1);
        let (pass, row) =
            if passes.repeat { (before / rows, before % rows) } else { (0, before.min(rows)) };
        let walk = passes.walk(pass, row);
        Self { first, pass, left: passes.table.selected().saturating_sub(row), walk, passes }
    }

    fn enter(&mut self, pass: u64) {
        self.pass = pass;
        self.left = self.passes.table.selected();
        self.walk = self.passes.walk(pass, 0);
    }

    fn read(&mut self) -> Option<At> {
        if self.left == 0 && self.passes.repeat {
            self.enter(self.pass + 1);
        }
        self.left = self.left.checked_sub(1)?;
        let row = self.walk.next()?;
        let named = (self.passes.source << SOURCE_BITS) | row.block as u64;
        Some(At::Row(Row { block: self.first.saturating_add(row.block), ..row }, named))
    }

    fn advance(&mut self, mut rows: u64) {
        if self.passes.repeat && rows > self.left {
            rows -= self.left;
            let all = self.passes.table.selected().max(1);
            self.enter(self.pass + 1 + rows / all);
            rows %= all;
        }
        let rows = rows.min(self.left);
        self.walk.advance(rows);
        self.left -= rows;
    }
}
