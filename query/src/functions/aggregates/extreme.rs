//! `min` and `max` whose groups order floats as IEEE 754's total order does, like the ungrouped form:
//! NaN is the greatest. DataFusion's grouped form forgets what came before a NaN.

use super::pass_on;
use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{DataType, FieldRef, Float16Type, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;
use std::sync::Arc;

/// `min` or `max`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Extreme {
    inner: Arc<AggregateUDF>,
    greatest: bool,
}

impl Extreme {
    /// `max`, over DataFusion's.
    pub(super) fn greatest(inner: Arc<AggregateUDF>) -> Self {
        Self { inner, greatest: true }
    }

    /// `min`, over DataFusion's.
    pub(super) fn least(inner: Arc<AggregateUDF>) -> Self {
        Self { inner, greatest: false }
    }
}

/// A grouped accumulator of floats. `lowest` and `highest` are the ends of the total order.
macro_rules! grouped {
    ($kind:ty, $data_type:expr, $greatest:expr) => {{
        type Native = <$kind as ArrowPrimitiveType>::Native;
        // All bits set: the NaN below every number; without the sign: the one above.
        let lowest = Native::from_bits(!0);
        let highest = Native::from_bits(!0 >> 1);
        if $greatest {
            Ok(Box::new(
                PrimitiveGroupsAccumulator::<$kind, _>::new(
                    $data_type,
                    |kept: &mut Native, new: Native| {
                        if new.total_cmp(kept).is_gt() {
                            *kept = new;
                        }
                    },
                )
                .with_starting_value(lowest),
            ))
        } else {
            Ok(Box::new(
                PrimitiveGroupsAccumulator::<$kind, _>::new(
                    $data_type,
                    |kept: &mut Native, new: Native| {
                        if new.total_cmp(kept).is_lt() {
                            *kept = new;
                        }
                    },
                )
                .with_starting_value(highest),
            ))
        }
    }};
}

impl AggregateUDFImpl for Extreme {
    pass_on!();

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(arguments)
    }

    fn create_sliding_accumulator(
        &self,
        arguments: AccumulatorArgs,
    ) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(arguments)
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let data_type = arguments.return_field.data_type();
        match data_type {
            DataType::Float16 => grouped!(Float16Type, data_type, self.greatest),
            DataType::Float32 => grouped!(Float32Type, data_type, self.greatest),
            DataType::Float64 => grouped!(Float64Type, data_type, self.greatest),
            _ => self.inner.create_groups_accumulator(arguments),
        }
    }
}
