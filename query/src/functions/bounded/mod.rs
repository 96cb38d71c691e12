//! Functions with a bound on what they may make, and an end where their query is stopped.
//!
//! `repeat('a', 2000000000)` takes its memory at once and asks no pool for it, and `levenshtein(a, b)` of long texts
//! computes for minutes without giving way. So what a call would take is computed first, and refused where it is more
//! than a batch may have; a large call is made for a few rows at a time, off the threads that other queries need.

mod growth;
mod text_concat;
mod work;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature,
};
use growth::Growth;
use std::sync::{Arc, LazyLock};
use text_concat::TextConcat;
use thiserror::Error;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

pub(crate) use work::Work;

/// Most bytes that one call makes for one batch.
const MOST_BYTES: u128 = 256 << 20;
/// Bytes up to which a call is made at once.
const AT_ONCE: u128 = 4 << 20;

/// Functions that need no bound: what they make is as large as what they are given, and is made at once. The optimizer
/// knows some of them by their type.
const PLAIN: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "arrow_cast",
    "arrow_field",
    "arrow_metadata",
    "arrow_try_cast",
    "arrow_typeof",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cast_to_type",
    "cbrt",
    "ceil",
    "coalesce",
    "cos",
    "cosh",
    "cot",
    "current_date",
    "current_time",
    "current_timestamp",
    "date_bin",
    "date_part",
    "date_trunc",
    "datepart",
    "datetrunc",
    "degrees",
    "exp",
    "factorial",
    "file_row_index",
    "floor",
    "from_unixtime",
    "gcd",
    "get_field",
    "ifnull",
    "input_file_name",
    "isnan",
    "iszero",
    "lcm",
    "ln",
    "log",
    "log10",
    "log2",
    "make_date",
    "make_time",
    "named_struct",
    "nanvl",
    "now",
    "nullif",
    "nvl",
    "nvl2",
    "pi",
    "pow",
    "power",
    "radians",
    "rand",
    "random",
    "round",
    "row",
    "signum",
    "sin",
    "sinh",
    "sqrt",
    "struct",
    "tan",
    "tanh",
    "to_date",
    "to_local_time",
    "to_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "today",
    "trunc",
    "try_cast_to_type",
    "union_extract",
    "union_tag",
    "uuid",
    "version",
    "with_metadata",
];

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

/// A function with a bound, where it needs one.
fn with_bound(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    if PLAIN.contains(&function.name()) || function.inner().is::<Bounded>() {
        return function;
    }
    let growth = Growth::of(function.name());
    Arc::new(ScalarUDF::new_from_impl(Bounded { inner: function, growth }))
}

/// The functions that need a bound, with one; and the one that stands for `||`.
pub(crate) fn bounded<'a>(known: impl Iterator<Item = &'a Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    let needy = known.filter(|function| !PLAIN.contains(&function.name()));
    let mut all: Vec<Arc<ScalarUDF>> = needy.map(Arc::clone).map(with_bound).collect();
    all.push(Arc::clone(&JOINED));
    all
}

static JOINED: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| with_bound(Arc::new(ScalarUDF::from(TextConcat::new()))));

/// `a || b` as a function with a bound; one for a chain of them.
pub(crate) fn of_operator(expression: Expr) -> Transformed<Expr> {
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            let mut sides = match *left {
                Expr::ScalarFunction(ScalarFunction { func, args })
                    if Arc::ptr_eq(&func, &JOINED) =>
                {
                    args
                }
                left => vec![left],
            };
            sides.push(*right);
            let call = ScalarFunction::new_udf(Arc::clone(&JOINED), sides);
            Transformed::yes(Expr::ScalarFunction(call))
        }
        other => Transformed::no(other),
    }
}

/// Rows of the arguments, from one on.
fn part(arguments: &ScalarFunctionArgs, start: usize, rows: usize) -> ScalarFunctionArgs {
    let args = arguments.args.iter().map(|value| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(start, rows)),
        constant @ ColumnarValue::Scalar(_) => constant.clone(),
    });
    ScalarFunctionArgs {
        args: args.collect(),
        arg_fields: arguments.arg_fields.clone(),
        number_rows: rows,
        return_field: Arc::clone(&arguments.return_field),
        config_options: Arc::clone(&arguments.config_options),
    }
}

/// Computes where others do not wait for this thread.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}

impl Bounded {
    fn too_large(&self, bytes: u128) -> DataFusionError {
        let function = match self.inner.name() {
            TextConcat::NAME => "||".to_owned(),
            name => name.to_owned(),
        };
        DataFusionError::ResourcesExhausted(TooLarge { function, bytes }.to_string())
    }

    /// Makes a call in parts, each of which takes little.
    fn in_parts(&self, arguments: &ScalarFunctionArgs, bytes: u128) -> Result<ColumnarValue> {
        let work = Work::of(&arguments.config_options);
        let count = usize::try_from(bytes.div_ceil(AT_ONCE)).unwrap_or(usize::MAX);
        let rows = arguments.number_rows;
        let step = rows.div_ceil(count.max(1)).max(1);
        let mut waiting: Vec<(usize, usize)> = Vec::new();
        let (mut made, mut total, mut next): (Vec<ArrayRef>, u128, usize) = (Vec::new(), 0, 0);
        while next < rows || !waiting.is_empty() {
            let (start, length) = waiting.pop().unwrap_or_else(|| {
                let length = step.min(rows.saturating_sub(next));
                let start = next;
                next = next.saturating_add(length);
                (start, length)
            });
            work.map_or(Ok(()), Work::goes_on)?;
            let some = part(arguments, start, length);
            let bytes = self.growth.bytes(&some.args, length)?;
            // Rows differ: those of this part may take far more than their share.
            if length > 1 && bytes > AT_ONCE.saturating_mul(4) {
                let half = length / 2;
                waiting.push((start.saturating_add(half), length.saturating_sub(half)));
                waiting.push((start, half));
                continue;
            }
            if bytes > MOST_BYTES {
                return Err(self.too_large(bytes));
            }
            let array = self.inner.invoke_with_args(some)?.into_array(length)?;
            total = total.saturating_add(growth::wide(array.get_array_memory_size()));
            if total > MOST_BYTES {
                return Err(self.too_large(total));
            }
            work.map_or(Ok(()), |work| work.hold(&array))?;
            made.push(array);
        }
        let made: Vec<&dyn Array> = made.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&made)?))
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

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(config)?);
        Some(ScalarUDF::new_from_impl(Self { inner, growth: self.growth }))
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Constants alone make one value and not one for each row.
        let constant = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { arguments.number_rows };
        let bytes = self.growth.bytes(&arguments.args, rows)?;
        if bytes > MOST_BYTES && (rows <= 1 || self.growth.is_exact()) {
            return Err(self.too_large(bytes));
        }
        let options = Arc::clone(&arguments.config_options);
        let made = if bytes <= AT_ONCE {
            self.inner.invoke_with_args(arguments)?
        } else if constant || rows <= 1 {
            aside(|| self.inner.invoke_with_args(arguments))?
        } else {
            aside(|| self.in_parts(&arguments, bytes))?
        };
        if let Some(work) = Work::of(&options) {
            match &made {
                ColumnarValue::Array(array) => work.hold(array)?,
                ColumnarValue::Scalar(value) if bytes > AT_ONCE => {
                    work.hold_constant(value.size())?;
                }
                ColumnarValue::Scalar(_) => {}
            }
        }
        Ok(made)
    }

    fn simplify(&self, arguments: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.inner.simplify(arguments, info)? {
            // What a call becomes may be another call, which has no bound yet.
            ExprSimplifyResult::Simplified(simple) => {
                let simple = simple.transform_up(|expression| {
                    Ok(match expression {
                        Expr::ScalarFunction(ScalarFunction { func, args }) => {
                            let func = with_bound(func);
                            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
                        }
                        other => of_operator(other),
                    })
                })?;
                ExprSimplifyResult::Simplified(simple.data)
            }
            same @ ExprSimplifyResult::Original(_) => same,
        })
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn conditional_arguments<'a>(
        &self,
        arguments: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(arguments)
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(inputs)
    }

    fn propagate_constraints(
        &self,
        interval: &Interval,
        inputs: &[&Interval],
    ) -> Result<Option<Vec<Interval>>> {
        self.inner.propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.strictly_order_preserving(inputs)
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
        for function in bounded(state.scalar_functions().values()) {
            with.register_udf(function.as_ref().clone());
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
