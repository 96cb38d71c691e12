//! `cf_year(t)`, `cf_month(t)`, `cf_day(t)`, `cf_date(t)`: a CF time in its own calendar.
//!
//! A number needs the units and the calendar of its column, and a timestamp the calendar: before 1582
//! the standard calendar is Julian. They are taken from the column's field when the statement is
//! planned and become arguments, `cf_year(t, units, calendar)`: the fields of physical plans are no
//! proof, because a union of tables there keeps the attributes of one of them, also where the tables
//! differ.

use crate::error::QueryError;
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, Int64Builder, StringArray, StringBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, TimeUnit};
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

/// The functions.
pub(super) fn functions() -> Vec<ScalarUDF> {
    [CalendarPart::Year, CalendarPart::Month, CalendarPart::Day, CalendarPart::Date]
        .into_iter()
        .map(|part| {
            ScalarUDF::from(CalendarFunction {
                part,
                signature: Signature::one_of(
                    vec![TypeSignature::Any(1), TypeSignature::Any(3)],
                    Volatility::Immutable,
                ),
            })
        })
        .collect()
}

/// One part of a date, or the date as text. Timestamps and dates without the attributes of a CF time
/// are of the proleptic Gregorian calendar; a number is read with the `units` and `calendar` of its
/// field; text is a date already, as `decode = "xarray"` and `cf_date` give it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CalendarFunction {
    part: CalendarPart,
    signature: Signature,
}

impl ScalarUDFImpl for CalendarFunction {
    fn name(&self) -> &str {
        self.part.function()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.data_type())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let Some((time, axis)) = arguments.arg_fields.split_first() else {
            return Err(self.usage("an argument is missing").into());
        };
        let values = values_of(time.data_type());
        let known = is_date(values) || values.is_string() || values.is_numeric();
        if !known && !values.is_null() {
            return Err(self.usage(format_args!("{} is {values}", time.name())).into());
        }
        if values.is_numeric() && axis.is_empty() {
            self.axis_of(time)?;
        }
        Ok(Arc::new(Field::new(self.name(), self.data_type(), true)))
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
        let values = values_of(time.data_type());
        let (units, calendar) = if values.is_numeric() {
            self.axis_of(&time)?
        } else if let Some(calendar) = calendar_of_timestamps(&time) {
            // The units are those of the timestamp itself.
            (String::new(), calendar)
        } else {
            return Ok(ExprSimplifyResult::Original(arguments));
        };
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

/// The calendar of a column of timestamps that was a CF time in its file; absent it is the standard
/// one.
fn calendar_of_timestamps(time: &Field) -> Option<String> {
    let units = time.metadata().get("units")?;
    let calendar = time.metadata().get("calendar").map(String::as_str);
    let is_time =
        is_date(values_of(time.data_type())) && TimeAxis::parse(units, calendar).is_some();
    is_time.then(|| calendar.unwrap_or("standard").to_owned())
}

/// The units that the integers of a timestamp or date are in.
fn units_of(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => "seconds since 1970-01-01",
        DataType::Timestamp(TimeUnit::Microsecond, _) => "microseconds since 1970-01-01",
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "nanoseconds since 1970-01-01",
        DataType::Date32 => "days since 1970-01-01",
        _ => "milliseconds since 1970-01-01",
    }
}

impl CalendarFunction {
    fn data_type(&self) -> DataType {
        if self.part == CalendarPart::Date { DataType::Utf8 } else { DataType::Int64 }
    }

    fn usage(&self, problem: impl std::fmt::Display) -> QueryError {
        QueryError::Invalid(format!(
            "{0}: {problem}; write {0}(time) for a timestamp, a date, the text of a date or a number \
             with CF units, or {0}(number, 'days since 2000-01-01', '360_day')",
            self.name()
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
            return Ok(new_null_array(&self.data_type(), values.len()));
        }
        let text = |value: Option<&ColumnarValue>| match value {
            Some(ColumnarValue::Scalar(text)) => text.try_as_str().flatten().map(str::to_owned),
            _ => None,
        };
        let (units, calendar) = (text(axis.first()), text(axis.get(1)));
        if plain.is_string() {
            return self.of_texts(&values);
        }
        if is_date(&plain) {
            let calendar = calendar.unwrap_or_else(|| "proleptic_gregorian".to_owned());
            let axis = self.axis(units_of(&plain), &calendar)?;
            let local = match &plain {
                // As the clock of the zone shows it.
                DataType::Timestamp(unit, Some(_)) => {
                    cast(&values, &DataType::Timestamp(*unit, None))?
                }
                _ => values,
            };
            return Ok(self.of_integers(&axis, &cast(&local, &DataType::Int64)?));
        }
        let (Some(units), Some(calendar)) = (units, calendar) else {
            return Err(self.usage("units and calendar must be constant text").into());
        };
        let axis = self.axis(&units, &calendar)?;
        // Whole numbers are exact, also where a double is not.
        if plain.is_signed_integer() || (plain.is_integer() && plain != DataType::UInt64) {
            return Ok(self.of_integers(&axis, &cast(&values, &DataType::Int64)?));
        }
        let numbers = cast(&values, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>().iter();
        Ok(self.of_dates(numbers.map(|number| Some(number?.to_bits())), |bits| {
            axis.date(f64::from_bits(bits))
        }))
    }

    fn of_integers(&self, axis: &TimeAxis, integers: &ArrayRef) -> ArrayRef {
        let integers = integers.as_primitive::<Int64Type>().iter();
        self.of_dates(integers, |integer| axis.date_of_integer(integer))
    }

    /// Neighbouring rows of a grid mostly share their time, so the last date is kept.
    fn of_dates<T: Copy + PartialEq>(
        &self,
        times: impl ExactSizeIterator<Item = Option<T>>,
        date: impl Fn(T) -> Option<CalendarDate>,
    ) -> ArrayRef {
        let mut last: Option<(T, Option<CalendarDate>)> = None;
        let rows = times.len();
        let dates = times.map(|time| {
            let time = time?;
            match last {
                Some((own, date)) if own == time => date,
                _ => {
                    let date = date(time);
                    last = Some((time, date));
                    date
                }
            }
        });
        let number = match self.part {
            CalendarPart::Year => |date: CalendarDate| date.year,
            CalendarPart::Month => |date: CalendarDate| date.month.into(),
            CalendarPart::Day => |date: CalendarDate| date.day.into(),
            CalendarPart::Date => {
                let mut texts = StringBuilder::with_capacity(rows, rows.saturating_mul(19));
                dates.for_each(|date| texts.append_option(date.map(|date| date.to_string())));
                return Arc::new(texts.finish());
            }
        };
        let mut parts = Int64Builder::with_capacity(rows);
        dates.for_each(|date| parts.append_option(date.map(number)));
        Arc::new(parts.finish())
    }

    /// Parts of dates that are text: `-0005-01-02T03:04:05`. NULL for what is no date.
    fn of_texts(&self, texts: &ArrayRef) -> Result<ArrayRef> {
        let texts = cast(texts, &DataType::Utf8)?;
        let texts: &StringArray = texts.as_string();
        let date = |text: &str| -> Option<(i64, i64, i64)> {
            let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
            let mut parts = rest.split('T').next()?.split('-');
            let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok());
            let (year, month, day) = (next()?, next()?, next()?);
            let valid =
                parts.next().is_none() && (1..=12).contains(&month) && (1..=31).contains(&day);
            valid.then_some((sign * i64::from(year), month.into(), day.into()))
        };
        let number = match self.part {
            CalendarPart::Year => |(year, _, _): (i64, i64, i64)| year,
            CalendarPart::Month => |(_, month, _)| month,
            CalendarPart::Day => |(_, _, day)| day,
            CalendarPart::Date => {
                let kept = texts.iter().map(|text| text.filter(|text| date(text).is_some()));
                return Ok(Arc::new(kept.collect::<StringArray>()));
            }
        };
        let parts = texts.iter().map(|text| date(text?).map(number));
        Ok(Arc::new(parts.collect::<Int64Array>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        Float64Array, RecordBatch, TimestampMicrosecondArray, TimestampNanosecondArray,
    };
    use arrow::datatypes::Schema;
    use datafusion::prelude::SessionContext;

    async fn column(field: Field, values: ArrayRef, sql: &str) -> Result<ArrayRef, QueryError> {
        let context = SessionContext::new();
        for function in functions() {
            context.register_udf(function);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values]).unwrap();
        context.register_batch("t", batch).unwrap();
        let batches = context.sql(sql).await?.collect().await?;
        let columns: Vec<&dyn Array> = batches.iter().map(|b| b.column(0).as_ref()).collect();
        Ok(arrow::compute::concat(&columns)?)
    }

    async fn ask(
        field: Field,
        values: ArrayRef,
        sql: &str,
    ) -> Result<Vec<Option<i64>>, QueryError> {
        Ok(column(field, values, sql).await?.as_primitive::<Int64Type>().iter().collect())
    }

    async fn texts(field: Field, values: ArrayRef, sql: &str) -> Vec<Option<String>> {
        let column = column(field, values, sql).await.unwrap();
        column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
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

    /// cftime 1.6.6: `num2date(values, units, calendar)`, `isoformat()`.
    #[tokio::test]
    async fn dates_of_every_calendar_are_those_of_cftime() {
        for (units, calendar, value, date) in [
            ("days since 2000-01-01", "noleap", 59.5, "2000-03-01T12:00:00"),
            ("days since 2000-01-01", "365_day", -0.25, "1999-12-31T18:00:00"),
            ("days since 2001-01-01", "all_leap", 59.0, "2001-02-29T00:00:00"),
            ("hours since 2000-02-28", "366_day", 36.5, "2000-02-29T12:30:00"),
            ("months since 2000-01-01", "360_day", 1.5, "2000-02-16T00:00:00"),
            ("days since 1900-02-28", "julian", 1.0, "1900-02-29T00:00:00"),
            ("days since 1582-10-04", "standard", 1.0, "1582-10-15T00:00:00"),
            ("days since 1582-10-15", "gregorian", -1.0, "1582-10-04T00:00:00"),
            ("days since 1582-10-04", "proleptic_gregorian", 1.0, "1582-10-05T00:00:00"),
            ("days since 0001-01-01", "proleptic_gregorian", -1.0, "0000-12-31T00:00:00"),
            ("days since 0001-01-01", "standard", -1.0, "-0001-12-31T00:00:00"),
            ("seconds since 2000-01-01", "noleap", 0.25, "2000-01-01T00:00:00.250000"),
            ("days since 2000-01-01", "noleap", 730_000.123_456_789, "4000-01-01T02:57:46.666565"),
            ("days since 2000-01-01", "360_day", 0.999_999_999_99, "2000-01-02T00:00:00"),
        ] {
            let values = Arc::new(Float64Array::from(vec![Some(value), None, Some(f64::NAN)]));
            let found = texts(cf(units, calendar), values, "SELECT cf_date(time) FROM t").await;
            assert_eq!(found, [Some(date.to_owned()), None, None], "{value} {units} {calendar}");
        }
    }

    #[tokio::test]
    async fn timestamps_of_the_standard_calendar_are_julian_before_1582() {
        // 1582-10-04 of the Julian calendar is 1582-10-14 of the Gregorian one.
        let values = || {
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(-12_219_379_200_000_000),
                Some(-12_219_292_800_000_000),
                None,
            ]))
        };
        let field = |calendar: &str| {
            let data_type = DataType::Timestamp(TimeUnit::Microsecond, None);
            cf("days since 1500-01-01", calendar).with_data_type(data_type)
        };
        let days = "SELECT cf_day(time) FROM t";
        assert_eq!(
            ask(field("standard"), values(), days).await.unwrap(),
            [Some(4), Some(15), None]
        );
        let proleptic = field("proleptic_gregorian");
        assert_eq!(ask(proleptic, values(), days).await.unwrap(), [Some(14), Some(15), None]);
        let plain = Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, None), true);
        assert_eq!(ask(plain, values(), days).await.unwrap(), [Some(14), Some(15), None]);
        let dates = texts(field("gregorian"), values(), "SELECT cf_date(time) FROM t").await;
        assert_eq!(dates[0].as_deref(), Some("1582-10-04T00:00:00"));
    }

    #[tokio::test]
    async fn whole_numbers_are_exact_and_texts_are_dates_already() {
        let field = cf("nanoseconds since 2000-01-01", "noleap");
        let values = Int64Array::from(vec![86_400_000_000_000 * 365 - 1]);
        let field = field.with_data_type(DataType::Int64);
        let found = texts(field, Arc::new(values), "SELECT cf_date(time) FROM t").await;
        assert_eq!(found, [Some("2000-12-31T23:59:59.999999999".to_owned())]);

        let dates = || {
            let dates =
                ["2000-02-30T12:00:00", "-0005-01-02T03:04:05.000060", "no date", "2000-13-01"];
            Arc::new(StringArray::from(dates.to_vec()))
        };
        let field = || Field::new("time", DataType::Utf8, true);
        let years = ask(field(), dates(), "SELECT cf_year(time) FROM t").await.unwrap();
        assert_eq!(years, [Some(2000), Some(-5), None, None]);
        let days = ask(field(), dates(), "SELECT cf_day(time) FROM t").await.unwrap();
        assert_eq!(days, [Some(30), Some(2), None, None]);
        let same = texts(field(), dates(), "SELECT cf_date(time) FROM t").await;
        assert_eq!(same[1].as_deref(), Some("-0005-01-02T03:04:05.000060"));
        assert_eq!(same[2], None);
    }
}
