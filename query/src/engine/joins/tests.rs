//! The same rows in every order.

use super::sizes::Size;
use super::*;
use arrow::array::{ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::util::display::array_value_to_string;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::TableScan;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

/// Rows of a table: a key, two that refer to others, a number, a text and a day, any of them NULL.
type Row = (Option<i64>, Option<i64>, Option<i32>, Option<i64>, Option<u8>, Option<i32>);

fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    let small = || prop::option::weighted(0.8, 0..6_i64);
    let row = (
        small(),
        small(),
        prop::option::weighted(0.8, 0..6_i32),
        prop::option::weighted(0.9, -3..9_i64),
        prop::option::weighted(0.8, 0..3_u8),
        prop::option::weighted(0.8, 0..40_i32),
    );
    prop::collection::vec(row, 0..most)
}

fn table(rows: &[Row]) -> RecordBatch {
    let text = |letter: u8| char::from(b'a' + letter).to_string();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>())),
        ("f", Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>())),
        ("g", Arc::new(rows.iter().map(|row| row.2).collect::<Int32Array>())),
        ("v", Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>())),
        ("t", Arc::new(rows.iter().map(|row| row.4.map(text)).collect::<StringArray>())),
        ("d", Arc::new(rows.iter().map(|row| row.5).collect::<Date32Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

fn context(tables: &[(&str, &Vec<Row>)]) -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    for (name, rows) in tables {
        let batch = table(rows);
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        context.register_table(*name, Arc::new(table)).unwrap();
    }
    context
}

/// The rows of a plan as text, sorted.
async fn answer(context: &SessionContext, plan: &LogicalPlan) -> Vec<String> {
    let state = context.state();
    let physical = state.query_planner().create_physical_plan(plan, &state).await.unwrap();
    let batches = collect(physical, state.task_ctx()).await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let texts = batch.columns().iter().map(|c| array_value_to_string(c, row).unwrap());
            rows.push(texts.collect::<Vec<_>>().join("|"));
        }
    }
    rows.sort();
    rows
}

/// The optimized plan, and the same in another order if there is a better one for tables of these sizes.
fn plans(
    context: &SessionContext,
    written: &LogicalPlan,
    sizes: &HashMap<String, f64>,
) -> Transformed<LogicalPlan> {
    let known = |scan: &TableScan| {
        let rows = *sizes.get(scan.table_name.table())?;
        let columns = vec![Values::new(rows, None); scan.projected_schema.fields().len()];
        Some(Size { rows, columns })
    };
    let optimized = context.state().optimize(written).unwrap();
    let reordered = reordered(optimized, &known).unwrap();
    let names = |plan: &LogicalPlan| plan.schema().columns();
    assert_eq!(names(&reordered.data), names(&context.state().optimize(written).unwrap()));
    reordered
}

const STATEMENTS: &[&str] = &[
    "SELECT a.k, b.v, c.t, a.d FROM a, b, c WHERE a.f = b.k AND b.f = c.k AND a.v > 1",
    "SELECT * FROM a JOIN b ON a.f = b.k JOIN c ON b.g = c.k JOIN d ON c.t = d.t",
    "SELECT count(*) FROM a, b, c, d WHERE a.k = b.k AND b.k = c.k AND c.k = d.k",
    "SELECT a.t, sum(c.v), count(*) FROM a, b, c WHERE a.f = b.k AND a.g = c.g AND b.t = c.t
     AND a.v < c.v GROUP BY a.t",
    "SELECT a.k, d.k FROM a, b, c, d WHERE a.f = b.k AND b.f = c.k AND c.f = d.k
     AND (a.t = 'a' AND d.t = 'b' OR a.t = 'b' AND d.t = 'a')",
    "SELECT x.k, y.k, z.v FROM a x, a y, a z WHERE x.f = y.k AND y.f = z.k AND x.d < z.d",
    "SELECT a.k FROM a, b, c WHERE a.f = b.k AND b.f = c.k
     AND EXISTS (SELECT 1 FROM d, b e, c g WHERE d.k = a.k AND e.k = d.f AND e.f = g.k)",
    "SELECT a.k, s.n FROM a, b, (SELECT f, count(*) AS n FROM c GROUP BY f) s
     WHERE a.f = b.k AND s.f = b.f AND s.n > 1",
    "SELECT a.k, b.k, c.v FROM a JOIN b ON a.f = b.k LEFT JOIN c ON c.k = b.f JOIN d ON d.k = a.k",
    "SELECT a.v + c.v AS s FROM a, b, c, d WHERE a.k = b.k AND a.f = b.f AND b.g = c.g AND c.d = d.d
     AND d.v BETWEEN 0 AND 5 AND (SELECT max(x.v) FROM a x, b y, c z WHERE x.k = y.k AND y.f = z.f) > 2",
    "SELECT a.k FROM a JOIN b ON a.k IS NOT DISTINCT FROM b.k JOIN c ON b.f = c.f JOIN d ON d.k = c.k",
    "SELECT DISTINCT d.t FROM d, c, b, a WHERE d.k = c.f AND c.k = b.f AND b.k = a.f ORDER BY 1 LIMIT 2",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn another_order_gives_the_same_rows(
        a in rows(30), b in rows(20), c in rows(20), d in rows(12),
        sizes in prop::collection::vec(1.0..1e6_f64, 4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let context = context(&[("a", &a), ("b", &b), ("c", &c), ("d", &d)]);
            let names = ["a", "b", "c", "d"].map(str::to_owned);
            let sizes: HashMap<String, f64> = names.into_iter().zip(sizes).collect();
            for statement in STATEMENTS {
                let written = context.state().create_logical_plan(statement).await.unwrap();
                let expected = answer(&context, &context.state().optimize(&written).unwrap()).await;
                let reordered = plans(&context, &written, &sizes).data;
                assert_eq!(answer(&context, &reordered).await, expected, "{statement}\n{reordered}");
            }
        });
    }
}

/// Sizes that make the written order of `a, b, c, d` the worst.
fn falling() -> HashMap<String, f64> {
    [("a", 1e6), ("b", 1e5), ("c", 1e3), ("d", 10.0)].map(|(n, rows)| (n.to_owned(), rows)).into()
}

async fn changes(statement: &str) -> bool {
    let nothing = vec![];
    let context = context(&[("a", &nothing), ("b", &nothing), ("c", &nothing), ("d", &nothing)]);
    let written = context.state().create_logical_plan(statement).await.unwrap();
    plans(&context, &written, &falling()).transformed
}

#[tokio::test]
async fn large_tables_that_are_written_first_are_not_joined_first() {
    for statement in [
        "SELECT a.v FROM a, b, c, d WHERE a.f = b.k AND b.f = c.k AND c.f = d.k AND d.v = 1",
        "SELECT a.v FROM a JOIN b ON a.f = b.k JOIN c ON b.f = c.k WHERE c.v = 1 AND a.d < b.d",
    ] {
        assert!(changes(statement).await, "{statement}");
    }
}

#[tokio::test]
async fn what_could_fail_elsewhere_or_is_no_inner_join_keeps_its_place() {
    for statement in [
        // Two tables are in the order that the planner chooses by itself.
        "SELECT a.v FROM a, b WHERE a.f = b.k AND b.v = 1",
        // A key, or a condition, that may fail on rows that the written order never meets.
        "SELECT a.v FROM a JOIN b ON a.f = b.k JOIN c ON 10 / b.v = c.k WHERE c.v = 1",
        "SELECT a.v FROM a JOIN b ON a.f = b.k JOIN c ON b.f = c.k AND 10 / (a.v - c.v) > 1",
        "SELECT a.v FROM a JOIN b ON a.f = b.k JOIN c ON CAST(b.t AS BIGINT) = c.k WHERE c.v = 1",
        // Other joins.
        "SELECT a.v FROM a LEFT JOIN b ON a.f = b.k LEFT JOIN c ON b.f = c.k",
        "SELECT a.v FROM a FULL JOIN b ON a.f = b.k FULL JOIN c ON b.f = c.k",
        // No key between two of them.
        "SELECT a.v FROM a CROSS JOIN b CROSS JOIN c",
        // A table of which nothing is known, such as another lab's.
        "SELECT a.v FROM a, unnest([1, 2]) AS u(k), b, c
         WHERE a.k = u.k AND a.f = b.k AND b.f = c.k AND c.v = 1",
    ] {
        assert!(!changes(statement).await, "{statement}");
    }
}
