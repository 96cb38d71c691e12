//! One value of an Arrow column, as PostgreSQL knows such values.

use super::failure::Refusal;
use super::types::{ColumnType, PgType};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Field, FieldRef, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::json::writer::{EncoderOptions, make_encoder};
use std::borrow::Cow;
use std::sync::Arc;

/// A value that is not NULL.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Bool(bool),
    Int(i64),
    Float4(f32),
    Float8(f64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    /// Days since 1970.
    Date(i64),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970, and whether they are of a place in time rather than of a clock.
    Timestamp(i64, bool),
    Interval {
        months: i32,
        days: i32,
        micros: i64,
    },
    /// A decimal number as it is written.
    Numeric(String),
}

/// The first day that PostgreSQL has, in 4714 BC, and the one after its last, in 5874898; since 1970.
const FIRST_DAY: i64 = -2_440_588;
const AFTER_LAST_DAY: i64 = 2_145_042_906;

/// A time or date beyond what this protocol can say.
pub(super) fn beyond() -> Refusal {
    let problem = "a date or time is beyond what PostgreSQL's types hold; CAST(… AS VARCHAR) gives it as text";
    Refusal::new("22008", problem)
}

/// A day that PostgreSQL has.
fn day(days: i64) -> Result<i64, Refusal> {
    if (FIRST_DAY..AFTER_LAST_DAY).contains(&days) { Ok(days) } else { Err(beyond()) }
}

fn micros(value: i64, unit: TimeUnit) -> Result<i64, Refusal> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value.div_euclid(1_000)),
    }
    .ok_or_else(beyond)
}

/// The value of a column in a row; none for NULL.
pub(super) fn cell<'a>(
    column: &'a dyn Array,
    field: &Field,
    row: usize,
) -> Result<Option<Cell<'a>>, Refusal> {
    if column.is_null(row) || column.data_type() == &DataType::Null {
        return Ok(None);
    }
    macro_rules! value {
        ($kind:ty) => {
            column.as_primitive::<$kind>().value(row)
        };
    }
    let text = |text: &'a str| Cell::Text(Cow::Borrowed(text));
    Ok(Some(match column.data_type() {
        DataType::Boolean => Cell::Bool(column.as_boolean().value(row)),
        DataType::Int8 => Cell::Int(value!(Int8Type).into()),
        DataType::Int16 => Cell::Int(value!(Int16Type).into()),
        DataType::Int32 => Cell::Int(value!(Int32Type).into()),
        DataType::Int64 => Cell::Int(value!(Int64Type)),
        DataType::UInt8 => Cell::Int(value!(UInt8Type).into()),
        DataType::UInt16 => Cell::Int(value!(UInt16Type).into()),
        DataType::UInt32 => Cell::Int(value!(UInt32Type).into()),
        DataType::UInt64 => Cell::Numeric(value!(UInt64Type).to_string()),
        DataType::Decimal32(..) => {
            Cell::Numeric(column.as_primitive::<Decimal32Type>().value_as_string(row))
        }
        DataType::Decimal64(..) => {
            Cell::Numeric(column.as_primitive::<Decimal64Type>().value_as_string(row))
        }
        DataType::Decimal128(..) => {
            Cell::Numeric(column.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        DataType::Decimal256(..) => {
            Cell::Numeric(column.as_primitive::<Decimal256Type>().value_as_string(row))
        }
        DataType::Float16 => Cell::Float4(value!(Float16Type).to_f32()),
        DataType::Float32 => Cell::Float4(value!(Float32Type)),
        DataType::Float64 => Cell::Float8(value!(Float64Type)),
        DataType::Utf8 => text(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text(column.as_string::<i64>().value(row)),
        DataType::Utf8View => text(column.as_string_view().value(row)),
        DataType::Binary => Cell::Bytes(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Cell::Bytes(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => Cell::Bytes(column.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Cell::Bytes(column.as_fixed_size_binary().value(row)),
        DataType::Date32 => Cell::Date(day(value!(Date32Type).into())?),
        DataType::Date64 => Cell::Date(day(value!(Date64Type).div_euclid(86_400_000))?),
        DataType::Time32(TimeUnit::Second) => {
            Cell::Time(micros(value!(Time32SecondType).into(), TimeUnit::Second)?)
        }
        DataType::Time32(_) => {
            Cell::Time(micros(value!(Time32MillisecondType).into(), TimeUnit::Millisecond)?)
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            Cell::Time(micros(value!(Time64NanosecondType), TimeUnit::Nanosecond)?)
        }
        DataType::Time64(_) => Cell::Time(value!(Time64MicrosecondType)),
        DataType::Timestamp(unit, zone) => {
            let value = match unit {
                TimeUnit::Second => value!(TimestampSecondType),
                TimeUnit::Millisecond => value!(TimestampMillisecondType),
                TimeUnit::Microsecond => value!(TimestampMicrosecondType),
                TimeUnit::Nanosecond => value!(TimestampNanosecondType),
            };
            let micros = micros(value, *unit)?;
            if micros < FIRST_DAY.saturating_mul(86_400_000_000) {
                return Err(beyond());
            }
            Cell::Timestamp(micros, zone.is_some())
        }
        DataType::Duration(unit) => {
            let value = match unit {
                TimeUnit::Second => value!(DurationSecondType),
                TimeUnit::Millisecond => value!(DurationMillisecondType),
                TimeUnit::Microsecond => value!(DurationMicrosecondType),
                TimeUnit::Nanosecond => value!(DurationNanosecondType),
            };
            Cell::Interval { months: 0, days: 0, micros: micros(value, *unit)? }
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            Cell::Interval { months: value!(IntervalYearMonthType), days: 0, micros: 0 }
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let value = value!(IntervalDayTimeType);
            let micros = i64::from(value.milliseconds).saturating_mul(1_000);
            Cell::Interval { months: 0, days: value.days, micros }
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = value!(IntervalMonthDayNanoType);
            let micros = value.nanoseconds.div_euclid(1_000);
            Cell::Interval { months: value.months, days: value.days, micros }
        }
        _ => Cell::Text(Cow::Owned(json(column, field, row)?)),
    }))
}

/// A value within others, as the other doors write it in JSON.
fn json(column: &dyn Array, field: &Field, row: usize) -> Result<String, Refusal> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let wrong = || {
        Refusal::new("0A000", format!("a value of type {} cannot be written", column.data_type()))
    };
    let mut one = column.slice(row, 1);
    // Keys of JSON are texts.
    let with_keys = with_text_keys(one.data_type());
    if with_keys != *one.data_type() {
        one = cast(&one, &with_keys).map_err(|_| wrong())?;
    }
    let field = Arc::new(field.clone().with_data_type(with_keys));
    let mut encoder = make_encoder(&field, one.as_ref(), &options).map_err(|_| wrong())?;
    let mut text = Vec::new();
    encoder.encode(0, &mut text);
    String::from_utf8(text).map_err(|_| wrong())
}

/// The same type, in which the keys of maps are texts.
fn with_text_keys(data_type: &DataType) -> DataType {
    let inner = |field: &FieldRef| {
        let data_type = with_text_keys(field.data_type());
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    match data_type {
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { return data_type.clone() };
            let fields = fields.iter().enumerate().map(|(place, field)| match place {
                0 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
                _ => inner(field),
            });
            let entries =
                entries.as_ref().clone().with_data_type(DataType::Struct(fields.collect()));
            DataType::Map(Arc::new(entries), *sorted)
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::List(field) => DataType::List(inner(field)),
        DataType::LargeList(field) => DataType::LargeList(inner(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(inner(field), *size),
        other => other.clone(),
    }
}

/// The elements of a list in a row, and their field; none for NULL or what is no list.
pub(super) fn elements(column: &dyn Array, row: usize) -> Option<ArrayRef> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::List(_) => Some(column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => Some(column.as_fixed_size_list().value(row)),
        _ => None,
    }
}

/// Whether values of this column can be said as `told`: as what they are, or as text.
pub(super) fn can_be_said(own: &ColumnType, told: &ColumnType) -> bool {
    (own.element, own.array) == (told.element, told.array)
        || (told.element == PgType::Text && !told.array)
}
