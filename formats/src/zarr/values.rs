//! Stored elements → Arrow arrays.

use super::element::{Element, Kind, complex};
use crate::cursor::Cursor;
use crate::elements::{self, ByteOrder, fixed_width, to_native};
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, StringArray, StructArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use std::sync::Arc;

/// `count` elements of fixed length, as they are stored.
///
/// # Errors
/// What is wrong with a value; the outer error is Arrow's.
pub(crate) fn array(
    element: &Element,
    mut bytes: MutableBuffer,
    count: usize,
) -> Result<Result<ArrayRef, String>, ArrowError> {
    let size = element.size.max(1);
    let data_type = element.data_type();
    if element.kind != Kind::CodePoints {
        to_native(&mut bytes, element.word(), element.order);
    }
    Ok(Ok(match &element.kind {
        Kind::Boolean => {
            let bytes = bytes.as_slice();
            let bits =
                BooleanBuffer::collect_bool(count, |at| bytes.get(at).is_some_and(|b| *b != 0));
            Arc::new(BooleanArray::new(bits, None))
        }
        Kind::Number(number) => fixed_width(number.clone(), bytes, count)?,
        Kind::Complex(part) => {
            let halves = |skip: usize| {
                let words = bytes.as_slice().chunks_exact(size / 2).skip(skip).step_by(2);
                let mut half = MutableBuffer::with_capacity(bytes.len() / 2);
                words.for_each(|word| half.extend_from_slice(word));
                fixed_width(part.clone(), half, count)
            };
            Arc::new(StructArray::try_new(complex(part), vec![halves(0)?, halves(1)?], None)?)
        }
        Kind::Instant(_, factor) | Kind::Duration(_, factor) => {
            let counts = fixed_width(DataType::Int64, bytes, count)?;
            return times(&counts, *factor, data_type.unwrap_or(DataType::Int64));
        }
        Kind::Characters => {
            let texts =
                bytes.as_slice().chunks_exact(size).map(|text| elements::text(trimmed(text)));
            Arc::new(StringArray::from_iter_values(texts))
        }
        Kind::CodePoints => {
            let texts: Option<Vec<String>> = bytes
                .as_slice()
                .chunks_exact(size)
                .map(|text| code_points(text, element.order))
                .collect();
            match texts {
                Some(texts) => Arc::new(StringArray::from(texts)),
                None => return Ok(Err("a text with a code point that is none".to_owned())),
            }
        }
        Kind::Raw | Kind::Text | Kind::Binary => {
            fixed_width(data_type.unwrap_or(DataType::Null), bytes, count)?
        }
    }))
}

/// Counts of `factor` units each as instants or durations; NaT is NULL.
fn times(
    counts: &ArrayRef,
    factor: i64,
    data_type: DataType,
) -> Result<Result<ArrayRef, String>, ArrowError> {
    let Some(counts) = counts.as_any().downcast_ref::<Int64Array>() else {
        return Ok(Err("times that are no numbers".to_owned()));
    };
    let is_time = |count: &i64| *count != i64::MIN;
    let nulls = NullBuffer::new(counts.values().iter().map(is_time).collect());
    let values: Option<Buffer> = if factor == 1 {
        Some(counts.values().inner().clone())
    } else {
        let scaled = counts
            .values()
            .iter()
            .map(|count| if is_time(count) { count.checked_mul(factor) } else { Some(0) });
        scaled.collect::<Option<Vec<i64>>>().map(Buffer::from_vec)
    };
    let Some(values) = values else {
        return Ok(Err("a time further away than 64 bits of its unit".to_owned()));
    };
    let data = counts
        .to_data()
        .into_builder()
        .data_type(data_type)
        .buffers(vec![values])
        .nulls(Some(nulls).filter(|nulls| nulls.null_count() > 0))
        .build()?;
    Ok(Ok(make_array(data)))
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

fn code_points(text: &[u8], order: ByteOrder) -> Option<String> {
    let (words, _) = text.as_chunks::<4>();
    let code = |word: &[u8; 4]| match order {
        ByteOrder::Little => u32::from_le_bytes(*word),
        ByteOrder::Big => u32::from_be_bytes(*word),
    };
    let length = words.iter().rposition(|word| *word != [0; 4]).map_or(0, |last| last + 1);
    words.iter().take(length).map(|word| char::from_u32(code(word))).collect()
}

/// The elements of a chunk of `vlen-utf8` or `vlen-bytes`: their number (4 bytes, little-endian), then
/// each one behind its length (4 bytes). Format: numcodecs, `vlen.pyx`.
///
/// # Errors
/// What is wrong, and at which byte of the chunk.
pub(crate) fn variable(chunk: &[u8], count: usize) -> Result<Vec<&[u8]>, String> {
    let mut cursor = Cursor::new(chunk);
    let number = cursor.u32_le().ok_or("a chunk of texts without their number")?;
    if usize::try_from(number).ok() != Some(count) || chunk.len() / 4 <= count {
        return Err(format!("the chunk has {number} elements in place of {count}"));
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        let at = cursor.position();
        let length = cursor.u32_le().and_then(|length| usize::try_from(length).ok());
        let element = length.and_then(|length| cursor.take(length));
        elements.push(
            element.ok_or_else(|| format!("the element at byte {at} of the chunk is cut off"))?,
        );
    }
    Ok(elements)
}

/// Elements without a fixed length as an array.
///
/// # Errors
/// Texts that are no UTF-8, or too much of them for one array.
pub(crate) fn variable_array(kind: &Kind, values: &[&[u8]]) -> Result<ArrayRef, String> {
    let bytes = values.iter().try_fold(0_usize, |sum, value| sum.checked_add(value.len()));
    if bytes.is_none_or(|bytes| i32::try_from(bytes).is_err()) {
        return Err("more than 2 GiB of text in one read (ask for a smaller region)".to_owned());
    }
    if *kind == Kind::Binary {
        return Ok(Arc::new(BinaryArray::from_iter_values(values)));
    }
    let texts: Result<Vec<&str>, _> =
        values.iter().map(|value| std::str::from_utf8(value)).collect();
    let texts = texts.map_err(|_| "a text that is no UTF-8".to_owned())?;
    Ok(Arc::new(StringArray::from_iter_values(texts)))
}
