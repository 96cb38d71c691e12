//! `cf_year(t)`, `cf_month(t)`, `cf_day(t)`: parts of a CF time in its own calendar.

use crate::error::QueryError;
use arrow::array::AsArray;
use arrow::array::{Array, ArrayRef, Int64Array, Int64Builder};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
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
            signature: Signature::any(1, Volatility::Immutable),
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

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [argument] if readable(argument) => Ok(DataType::Int64),
            _ => Err(QueryError::Invalid(format!(
                "{}(time) takes one timestamp, date or number with CF units, not {}",
                self.name,
                arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ))
            .into()),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some(value), Some(field)) = (arguments.args.first(), arguments.arg_fields.first())
        else {
            return Err(
                QueryError::Invalid(format!("{}(time) takes one argument", self.name)).into()
            );
        };
        let scalar = matches!(value, ColumnarValue::Scalar(_));
        let rows = if scalar { 1 } else { arguments.number_rows };
        let parts = self.parts(&value.to_array(rows)?, field)?;
        if scalar {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(
                &parts, 0,
            )?));
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

fn readable(data_type: &DataType) -> bool {
    let values = values_of(data_type);
    values.is_numeric()
        || matches!(
            values,
            DataType::Null | DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
        )
}

impl CalendarFunction {
    fn parts(&self, values: &ArrayRef, field: &Field) -> Result<ArrayRef> {
        let plain = values_of(values.data_type()).clone();
        let values = cast(values, &plain)?;
        match plain {
            DataType::Null => Ok(Arc::new(Int64Array::new_null(values.len()))),
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                let part = match self.part {
                    CalendarPart::Year => DatePart::Year,
                    CalendarPart::Month => DatePart::Month,
                    CalendarPart::Day => DatePart::Day,
                };
                Ok(cast(&date_part(&values, part)?, &DataType::Int64)?)
            }
            _ => {
                let axis = self.axis(field)?;
                let numbers = cast(&values, &DataType::Float64)?;
                Ok(self.of_numbers(&axis, numbers.as_primitive::<Float64Type>()))
            }
        }
    }

    fn axis(&self, field: &Field) -> Result<TimeAxis, QueryError> {
        let metadata = field.metadata();
        let Some(units) = metadata.get("units") else {
            return Err(QueryError::Invalid(format!(
                "{name}({column}): {column} is a number without the attribute units, so its dates \
                 are not known; use {name} on the time column itself, before any calculation",
                name = self.name,
                column = field.name(),
            )));
        };
        let calendar = metadata.get("calendar").map(String::as_str);
        TimeAxis::parse(units, calendar).ok_or_else(|| {
            QueryError::Invalid(format!(
                "{}({}): units {units:?} with calendar {:?} are no CF time",
                self.name,
                field.name(),
                calendar.unwrap_or("standard")
            ))
        })
    }

    fn of_numbers(
        &self,
        axis: &TimeAxis,
        numbers: &arrow::array::PrimitiveArray<Float64Type>,
    ) -> ArrayRef {
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
