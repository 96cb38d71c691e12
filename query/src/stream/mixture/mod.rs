//! Mixtures of several tables by weights, and the share that one table has of a mixture over labs.

mod pattern;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use rows::{At, MixtureRows};

use super::order::epoch_key;
use super::request::StreamRequest;
use super::sources::MixedSource;
use super::table::TablePlan;
use crate::error::QueryError;
use pattern::{Pattern, quotas};
use serde::Serialize;
use std::sync::Arc;

/// Positions of a share that begins again and again: numbers beyond it are not exact in JSON.
const ENDLESS: u64 = 1 << 53;

/// How tables are mixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Mixing {
    quotas: Vec<u32>,
    repeat: Vec<bool>,
    stratified: bool,
    /// Which of the sources the one table is, where the others are elsewhere.
    share: Option<usize>,
}

impl Mixing {
    /// What a request says of it; none for all of one table.
    pub(crate) fn of(request: &StreamRequest) -> Option<Self> {
        let (weights, repeat, share): (Vec<f64>, Vec<bool>, _) =
            match (&request.sources, &request.share) {
                (Some(sources), _) => {
                    let said = |source: &MixedSource| (source.weight, source.repeat);
                    let (weights, repeat) = sources.iter().map(said).unzip();
                    (weights, repeat, None)
                }
                (None, Some(share)) => (share.weights.clone(), share.repeats(), Some(share.index)),
                (None, None) => return None,
            };
        let stratified = request.stratified || !request.shuffle;
        Some(Self { quotas: quotas(&weights), repeat, stratified, share })
    }

    /// The source that a table is.
    fn source(&self, table: usize) -> usize {
        self.share.unwrap_or(table)
    }

    fn repeats(&self, source: usize) -> bool {
        self.repeat.get(source).copied().unwrap_or(false)
    }
}

/// Tables that are mixed.
#[derive(Debug)]
pub(crate) struct Mixture {
    mixing: Mixing,
    tables: Vec<Arc<TablePlan>>,
    /// The number that each table's first block has among the blocks of all.
    firsts: Vec<usize>,
    /// The pattern of all epochs, where it is one.
    stratified: Option<Pattern>,
}

impl Mixture {
    /// Of tables that were planned.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] where one has no rows: an epoch would have ended before it began, or never go on.
    pub(crate) fn new(mixing: Mixing, tables: Vec<Arc<TablePlan>>) -> Result<Self, QueryError> {
        let mut firsts = Vec::with_capacity(tables.len());
        let mut first = 0_usize;
        for (place, table) in tables.iter().enumerate() {
            if table.selected() == 0 {
                return Err(QueryError::Invalid(format!(
                    "stream: sources[{}] of the mixture, {}, has no rows that its filter and split leave; leave it out",
                    mixing.source(place),
                    table.table()
                )));
            }
            firsts.push(first);
            first = first.saturating_add(table.blocks());
        }
        let stratified = mixing.stratified.then(|| Pattern::stratified(mixing.quotas.clone()));
        Ok(Self { mixing, tables, firsts, stratified })
    }

    fn pattern(&self, request: &StreamRequest) -> Pattern {
        self.stratified.clone().unwrap_or_else(|| {
            let key = epoch_key(request.seed, request.epoch);
            Pattern::drawn(self.mixing.quotas.clone(), key)
        })
    }

    pub(crate) fn tables(&self) -> &[Arc<TablePlan>] {
        &self.tables
    }

    /// Positions of an epoch: it ends at the first one whose source has no row left.
    pub(crate) fn end(&self, request: &StreamRequest) -> u64 {
        let mut rows = vec![None; self.mixing.quotas.len()];
        for (place, table) in self.tables.iter().enumerate() {
            let source = self.mixing.source(place);
            if let Some(rows) = rows.get_mut(source).filter(|_| !self.mixing.repeats(source)) {
                *rows = Some(table.selected());
            }
        }
        let end = self.pattern(request).end(&rows).unwrap_or(ENDLESS);
        let asked = request.share.as_ref().and_then(|share| share.end);
        end.min(asked.unwrap_or(ENDLESS)).min(ENDLESS)
    }

    /// Rows of an epoch: of a share those of its table.
    pub(crate) fn whole(&self, request: &StreamRequest) -> u64 {
        let end = self.end(request);
        match self.mixing.share {
            None => end,
            Some(source) => {
                let before = self.pattern(request).before(end);
                before.get(source).copied().unwrap_or(0)
            }
        }
    }

    /// The table that has a block, by its number among those of all, and its number there.
    pub(crate) fn block(&self, block: usize) -> Option<(&TablePlan, usize)> {
        let place = self.firsts.partition_point(|first| *first <= block).checked_sub(1)?;
        let (table, first) = self.tables.get(place).zip(self.firsts.get(place))?;
        Some((table, block.saturating_sub(*first)))
    }

    /// The rows of an epoch from a position on.
    pub(crate) fn rows(&self, request: &StreamRequest, position: u64) -> MixtureRows {
        MixtureRows::new(self, request, position)
    }
}
