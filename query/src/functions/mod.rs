//! Table functions over files and scalar functions for science.

mod aggregates;
mod bounded;
mod calendar;
mod distance;
mod files;
mod inside;
mod tensor;
mod units;

pub use aggregates::aggregate_functions;
pub(crate) use aggregates::{GREATEST, Integer, LEAST, SUM, fit};
pub(crate) use bounded::{Work, bounded, of_operator};
pub(crate) use files::{FileFunction, FileTables, unknown as unknown_table_function};

use datafusion::logical_expr::ScalarUDF;

/// Scalar functions that read the metadata of their argument's field.
pub(crate) const NEEDS_METADATA: [&str; 1] = ["tensor_element"];

/// All scalar functions of Tarn.
pub(crate) fn scalar_functions() -> Vec<ScalarUDF> {
    let mut functions = calendar::functions();
    functions.extend([
        ScalarUDF::from(units::ConvertUnits::new()),
        ScalarUDF::from(distance::GreatCircleDistance::new()),
        ScalarUDF::from(tensor::TensorElement::new()),
    ]);
    functions
}
