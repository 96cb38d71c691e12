//! `information_schema` with the names of types that clients of PostgreSQL know, for this lab alone.

use super::super::types::{ColumnType, PgType};
use super::build::{Value, batch as built};
use super::{Listing, OWNER};
use crate::error::QueryError;
use arrow::array::RecordBatch;

const TABLES: &str = "table_catalog:t table_schema:t table_name:t table_type:t self_referencing_column_name:t \
    reference_generation:t user_defined_type_catalog:t user_defined_type_schema:t user_defined_type_name:t \
    is_insertable_into:t is_typed:t commit_action:t";
const COLUMNS: &str = "table_catalog:t table_schema:t table_name:t column_name:t ordinal_position:i \
    column_default:t is_nullable:t data_type:t character_maximum_length:i character_octet_length:i \
    numeric_precision:i numeric_precision_radix:i numeric_scale:i datetime_precision:i interval_type:t \
    interval_precision:i character_set_name:t collation_name:t domain_name:t udt_catalog:t udt_schema:t \
    udt_name:t is_identity:t identity_generation:t is_generated:t generation_expression:t is_updatable:t";
const SCHEMATA: &str = "catalog_name:t schema_name:t schema_owner:t default_character_set_catalog:t \
    default_character_set_schema:t default_character_set_name:t sql_path:t";
const VIEWS: &str = "table_catalog:t table_schema:t table_name:t view_definition:t check_option:t is_updatable:t \
    is_insertable_into:t";

type Row = Vec<(&'static str, Value)>;

/// The table of a name; none where another part makes it.
pub(super) fn batch(name: &str, listing: &Listing) -> Result<Option<RecordBatch>, QueryError> {
    let lab = listing.lab.as_str();
    Ok(Some(match name {
        "information_schema_tables" => built(TABLES, &tables(listing))?,
        "information_schema_columns" => built(COLUMNS, &columns(listing))?,
        "information_schema_schemata" => {
            let schema = |(name, _): (&String, &i64)| -> Row {
                vec![
                    ("catalog_name", lab.into()),
                    ("schema_name", name.as_str().into()),
                    ("schema_owner", OWNER.1.into()),
                ]
            };
            built(SCHEMATA, &listing.datasets.iter().map(schema).collect::<Vec<_>>())?
        }
        "information_schema_views" => {
            let views = listing.relations.iter().filter(|(_, relation)| relation.view);
            let view = |(_, relation): &(i64, super::Relation)| -> Row {
                let definition = relation
                    .definition
                    .as_ref()
                    .map_or(Value::Null, |sql| Value::Text(sql.clone()));
                vec![
                    ("table_catalog", lab.into()),
                    ("table_schema", relation.dataset.as_str().into()),
                    ("table_name", relation.name.as_str().into()),
                    ("view_definition", definition),
                    ("check_option", "NONE".into()),
                    ("is_updatable", "NO".into()),
                    ("is_insertable_into", "NO".into()),
                ]
            };
            built(VIEWS, &views.map(view).collect::<Vec<_>>())?
        }
        _ => return Ok(None),
    }))
}

fn tables(listing: &Listing) -> Vec<Row> {
    let table = |(_, relation): &(i64, super::Relation)| {
        vec![
            ("table_catalog", listing.lab.as_str().into()),
            ("table_schema", relation.dataset.as_str().into()),
            ("table_name", relation.name.as_str().into()),
            ("table_type", if relation.view { "VIEW" } else { "BASE TABLE" }.into()),
            ("is_insertable_into", "NO".into()),
            ("is_typed", "NO".into()),
        ]
    };
    listing.relations.iter().map(table).collect()
}

fn columns(listing: &Listing) -> Vec<Row> {
    let mut rows = Vec::new();
    for (_, relation) in &listing.relations {
        for (place, field) in (1_i64..).zip(relation.schema.fields()) {
            let kind = ColumnType::of(field);
            let (bits, radix) = match kind.element {
                PgType::Int2 => (16, 2),
                PgType::Int4 => (32, 2),
                PgType::Int8 => (64, 2),
                PgType::Float4 => (24, 2),
                PgType::Float8 => (53, 2),
                _ => (0, 0),
            };
            let number = |value: i64| if value > 0 { Value::Int(value) } else { Value::Null };
            let name = kind.element.known().name;
            rows.push(vec![
                ("table_catalog", listing.lab.as_str().into()),
                ("table_schema", relation.dataset.as_str().into()),
                ("table_name", relation.name.as_str().into()),
                ("column_name", field.name().as_str().into()),
                ("ordinal_position", place.into()),
                ("is_nullable", if field.is_nullable() { "YES" } else { "NO" }.into()),
                (
                    "data_type",
                    Value::Text(if kind.array { "ARRAY".to_owned() } else { kind.said() }),
                ),
                ("numeric_precision", number(bits)),
                ("numeric_precision_radix", number(radix)),
                ("udt_catalog", listing.lab.as_str().into()),
                ("udt_schema", "pg_catalog".into()),
                (
                    "udt_name",
                    Value::Text(if kind.array { format!("_{name}") } else { name.to_owned() }),
                ),
                ("is_identity", "NO".into()),
                ("is_generated", "NEVER".into()),
                ("is_updatable", "NO".into()),
            ]);
        }
    }
    rows
}
