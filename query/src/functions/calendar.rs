//! `cf_year(t)`, `cf_month(t)`, `cf_day(t)`: parts of a CF time in its own calendar.
//!
//! A number needs the units and the calendar of its column. They are taken from the column's field
//! when the statement is planned and become arguments, `cf_year(t, units, calendar)`: the fields
//! of physical plans are no proof, because a union of tables there keeps the attributes of one of
//! them, also where the tables differ.

use crate::error::QueryError;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, Int64Builder, PrimitiveArray};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TypeSignature, Volatility, lit,
};
use std::sync::Arc;
use tarn_formats::cf::{CalendarDate, TimeAxis};
use tarn_schemas::table::CalendarPart;

/// The three functions.
pub(super) fn functions() -> Vec<ScalarUDF> {
    [
        ("cf_year", CalendarPart::Year),
        ("cf_month", CalendarPart::Month),
        ("cf_day", CalendarPart::Day),
    ]
    .into_iter()
    .map(|(name, part)| {
        ScalarUDF::from(CalendarFunction {
            name,
            part,
            signature: Signature::one_of(
                vec![TypeSignature::Any(1), TypeSignature::Any(3)],
                Volatility::Immutable,
            ),
        })
    })
    .collect()
}

/// One part of a date. Timestamps and dates are of the proleptic Gregorian calendar; a number is
/// read with the `units` and `calendar` of its field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CalendarFunction {
    name: &'static str,
    part: CalendarPart,
    signature: Signature,
}

impl ScalarUDFImpl for CalendarFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let Some((time, axis)) = arguments.arg_fields.split_first() else {
            return Err(self.usage("an argument is missing").into());
        };
        let values = values_of(time.data_type());
        if !is_date(values) && !values.is_numeric() && !values.is_null() {
            return Err(self.usage(format_args!("{} is {values}", time.name())).into());
        }
        if values.is_numeric() && axis.is_empty() {
            self.axis_of(time)?;
        }
        Ok(Arc::new(Field::new(self.name, DataType::Int64, true)))
    }

    fn simplify(
        &self,
        mut arguments: Vec<Expr>,
        info: &SimplifyContext,
    ) -> Result<ExprSimplifyResult> {
        let time = match arguments.as_slice() {
            [time] => time.to_field(info.schema().as_ref()),
            _ => return Ok(ExprSimplifyResult::Original(arguments)),
        };
        let Ok((_, time)) = time else { return Ok(ExprSimplifyResult::Original(arguments)) };
        if !values_of(time.data_type()).is_numeric() {
            return Ok(ExprSimplifyResult::Original(arguments));
        }
        let (units, calendar) = self.axis_of(&time)?;
        arguments.extend([lit(units), lit(calendar)]);
        let function = Arc::new(ScalarUDF::from(self.clone()));
        let call = ScalarFunction::new_udf(function, arguments);
        Ok(ExprSimplifyResult::Simplified(Expr::ScalarFunction(call)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((time, axis)) = arguments.args.split_first() else {
            return Err(self.usage("an argument is missing").into());
        };
        let scalar = matches!(time, ColumnarValue::Scalar(_));
        let rows = if scalar { 1 } else { arguments.number_rows };
        let parts = self.parts(&time.to_array(rows)?, axis)?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&parts, 0)?));
        }
        Ok(ColumnarValue::Array(parts))
    }
}

/// The type of the values, without encodings.
fn values_of(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values_of(values),
        DataType::RunEndEncoded(_, values) => values_of(values.data_type()),
        other => other,
    }
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

impl CalendarFunction {
    fn usage(&self, problem: impl std::fmt::Display) -> QueryError {
        QueryError::Invalid(format!(
            "{0}: {problem}; write {0}(time) for a timestamp, a date or a number with CF units, or \
             {0}(number, 'days since 2000-01-01', '360_day')",
            self.name
        ))
    }

    /// Units and calendar of a column of numbers.
    fn axis_of(&self, time: &Field) -> Result<(String, String), QueryError> {
        let attribute = |name: &str| {
            time.metadata().get(name).cloned().ok_or_else(|| {
                self.usage(format_args!(
                    "{} is a number whose {name} is not known here (a calculation or a union of \
                     different tables drops it)",
                    time.name()
                ))
            })
        };
        let (units, calendar) = (attribute("units")?, attribute("calendar")?);
        self.axis(&units, &calendar)?;
        Ok((units, calendar))
    }

    fn axis(&self, units: &str, calendar: &str) -> Result<TimeAxis, QueryError> {
        TimeAxis::parse(units, Some(calendar)).ok_or_else(|| {
            self.usage(format_args!("units {units:?} with calendar {calendar:?} are no CF time"))
        })
    }

    fn parts(&self, values: &ArrayRef, axis: &[ColumnarValue]) -> Result<ArrayRef> {
        let plain = values_of(values.data_type()).clone();
        let values = cast(values, &plain)?;
        if plain.is_null() {
            return Ok(Arc::new(Int64Array::new_null(values.len())));
        }
        if is_date(&plain) {
            let part = match self.part {
                CalendarPart::Year => DatePart::Year,
                CalendarPart::Month => DatePart::Month,
                CalendarPart::Day => DatePart::Day,
            };
            return Ok(cast(&date_part(&values, part)?, &DataType::Int64)?);
        }
        let text = |value: Option<&ColumnarValue>| match value {
            Some(ColumnarValue::Scalar(text)) => text.try_as_str().flatten().map(str::to_owned),
            _ => None,
        };
        let (Some(units), Some(calendar)) = (text(axis.first()), text(axis.get(1))) else {
            return Err(self.usage("units and calendar must be constant text").into());
        };
        let axis = self.axis(&units, &calendar)?;
        let numbers = cast(&values, &DataType::Float64)?;
        Ok(self.of_numbers(&axis, numbers.as_primitive::<Float64Type>()))
    }

    fn of_numbers(&self, axis: &TimeAxis, numbers: &PrimitiveArray<Float64Type>) -> ArrayRef {
        let mut parts = Int64Builder::with_capacity(numbers.len());
        // Neighbouring rows of a grid mostly share their time.
        let mut last: Option<(u64, Option<i64>)> = None;
        for number in numbers {
            let part = number.and_then(|number| match last {
                Some((bits, part)) if bits == number.to_bits() => part,
                _ => {
                    let part = axis.date(number).map(|date| self.of_date(date));
                    last = Some((number.to_bits(), part));
                    part
                }
            });
            parts.append_option(part);
        }
        Arc::new(parts.finish())
    }

    fn of_date(&self, date: CalendarDate) -> i64 {
        match self.part {
            CalendarPart::Year => date.year,
            CalendarPart::Month => i64::from(date.month),
            CalendarPart::Day => i64::from(date.day),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, RecordBatch, TimestampNanosecondArray};
    use arrow::datatypes::Schema;
    use datafusion::prelude::SessionContext;

    async fn ask(
        field: Field,
        values: ArrayRef,
        sql: &str,
    ) -> Result<Vec<Option<i64>>, QueryError> {
        let context = SessionContext::new();
        for function in functions() {
            context.register_udf(function);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values]).unwrap();
        context.register_batch("t", batch).unwrap();
        let batches = context.sql(sql).await?.collect().await?;
        Ok(batches
            .iter()
            .flat_map(|batch| {
                let column = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
                column.iter().collect::<Vec<_>>()
            })
            .collect())
    }

    fn cf(units: &str, calendar: &str) -> Field {
        Field::new("time", DataType::Float64, true).with_metadata(
            [("units", units), ("calendar", calendar)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        )
    }

    #[tokio::test]
    async fn a_360_day_year_has_a_thirtieth_of_february() {
        // cftime: num2date([0, 59, 360], 'days since 2000-01-01', '360_day')
        let values =
            || Arc::new(Float64Array::from(vec![Some(0.0), Some(59.0), Some(360.0), None]));
        let field = || cf("days since 2000-01-01", "360_day");
        let days = ask(field(), values(), "SELECT cf_day(time) FROM t").await.unwrap();
        assert_eq!(days, [Some(1), Some(30), Some(1), None]);
        let months = ask(field(), values(), "SELECT cf_month(time) FROM t").await.unwrap();
        assert_eq!(months, [Some(1), Some(2), Some(1), None]);
        let years = ask(field(), values(), "SELECT cf_year(time) FROM t").await.unwrap();
        assert_eq!(years, [Some(2000), Some(2000), Some(2001), None]);
    }

    #[tokio::test]
    async fn the_units_reach_every_place_of_a_statement() {
        let values = || Arc::new(Float64Array::from(vec![0.0, 59.0, 360.0]));
        let field = || cf("days since 2000-01-01", "360_day");
        for (sql, expected) in [
            ("SELECT count(*) FROM t WHERE cf_month(time) = 2", 1),
            ("SELECT count(*) FILTER (WHERE cf_year(time) = 2000) FROM t", 2),
            ("SELECT count(*) FROM t GROUP BY cf_year(time) HAVING cf_year(time) = 2001", 1),
            ("SELECT max(cf_day(time)) FROM t", 30),
            ("SELECT cf_day(time) FROM t ORDER BY cf_day(time) DESC, cf_year(time) LIMIT 1", 30),
            ("SELECT count(*) FROM t a JOIN t b ON cf_year(a.time) = cf_year(b.time)", 5),
            ("SELECT max(CASE WHEN cf_day(time) > 1 THEN cf_month(time) END) FROM t", 2),
            (
                "SELECT CAST(max(n) AS BIGINT) FROM (SELECT rank() OVER (ORDER BY cf_year(time)) AS n FROM t)",
                3,
            ),
            ("SELECT max(cf_year(s.u)) FROM (SELECT time AS u FROM t) s", 2001),
            ("SELECT max(cf_year(time + 0, 'days since 2000-01-01', '360_day')) FROM t", 2001),
            (
                "SELECT sum(cf_day(u)) FROM (SELECT time AS u FROM t UNION ALL SELECT time FROM t)",
                64,
            ),
        ] {
            let got = ask(field(), values(), sql).await;
            assert_eq!(got.ok(), Some(vec![Some(expected)]), "{sql}");
        }
    }

    #[tokio::test]
    async fn a_union_of_different_calendars_is_refused_and_not_guessed() {
        let context = SessionContext::new();
        for function in functions() {
            context.register_udf(function);
        }
        for (name, calendar) in [("a", "360_day"), ("b", "noleap")] {
            let schema = Arc::new(Schema::new(vec![cf("days since 2000-01-01", calendar)]));
            let values = Arc::new(Float64Array::from(vec![59.0]));
            let batch = RecordBatch::try_new(schema, vec![values]).unwrap();
            context.register_batch(name, batch).unwrap();
        }
        let sql = "SELECT cf_day(time) FROM (SELECT time FROM a UNION ALL SELECT time FROM b)";
        let answer = async { context.sql(sql).await?.collect().await }.await;
        assert!(answer.unwrap_err().to_string().contains("calendar"));
        let each = "SELECT cf_day(time) FROM a UNION ALL SELECT cf_day(time) FROM b";
        let batches = context.sql(each).await.unwrap().collect().await.unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    }

    #[tokio::test]
    async fn timestamps_are_gregorian_and_plain_numbers_are_refused() {
        let nanoseconds = TimestampNanosecondArray::from(vec![951_782_400_000_000_000]);
        let field = Field::new("time", nanoseconds.data_type().clone(), true);
        let days = ask(field, Arc::new(nanoseconds), "SELECT cf_day(time) FROM t").await.unwrap();
        assert_eq!(days, [Some(29)]);

        let field = Field::new("time", DataType::Float64, true);
        let values = Arc::new(Float64Array::from(vec![1.0]));
        let error = ask(field, values, "SELECT cf_year(time) FROM t").await.unwrap_err();
        assert!(error.to_string().contains("units"), "{error}");

        let values = Arc::new(Float64Array::from(vec![1.0]));
        let error =
            ask(cf("kelvin", "standard"), values, "SELECT cf_year(time) FROM t").await.unwrap_err();
        assert!(error.to_string().contains("kelvin"), "{error}");
    }
}
