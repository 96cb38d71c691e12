//! What becomes of NULL in batches that are for arrays: those have no place for it.

use super::fault::StreamFault;
use super::request::Nulls;
use crate::error::QueryError;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, Float16Array, Float32Array,
    Float64Array, GenericListArray, OffsetSizeTrait, RecordBatch, Scalar, UInt8Array, make_array,
};
use arrow::compute::{is_not_null, kernels::zip::zip};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, FieldRef, Float16Type, Schema};
use std::sync::Arc;

/// A float of sixteen bits.
type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// The columns of a stream: those of the table, and after them under `mask` one for each that may have NULL.
pub(crate) fn fields(schema: &Schema, nulls: Option<Nulls>) -> Result<Vec<FieldRef>, QueryError> {
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    if nulls == Some(Nulls::Mask) {
        for field in schema.fields().iter().filter(|field| may_have_null(field)) {
            fields.push(Arc::new(mask_field(field)?));
        }
    }
    Ok(fields)
}

/// Columns of a batch in that form. `position` is for the error: the global position after the batch.
pub(crate) fn columns(
    batch: &RecordBatch,
    nulls: Option<Nulls>,
    position: u64,
) -> Result<Vec<ArrayRef>, QueryError> {
    let Some(nulls) = nulls else { return Ok(batch.columns().to_vec()) };
    let schema = batch.schema();
    let mut columns = Vec::with_capacity(batch.num_columns());
    let mut masks = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let bad = || {
            let mut instead =
                vec!["leave such rows out by `filter`", "the column out by `columns`"];
            if nulls == Nulls::Error && matches!(filled(column, true), Ok(Some(_))) {
                instead.push("take NaN in its place with nulls: nan");
            }
            if nulls != Nulls::Mask && matches!(filled(column, false), Ok(Some(_))) {
                instead.push("take another value in its place with nulls: mask");
            }
            StreamFault::BadSample {
                problem: format!(
                    "column {:?} has NULL in the step before position {position}: {}",
                    field.name(),
                    instead.join(", or ")
                ),
            }
        };
        let has = has_null(column.as_ref());
        columns.push(match nulls {
            _ if !has => Arc::clone(column),
            Nulls::Error => return Err(bad().into()),
            Nulls::Nan => filled(column, true)?.ok_or_else(bad)?,
            Nulls::Mask => filled(column, false)?.ok_or_else(bad)?,
        });
        if nulls == Nulls::Mask && may_have_null(field) {
            masks.push(mask(column)?);
        }
    }
    columns.extend(masks);
    Ok(columns)
}

fn may_have_null(field: &Field) -> bool {
    let inside = match field.data_type() {
        DataType::FixedSizeList(item, _) => item.is_nullable(),
        _ => false,
    };
    field.is_nullable() || inside
}

/// Whether a value is NULL, or one inside it.
fn has_null(column: &dyn Array) -> bool {
    if column.logical_null_count() > 0 {
        return true;
    }
    match column.data_type() {
        DataType::Struct(_) => {
            column.as_struct().columns().iter().any(|field| has_null(field.as_ref()))
        }
        DataType::FixedSizeList(..) => has_null(column.as_fixed_size_list().values().as_ref()),
        DataType::List(_) => has_null_between(column.as_list::<i32>()),
        DataType::LargeList(_) => has_null_between(column.as_list::<i64>()),
        DataType::Map(..) => {
            let map = column.as_map();
            spanned(map.offsets())
                .is_some_and(|(first, rows)| has_null(&map.entries().slice(first, rows)))
        }
        _ => false,
    }
}

fn has_null_between<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> bool {
    spanned(list.offsets())
        .is_some_and(|(first, rows)| has_null(list.values().slice(first, rows).as_ref()))
}

/// Where the values of lists begin, and how many there are.
fn spanned<O: OffsetSizeTrait>(offsets: &[O]) -> Option<(usize, usize)> {
    let (first, end) = (offsets.first()?.as_usize(), offsets.last()?.as_usize());
    Some((first, end.checked_sub(first)?))
}

/// The field that says where a column has values: of tensors one byte for each element, in the same shape, because
/// arrays of programs have no bits.
fn mask_field(field: &Field) -> Result<Field, QueryError> {
    let name = format!("{}__valid", field.name());
    match field.data_type() {
        DataType::FixedSizeList(item, _) if item.data_type().is_nested() => {
            Err(QueryError::Invalid(format!(
                "stream: nulls: mask does not know columns like {:?} of type {}; leave it out of `columns`",
                field.name(),
                field.data_type()
            )))
        }
        DataType::FixedSizeList(item, length) => {
            let item = Field::new(item.name(), DataType::UInt8, false);
            let list = DataType::FixedSizeList(Arc::new(item), *length);
            Ok(Field::new(name, list, false).with_metadata(field.metadata().clone()))
        }
        _ => Ok(Field::new(name, DataType::Boolean, false)),
    }
}

fn mask(column: &ArrayRef) -> Result<ArrayRef, QueryError> {
    let Some(list) = column.as_fixed_size_list_opt() else {
        return Ok(Arc::new(is_not_null(column).map_err(failed)?));
    };
    let length = usize::try_from(list.value_length()).unwrap_or(0);
    let values = list.values();
    let valid: UInt8Array = (0..list.len())
        .flat_map(|row| (0..length).map(move |place| (row, row * length + place)))
        .map(|(row, place)| Some(u8::from(list.is_valid(row) && values.is_valid(place))))
        .collect();
    let item = Arc::new(Field::new(item_name(list), DataType::UInt8, false));
    let list = FixedSizeListArray::try_new(item, list.value_length(), Arc::new(valid), None);
    Ok(Arc::new(list.map_err(failed)?))
}

fn item_name(list: &FixedSizeListArray) -> String {
    match list.data_type() {
        DataType::FixedSizeList(item, _) => item.name().clone(),
        _ => String::new(),
    }
}

/// A column with another value in place of NULL: NaN, or what the type begins with. `None` where it has no such value.
fn filled(column: &ArrayRef, nan: bool) -> Result<Option<ArrayRef>, QueryError> {
    if let Some(list) = column.as_fixed_size_list_opt() {
        let DataType::FixedSizeList(item, length) = list.data_type() else { return Ok(None) };
        let size = usize::try_from(*length).unwrap_or(0);
        // An element of a tensor that is NULL as a whole is NULL.
        let inside: BooleanArray = (0..list.len())
            .flat_map(|row| std::iter::repeat_n(row, size))
            .map(|row| Some(list.is_valid(row)))
            .collect();
        let known = is_not_null(list.values()).map_err(failed)?;
        let known = arrow::compute::and(&known, &inside).map_err(failed)?;
        let Some(values) = replaced(list.values(), &known, nan)? else { return Ok(None) };
        let list = FixedSizeListArray::try_new(Arc::clone(item), *length, values, None);
        return Ok(Some(Arc::new(list.map_err(failed)?)));
    }
    let known = is_not_null(column).map_err(failed)?;
    replaced(column, &known, nan)
}

fn replaced(
    values: &ArrayRef,
    known: &BooleanArray,
    nan: bool,
) -> Result<Option<ArrayRef>, QueryError> {
    let kind = values.data_type();
    let value: ArrayRef = if nan {
        match kind {
            DataType::Float16 => Arc::new(Float16Array::from(vec![Half::NAN])),
            DataType::Float32 => Arc::new(Float32Array::from(vec![f32::NAN])),
            DataType::Float64 => Arc::new(Float64Array::from(vec![f64::NAN])),
            _ => return Ok(None),
        }
    } else {
        match first_value(kind) {
            Some(value) => value,
            None => return Ok(None),
        }
    };
    zip(known, values, &Scalar::new(value)).map(Some).map_err(failed)
}

/// The value of a type whose bytes are all zero, or an empty text.
fn first_value(kind: &DataType) -> Option<ArrayRef> {
    use arrow::array::{
        ArrayData, BinaryArray, BinaryViewArray, LargeBinaryArray, LargeStringArray, StringArray,
        StringViewArray,
    };
    match kind {
        DataType::Binary => Some(Arc::new(BinaryArray::from(vec![b"".as_slice()]))),
        DataType::LargeBinary => Some(Arc::new(LargeBinaryArray::from(vec![b"".as_slice()]))),
        DataType::BinaryView => Some(Arc::new(BinaryViewArray::from(vec![b"".as_slice()]))),
        DataType::Utf8 => Some(Arc::new(StringArray::from(vec![""]))),
        DataType::LargeUtf8 => Some(Arc::new(LargeStringArray::from(vec![""]))),
        DataType::Utf8View => Some(Arc::new(StringViewArray::from(vec![""]))),
        DataType::Boolean => Some(Arc::new(BooleanArray::from(vec![false]))),
        kind => {
            let width = kind.primitive_width()?;
            let zero = arrow::buffer::Buffer::from(vec![0_u8; width]);
            let data = ArrayData::builder(kind.clone()).len(1).add_buffer(zero).align_buffers(true);
            let array = data.build().ok().map(make_array)?;
            (array.len() == 1).then_some(array)
        }
    }
}

fn failed(error: impl std::fmt::Display) -> QueryError {
    QueryError::Internal(format!("replacing NULL: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::Float32Type;

    fn batch() -> RecordBatch {
        let tensors = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
            [Some(vec![Some(1.0), None]), None, Some(vec![Some(5.0), Some(6.0)])],
            2,
        );
        RecordBatch::try_from_iter([
            ("f", Arc::new(Float32Array::from(vec![Some(1.0), None, Some(3.0)])) as ArrayRef),
            ("t", Arc::new(tensors)),
        ])
        .unwrap()
    }

    #[test]
    fn nan_stands_in_the_place_of_null_in_floats_and_tensors_of_them() {
        let columns = columns(&batch(), Some(Nulls::Nan), 3).unwrap();
        let floats = columns[0].as_primitive::<Float32Type>();
        assert!(
            floats.null_count() == 0
                && floats.value(1).is_nan()
                && floats.value(2).to_bits() == 3.0_f32.to_bits()
        );
        let tensors = columns[1].as_fixed_size_list();
        let values = tensors.values().as_primitive::<Float32Type>();
        assert_eq!((tensors.null_count(), values.null_count()), (0, 0));
        let nan: Vec<bool> = values.values().iter().map(|value| value.is_nan()).collect();
        assert_eq!(nan, [false, true, true, true, false, false]);
    }

    #[test]
    fn a_mask_says_where_values_are() {
        let batch = batch();
        let fields = fields(batch.schema_ref(), Some(Nulls::Mask)).unwrap();
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["f", "t", "f__valid", "t__valid"]);
        let columns = columns(&batch, Some(Nulls::Mask), 3).unwrap();
        let made = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        assert_eq!(made.column(0).as_primitive::<Float32Type>().values(), &[1.0, 0.0, 3.0]);
        assert_eq!(made.column(2).as_boolean(), &BooleanArray::from(vec![true, false, true]));
        let mask = made.column(3).as_fixed_size_list().values();
        assert_eq!(
            mask.as_primitive::<arrow::datatypes::UInt8Type>().values(),
            &[1, 0, 0, 0, 1, 1]
        );
    }

    #[test]
    fn null_inside_lists_and_structs_is_found_and_what_a_slice_leaves_out_is_not() {
        use arrow::array::{ListArray, StructArray};
        let lists = ListArray::from_iter_primitive::<Float32Type, _, _>([
            Some(vec![Some(1.0), None]),
            Some(vec![Some(2.0)]),
        ]);
        assert!(has_null(&lists) && has_null(&lists.slice(0, 1)) && !has_null(&lists.slice(1, 1)));
        let field = Arc::new(Field::new("l", lists.data_type().clone(), true));
        let inside = StructArray::from(vec![(field, Arc::new(lists) as ArrayRef)]);
        assert!(has_null(&inside) && !has_null(&inside.slice(1, 1)));
        let batch = RecordBatch::try_from_iter([("s", Arc::new(inside) as ArrayRef)]).unwrap();
        for nulls in [Nulls::Error, Nulls::Nan, Nulls::Mask] {
            let error = columns(&batch, Some(nulls), 1).unwrap_err().to_string();
            assert!(error.contains("\"s\"") && !error.contains("nulls: mask"), "{error}");
        }
    }

    #[test]
    fn bytes_have_an_empty_value_in_the_place_of_null() {
        use arrow::array::BinaryArray;
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(b"ab".as_slice()), None]));
        let batch = RecordBatch::try_from_iter([("b", bytes)]).unwrap();
        let told = columns(&batch, Some(Nulls::Nan), 2).unwrap_err().to_string();
        assert!(told.contains("nulls: mask"), "{told}");
        let masked = columns(&batch, Some(Nulls::Mask), 2).unwrap();
        assert_eq!(
            (masked[0].null_count(), masked[0].as_binary::<i32>().value(1)),
            (0, b"".as_slice())
        );
    }

    #[test]
    fn what_cannot_be_replaced_ends_the_stream_and_names_the_column() {
        let error = columns(&batch(), Some(Nulls::Error), 3).unwrap_err();
        assert!(matches!(&error, QueryError::Stream(StreamFault::BadSample { .. })));
        assert!(error.to_string().contains("\"f\"") && error.to_string().contains("position 3"));
        let whole: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let batch = RecordBatch::try_from_iter([("n", whole), ("s", texts)]).unwrap();
        assert!(columns(&batch, Some(Nulls::Nan), 3).is_err());
        let masked = columns(&batch, Some(Nulls::Mask), 3).unwrap();
        assert_eq!(masked.len(), 4);
        assert!(masked.iter().all(|column| column.null_count() == 0));
    }
}
