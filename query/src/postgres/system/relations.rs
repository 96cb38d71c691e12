//! Tables of `pg_catalog` about datasets, tables, views and columns.

use super::super::types::ColumnType;
use super::build::{Value, batch as built};
use super::{Listing, OWNER, SYSTEM_NAMESPACE};
use crate::error::QueryError;
use arrow::array::RecordBatch;

const NAMESPACE: &str = "oid:i nspname:t nspowner:i nspacl:l";
const CLASS: &str = "oid:i relname:t relnamespace:i reltype:i reloftype:i relowner:i relam:i relfilenode:i \
    reltablespace:i relpages:i reltuples:i relallvisible:i reltoastrelid:i relhasindex:b relisshared:b \
    relpersistence:t relkind:t relnatts:i relchecks:i relhasrules:b relhastriggers:b relhassubclass:b \
    relrowsecurity:b relforcerowsecurity:b relispopulated:b relreplident:t relispartition:b relrewrite:i \
    relfrozenxid:i relminmxid:i relhasoids:b relacl:l reloptions:l relpartbound:t";
const ATTRIBUTE: &str = "attrelid:i attname:t atttypid:i attstattarget:i attlen:i attnum:i attndims:i attcacheoff:i \
    atttypmod:i attbyval:b attalign:t attstorage:t attcompression:t attnotnull:b atthasdef:b atthasmissing:b \
    attidentity:t attgenerated:t attisdropped:b attislocal:b attinhcount:i attcollation:i attacl:l attoptions:l \
    attfdwoptions:l attmissingval:l";
const TABLES: &str = "schemaname:t tablename:t tableowner:t tablespace:t hasindexes:b hasrules:b hastriggers:b \
    rowsecurity:b";
const VIEWS: &str = "schemaname:t viewname:t viewowner:t definition:t viewoid:i";

/// The columns of those that have lists.
pub(super) const COLUMNS: [&str; 3] = [NAMESPACE, CLASS, ATTRIBUTE];

/// The table of a name; none where another part makes it.
pub(super) fn batch(name: &str, listing: &Listing) -> Result<Option<RecordBatch>, QueryError> {
    Ok(Some(match name {
        "pg_namespace" => built(NAMESPACE, &namespaces(listing))?,
        "pg_class" => built(CLASS, &classes(listing))?,
        "pg_attribute" => built(ATTRIBUTE, &attributes(listing))?,
        "pg_tables" => built(TABLES, &tables(listing))?,
        "pg_views" => built(VIEWS, &views(listing))?,
        _ => return Ok(None),
    }))
}

type Row = Vec<(&'static str, Value)>;

fn namespaces(listing: &Listing) -> Vec<Row> {
    let own = listing.datasets.iter().map(|(name, number)| (name.as_str(), *number));
    let system = [("pg_catalog", SYSTEM_NAMESPACE), ("information_schema", 12_000)];
    own.chain(system)
        .map(|(name, number)| {
            vec![("oid", number.into()), ("nspname", name.into()), ("nspowner", OWNER.0.into())]
        })
        .collect()
}

fn classes(listing: &Listing) -> Vec<Row> {
    let class = |(number, relation): &(i64, super::Relation)| {
        let mut row: Row = vec![
            ("oid", (*number).into()),
            ("relname", relation.name.as_str().into()),
            ("relnamespace", listing.namespace(relation).into()),
            ("relowner", OWNER.0.into()),
            // How many rows there are is a matter of who asks.
            ("reltuples", (-1).into()),
            ("relpersistence", "p".into()),
            ("relkind", if relation.view { "v" } else { "r" }.into()),
            ("relnatts", i64::try_from(relation.schema.fields().len()).unwrap_or(i64::MAX).into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ];
        let zero = [
            "reltype",
            "reloftype",
            "relam",
            "relfilenode",
            "reltablespace",
            "relpages",
            "relallvisible",
            "reltoastrelid",
            "relchecks",
            "relrewrite",
            "relfrozenxid",
            "relminmxid",
        ];
        let no = [
            "relhasindex",
            "relisshared",
            "relhasrules",
            "relhastriggers",
            "relhassubclass",
            "relrowsecurity",
            "relforcerowsecurity",
            "relispartition",
            "relhasoids",
        ];
        row.extend(zero.map(|name| (name, 0.into())));
        row.extend(no.map(|name| (name, false.into())));
        row
    };
    listing.relations.iter().map(class).collect()
}

fn attributes(listing: &Listing) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, relation) in &listing.relations {
        for (place, field) in (1_i64..).zip(relation.schema.fields()) {
            let kind = ColumnType::of(field);
            let mut row: Row = vec![
                ("attrelid", (*number).into()),
                ("attname", field.name().as_str().into()),
                ("atttypid", i64::from(kind.oid()).into()),
                ("attstattarget", (-1).into()),
                ("attlen", i64::from(kind.length()).into()),
                ("attnum", place.into()),
                ("attndims", i64::from(kind.array).into()),
                ("attcacheoff", (-1).into()),
                ("atttypmod", i64::from(kind.modifier()).into()),
                ("attbyval", false.into()),
                ("attalign", "i".into()),
                ("attstorage", "p".into()),
                ("attnotnull", (!field.is_nullable()).into()),
                ("attislocal", true.into()),
                ("attinhcount", 0.into()),
                ("attcollation", 0.into()),
            ];
            row.extend(
                ["atthasdef", "atthasmissing", "attisdropped"].map(|name| (name, false.into())),
            );
            row.extend(
                ["attidentity", "attgenerated", "attcompression"].map(|name| (name, "".into())),
            );
            rows.push(row);
        }
    }
    rows
}

fn tables(listing: &Listing) -> Vec<Row> {
    let tables = listing.relations.iter().filter(|(_, relation)| !relation.view);
    tables
        .map(|(_, relation)| {
            let mut row: Row = vec![
                ("schemaname", relation.dataset.as_str().into()),
                ("tablename", relation.name.as_str().into()),
                ("tableowner", OWNER.1.into()),
            ];
            let no = ["hasindexes", "hasrules", "hastriggers", "rowsecurity"];
            row.extend(no.map(|name| (name, false.into())));
            row
        })
        .collect()
}

fn views(listing: &Listing) -> Vec<Row> {
    let views = listing.relations.iter().filter(|(_, relation)| relation.view);
    views
        .map(|(number, relation)| {
            let definition =
                relation.definition.as_ref().map_or(Value::Null, |sql| Value::Text(sql.clone()));
            vec![
                ("schemaname", relation.dataset.as_str().into()),
                ("viewname", relation.name.as_str().into()),
                ("viewowner", OWNER.1.into()),
                ("definition", definition),
                ("viewoid", (*number).into()),
            ]
        })
        .collect()
}
