//! Shared data, and statistics of arrays.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use std::path::Path;
use std::sync::Arc;
use tarn_formats::{
    LocalFile, LocalSiblings, OpenOptions, Reader, Region, SourceResolver, Variable,
};

/// A file, with the files beside it that it refers to.
pub(crate) fn open(path: &Path) -> Arc<dyn Reader> {
    let source = LocalFile::open(path).unwrap();
    let siblings: Arc<dyn SourceResolver> = Arc::new(LocalSiblings::of(path).unwrap());
    let options = OpenOptions { siblings: Some(siblings), ..OpenOptions::default() };
    tarn_formats::open_with(Arc::new(source), &options).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn read_whole(reader: &dyn Reader, variable: &Variable) -> ArrayRef {
    let array = reader.read(&variable.path, &Region::whole(&variable.shape()));
    let array = array.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(array.data_type(), &variable.data_type, "{}", variable.path);
    array
}

/// Values as f64; `None` for what is no number.
pub(crate) fn numbers(array: &ArrayRef) -> Option<Vec<f64>> {
    let numeric = array.data_type().is_numeric() || array.data_type() == &DataType::Boolean;
    numeric.then(|| {
        let array = cast(array, &DataType::Float64).unwrap();
        array.as_primitive::<Float64Type>().values().to_vec()
    })
}

/// Texts of strings and bytes; `None` for other types.
pub(crate) fn texts(array: &ArrayRef) -> Option<Vec<String>> {
    match array.data_type() {
        DataType::Utf8 => {
            Some(array.as_string::<i32>().iter().map(|s| s.unwrap().to_owned()).collect())
        }
        DataType::FixedSizeBinary(_) => Some(
            array
                .as_fixed_size_binary()
                .iter()
                .map(|b| {
                    let text = String::from_utf8_lossy(b.unwrap()).into_owned();
                    text.trim_end_matches('\0').to_owned()
                })
                .collect(),
        ),
        _ => None,
    }
}

/// The innermost values of nested lists.
pub(crate) fn flat(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::FixedSizeList(..) => flat(array.as_fixed_size_list().values()),
        DataType::List(_) => flat(array.as_list::<i32>().values()),
        _ => Arc::clone(array),
    }
}

/// Whether two numbers are equal, but for the last bit: `serde_json` does not round its numbers
/// correctly.
pub(crate) fn same(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 2.0 * f64::EPSILON * b.abs()
}
