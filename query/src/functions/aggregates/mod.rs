//! `min`, `max` and `sum` where DataFusion's own give wrong answers without a word: extremes of
//! floats with NaN in groups, and integer sums past the range of their type.
//!
//! Each wraps DataFusion's function, keeps its name, types and statistics, and replaces only the
//! accumulators at fault.

mod extreme;
mod sum;

use datafusion::functions_aggregate::{min_max, sum as builtin};
use datafusion::logical_expr::AggregateUDF;
use std::sync::{Arc, LazyLock};

pub(crate) use sum::{Integer, fit};

/// `min`.
pub(crate) static LEAST: LazyLock<Arc<AggregateUDF>> =
    LazyLock::new(|| Arc::new(extreme::Extreme::least(min_max::min_udaf()).into()));
/// `max`.
pub(crate) static GREATEST: LazyLock<Arc<AggregateUDF>> =
    LazyLock::new(|| Arc::new(extreme::Extreme::greatest(min_max::max_udaf()).into()));
/// `sum`.
pub(crate) static SUM: LazyLock<Arc<AggregateUDF>> =
    LazyLock::new(|| Arc::new(sum::CheckedSum::new(builtin::sum_udaf()).into()));

/// The aggregate functions that every session has in place of DataFusion's own of these names:
/// `min` and `max` by IEEE 754's total order, also in groups, and `sum` of integers that is exact or
/// an error.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [&LEAST, &GREATEST, &SUM].map(|function| Arc::clone(function)).to_vec()
}

/// Implements what a wrapper of an aggregate function passes on.
macro_rules! pass_on {
    () => {
        pass_on!(all but the state);

        fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
            self.inner.state_fields(arguments)
        }
    };
    (all but the state) => {
        fn name(&self) -> &str {
            self.inner.name()
        }

        fn signature(&self) -> &Signature {
            self.inner.signature()
        }

        fn return_type(&self, types: &[DataType]) -> Result<DataType> {
            self.inner.return_type(types)
        }

        fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
            self.inner.coerce_types(types)
        }

        fn is_nullable(&self) -> bool {
            self.inner.is_nullable()
        }

        fn order_sensitivity(&self) -> AggregateOrderSensitivity {
            self.inner.inner().order_sensitivity()
        }

        fn reverse_expr(&self) -> ReversedUDAF {
            self.inner.reverse_udf()
        }

        fn is_descending(&self) -> Option<bool> {
            self.inner.is_descending()
        }

        fn value_from_stats(&self, arguments: &StatisticsArgs) -> Option<ScalarValue> {
            self.inner.value_from_stats(arguments)
        }

        fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
            self.inner.inner().set_monotonicity(data_type)
        }

        fn documentation(&self) -> Option<&Documentation> {
            self.inner.documentation()
        }
    };
}
use pass_on;
