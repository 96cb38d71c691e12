//! How large the answer of a function becomes, and how long it takes, told from its arguments.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

/// Nanoseconds of a day.
const DAY: i128 = 86_400_000_000_000;
/// Bytes of the longest character.
const CHARACTER: u128 = 4;
/// Bytes that a number, an offset or the value of a date may take as text.
const WORD: u128 = 32;
/// Steps of a comparison of texts that take as long as a byte that is made.
const STEPS: u128 = 2;
/// Steps of a pattern that take as long as a byte that is made.
const PATTERN_STEPS: u128 = 64;

/// How the answer of a function follows from its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// All arguments one after the other, or less.
    Sum,
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
    /// `array_to_string(list, separator[, null])`: the other texts for each element.
    Join,
    /// `array_replace_all(list, from, to)`: an element for each.
    ArrayReplace,
    /// `string_to_array(text, separator[, null])`: a text for each character, or in each text's place another one.
    Split,
    /// `concat_ws(separator, text, …)`
    Separated,
    /// `to_char(value, format)`
    Format,
    /// `translate(text, from, to)` and what changes letters: each character may become the longest.
    Letters,
    /// `regexp_replace(text, pattern, replacement[, flags])`
    PatternReplace,
    /// `regexp_match(text, pattern[, flags])`: a text for each group.
    PatternGroups,
    /// `regexp_count(text, pattern, …)` and its like
    Pattern,
    /// `levenshtein(text, text)`, which compares each character with each.
    Distance,
}

impl Growth {
    /// How the function of a name grows.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "repeat" => Self::Repeat,
            "lpad" | "rpad" => Self::Pad,
            "replace" => Self::Replace,
            "range" => Self::Range,
            "generate_series" => Self::Series,
            "array_repeat" => Self::ArrayRepeat,
            "array_resize" => Self::ArrayResize,
            "array_to_string" => Self::Join,
            "array_replace" | "array_replace_n" | "array_replace_all" => Self::ArrayReplace,
            "string_to_array" => Self::Split,
            "concat_ws" => Self::Separated,
            "to_char" => Self::Format,
            "translate" | "upper" | "lower" | "initcap" | "encode" | "decode" | "reverse" => {
                Self::Letters
            }
            "regexp_replace" => Self::PatternReplace,
            "regexp_match" => Self::PatternGroups,
            "regexp_count" | "regexp_instr" | "regexp_like" => Self::Pattern,
            "levenshtein" => Self::Distance,
            _ => Self::Sum,
        }
    }

    /// Whether an answer needs all the bytes that [`Growth::bytes`] tells, and not at most those.
    pub(super) fn is_exact(self) -> bool {
        match self {
            Self::Repeat
            | Self::Pad
            | Self::Replace
            | Self::Range
            | Self::Series
            | Self::ArrayRepeat
            | Self::ArrayResize => true,
            Self::Sum
            | Self::Join
            | Self::ArrayReplace
            | Self::Split
            | Self::Separated
            | Self::Format
            | Self::Letters
            | Self::PatternReplace
            | Self::PatternGroups
            | Self::Pattern
            | Self::Distance => false,
        }
    }

    /// Bytes that the answer for these rows needs, and for what takes long, bytes that are made in that time; the
    /// function itself says what is wrong with arguments that do not fit.
    pub(super) fn bytes(self, arguments: &[ColumnarValue], rows: usize) -> Result<u128> {
        if self == Self::Sum {
            return Ok(arguments
                .iter()
                .map(|value| sum(value, rows))
                .fold(0, u128::saturating_add));
        }
        let arrays =
            arguments.iter().map(|value| spread(value, rows)).collect::<Result<Vec<_>>>()?;
        let product = |one: &ArrayRef, other: &ArrayRef| {
            let pairs = lengths(one, rows).zip(lengths(other, rows));
            pairs
                .map(|(one, other)| one.saturating_add(1).saturating_mul(other.saturating_add(1)))
                .fold(0, u128::saturating_add)
        };
        match (self, arrays.as_slice()) {
            (Self::Repeat, [text, times]) => Ok(lengths(text, rows)
                .zip(integers(times)?.iter())
                .map(|(length, times)| length.saturating_mul(positive(times)))
                .fold(0, u128::saturating_add)),
            (Self::Pad, [_, length, ..]) => Ok(integers(length)?
                .iter()
                .map(|length| positive(length).saturating_mul(CHARACTER))
                .fold(0, u128::saturating_add)),
            (Self::Replace, [text, from, to]) => Ok(replaced([text, from, to], rows)),
            (Self::Range, arguments) => steps(arguments, 0),
            (Self::Series, arguments) => steps(arguments, 1),
            (Self::ArrayRepeat, [element, times]) => {
                let sizes = sizes(element, rows);
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
                let value =
                    values.first().and_then(|values| sizes(values, rows).max()).unwrap_or(0);
                Ok(integers(size)?
                    .iter()
                    .map(|size| positive(size).saturating_mul(element.max(value)))
                    .fold(0, u128::saturating_add))
            }
            (Self::Join, [list, texts @ ..]) => {
                let longest = texts.iter().filter_map(|text| lengths(text, rows).max());
                let each = longest.fold(WORD, u128::saturating_add);
                Ok(sum_of(list, rows).saturating_add(elements(list, rows).saturating_mul(each)))
            }
            (Self::ArrayReplace, [list, _, to, ..]) => {
                let each = sizes(to, rows).max().unwrap_or(0);
                Ok(sum_of(list, rows).saturating_add(elements(list, rows).saturating_mul(each)))
            }
            (Self::Split, [text, others @ ..]) => {
                let longest = others.iter().filter_map(|text| lengths(text, rows).max());
                let each = longest.fold(WORD / 2, u128::saturating_add);
                let characters = lengths(text, rows).fold(0, u128::saturating_add);
                Ok(characters.saturating_mul(each))
            }
            (Self::Separated, [separator, texts @ ..]) => {
                let between = lengths(separator, rows).fold(0, u128::saturating_add);
                let own = texts.iter().map(|text| sum_of(text, rows)).fold(0, u128::saturating_add);
                Ok(between.saturating_mul(wide(texts.len())).saturating_add(own))
            }
            (Self::Format, [_, format]) => Ok(lengths(format, rows)
                .map(|length| length.saturating_add(1).saturating_mul(WORD))
                .fold(0, u128::saturating_add)),
            (Self::Letters, [text, ..]) => Ok(sum_of(text, rows).saturating_mul(CHARACTER)),
            (Self::PatternReplace, [text, pattern, to, ..]) => {
                let found = texts(to, rows);
                let groups = found.iter().flatten().map(|to| to.matches(['\\', '$']).count()).max();
                let copied = sum_of(text, rows).saturating_mul(wide(groups.unwrap_or(0)));
                let search = searched(text, pattern, rows);
                Ok(product(text, to).saturating_add(copied).saturating_add(search))
            }
            (Self::PatternGroups, [text, pattern, ..]) => {
                let found = texts(pattern, rows);
                let groups =
                    found.iter().flatten().map(|pattern| pattern.matches('(').count()).max();
                let copied = sum_of(text, rows).saturating_mul(wide(groups.unwrap_or(0)).max(1));
                Ok(copied.saturating_add(searched(text, pattern, rows)))
            }
            (Self::Pattern, [text, pattern, ..]) => Ok(searched(text, pattern, rows)),
            (Self::Distance, [one, other]) => Ok(product(one, other) / STEPS),
            _ => Ok(0),
        }
    }
}

/// How long patterns take over texts.
fn searched(text: &ArrayRef, pattern: &ArrayRef, rows: usize) -> u128 {
    let own: Vec<u128> = match pattern.len() {
        1 => vec![texts(pattern, 1).first().copied().flatten().map_or(0, states); rows],
        _ => texts(pattern, rows).into_iter().map(|pattern| pattern.map_or(0, states)).collect(),
    };
    lengths(text, rows)
        .zip(own)
        .map(|(text, states)| text.saturating_add(1).saturating_mul(states))
        .fold(0, u128::saturating_add)
        / PATTERN_STEPS
}

/// States of a pattern at most: a part of it that is to come so many times stands there as often.
fn states(pattern: &str) -> u128 {
    let repeats = pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let most = repeats.filter_map(|(counts, _)| {
        let counts = counts.split(',').map(|count| count.trim().parse::<u128>());
        counts.filter_map(Result::ok).max()
    });
    let length = wide(pattern.len()).saturating_add(1);
    most.fold(length, |states, count| states.saturating_mul(count.max(1)))
}

/// Bytes of an argument for so many rows.
fn sum(value: &ColumnarValue, rows: usize) -> u128 {
    match value {
        ColumnarValue::Array(array) => sum_of(array, rows),
        ColumnarValue::Scalar(value) => wide(value.size()).saturating_mul(wide(rows)),
    }
}

/// Bytes of an array; of one that stands for each row, as often.
fn sum_of(array: &ArrayRef, rows: usize) -> u128 {
    let size = match array.data_type() {
        DataType::Utf8View | DataType::BinaryView => {
            lengths(array, array.len()).fold(0, u128::saturating_add)
        }
        _ => array.to_data().get_slice_memory_size().map_or(0, wide),
    };
    if array.len() == 1 { size.saturating_mul(wide(rows)) } else { size }
}

/// Elements of the lists of an array, and bytes of anything else.
fn elements(array: &ArrayRef, rows: usize) -> u128 {
    let count: usize = match array.data_type() {
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            (0..lists.len()).map(|row| usize::try_from(lists.value_length(row)).unwrap_or(0)).sum()
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            (0..lists.len()).map(|row| usize::try_from(lists.value_length(row)).unwrap_or(0)).sum()
        }
        _ => return sum_of(array, rows),
    };
    if array.len() == 1 { wide(count).saturating_mul(wide(rows)) } else { wide(count) }
}

/// An argument as an array: numbers for each row, and of a text or list that stands for all rows, one.
fn spread(value: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    let small = value.data_type().is_primitive() || value.data_type().is_null();
    value.to_array(if small { rows } else { 1 })
}

fn positive(number: Option<i64>) -> u128 {
    number.and_then(|number| u128::try_from(number).ok()).unwrap_or(0)
}

fn integers(array: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// Bytes of the text of each row.
fn lengths(array: &ArrayRef, rows: usize) -> impl Iterator<Item = u128> {
    texts(array, rows).into_iter().map(|text| text.map_or(0, |text| wide(text.len())))
}

/// The text of each row, where one may stand for all.
fn texts(array: &ArrayRef, rows: usize) -> Vec<Option<&str>> {
    let found: Vec<Option<&str>> = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().collect(),
        DataType::Utf8View => array.as_string_view().iter().collect(),
        _ => vec![None; array.len()],
    };
    match found.as_slice() {
        [one] => vec![*one; rows],
        _ => found,
    }
}

pub(super) fn wide(number: usize) -> u128 {
    u128::try_from(number).unwrap_or(u128::MAX)
}

/// Bytes of a value of this type, one at least.
fn width(data_type: &DataType) -> u128 {
    data_type.primitive_width().map_or(1, wide)
}

/// Bytes of the element of each row, where one may stand for all.
fn sizes(array: &ArrayRef, rows: usize) -> Box<dyn Iterator<Item = u128> + '_> {
    if array.data_type().is_primitive() || array.data_type() == &DataType::Boolean {
        let width = width(array.data_type());
        return Box::new((0..array.len()).map(move |_| width));
    }
    let size = |row| {
        let data = array.slice(row, 1).to_data();
        data.get_slice_memory_size().map_or(1, |size| wide(size).max(1))
    };
    if array.len() == 1 {
        return Box::new(std::iter::repeat_n(size(0), rows));
    }
    Box::new((0..array.len()).map(size))
}

/// Bytes of texts in which each `from` has become `to`.
fn replaced(arguments: [&ArrayRef; 3], rows: usize) -> u128 {
    let [text, from, to] = arguments.map(|array| texts(array, rows));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_its_parts_as_often_as_it_says() {
        assert_eq!(states("ab"), 3);
        assert_eq!(states("(ab){2,10}c{3}"), 15 * 30);
        assert_eq!(states("a{,}{x}{"), 9);
    }
}
