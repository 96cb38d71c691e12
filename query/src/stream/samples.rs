//! Batches of every kind of column, for tests.

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, FixedSizeBinaryArray,
    FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int64Array, LargeListArray,
    ListArray, RecordBatch, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows `first..first + rows` of a table with tensors, numbers, texts, lists, structs and dictionaries, with NULLs and
/// without.
pub(super) fn batch(first: i64, rows: i64) -> RecordBatch {
    let ids: Vec<i64> = (first..first + rows).collect();
    let some = |id: &i64| (id % 3 != 0).then_some(*id);
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let values: Float32Array = ids.iter().flat_map(|id| [*id as f32; 6]).map(Some).collect();
    let tensor = FixedSizeListArray::new(Arc::clone(&item), 6, Arc::new(values), None);
    let inner = Arc::new(Field::new("item", DataType::Int64, true));
    let pairs: Int64Array = ids.iter().flat_map(|id| [Some(*id); 4]).collect();
    let pairs = FixedSizeListArray::new(Arc::clone(&inner), 2, Arc::new(pairs), None);
    let outer = Arc::new(Field::new("item", pairs_type(&inner), true));
    let nested = FixedSizeListArray::new(outer, 2, Arc::new(pairs), None);
    let holes: Float32Array =
        ids.iter().flat_map(|id| [Some(*id as f32), some(id).map(|id| id as f32)]).collect();
    let holes = FixedSizeListArray::new(Arc::clone(&item), 2, Arc::new(holes), None);
    let list = |id: &i64| some(id).map(|id| (0..id % 5).map(Some).collect::<Vec<_>>());
    let texts: Vec<String> =
        ids.iter().map(|id| "é".repeat(usize::try_from(id % 7).unwrap())).collect();
    let flags: BooleanArray = ids.iter().map(|id| Some(id % 2 == 0)).collect();
    let short: Vec<[u8; 3]> = ids.iter().map(|id| [u8::try_from(id % 250).unwrap(); 3]).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(ids.clone()))),
        ("tensor", Arc::new(tensor)),
        ("nested", Arc::new(nested)),
        ("holes", Arc::new(holes)),
        ("maybe", Arc::new(ids.iter().map(some).collect::<Int64Array>())),
        (
            "small",
            Arc::new(ids.iter().map(|id| i8::try_from(id % 100).ok()).collect::<Int8Array>()),
        ),
        ("real", Arc::new(Float64Array::from_iter_values(ids.iter().map(|id| *id as f64 / 7.0)))),
        (
            "money",
            Arc::new(Decimal128Array::from_iter_values(ids.iter().map(|id| i128::from(*id)))),
        ),
        ("flag", Arc::new(flags)),
        ("text", Arc::new(StringArray::from(texts.clone()))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(ids.iter().map(list)))),
        (
            "large",
            Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>(ids.iter().map(list))),
        ),
        (
            "word",
            Arc::new(texts.iter().map(String::as_str).collect::<DictionaryArray<Int32Type>>()),
        ),
        (
            "bytes",
            Arc::new(if short.is_empty() {
                FixedSizeBinaryArray::new(
                    3,
                    arrow::buffer::Buffer::from_vec(Vec::<u8>::new()),
                    None,
                )
            } else {
                FixedSizeBinaryArray::try_from_iter(short.into_iter()).unwrap()
            }),
        ),
        (
            "pair",
            Arc::new(StructArray::from(vec![(
                Arc::new(Field::new("id", DataType::Int64, true)),
                Arc::new(ids.iter().map(some).collect::<Int64Array>()) as ArrayRef,
            )])),
        ),
    ];
    let said = HashMap::from([
        ("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned()),
        ("ARROW:extension:metadata".to_owned(), r#"{"shape":[2,3]}"#.to_owned()),
    ]);
    let fields = columns.iter().map(|(name, array)| {
        let field = Field::new(*name, array.data_type().clone(), *name != "id");
        if *name == "tensor" { field.with_metadata(said.clone()) } else { field }
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

fn pairs_type(item: &Arc<Field>) -> DataType {
    DataType::FixedSizeList(Arc::clone(item), 2)
}
