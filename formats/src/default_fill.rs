//! NetCDF's default fill values: what the library stores where nothing was written.
//!
//! Values: `NC_FILL_BYTE` and its like in `netcdf.h` (netCDF-C).

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// Of both float types (`NC_FILL_FLOAT`, `NC_FILL_DOUBLE`).
const FLOAT: f32 = 9.969_21e36;

/// The default fill of a type, one value; `None` for types whose default is zeros, or that NetCDF
/// does not have.
pub(crate) fn default_fill(data_type: &DataType) -> Option<ArrayRef> {
    Some(match data_type {
        DataType::Int8 => Arc::new(Int8Array::from(vec![-127])),
        DataType::UInt8 => Arc::new(UInt8Array::from(vec![255])),
        DataType::Int16 => Arc::new(Int16Array::from(vec![-32_767])),
        DataType::UInt16 => Arc::new(UInt16Array::from(vec![65_535])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![-2_147_483_647])),
        DataType::UInt32 => Arc::new(UInt32Array::from(vec![4_294_967_295])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![-9_223_372_036_854_775_806])),
        DataType::UInt64 => Arc::new(UInt64Array::from(vec![18_446_744_073_709_551_614])),
        DataType::Float32 => Arc::new(Float32Array::from(vec![FLOAT])),
        DataType::Float64 => Arc::new(Float64Array::from(vec![f64::from(FLOAT)])),
        _ => return None,
    })
}
