//! Which source each position of a mixture is of: it depends on the weights, the seed and the epoch alone, and not on
//! batches, ranks or workers.
//!
//! Weights become whole numbers of the positions of a period, so that how many rows of a source stand before a position
//! is a product and a count within one period.

use super::super::order::{GOLDEN, Permutation, mix};
use std::sync::Arc;

/// Positions of a period.
pub(crate) const PERIOD: u32 = 1 << 16;
/// Keeps the keys of periods apart from those of windows and sources.
const PERIOD_FACTOR: u64 = 0xA076_1D64_78BD_642F;
/// Keeps the keys of sources apart from those of windows and periods.
const SOURCE_FACTOR: u64 = 0xE703_7ED1_A0B4_28DB;

/// How many positions of a period each source has: by the largest remainder, and one at least. Only the ratios of the
/// weights count.
pub(crate) fn quotas(weights: &[f64]) -> Vec<u32> {
    let greatest = weights.iter().copied().fold(0.0, f64::max);
    let scaled: Vec<f64> = weights.iter().map(|weight| weight / greatest).collect();
    let sum = scaled.iter().fold(0.0, |sum, weight| sum + weight);
    let exact: Vec<f64> = scaled.iter().map(|weight| weight / sum * f64::from(PERIOD)).collect();
    let mut quotas: Vec<u32> = exact.iter().map(|exact| whole(*exact).max(1)).collect();
    let given: u32 = quotas.iter().sum();
    let mut order: Vec<usize> = (0..quotas.len()).collect();
    let rest = |place: &usize| match (exact.get(*place), quotas.get(*place)) {
        (Some(exact), Some(quota)) => exact - f64::from(*quota),
        _ => 0.0,
    };
    // Of equal ones the first: the sort is stable.
    order.sort_by(|one, other| rest(other).total_cmp(&rest(one)));
    for (place, _) in order.into_iter().zip(given..PERIOD) {
        if let Some(quota) = quotas.get_mut(place) {
            *quota += 1;
        }
    }
    // Sources that would have had none took it from those that have the most.
    for _ in PERIOD..given {
        let most = quotas.iter().copied().max().unwrap_or(0);
        if let Some(quota) = quotas.iter_mut().find(|quota| **quota == most) {
            *quota = quota.saturating_sub(1);
        }
    }
    quotas
}

/// The largest number of the period that is not above a value.
fn whole(value: f64) -> u32 {
    let bits = (0..=PERIOD.trailing_zeros()).rev();
    bits.fold(0, |found, bit| {
        let next = found + (1 << bit);
        if f64::from(next) <= value { next } else { found }
    })
}

/// The source of each position.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    quotas: Vec<u32>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Every period is this one.
    Fixed(Arc<[u8]>),
    /// Every period is another permutation, by this key.
    Keyed(u64),
}

impl Pattern {
    /// The one pattern of all epochs.
    pub(crate) fn stratified(quotas: Vec<u32>) -> Self {
        Self { kind: Kind::Fixed(stratified(&quotas)), quotas }
    }

    /// The pattern of an epoch by its key.
    pub(crate) fn drawn(quotas: Vec<u32>, key: u64) -> Self {
        Self { kind: Kind::Keyed(key), quotas }
    }

    /// The source of each position of a period.
    pub(crate) fn period(&self, number: u64) -> Arc<[u8]> {
        match &self.kind {
            Kind::Fixed(period) => Arc::clone(period),
            Kind::Keyed(key) => {
                let number = number.wrapping_add(1).wrapping_mul(PERIOD_FACTOR);
                let permutation = Permutation::new(u64::from(PERIOD), mix(key ^ number));
                let slots: Vec<u8> = (0_u8..)
                    .zip(&self.quotas)
                    .flat_map(|(source, quota)| (0..*quota).map(move |_| source))
                    .collect();
                let slot = |place| usize::try_from(permutation.apply(place)).unwrap_or(usize::MAX);
                (0..u64::from(PERIOD)).filter_map(|place| slots.get(slot(place)).copied()).collect()
            }
        }
    }

    /// Rows of each source before a position.
    pub(crate) fn before(&self, position: u64) -> Vec<u64> {
        let (number, offset) = (position / u64::from(PERIOD), position % u64::from(PERIOD));
        let whole = |quota: &u32| number.saturating_mul(u64::from(*quota));
        let mut counts: Vec<u64> = self.quotas.iter().map(whole).collect();
        if offset > 0 {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            for source in self.period(number).iter().take(offset) {
                if let Some(count) = counts.get_mut(usize::from(*source)) {
                    *count += 1;
                }
            }
        }
        counts
    }

    /// The first position whose source has no row left; none where every source has rows for ever (`None`).
    pub(crate) fn end(&self, rows: &[Option<u64>]) -> Option<u64> {
        let periods =
            |(quota, rows): (&u32, &Option<u64>)| rows.map(|rows| rows / u64::from(*quota).max(1));
        let number = self.quotas.iter().zip(rows).filter_map(periods).min()?;
        let whole = |quota: &u32| number.saturating_mul(u64::from(*quota));
        let mut left: Vec<Option<u64>> = self
            .quotas
            .iter()
            .zip(rows)
            .map(|(quota, rows)| rows.map(|rows| rows.saturating_sub(whole(quota))))
            .collect();
        let mut ended = 0_u64;
        for source in self.period(number).iter() {
            match left.get_mut(usize::from(*source)) {
                Some(Some(0)) => break,
                Some(Some(left)) => *left -= 1,
                _ => {}
            }
            ended += 1;
        }
        Some(number.saturating_mul(u64::from(PERIOD)).saturating_add(ended))
    }
}

/// Sources as evenly as their quotas allow: each position is of the one that is behind by most.
fn stratified(quotas: &[u32]) -> Arc<[u8]> {
    let mut behind = vec![0_i64; quotas.len()];
    let next = |_| {
        let mut found = (0_u8, i64::MIN);
        for (source, (own, quota)) in (0_u8..).zip(behind.iter_mut().zip(quotas)) {
            *own += i64::from(*quota);
            if *own > found.1 {
                found = (source, *own);
            }
        }
        if let Some(own) = behind.get_mut(usize::from(found.0)) {
            *own -= i64::from(PERIOD);
        }
        found.0
    };
    (0..PERIOD).map(next).collect()
}

/// The key of a pass over a source, so that two sources of one table do not have one order.
pub(crate) fn pass_key(epoch: u64, source: u64, pass: u64) -> u64 {
    let source = mix(epoch ^ source.wrapping_add(1).wrapping_mul(SOURCE_FACTOR));
    mix(source ^ pass.wrapping_add(1).wrapping_mul(GOLDEN))
}
