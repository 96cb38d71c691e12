//! `sum` of integers that fails where the total does not fit, in place of wrapping around.

use super::pass_on;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef,
    Int64Type, UInt64Type,
};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator,
    Operator, ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs, expr::AggregateFunction,
};
use std::marker::PhantomData;
use std::sync::Arc;

/// `sum`, over DataFusion's. Totals of integers are kept in 128 bits, which no number of rows fills.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CheckedSum {
    inner: Arc<AggregateUDF>,
}

impl CheckedSum {
    pub(super) fn new(inner: Arc<AggregateUDF>) -> Self {
        Self { inner }
    }
}

impl AggregateUDFImpl for CheckedSum {
    pass_on!(all but the state);

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let checked = matches!(arguments.return_type(), DataType::Int64 | DataType::UInt64);
        if arguments.is_distinct || !checked {
            return self.inner.state_fields(arguments);
        }
        // A part may not fit where the whole does.
        let name = format_state_name(arguments.name, "sum");
        Ok(vec![Arc::new(Field::new(name, STATE, true))])
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match arguments.return_field.data_type() {
            _ if arguments.is_distinct => self.inner.accumulator(arguments),
            DataType::Int64 => Ok(Box::new(Total::<Int64Type>::NOTHING)),
            DataType::UInt64 => Ok(Box::new(Total::<UInt64Type>::NOTHING)),
            _ => self.inner.accumulator(arguments),
        }
    }

    fn create_sliding_accumulator(
        &self,
        arguments: AccumulatorArgs,
    ) -> Result<Box<dyn Accumulator>> {
        match arguments.return_field.data_type() {
            _ if arguments.is_distinct => self.inner.create_sliding_accumulator(arguments),
            DataType::Int64 => Ok(Box::new(Total::<Int64Type>::NOTHING)),
            DataType::UInt64 => Ok(Box::new(Total::<UInt64Type>::NOTHING)),
            _ => self.inner.create_sliding_accumulator(arguments),
        }
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match arguments.return_field.data_type() {
            DataType::Int64 => Ok(Box::new(Totals::<Int64Type>::NONE)),
            DataType::UInt64 => Ok(Box::new(Totals::<UInt64Type>::NONE)),
            _ => self.inner.create_groups_accumulator(arguments),
        }
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        argument: &Expr,
        operator: Operator,
        literal: &Expr,
        argument_is_left: bool,
    ) -> Result<Option<Expr>> {
        self.inner.inner().simplify_expr_op_literal(
            function,
            argument,
            operator,
            literal,
            argument_is_left,
        )
    }
}

/// Integers that sums are made of.
pub(crate) trait Integer:
    ArrowPrimitiveType<Native: Into<i128> + TryFrom<i128>> + std::fmt::Debug + Send + Sync
{
}

impl Integer for Int64Type {}
impl Integer for UInt64Type {}

/// The type of a part of a total: all 128 bits, whatever digits they make.
const STATE: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

/// The total in the type of the sum.
///
/// # Errors
/// Says what to write where it does not fit.
pub(crate) fn fit<T: Integer>(total: i128) -> Result<T::Native> {
    T::Native::try_from(total).map_err(|_| {
        DataFusionError::Execution(format!(
            "sum: the total {total} does not fit {}; write sum(CAST(… AS DOUBLE)), or \
             sum(CAST(… AS DECIMAL(38, 0))) to keep every digit",
            T::DATA_TYPE
        ))
    })
}

/// One total, and how many values are in it.
#[derive(Debug)]
struct Total<T> {
    total: i128,
    values: u64,
    kind: PhantomData<T>,
}

impl<T: Integer> Total<T> {
    const NOTHING: Self = Self { total: 0, values: 0, kind: PhantomData };

    /// Goes through the values of an array of another or the same type; says how many there are.
    fn each<A>(values: &[ArrayRef], mut change: impl FnMut(i128)) -> u64
    where
        A: ArrowPrimitiveType<Native: Into<i128>>,
    {
        let Some(values) = values.first().and_then(|values| values.as_primitive_opt::<A>()) else {
            return 0;
        };
        let mut count = 0;
        for value in values.iter().flatten() {
            change(value.into());
            count += 1;
        }
        count
    }
}

impl<T: Integer> Accumulator for Total<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let total = &mut self.total;
        self.values += Self::each::<T>(values, |value| *total = total.wrapping_add(value));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let total = &mut self.total;
        self.values +=
            Self::each::<Decimal128Type>(states, |part| *total = total.wrapping_add(part));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let total = &mut self.total;
        let gone = Self::each::<T>(values, |value| *total = total.wrapping_sub(value));
        self.values = self.values.saturating_sub(gone);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let total = (self.values > 0).then(|| fit::<T>(self.total)).transpose()?;
        ScalarValue::new_primitive::<T>(total, &T::DATA_TYPE)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let total = (self.values > 0).then_some(self.total);
        Ok(vec![ScalarValue::Decimal128(total, DECIMAL128_MAX_PRECISION, 0)])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// A total for each group; `None` where no value came.
#[derive(Debug)]
struct Totals<T> {
    totals: Vec<Option<i128>>,
    kind: PhantomData<T>,
}

impl<T> Totals<T> {
    const NONE: Self = Self { totals: Vec::new(), kind: PhantomData };
}

impl<T: Integer> Totals<T> {
    fn add<A>(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) where
        A: ArrowPrimitiveType<Native: Into<i128>>,
    {
        self.totals.resize(count, None);
        let Some(values) = values.first().and_then(|values| values.as_primitive_opt::<A>()) else {
            return;
        };
        let kept = |row: usize| {
            values.is_valid(row)
                && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
        };
        let all = values.null_count() == 0 && filter.is_none();
        for (row, (group, value)) in groups.iter().zip(values.values()).enumerate() {
            if (all || kept(row))
                && let Some(total) = self.totals.get_mut(*group)
            {
                let value: i128 = (*value).into();
                *total = Some(total.unwrap_or(0).wrapping_add(value));
            }
        }
    }
}

/// Parts of totals as they travel.
fn parts(totals: impl Iterator<Item = Option<i128>>) -> Result<ArrayRef> {
    let parts: PrimitiveArray<Decimal128Type> = totals.collect();
    Ok(Arc::new(parts.with_precision_and_scale(DECIMAL128_MAX_PRECISION, 0)?))
}

impl<T: Integer> GroupsAccumulator for Totals<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.add::<T>(values, groups, filter, count);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.add::<Decimal128Type>(states, groups, None, count);
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let totals = emit.take_needed(&mut self.totals);
        let totals = totals
            .into_iter()
            .map(|total| total.map(fit::<T>).transpose())
            .collect::<Result<PrimitiveArray<T>>>()?;
        Ok(Arc::new(totals))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![parts(emit.take_needed(&mut self.totals).into_iter())?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let values = values.iter().filter_map(|values| values.as_primitive_opt::<T>());
        // What the filter leaves out is no value.
        let kept =
            |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        values
            .map(|values| {
                let values = values.iter().enumerate();
                parts(values.map(|(row, value)| value.filter(|_| kept(row)).map(Into::into)))
            })
            .collect()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.totals.capacity() * size_of::<Option<i128>>()
    }
}
