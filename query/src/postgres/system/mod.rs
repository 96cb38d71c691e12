//! `pg_catalog` and `information_schema` as clients of PostgreSQL know them, made of what a principal may know.
//!
//! A database is this lab, a schema a dataset. Each statement makes the tables that it names anew, out of the same list
//! that SHOW TABLES is made of, so that nothing can be known here that cannot be known there; numbers of tables are
//! made of their names and say nothing of what else there is.

mod absent;
mod build;
mod information;
mod relations;
mod server;

pub(super) use absent::is_always_empty;
pub(super) use server::type_names;

use crate::engine::Session;
use crate::error::QueryError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

/// The schema that the tables are in.
pub(crate) const SCHEMA: &str = "pg_catalog";
/// Numbers below are PostgreSQL's own.
const FIRST_FREE: i64 = 16_384;
/// The number of the schema `pg_catalog`.
const SYSTEM_NAMESPACE: i64 = 11;
/// The number and the name of whoever owns everything.
const OWNER: (i64, &str) = (10, "tarn");

/// A table or view that may be known of.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) dataset: String,
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) view: bool,
    /// The query of a view, where it may be told.
    pub(crate) definition: Option<String>,
}

/// What a principal may know, with numbers.
#[derive(Debug)]
struct Listing {
    lab: String,
    labs: BTreeSet<String>,
    /// Datasets by name.
    datasets: BTreeMap<String, i64>,
    relations: Vec<(i64, Relation)>,
}

/// A number for a name, which stays the same as long as the name does.
fn number(taken: &mut BTreeSet<i64>, name: &str) -> i64 {
    let hash = blake3::hash(name.as_bytes());
    let [a, b, c, d, ..] = hash.as_bytes();
    let mut number = i64::from(u32::from_be_bytes([*a, *b, *c, *d]) >> 1).max(FIRST_FREE);
    while !taken.insert(number) {
        number = number.saturating_add(1);
    }
    number
}

impl Listing {
    fn new(lab: String, labs: BTreeSet<String>, mut relations: Vec<Relation>) -> Self {
        relations.sort_by(|a, b| (&a.dataset, &a.name).cmp(&(&b.dataset, &b.name)));
        let mut taken = BTreeSet::new();
        let names: BTreeSet<String> =
            relations.iter().map(|relation| relation.dataset.clone()).collect();
        let datasets = names
            .into_iter()
            .map(|name| {
                let number = number(&mut taken, &name);
                (name, number)
            })
            .collect();
        let relations = relations
            .into_iter()
            .map(|relation| {
                let name = format!("{}\n{}", relation.dataset, relation.name);
                (number(&mut taken, &name), relation)
            })
            .collect();
        Self { lab, labs, datasets, relations }
    }

    fn namespace(&self, relation: &Relation) -> i64 {
        self.datasets.get(&relation.dataset).copied().unwrap_or(0)
    }
}

/// The table of a name, for whoever asks; none where there is no such table.
pub(crate) async fn table(
    session: &Session,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
    if let Some(columns) = absent::columns(name) {
        return Ok(Some(provider(build::batch(columns, &[])?)?));
    }
    if !is_table(name) {
        return Ok(None);
    }
    let lab = session.lab().map(ToString::to_string).unwrap_or_default();
    let mut labs = BTreeSet::from([lab.clone()]);
    // Other labs are databases, which nobody connects to here.
    if name == "pg_database" {
        labs.extend(session.tables().await?.into_iter().map(|(table, _)| table.lab.to_string()));
    }
    let listing = Listing::new(lab, labs, session.relations().await?);
    let batch = relations::batch(name, &listing)?;
    let batch = match batch {
        Some(batch) => Some(batch),
        None => match information::batch(name, &listing)? {
            Some(batch) => Some(batch),
            None => server::batch(name, &listing)?,
        },
    };
    batch.map(provider).transpose()
}

fn provider(batch: RecordBatch) -> Result<Arc<dyn TableProvider>, QueryError> {
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

/// Tables that say something; others are there and always empty.
const TABLES: [&str; 17] = [
    "pg_get_keywords",
    "pg_namespace",
    "pg_class",
    "pg_attribute",
    "pg_tables",
    "pg_views",
    "pg_type",
    "pg_database",
    "pg_roles",
    "pg_user",
    "pg_settings",
    "pg_am",
    "pg_tablespace",
    "information_schema_tables",
    "information_schema_columns",
    "information_schema_schemata",
    "information_schema_views",
];

/// Columns that are lists, which are always NULL: nobody has an access list, an option or a key here.
static LISTS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let tables = absent::all().chain(relations::COLUMNS).chain(server::COLUMNS);
    let columns = tables.flat_map(str::split_whitespace);
    columns.filter_map(|column| column.strip_suffix(":l")).collect()
});

/// Whether a column of this name is such a list.
pub(super) fn is_list(name: &str) -> bool {
    LISTS.contains(name)
}

/// Whether there is a table of this name.
pub(super) fn is_table(name: &str) -> bool {
    TABLES.contains(&name) || is_always_empty(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};

    fn relation(dataset: &str, name: &str) -> Relation {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]));
        Relation {
            dataset: dataset.to_owned(),
            name: name.to_owned(),
            schema,
            view: false,
            definition: None,
        }
    }

    #[test]
    fn a_table_keeps_its_number_whatever_else_there_is() {
        let number = |relations: Vec<Relation>| {
            let listing = Listing::new("ornl".to_owned(), BTreeSet::new(), relations);
            let found = listing.relations.iter().find(|(_, relation)| relation.name == "t");
            found.map(|(number, _)| *number).unwrap()
        };
        let alone = number(vec![relation("d", "t")]);
        assert!(alone >= FIRST_FREE && alone <= i64::from(i32::MAX));
        assert_eq!(alone, number(vec![relation("d", "a"), relation("d", "t"), relation("e", "x")]));
    }

    #[test]
    fn every_table_can_be_made() {
        let listing = Listing::new(
            "ornl".to_owned(),
            BTreeSet::from(["ornl".to_owned()]),
            vec![relation("d", "t")],
        );
        for name in TABLES {
            let made = [
                relations::batch(name, &listing).unwrap(),
                information::batch(name, &listing).unwrap(),
                server::batch(name, &listing).unwrap(),
            ];
            assert_eq!(made.iter().flatten().count(), 1, "{name}");
            assert!(is_table(name), "{name}");
        }
        for name in absent::names() {
            assert!(build::batch(absent::columns(name).unwrap(), &[]).is_ok(), "{name}");
        }
    }
}
