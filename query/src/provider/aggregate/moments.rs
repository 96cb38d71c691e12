//! Sums, counts and extremes by group, made of decoded values block by block.
//!
//! A block is added up in slots first, then the slots go to their groups. Sums of doubles are kept
//! with what rounding lost (Knuth's TwoSum), so that the order in which blocks come does not show.
#![expect(
    clippy::inline_always,
    reason = "a loop has to be inlined to be compiled for the machine's vector instructions"
)]

use super::slots::Slots;
use crate::functions::{Integer, fit};
use crate::provider::kernel::{Moments, Total, Value, add_row, count_row, run, widen_row, words};
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use std::any::Any;
use std::marker::PhantomData;
use std::ops::Range;
use tarn_formats::simd::{self, Kernel};

/// How the values of a channel are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adding {
    /// Not at all.
    No,
    /// As doubles.
    Doubles,
    /// As integers, exactly.
    Integers,
}

/// What an aggregate takes of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Count,
    Sum,
    Average,
    Least,
    Greatest,
}

/// Something that is added up for each group.
pub(super) trait Channel: Send {
    /// Adds the cells of a block: `values` where `valid`. `groups` are the groups of the slots, of
    /// `total` that there are.
    fn update(
        &mut self,
        values: Option<&ArrayRef>,
        valid: Option<&BooleanBuffer>,
        slots: &Slots,
        groups: &[usize],
        total: usize,
    ) -> Result<()>;

    /// Adds another channel of the same kind; `groups` are the groups of its groups.
    fn merge(&mut self, other: Box<dyn Channel>, groups: &[usize], total: usize) -> Result<()>;

    /// A column with one value for each group.
    fn output(&self, output: Output, total: usize, data_type: &DataType) -> Result<ArrayRef>;

    /// Bytes it takes.
    fn bytes(&self) -> usize;

    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// A channel for values of this type; `None` where there is none.
pub(super) fn channel(
    data_type: &DataType,
    adding: Adding,
    extremes: bool,
) -> Option<Box<dyn Channel>> {
    fn of<T: Value>(adding: Adding, extremes: bool) -> Box<dyn Channel> {
        match adding {
            Adding::No => Box::new(Numbers::<T, ()>::new(extremes)),
            Adding::Doubles => Box::new(Numbers::<T, f64>::new(extremes)),
            Adding::Integers if T::DATA_TYPE.primitive_width() == Some(8) => {
                Box::new(Numbers::<T, i128>::new(extremes))
            }
            Adding::Integers => Box::new(Numbers::<T, i64>::new(extremes)),
        }
    }
    Some(match data_type {
        DataType::Int8 => of::<Int8Type>(adding, extremes),
        DataType::Int16 => of::<Int16Type>(adding, extremes),
        DataType::Int32 => of::<Int32Type>(adding, extremes),
        DataType::Int64 => of::<Int64Type>(adding, extremes),
        DataType::UInt8 => of::<UInt8Type>(adding, extremes),
        DataType::UInt16 => of::<UInt16Type>(adding, extremes),
        DataType::UInt32 => of::<UInt32Type>(adding, extremes),
        DataType::UInt64 => of::<UInt64Type>(adding, extremes),
        DataType::Float32 => of::<Float32Type>(adding, extremes),
        DataType::Float64 => of::<Float64Type>(adding, extremes),
        _ => return None,
    })
}

/// Counts cells.
#[derive(Debug, Default)]
pub(super) struct Cells {
    counts: Vec<u64>,
}

impl Cells {
    /// How many cells are valid in each slot.
    pub(super) fn of_slots(valid: Option<&BooleanBuffer>, slots: &Slots) -> Vec<u64> {
        let mut counts = vec![0_u64; slots.len()];
        if slots.is_by_element() {
            for (row, cells) in slots.rows() {
                let counts = counts.get_mut(row).unwrap_or_default();
                match valid {
                    None => counts.iter_mut().for_each(|count| *count += 1),
                    Some(valid) => count_row(counts, words(valid, &cells)),
                }
            }
            return counts;
        }
        for (slot, cells) in slots.runs() {
            let count = match valid {
                None => cells.len() as u64,
                Some(valid) => words(valid, &cells).map(|word| u64::from(word.count_ones())).sum(),
            };
            if let Some(own) = counts.get_mut(slot) {
                *own = own.saturating_add(count);
            }
        }
        counts
    }

    fn add(&mut self, counts: &[u64], groups: &[usize], total: usize) {
        self.counts.resize(total.max(self.counts.len()), 0);
        for (count, group) in counts.iter().zip(groups).filter(|(count, _)| **count > 0) {
            if let Some(own) = self.counts.get_mut(*group) {
                *own = own.saturating_add(*count);
            }
        }
    }
}

impl Channel for Cells {
    fn update(
        &mut self,
        _values: Option<&ArrayRef>,
        valid: Option<&BooleanBuffer>,
        slots: &Slots,
        groups: &[usize],
        total: usize,
    ) -> Result<()> {
        self.add(&Self::of_slots(valid, slots), groups, total);
        Ok(())
    }

    fn merge(&mut self, other: Box<dyn Channel>, groups: &[usize], total: usize) -> Result<()> {
        let Ok(other) = other.into_any().downcast::<Self>() else {
            return internal_err!("two workers count different things");
        };
        self.add(&other.counts, groups, total);
        Ok(())
    }

    fn output(&self, _output: Output, total: usize, data_type: &DataType) -> Result<ArrayRef> {
        counts_array(&self.counts, total, data_type)
    }

    fn bytes(&self) -> usize {
        self.counts.capacity().saturating_mul(size_of::<u64>())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

fn counts_array(counts: &[u64], total: usize, data_type: &DataType) -> Result<ArrayRef> {
    let counts = counts.iter().copied().chain(std::iter::repeat(0)).take(total);
    let counts: Int64Array = counts
        .map(|count| {
            i64::try_from(count).map_err(|_| exec_datafusion_err!("more cells than can be counted"))
        })
        .collect::<Result<_>>()?;
    Ok(cast(&counts, data_type)?)
}

/// How a sum is kept for a group.
trait Keeping<T: Value>: Total<T> {
    type Kept: Copy + Default + Send;
    fn keep(kept: &mut Self::Kept, sum: Self);
    fn join(kept: &mut Self::Kept, other: Self::Kept);
    /// Sums as a column, NULL where nothing was counted. A sum of integers that `data_type` does not
    /// hold is an error.
    fn array(kept: &[Self::Kept], counts: &[u64], data_type: &DataType) -> Result<ArrayRef>;
    /// The sum as a double.
    fn double(kept: Self::Kept) -> f64;
}

impl<T: Value> Keeping<T> for () {
    type Kept = ();

    fn keep(_kept: &mut (), _sum: ()) {}

    fn join(_kept: &mut (), _other: ()) {}

    fn array(_kept: &[()], counts: &[u64], _data_type: &DataType) -> Result<ArrayRef> {
        Ok(arrow::array::new_null_array(&DataType::Null, counts.len()))
    }

    fn double(_kept: ()) -> f64 {
        f64::NAN
    }
}

/// A sum of doubles and what rounding lost of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Exact {
    sum: f64,
    lost: f64,
}

impl Exact {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let back = sum - self.sum;
        let lost = (self.sum - (sum - back)) + (value - back);
        self.sum = sum;
        // Infinite and NaN sums lose nothing.
        if lost.is_finite() {
            self.lost += lost;
        }
    }

    fn value(self) -> f64 {
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

impl<T: Value> Keeping<T> for f64 {
    type Kept = Exact;

    fn keep(kept: &mut Exact, sum: Self) {
        kept.add(sum);
    }

    fn join(kept: &mut Exact, other: Exact) {
        kept.add(other.sum);
        kept.lost += other.lost;
    }

    fn array(kept: &[Exact], counts: &[u64], _data_type: &DataType) -> Result<ArrayRef> {
        let sums = kept.iter().zip(counts);
        let sums = sums.map(|(kept, count)| (*count > 0).then(|| kept.value()));
        Ok(std::sync::Arc::new(sums.collect::<Float64Array>()))
    }

    fn double(kept: Exact) -> f64 {
        kept.value()
    }
}

/// Sums of integers, of blocks in the type given, of groups in 128 bits.
macro_rules! keeping_whole {
    ($block:ty) => {
        impl<T: Value> Keeping<T> for $block {
            type Kept = i128;

            fn keep(kept: &mut i128, sum: Self) {
                *kept = kept.wrapping_add(i128::from(sum));
            }

            fn join(kept: &mut i128, other: i128) {
                *kept = kept.wrapping_add(other);
            }

            fn array(kept: &[i128], counts: &[u64], data_type: &DataType) -> Result<ArrayRef> {
                if *data_type == DataType::UInt64 {
                    whole::<UInt64Type>(kept, counts)
                } else {
                    whole::<Int64Type>(kept, counts)
                }
            }

            fn double(kept: i128) -> f64 {
                kept as f64
            }
        }
    };
}

keeping_whole!(i64);
keeping_whole!(i128);

fn whole<T: Integer>(kept: &[i128], counts: &[u64]) -> Result<ArrayRef> {
    let sums = kept.iter().zip(counts);
    let sums = sums.map(|(kept, count)| (*count > 0).then(|| fit::<T>(*kept)).transpose());
    Ok(std::sync::Arc::new(sums.collect::<Result<PrimitiveArray<T>>>()?))
}

/// Counts, sums and extremes of numbers.
struct Numbers<T: Value, S: Keeping<T>> {
    extremes: bool,
    counts: Vec<u64>,
    sums: Vec<S::Kept>,
    least: Vec<T::Key>,
    greatest: Vec<T::Key>,
}

impl<T: Value, S: Keeping<T>> Numbers<T, S> {
    fn new(extremes: bool) -> Self {
        Self { extremes, counts: vec![], sums: vec![], least: vec![], greatest: vec![] }
    }

    fn grow(&mut self, total: usize) {
        self.counts.resize(total.max(self.counts.len()), 0);
        self.sums.resize(total.max(self.sums.len()), S::Kept::default());
        if self.extremes {
            self.least.resize(total.max(self.least.len()), T::HIGHEST);
            self.greatest.resize(total.max(self.greatest.len()), T::LOWEST);
        }
    }

    fn keep(&mut self, group: usize, moments: Moments<T, S>) {
        if moments.count == 0 {
            return;
        }
        if let (Some(count), Some(sum)) = (self.counts.get_mut(group), self.sums.get_mut(group)) {
            *count = count.saturating_add(moments.count);
            S::keep(sum, moments.sum);
        }
        if let (Some(least), Some(greatest)) =
            (self.least.get_mut(group), self.greatest.get_mut(group))
        {
            *least = (*least).min(moments.least);
            *greatest = (*greatest).max(moments.greatest);
        }
    }
}

/// The cells of one block, which go to its slots.
struct Cut<'a, T: Value, S> {
    values: &'a [T::Native],
    valid: Option<&'a BooleanBuffer>,
    slots: &'a Slots,
    extremes: bool,
    sums: PhantomData<S>,
}

impl<T: Value, S: Total<T>> Kernel for Cut<'_, T, S> {
    type Output = Local<T, S>;

    #[inline(always)]
    fn run(self) -> Local<T, S> {
        if self.slots.is_by_element() { self.by_element() } else { self.by_run() }
    }
}

impl<T: Value, S: Total<T>> Cut<'_, T, S> {
    #[inline(always)]
    fn by_run(&self) -> Local<T, S> {
        let mut local = Local::new(self.slots.len(), true);
        for (slot, cells) in self.slots.runs() {
            let values = self.values.get(cells.clone()).unwrap_or_default();
            let moments = match (self.valid, self.extremes) {
                (None, false) => run::<T, S, false>(values, std::iter::repeat(u64::MAX)),
                (None, true) => run::<T, S, true>(values, std::iter::repeat(u64::MAX)),
                (Some(valid), false) => run::<T, S, false>(values, words(valid, &cells)),
                (Some(valid), true) => run::<T, S, true>(values, words(valid, &cells)),
            };
            local.add(slot, moments);
        }
        local
    }

    #[inline(always)]
    fn by_element(&self) -> Local<T, S> {
        let mut local = Local::new(self.slots.len(), self.extremes);
        for (row, cells) in self.slots.rows() {
            let values = self.values.get(cells.clone()).unwrap_or_default();
            match self.valid {
                None => local.add_row(row, values, || std::iter::repeat(u64::MAX)),
                Some(valid) => local.add_row(row, values, || words(valid, &cells)),
            }
        }
        local
    }
}

/// The slots of one block.
struct Local<T: Value, S> {
    counts: Vec<u64>,
    sums: Vec<S>,
    least: Vec<T::Key>,
    greatest: Vec<T::Key>,
}

impl<T: Value, S: Total<T>> Local<T, S> {
    fn new(slots: usize, extremes: bool) -> Self {
        let keys = if extremes { slots } else { 0 };
        Self {
            counts: vec![0; slots],
            sums: vec![S::default(); slots],
            least: vec![T::HIGHEST; keys],
            greatest: vec![T::LOWEST; keys],
        }
    }

    fn get(&self, slot: usize) -> Moments<T, S> {
        let mut moments = Moments::none();
        if let (Some(count), Some(sum)) = (self.counts.get(slot), self.sums.get(slot)) {
            (moments.count, moments.sum) = (*count, *sum);
        }
        if let (Some(least), Some(greatest)) = (self.least.get(slot), self.greatest.get(slot)) {
            (moments.least, moments.greatest) = (*least, *greatest);
        }
        moments
    }

    fn add(&mut self, slot: usize, moments: Moments<T, S>) {
        let mut all = self.get(slot);
        all.add(moments);
        if let (Some(count), Some(sum)) = (self.counts.get_mut(slot), self.sums.get_mut(slot)) {
            (*count, *sum) = (all.count, all.sum);
        }
        if let (Some(least), Some(greatest)) =
            (self.least.get_mut(slot), self.greatest.get_mut(slot))
        {
            (*least, *greatest) = (all.least, all.greatest);
        }
    }

    #[inline(always)]
    fn add_row<I: Iterator<Item = u64>>(
        &mut self,
        row: Range<usize>,
        values: &[T::Native],
        valid: impl Fn() -> I,
    ) {
        if let (Some(sums), Some(counts)) =
            (self.sums.get_mut(row.clone()), self.counts.get_mut(row.clone()))
        {
            add_row::<T, S>(sums, counts, values, valid());
        }
        if let (Some(least), Some(greatest)) =
            (self.least.get_mut(row.clone()), self.greatest.get_mut(row))
        {
            widen_row::<T>(least, greatest, values, valid());
        }
    }
}

impl<T: Value, S: Keeping<T>> Channel for Numbers<T, S> {
    fn update(
        &mut self,
        values: Option<&ArrayRef>,
        valid: Option<&BooleanBuffer>,
        slots: &Slots,
        groups: &[usize],
        total: usize,
    ) -> Result<()> {
        let Some(values) = values.and_then(|values| values.as_primitive_opt::<T>()) else {
            return internal_err!("an aggregate got values of another type than {}", T::DATA_TYPE);
        };
        let (values, extremes) = (values.values(), self.extremes);
        let local: Local<T, S> =
            simd::run(Cut { values, valid, slots, extremes, sums: PhantomData });
        self.grow(total);
        for (slot, group) in groups.iter().enumerate() {
            self.keep(*group, local.get(slot));
        }
        Ok(())
    }

    fn merge(&mut self, other: Box<dyn Channel>, groups: &[usize], total: usize) -> Result<()> {
        let Ok(other) = other.into_any().downcast::<Self>() else {
            return internal_err!("two workers add different things");
        };
        self.grow(total);
        for (group, (count, sum)) in groups.iter().zip(other.counts.iter().zip(&other.sums)) {
            if let (Some(own), Some(own_sum)) =
                (self.counts.get_mut(*group), self.sums.get_mut(*group))
                && *count > 0
            {
                *own = own.saturating_add(*count);
                S::join(own_sum, *sum);
            }
        }
        for (group, (least, greatest)) in groups.iter().zip(other.least.iter().zip(&other.greatest))
        {
            if let (Some(own_least), Some(own_greatest)) =
                (self.least.get_mut(*group), self.greatest.get_mut(*group))
            {
                *own_least = (*own_least).min(*least);
                *own_greatest = (*own_greatest).max(*greatest);
            }
        }
        Ok(())
    }

    fn output(&self, output: Output, total: usize, data_type: &DataType) -> Result<ArrayRef> {
        let counts: Vec<u64> =
            self.counts.iter().copied().chain(std::iter::repeat(0)).take(total).collect();
        let mut sums = self.sums.clone();
        sums.resize(total, S::Kept::default());
        let extremes = |keys: &[T::Key]| -> ArrayRef {
            let keys = keys.iter().map(Some).chain(std::iter::repeat(None));
            let values = keys
                .zip(&counts)
                .map(|(key, count)| key.filter(|_| *count > 0).map(|key| T::of_key(*key)));
            std::sync::Arc::new(values.collect::<PrimitiveArray<T>>())
        };
        let values: ArrayRef = match output {
            Output::Count => return counts_array(&counts, total, data_type),
            Output::Sum => S::array(&sums, &counts, data_type)?,
            Output::Average => {
                let means = sums
                    .iter()
                    .zip(&counts)
                    .map(|(sum, count)| (*count > 0).then(|| S::double(*sum) / *count as f64));
                std::sync::Arc::new(means.collect::<Float64Array>())
            }
            Output::Least => extremes(&self.least),
            Output::Greatest => extremes(&self.greatest),
        };
        Ok(cast(&values, data_type)?)
    }

    fn bytes(&self) -> usize {
        let one = size_of::<u64>() + size_of::<S::Kept>() + 2 * size_of::<T::Key>();
        self.counts.capacity().saturating_mul(one)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
