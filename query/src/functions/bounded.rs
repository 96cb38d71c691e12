//! Functions that make much of little, with a bound on what they may make.
//!
//! `repeat('a', 2000000000)` takes its memory at once and asks no pool for it. So what it would take is
//! computed first, and refused where it is more than a batch may have.

use super::growth::Growth;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};
use std::sync::Arc;
use thiserror::Error;

/// Most bytes that one call makes for one batch.
const MOST_BYTES: u128 = 256 << 20;

/// An answer that is too large.
#[derive(Debug, Error)]
#[error(
    "{function}(…) would make {bytes} bytes for one batch of rows, and {MOST_BYTES} are allowed; ask for \
     less, or read rows from the table functions range(…) and generate_series(…)"
)]
struct TooLarge {
    function: String,
    bytes: u128,
}

/// A function of DataFusion with a bound.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

/// The functions that need a bound, with one, in place of those that `known` finds by name.
pub(crate) fn bounded(known: impl Fn(&str) -> Option<Arc<ScalarUDF>>) -> Vec<ScalarUDF> {
    let bound = |(name, growth)| {
        known(name).map(|inner| ScalarUDF::new_from_impl(Bounded { inner, growth }))
    };
    Growth::ALL.into_iter().filter_map(bound).collect()
}

impl Bounded {
    fn check(&self, arguments: &ScalarFunctionArgs) -> Result<()> {
        // Constants alone make one value and not one for each row.
        let constant = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { arguments.number_rows };
        let arrays =
            arguments.args.iter().map(|value| value.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let bytes = self.growth.bytes(&arrays)?;
        if bytes <= MOST_BYTES {
            return Ok(());
        }
        let function = self.inner.name().to_owned();
        Err(DataFusionError::ResourcesExhausted(TooLarge { function, bytes }.to_string()))
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        self.inner.schema_name(arguments)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn is_strict(&self) -> bool {
        self.inner.inner().is_strict()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&arguments)?;
        self.inner.invoke_with_args(arguments)
    }

    fn simplify(&self, arguments: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(arguments, info)
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::RecordBatch;
    use datafusion::error::DataFusionError;
    use datafusion::prelude::SessionContext;

    async fn ask(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
        context.sql(sql).await?.collect().await
    }

    fn contexts() -> (SessionContext, SessionContext) {
        let (plain, with) = (SessionContext::new(), SessionContext::new());
        let state = plain.state();
        for function in bounded(|name| state.scalar_functions().get(name).cloned()) {
            with.register_udf(function);
        }
        (plain, with)
    }

    const ROWS: &str = "(VALUES ('ab', 3, 7), ('ä€', -2, 0), (NULL, 2, 1), ('', 5, 5), ('x', NULL, 9), \
                        ('ab''ab', 12, -4)) t(s, n, m)";

    #[tokio::test]
    async fn below_the_bound_answers_are_datafusions_own() {
        let (plain, with) = contexts();
        for call in [
            "repeat(s, n)",
            "repeat('-', 5)",
            "lpad(s, abs(n))",
            "rpad(s, abs(n), 'ä')",
            "lpad(s, 3, s)",
            "replace(s, 'b', s)",
            "replace(s, '', '-')",
            "replace(s, s, 'long text')",
            "range(n)",
            "range(n, m)",
            "range(m, n, -1)",
            "generate_series(n, m, 2)",
            "generate_series(m, n)",
            "generate_series(DATE '2020-01-31', DATE '2021-01-01', INTERVAL '1 month')",
            "range(TIMESTAMP '2020-01-01', TIMESTAMP '2020-01-02', INTERVAL '7 hours')",
            "range(DATE '2020-03-01', DATE '2020-01-01', INTERVAL '-9 days')",
            "array_repeat(s, abs(n))",
            "list_repeat([n, m], 3)",
            "array_repeat(n, m)",
            "array_resize([n, m], 5)",
            "list_resize([s], 3, 'y')",
            "array_resize([n], abs(m), m)",
        ] {
            let sql = format!("SELECT {call} AS x FROM {ROWS}");
            match (ask(&plain, &sql).await, ask(&with, &sql).await) {
                (Ok(expected), Ok(found)) => assert_eq!(found, expected, "{call}"),
                (Err(expected), Err(found)) => {
                    assert_eq!(found.to_string(), expected.to_string(), "{call}");
                }
                (expected, found) => panic!("{call}: {expected:?} and {found:?}"),
            }
        }
    }

    #[tokio::test]
    async fn above_the_bound_nothing_is_made() {
        let (_, with) = contexts();
        for call in [
            "repeat('a', 2000000000)",
            "repeat(s, 9223372036854775807)",
            "lpad('a', 2000000000, 'b')",
            "rpad(s, 2000000000)",
            "range(3000000000)",
            "range(n, 3000000000)",
            "generate_series(-9223372036854775808, 9223372036854775807)",
            "generate_series(3000000000, n, -1)",
            "range(DATE '0001-01-01', DATE '9999-01-01', INTERVAL '1 millisecond')",
            "range(TIMESTAMP '2020-01-01', TIMESTAMP '2021-01-01', INTERVAL '1 microsecond')",
            "array_repeat(1, 2000000000)",
            "array_repeat(repeat('a', 1000000), 1000)",
            "list_repeat(s, 2000000000)",
            "array_resize([1], 2000000000)",
            "array_resize(['a'], 1000, repeat('a', 1000000))",
            "replace(repeat('a', 100000), 'a', repeat('b', 100000))",
        ] {
            let answer = ask(&with, &format!("SELECT {call} AS x FROM {ROWS}")).await;
            match answer.map_err(|error| error.find_root().to_string()) {
                Err(text) => assert!(text.contains("are allowed; ask for less"), "{call}: {text}"),
                Ok(_) => panic!("{call} was answered"),
            }
        }
        assert!(matches!(
            ask(&with, "SELECT repeat('a', 2000000000)").await.unwrap_err().find_root(),
            DataFusionError::ResourcesExhausted(_)
        ));
    }
}
