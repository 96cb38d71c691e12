//! Conditions of the caller, below the guard and above it.

use super::*;
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Field;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{col, lit};
use datafusion::physical_plan::{ExecutionPlanProperties, collect};
use datafusion::prelude::{SessionConfig, SessionContext};

/// Ten rows, of which the policy shows those below eight, in so many partitions.
fn table(partitions: usize) -> GuardedTable {
    let schema = Arc::new(Schema::new(vec![
        Field::new("i", DataType::Int64, true),
        Field::new("t", DataType::Utf8, true),
    ]));
    let numbers = Int64Array::from_iter_values(0..10);
    let texts = StringArray::from_iter_values((0..10).map(|i| format!("t{i}")));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(numbers), Arc::new(texts)])
        .unwrap();
    let mut parts = vec![vec![]; partitions];
    parts[0].push(batch);
    GuardedTable {
        name: "lab.d.t".into(),
        inner: Arc::new(MemTable::try_new(Arc::clone(&schema), parts).unwrap()),
        columns: schema
            .fields()
            .iter()
            .map(|f| Expr::Column(Column::from_name(f.name())))
            .collect(),
        schema,
        rows: vec![col("i").lt(lit(8_i64))],
        steady: true,
        disclosed: None,
    }
}

fn context(partitions: usize) -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions))
}

async fn texts(table: &GuardedTable, filters: &[Expr], limit: Option<usize>) -> Vec<String> {
    let context = context(2);
    let plan = table.scan(&context.state(), Some(&vec![1]), filters, limit).await.unwrap();
    assert_eq!(plan.schema().fields().len(), 1);
    let mut texts = Vec::new();
    for batch in collect(plan, context.task_ctx()).await.unwrap() {
        let column = arrow::array::AsArray::as_string::<i32>(batch.column(0)).iter();
        texts.extend(column.map(|text| text.unwrap().to_owned()));
    }
    texts.sort();
    texts
}

#[tokio::test]
async fn every_condition_that_is_given_is_held_against_the_rows() {
    let table = table(1);
    let (below, above) = (col("i").gt(lit(2_i64)), (col("i") % lit(2_i64)).eq(lit(0_i64)));
    let answers = table.supports_filters_pushdown(&[&below, &above]).unwrap();
    assert_eq!(
        answers,
        [TableProviderFilterPushDown::Exact, TableProviderFilterPushDown::Unsupported]
    );
    assert_eq!(
        texts(&table, std::slice::from_ref(&below), None).await,
        ["t3", "t4", "t5", "t6", "t7"]
    );
    // One that was said to go below may come written anew.
    assert_eq!(texts(&table, &[below.clone(), above.clone()], None).await, ["t4", "t6"]);
    // A limit is of the rows that are left by all of them.
    assert_eq!(texts(&table, &[above], Some(1)).await, ["t0", "t2", "t4", "t6"]);
    assert_eq!(texts(&table, &[below], Some(1)).await.len(), 1);
}

#[tokio::test]
async fn plans_show_the_same_partitions_whatever_is_scanned() {
    for scanned in [1, 2, 5] {
        let context = context(3);
        let plan = table(scanned).scan(&context.state(), None, &[], None).await.unwrap();
        assert_eq!(plan.output_partitioning().partition_count(), 3);
        assert!(plan.children().is_empty());
    }
}
