//! How large the answer of a function becomes that makes much of little, told from its arguments.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::Result;

/// Nanoseconds of a day.
const DAY: i128 = 86_400_000_000_000;
/// Bytes of the longest character.
const CHARACTER: u128 = 4;

/// A function whose answer may be far larger than its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// `repeat(text, times)`
    Repeat,
    /// `lpad(text, length[, fill])` and `rpad`
    Pad,
    /// `replace(text, from, to)`
    Replace,
    /// `range([start,] stop[, step])`, without `stop`
    Range,
    /// `generate_series([start,] stop[, step])`, with `stop`
    Series,
    /// `array_repeat(element, times)`
    ArrayRepeat,
    /// `array_resize(array, size[, value])`
    ArrayResize,
}

impl Growth {
    /// Each such function by its name.
    pub(super) const ALL: [(&str, Self); 8] = [
        ("repeat", Self::Repeat),
        ("lpad", Self::Pad),
        ("rpad", Self::Pad),
        ("replace", Self::Replace),
        ("range", Self::Range),
        ("generate_series", Self::Series),
        ("array_repeat", Self::ArrayRepeat),
        ("array_resize", Self::ArrayResize),
    ];

    /// Bytes that the answer needs at least for what the arguments ask; the function itself says
    /// what is wrong with arguments that do not fit.
    pub(super) fn bytes(self, arguments: &[ArrayRef]) -> Result<u128> {
        match (self, arguments) {
            (Self::Repeat, [text, times]) => Ok(lengths(text)
                .zip(integers(times)?.iter())
                .map(|(length, times)| length.saturating_mul(positive(times)))
                .fold(0, u128::saturating_add)),
            (Self::Pad, [_, length, ..]) => Ok(integers(length)?
                .iter()
                .map(|length| positive(length).saturating_mul(CHARACTER))
                .fold(0, u128::saturating_add)),
            (Self::Replace, [text, from, to]) => Ok(replaced(text, from, to)),
            (Self::Range, arguments) => steps(arguments, 0),
            (Self::Series, arguments) => steps(arguments, 1),
            (Self::ArrayRepeat, [element, times]) => {
                let sizes = sizes(element);
                Ok(sizes
                    .zip(integers(times)?.iter())
                    .map(|(size, times)| size.saturating_mul(positive(times)))
                    .fold(0, u128::saturating_add))
            }
            (Self::ArrayResize, [lists, size, values @ ..]) => {
                let element = match lists.data_type() {
                    DataType::List(field)
                    | DataType::LargeList(field)
                    | DataType::FixedSizeList(field, _) => width(field.data_type()),
                    _ => 1,
                };
                let value = values.first().map(sizes).into_iter().flatten().max().unwrap_or(0);
                Ok(integers(size)?
                    .iter()
                    .map(|size| positive(size).saturating_mul(element.max(value)))
                    .fold(0, u128::saturating_add))
            }
            _ => Ok(0),
        }
    }
}

fn positive(number: Option<i64>) -> u128 {
    number.and_then(|number| u128::try_from(number).ok()).unwrap_or(0)
}

fn integers(array: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// Bytes of each text.
fn lengths(array: &ArrayRef) -> impl Iterator<Item = u128> {
    texts(array).into_iter().map(|text| text.map_or(0, |text| wide(text.len())))
}

fn texts(array: &ArrayRef) -> Vec<Option<&str>> {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().collect(),
        DataType::Utf8View => array.as_string_view().iter().collect(),
        _ => vec![None; array.len()],
    }
}

fn wide(number: usize) -> u128 {
    u128::try_from(number).unwrap_or(u128::MAX)
}

/// Bytes of a value of this type, one at least.
fn width(data_type: &DataType) -> u128 {
    data_type.primitive_width().map_or(1, wide)
}

/// Bytes of each element.
fn sizes(array: &ArrayRef) -> Box<dyn Iterator<Item = u128> + '_> {
    if array.data_type().is_primitive() || array.data_type() == &DataType::Boolean {
        let width = width(array.data_type());
        return Box::new((0..array.len()).map(move |_| width));
    }
    Box::new((0..array.len()).map(|row| {
        let data = array.slice(row, 1).to_data();
        data.get_slice_memory_size().map_or(1, |size| wide(size).max(1))
    }))
}

/// Bytes of texts in which each `from` has become `to`.
fn replaced(text: &ArrayRef, from: &ArrayRef, to: &ArrayRef) -> u128 {
    let (text, from, to) = (texts(text), texts(from), texts(to));
    let mut bytes = 0_u128;
    for ((text, from), to) in text.into_iter().zip(from).zip(to) {
        let (Some(text), Some(from), Some(to)) = (text, from, to) else { continue };
        let grows = to.len() > from.len();
        let times = if grows { text.matches(from).count() } else { 0 };
        let grown = wide(times).saturating_mul(wide(to.len()));
        bytes = bytes.saturating_add(wide(text.len())).saturating_add(grown);
    }
    bytes
}

/// Bytes of the elements between two ends.
fn steps(arguments: &[ArrayRef], last: u128) -> Result<u128> {
    let Some(first) = arguments.first() else { return Ok(0) };
    let width = width(first.data_type());
    let rows = first.len();
    let mut elements = 0_u128;
    let mut add = |start: Option<i128>, stop: Option<i128>, step: Option<i128>| {
        let (Some(start), Some(stop), Some(step)) = (start, stop, step) else { return };
        let distance = stop.saturating_sub(start);
        // Against the direction there is nothing; a step of 0 the function refuses.
        if step != 0 && (distance < 0) == (step < 0) {
            let count = distance.unsigned_abs() / step.unsigned_abs();
            elements = elements.saturating_add(count).saturating_add(last);
        }
    };
    match (first.data_type(), arguments) {
        (DataType::Date32 | DataType::Date64 | DataType::Timestamp(..), [start, stop, step]) => {
            let step = cast(step, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let step = step.as_primitive::<IntervalMonthDayNanoType>();
            let (start, stop) = (nanoseconds(start)?, nanoseconds(stop)?);
            for row in 0..rows {
                add(start(row), stop(row), shortest(step, row));
            }
        }
        (_, [stop]) => {
            for stop in &integers(stop)? {
                add(Some(0), stop.map(i128::from), Some(1));
            }
        }
        (_, [start, stop, step @ ..]) => {
            let step = step.first().map(integers).transpose()?;
            for (row, (start, stop)) in integers(start)?.iter().zip(&integers(stop)?).enumerate() {
                let step = match &step {
                    Some(step) => step.is_valid(row).then(|| i128::from(step.value(row))),
                    None => Some(1),
                };
                add(start.map(i128::from), stop.map(i128::from), step);
            }
        }
        _ => {}
    }
    Ok(elements.saturating_mul(width))
}

/// A column of days or instants in nanoseconds.
fn nanoseconds(array: &ArrayRef) -> Result<impl Fn(usize) -> Option<i128>> {
    let unit = match array.data_type() {
        DataType::Date32 => DAY,
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    };
    // Days are numbers of 32 bits, which cast to 64 by way of themselves.
    let numbers = match array.data_type() {
        DataType::Date32 => integers(&cast(array, &DataType::Int32)?)?,
        _ => integers(array)?,
    };
    Ok(move |row| numbers.is_valid(row).then(|| i128::from(numbers.value(row)) * unit))
}

/// The shortest that a step can be, as months have 28 to 31 days.
fn shortest(steps: &IntervalMonthDayNanoArray, row: usize) -> Option<i128> {
    if !steps.is_valid(row) {
        return None;
    }
    let step = steps.value(row);
    (28..=31_i128)
        .map(|days| {
            let days = i128::from(step.months) * days + i128::from(step.days);
            days * DAY + i128::from(step.nanoseconds)
        })
        .min_by_key(|step| step.unsigned_abs())
        .map(|step| if step == 0 && step_moves(&steps.value(row)) { 1 } else { step })
}

/// Whether it is not 0 in all of its parts.
fn step_moves(step: &arrow::datatypes::IntervalMonthDayNano) -> bool {
    step.months != 0 || step.days != 0 || step.nanoseconds != 0
}
