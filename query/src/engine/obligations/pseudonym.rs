//! Pseudonyms in place of text.

use arrow::array::{
    Array, ArrayRef, LargeStringBuilder, StringBuilder, as_largestring_array, as_string_array,
};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::fmt;
use std::sync::Arc;

/// Bytes of a pseudonym: a collision among a billion names has odds of one in 10^20.
const BYTES: usize = 16;

/// `pseudonym(text)`: the first 128 bits of its keyed BLAKE3 hash, in hexadecimal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Pseudonym {
    key: [u8; 32],
    signature: Signature,
}

impl Pseudonym {
    /// The function under a key.
    pub(super) fn new(key: [u8; 32]) -> Self {
        let signature =
            Signature::uniform(1, vec![DataType::Utf8, DataType::LargeUtf8], Volatility::Immutable);
        Self { key, signature }
    }

    fn of(&self, text: &str) -> String {
        let hash = blake3::keyed_hash(&self.key, text.as_bytes()).to_hex();
        hash.chars().take(2 * BYTES).collect()
    }

    fn of_array(&self, array: &dyn Array) -> Result<ArrayRef> {
        match array.data_type() {
            DataType::Utf8 => {
                let mut names = StringBuilder::new();
                let texts = as_string_array(array).iter();
                texts.for_each(|text| names.append_option(text.map(|text| self.of(text))));
                Ok(Arc::new(names.finish()))
            }
            DataType::LargeUtf8 => {
                let mut names = LargeStringBuilder::new();
                let texts = as_largestring_array(array).iter();
                texts.for_each(|text| names.append_option(text.map(|text| self.of(text))));
                Ok(Arc::new(names.finish()))
            }
            other => internal_err!("pseudonyms are of text and not of {other}"),
        }
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonym")
    }
}

impl ScalarUDFImpl for Pseudonym {
    fn name(&self) -> &'static str {
        "pseudonym"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [text] => Ok(text.clone()),
            _ => internal_err!("pseudonym takes one text"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match arguments.args.as_slice() {
            [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(self.of_array(array)?)),
            [ColumnarValue::Scalar(value)] => {
                let array = self.of_array(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            _ => internal_err!("pseudonym takes one text"),
        }
    }
}
