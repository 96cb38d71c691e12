//! `min`, `max` and `sum` where DataFusion's own give wrong answers without a word: extremes of
//! floats with NaN in groups, and integer sums past the range of their type.
//!
//! Each wraps DataFusion's function, keeps its name, types and statistics, and replaces only the
//! accumulators at fault.

mod extreme;
mod sum;

use datafusion::functions_aggregate::{min_max, sum as builtin};
use datafusion::logical_expr::AggregateUDF;

/// The aggregate functions that replace DataFusion's own.
pub(crate) fn functions() -> Vec<AggregateUDF> {
    vec![
        AggregateUDF::from(extreme::Extreme::least(min_max::min_udaf())),
        AggregateUDF::from(extreme::Extreme::greatest(min_max::max_udaf())),
        AggregateUDF::from(sum::CheckedSum::new(builtin::sum_udaf())),
    ]
}

/// Implements what a wrapper of an aggregate function passes on.
macro_rules! pass_on {
    () => {
        fn name(&self) -> &str {
            self.inner.name()
        }

        fn signature(&self) -> &Signature {
            self.inner.signature()
        }

        fn return_type(&self, types: &[DataType]) -> Result<DataType> {
            self.inner.return_type(types)
        }

        fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
            self.inner.state_fields(arguments)
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
