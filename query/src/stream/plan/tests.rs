use super::super::source::{Source, memory::Memory};
use super::*;
use arrow::array::{ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::prelude::SessionContext;
use std::collections::HashMap;

/// `rows` rows in blocks of 7: `id` counts them, `image` is a 2x2 tensor of `id`.
fn source(rows: i64) -> Arc<dyn Source> {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let tensor = Field::new("image", DataType::FixedSizeList(Arc::clone(&item), 4), false)
        .with_metadata(HashMap::from([
            ("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned()),
            ("ARROW:extension:metadata".to_owned(), r#"{"shape":[2,2]}"#.to_owned()),
        ]));
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), tensor]));
    let ids: Vec<i64> = (0..rows).collect();
    let batches = ids
        .chunks(7)
        .map(|ids| {
            let values = ids.iter().flat_map(|id| [*id as f32; 4]).collect::<Vec<_>>();
            let values: ArrayRef = Arc::new(Float32Array::from(values));
            let images = FixedSizeListArray::new(Arc::clone(&item), 4, values, None);
            let ids = Arc::new(Int64Array::from(ids.to_vec()));
            RecordBatch::try_new(Arc::clone(&schema), vec![ids, Arc::new(images)]).unwrap()
        })
        .collect();
    Arc::new(Memory::new(batches))
}

fn blocks() -> Blocks {
    Blocks::new(&crate::engine::EngineConfig::default())
}

async fn plan(request: &StreamRequest) -> Result<Plan, QueryError> {
    let table = "lab.data.images".parse().unwrap();
    let state = SessionContext::new().state();
    let table = TablePlan::over([7; 32], table, source(100), &state, request).await?;
    Plan::over([7; 32], vec![Arc::new(table)], request)
}

fn all(plan: &Plan, request: &StreamRequest) -> Vec<Row> {
    plan.rows(request, 0).read(0, 100).0
}

async fn ids(request: &StreamRequest) -> Vec<i64> {
    let plan = plan(request).await.unwrap();
    let rows = all(&plan, request);
    let batch = plan.gather(&blocks(), &rows).await.unwrap();
    assert_eq!(batch.schema(), *plan.schema());
    batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

#[tokio::test]
async fn without_shuffling_rows_come_in_the_order_of_the_table() {
    let request = StreamRequest { shuffle: false, ..StreamRequest::new("x") };
    assert_eq!(ids(&request).await, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn shuffled_rows_come_once_each_and_tensors_stay_with_their_rows() {
    let request = StreamRequest { seed: 3, ..StreamRequest::new("x") };
    let plan = plan(&request).await.unwrap();
    let rows = all(&plan, &request);
    let batch = plan.gather(&blocks(), &rows).await.unwrap();
    let ids = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_ne!(ids, (0..100).collect::<Vec<_>>());
    for (row, id) in ids.iter().enumerate() {
        let image = batch.column(1).as_fixed_size_list().value(row);
        let expected: ArrayRef = Arc::new(Float32Array::from(vec![*id as f32; 4]));
        assert_eq!(&image, &expected);
    }
    let mut sorted = ids;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    let field = plan.schema().field(1);
    assert_eq!(field.metadata()["ARROW:extension:name"], "arrow.fixed_shape_tensor");
}

#[tokio::test]
async fn a_filter_leaves_rows_out_and_keeps_the_order_of_the_rest() {
    let all = ids(&StreamRequest { seed: 5, ..StreamRequest::new("x") }).await;
    let filter = Some("id % 3 = 0 and id < 80".to_owned());
    let some = ids(&StreamRequest { seed: 5, filter, ..StreamRequest::new("x") }).await;
    let expected: Vec<i64> = all.into_iter().filter(|id| id % 3 == 0 && *id < 80).collect();
    assert_eq!(some, expected);
}

#[tokio::test]
async fn a_condition_must_be_one_and_depend_on_the_row_alone() {
    for (filter, problem) in [
        ("id", "not a condition"),
        ("nothing = 1", "nothing"),
        ("id > random()", "changes from call to call"),
        ("id > (select 1)", "filter of the stream"),
        ("sum(id) > 1", "filter of the stream"),
        ("id >", "filter of the stream"),
    ] {
        let request = StreamRequest { filter: Some(filter.to_owned()), ..StreamRequest::new("x") };
        let error = plan(&request).await.unwrap_err();
        assert!(matches!(error, QueryError::Invalid(_)), "{filter}: {error:?}");
        assert!(error.to_string().contains(problem), "{filter}: {error}");
    }
}

#[tokio::test]
async fn unknown_and_doubled_columns_are_refused() {
    for columns in [vec!["id", "ID"], vec!["id", "id"]] {
        let columns = Some(columns.into_iter().map(str::to_owned).collect());
        let request = StreamRequest { columns, ..StreamRequest::new("x") };
        assert!(matches!(plan(&request).await, Err(QueryError::Invalid(_))));
    }
}

#[tokio::test]
async fn a_batch_beyond_the_limit_and_a_start_beyond_the_end_are_refused() {
    let request = StreamRequest { start: 101, ..StreamRequest::new("x") };
    assert!(matches!(plan(&request).await.unwrap().admit(&request), Err(QueryError::Invalid(_))));
    let request = StreamRequest { batch_size: 1 << 20, ..StreamRequest::new("x") };
    let tensors = i32::try_from(BATCH_BYTES >> 20).unwrap() / 4;
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let values: ArrayRef =
        Arc::new(Float32Array::from(vec![0.0; usize::try_from(tensors).unwrap()]));
    let wide: ArrayRef = Arc::new(FixedSizeListArray::new(item, tensors, values, None));
    for (columns, fits) in
        [(vec![("a", Arc::clone(&wide))], true), (vec![("a", wide.clone()), ("b", wide)], false)]
    {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let (table, state) = ("lab.data.wide".parse().unwrap(), SessionContext::new().state());
        let source = Arc::new(Memory::new(vec![batch]));
        let table = TablePlan::over([7; 32], table, source, &state, &request).await.unwrap();
        let plan = Plan::over([7; 32], vec![Arc::new(table)], &request).unwrap();
        let admitted = plan.admit(&request);
        assert_eq!(matches!(admitted, Err(QueryError::ResourceExhausted(_))), !fits);
    }
}
