//! `a || b || c` as one function, so that what holds for functions holds for it.
//!
//! One for all of them: names and types of calls in calls are computed for each from all below it.

use arrow::compute::kernels::concat_elements::concat_elements_dyn;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, plan_datafusion_err};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// Texts or bytes one after the other; NULL where one is. The types are those of the operator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TextConcat {
    signature: Signature,
}

impl TextConcat {
    /// Its name, which no statement has to write.
    pub(super) const NAME: &'static str = "tarn_concat";

    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TextConcat {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let joined = self.return_type(types)?;
        Ok(vec![joined; types.len()])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let (first, others) = types.split_first().ok_or_else(without_sides)?;
        others.iter().try_fold(first.clone(), |left, right| {
            BinaryTypeCoercer::new(&left, &Operator::StringConcat, right).get_result_type()
        })
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        // Neighbours in turn, so that no text is copied more often than their number has bits.
        while arrays.len() > 1 {
            let joined = arrays.chunks(2).map(|pair| match pair {
                [left, right] => Ok(concat_elements_dyn(left, right)?),
                rest => rest.first().map(Arc::clone).ok_or_else(without_sides),
            });
            arrays = joined.collect::<Result<_>>()?;
        }
        let made = arrays.pop().ok_or_else(without_sides)?;
        let constant = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        if constant {
            let value = datafusion::common::ScalarValue::try_from_array(&made, 0)?;
            return Ok(ColumnarValue::Scalar(value));
        }
        Ok(ColumnarValue::Array(made))
    }
}

fn without_sides() -> DataFusionError {
    plan_datafusion_err!("|| has no sides")
}
