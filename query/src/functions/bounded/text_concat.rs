//! `a || b` as a function, so that what holds for functions holds for it.

use arrow::compute::kernels::concat_elements::concat_elements_dyn;
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// Texts or bytes one after the other; NULL where either is. The types are those of the operator.
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
        let [left, right] = types else { return plan_err!("|| has two sides") };
        let coercer = BinaryTypeCoercer::new(left, &Operator::StringConcat, right);
        let (left, right) = coercer.get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [left, right] = types else { return plan_err!("|| has two sides") };
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [left, right] = arrays.as_slice() else { return plan_err!("|| has two sides") };
        let made = concat_elements_dyn(left, right)?;
        let constant = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        if constant {
            let value = datafusion::common::ScalarValue::try_from_array(&made, 0)?;
            return Ok(ColumnarValue::Scalar(value));
        }
        Ok(ColumnarValue::Array(made))
    }
}
