//! Files that are only in memory, and the same rows made without Tarn.

use arrow::array::{
    Array, ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, UInt8Array,
    UInt64Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use std::sync::{Arc, OnceLock};
use tarn_formats::contents::{Attribute, AttributeValue};
use tarn_formats::{
    Contents, Dimension, Format, FormatError, Grid, Reader, Region, Table, Variable,
};
use tarn_query::functions::aggregate_functions;
use tarn_query::provider::{AggregateBelowBroadcast, GridTable};
use tarn_schemas::TableOptions;

/// A file that is only in memory: variables with all their stored values.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    location: String,
    contents: Contents,
    values: Vec<(String, ArrayRef)>,
}

impl Reader for MemoryFile {
    fn location(&self) -> &str {
        &self.location
    }

    fn contents(&self) -> &Contents {
        &self.contents
    }

    fn read(&self, path: &str, region: &Region) -> Result<ArrayRef, FormatError> {
        let (_, values) = self.values.iter().find(|(own, _)| own == path).unwrap();
        let shape = self.contents.variable(path).unwrap().shape();
        assert!(region.fits(&shape), "{path}: {region:?} of {shape:?}");
        let mut places = vec![0_u64];
        for (range, length) in region.ranges().iter().zip(&shape) {
            places = places
                .iter()
                .flat_map(|place| range.clone().map(move |index| place * length + index))
                .collect();
        }
        Ok(take(values, &UInt64Array::from(places), None).unwrap())
    }
}

/// Coordinates of one dimension, of one of several types; `None` leaves the dimension to its index.
pub(crate) type Axis = Option<ArrayRef>;

/// A grid: its dimensions with their axes and lengths, its variables, the shape of their chunks.
#[derive(Debug, Clone)]
pub(crate) struct Cube {
    pub(crate) axes: Vec<(&'static str, Axis, u64)>,
    pub(crate) variables: Vec<(&'static str, ArrayRef)>,
    pub(crate) chunk: Option<Vec<u64>>,
}

/// The value that stands for NULL in a file.
fn fill(data_type: &DataType) -> ArrayRef {
    cast(&Int64Array::from(vec![101]), data_type).unwrap()
}

/// NULL as the fill value.
fn stored(values: &ArrayRef) -> ArrayRef {
    if values.null_count() == 0 {
        return values.clone();
    }
    let both =
        arrow::compute::concat(&[values.as_ref(), fill(values.data_type()).as_ref()]).unwrap();
    let last = values.len() as u64;
    let places = (0..last).map(|place| {
        let valid = values.is_valid(usize::try_from(place).unwrap());
        if valid { place } else { last }
    });
    take(&both, &UInt64Array::from_iter_values(places), None).unwrap()
}

impl Cube {
    /// The file, and the same rows as a batch.
    pub(crate) fn file(&self, location: &str) -> (MemoryFile, RecordBatch) {
        let dimension = |(name, axis, length): &(&str, Axis, u64)| Dimension {
            name: (*name).to_owned(),
            length: *length,
            unlimited: false,
            coordinate: axis.as_ref().map(|_| format!("/{name}")),
        };
        let dimensions: Vec<Dimension> = self.axes.iter().map(dimension).collect();
        let variable = |name: &str, dimensions: Vec<Dimension>, values: &ArrayRef, chunk| {
            let fill = Attribute {
                name: "_FillValue".to_owned(),
                value: AttributeValue::Numbers(fill(values.data_type())),
            };
            Variable {
                path: format!("/{name}"),
                name: name.to_owned(),
                dimensions,
                data_type: values.data_type().clone(),
                chunk_shape: chunk,
                filters: vec![],
                fallback: false,
                stored_bytes: None,
                attributes: if values.null_count() > 0 { vec![fill] } else { vec![] },
                default_fill: false,
            }
        };
        let (mut variables, mut values) = (vec![], vec![]);
        for (name, array) in &self.variables {
            variables.push(variable(name, dimensions.clone(), array, self.chunk.clone()));
            values.push((format!("/{name}"), stored(array)));
        }
        for ((name, axis, _), dimension) in self.axes.iter().zip(&dimensions) {
            if let Some(axis) = axis {
                variables.push(variable(name, vec![dimension.clone()], axis, None));
                values.push((format!("/{name}"), stored(axis)));
            }
        }
        let names: Vec<&str> = self.axes.iter().map(|(name, ..)| *name).collect();
        let contents = Contents {
            format: Format::NetCdf4,
            attributes: vec![],
            groups: vec![],
            variables,
            grids: vec![Grid {
                name: names.join("_"),
                group: "/".to_owned(),
                dimensions: dimensions.clone(),
                variables: self.variables.iter().map(|(name, _)| format!("/{name}")).collect(),
            }],
            unreadable: vec![],
        };
        let mut columns: Vec<(&str, ArrayRef)> = vec![];
        for (place, (name, axis, length)) in self.axes.iter().enumerate() {
            let inner: u64 = self.axes[place + 1..].iter().map(|(_, _, length)| length).product();
            let cells: u64 = self.axes.iter().map(|(_, _, length)| length).product();
            let indices =
                UInt64Array::from_iter_values((0..cells).map(|cell| (cell / inner) % length));
            let axis = axis.clone().unwrap_or_else(|| {
                Arc::new(Int64Array::from_iter_values(0..i64::try_from(*length).unwrap()))
            });
            columns.push((name, take(&axis, &indices, None).unwrap()));
        }
        columns.extend(self.variables.iter().map(|(name, values)| (*name, values.clone())));
        let columns = columns.into_iter().map(|(name, values)| (name, values, true));
        let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        (MemoryFile { location: location.to_owned(), contents, values }, rows)
    }
}

/// A context with `grid`, the files, and `rows`, the copy; with the engine's own rules or only
/// those of DataFusion.
pub(crate) fn context(
    files: Vec<(MemoryFile, RecordBatch)>,
    rules: bool,
    batch_size: usize,
) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(3).with_batch_size(batch_size);
    let mut builder = SessionStateBuilder::new().with_config(config).with_default_features();
    builder.aggregate_functions().get_or_insert_default().extend(aggregate_functions());
    if rules {
        builder = builder.with_physical_optimizer_rules(AggregateBelowBroadcast::rules(vec![]));
    }
    let context = SessionContext::new_with_state(builder.build());
    let schema = files[0].1.schema();
    let (readers, batches): (Vec<Arc<dyn Reader>>, Vec<RecordBatch>) =
        files.into_iter().map(|(file, rows)| (Arc::new(file) as Arc<dyn Reader>, rows)).unzip();
    let table = Table::open(&readers, &TableOptions::default()).unwrap();
    let table = GridTable::new("grid", Arc::new(table)).remembering();
    context.register_table("grid", Arc::new(table)).unwrap();
    let rows = MemTable::try_new(schema, vec![batches]).unwrap();
    context.register_table("rows", Arc::new(rows)).unwrap();
    context
}

/// All values as text, row by row.
pub(crate) async fn texts(context: &SessionContext, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let batches = async { context.sql(sql).await?.collect().await }.await;
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![];
    for batch in batches.map_err(|error| error.to_string())? {
        let columns: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect());
        }
    }
    Ok(rows)
}

/// The physical plan as text.
pub(crate) async fn plan(context: &SessionContext, sql: &str) -> String {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

/// Coordinates that are hard to get right: unsorted, doubled, NaN, infinite, signed zero.
pub(crate) fn axis(most: usize) -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        8 => (-30_i32..30).prop_map(|tenths| f64::from(tenths) / 10.0),
        1 => Just(f64::NAN),
        1 => prop_oneof![Just(f64::INFINITY), Just(-0.0), Just(0.1 + 0.2), Just(1e300)],
    ];
    (prop::collection::vec(value, 1..=most), 0..4).prop_map(|(mut values, order)| {
        match order {
            0 => values.sort_by(f64::total_cmp),
            1 => values.sort_by(|a, b| b.total_cmp(a)),
            _ => {}
        }
        values
    })
}

/// The axis in a type of coordinates, or without a coordinate variable.
pub(crate) fn typed(values: &[f64], kind: usize) -> Axis {
    match kind {
        0 => Some(Arc::new(Float64Array::from(values.to_vec()))),
        #[expect(clippy::cast_possible_truncation, reason = "rounding is what is tested")]
        1 => Some(Arc::new(values.iter().map(|v| Some(*v as f32)).collect::<Float32Array>())),
        #[expect(clippy::cast_possible_truncation, reason = "any integers do")]
        2 => Some(Arc::new(values.iter().map(|v| Some(*v as i32)).collect::<Int32Array>())),
        _ => None,
    }
}

/// Values of a variable of one of several types, NULL where there is no value. All of them are
/// multiples of 1/8 below 100, so that their sums are the same in any order.
pub(crate) fn values(eighths: &[Option<i16>], special: bool, kind: usize) -> ArrayRef {
    let floats = eighths.iter().enumerate().map(|(place, value)| {
        value.map(|value| match value {
            -7 if special => f64::NAN,
            -5 if special && place % 2 == 0 => f64::INFINITY,
            -3 if special && place % 3 == 0 => f64::NEG_INFINITY,
            -1 if special => -0.0,
            value => f64::from(value) / 8.0,
        })
    });
    let whole = eighths.iter().map(|value| value.map(|value| i64::from(value) / 8));
    match kind {
        0 => Arc::new(floats.collect::<Float64Array>()),
        #[expect(clippy::cast_possible_truncation, reason = "eighths are exact in f32")]
        1 => Arc::new(floats.map(|v| v.map(|v| v as f32)).collect::<Float32Array>()),
        2 => Arc::new(whole.map(|v| v.map(|v| i32::try_from(v).unwrap())).collect::<Int32Array>()),
        3 => Arc::new(
            whole.map(|v| v.map(|v| u8::try_from(v.abs()).unwrap())).collect::<UInt8Array>(),
        ),
        _ => Arc::new(whole.map(|v| v.map(|v| v * (1 << 57))).collect::<Int64Array>()),
    }
}

/// One runtime for all random tests.
pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap())
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (-30_i32..30).prop_map(|tenths| format!("{}", f64::from(tenths) / 10.0)),
        2 => (-3_i32..8).prop_map(|whole| whole.to_string()),
        1 => Just("NULL".to_owned()),
        1 => Just("CAST('NaN' AS DOUBLE)".to_owned()),
        1 => Just("0.30000000000000004".to_owned()),
    ]
}

fn atom() -> impl Strategy<Value = String> {
    let column = prop_oneof![3 => Just("x"), 3 => Just("y"), 2 => Just("v")];
    let operator = prop::sample::select(vec!["=", "<", "<=", ">", ">=", "<>"]);
    prop_oneof![
        6 => (column.clone(), operator.clone(), literal()).prop_map(|(c, o, l)| format!("{c} {o} {l}")),
        1 => (column.clone(), operator.clone(), literal()).prop_map(|(c, o, l)| format!("{l} {o} {c}")),
        3 => (column.clone(), any::<bool>(), literal(), literal()).prop_map(|(c, not, a, b)| {
            format!("{c} {}BETWEEN {a} AND {b}", if not { "NOT " } else { "" })
        }),
        3 => (column.clone(), any::<bool>(), prop::collection::vec(literal(), 1..4)).prop_map(
            |(c, not, l)| format!("{c} {}IN ({})", if not { "NOT " } else { "" }, l.join(", "))
        ),
        1 => column.clone().prop_map(|c| format!("{c} IS NOT NULL")),
        1 => column.clone().prop_map(|c| format!("{c} IS NULL")),
        1 => column.clone().prop_map(|c| format!("isnan(CAST({c} AS DOUBLE))")),
        2 => (column.clone(), literal()).prop_map(|(c, l)| format!("abs({c}) < {l}")),
        1 => (column.clone(), literal()).prop_map(|(c, l)| format!("CAST({c} AS REAL) = {l}")),
        1 => (column.clone(), -3..3).prop_map(|(c, l)| format!("CAST({c} AS INT) % 2 = {l}")),
        1 => (column.clone(), -3..3).prop_map(|(c, l)| format!("10 / (CAST({c} AS INT) - {l}) > 0")),
        1 => (column.clone(), operator.clone(), literal()).prop_map(|(c, o, l)| {
            format!("CASE WHEN {c} > 0 THEN {c} ELSE -{c} END {o} {l}")
        }),
        1 => (operator, literal()).prop_map(|(o, l)| format!("x + y {o} {l}")),
        1 => column.prop_map(|c| format!("{c} = (SELECT min({c}) FROM rows)")),
    ]
}

/// A random condition over `x`, `y` and `v`.
pub(crate) fn predicate() -> impl Strategy<Value = String> {
    atom().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 2..4).prop_map(|all| format!("({})", all.join(" AND "))),
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(|all| format!("({})", all.join(" OR "))),
            1 => inner.prop_map(|one| format!("NOT ({one})")),
        ]
    })
}
