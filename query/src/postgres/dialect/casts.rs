//! Casts to types that only PostgreSQL's catalog has.

use super::functions::{table_number, table_number_of, type_name, type_number};
use super::{literal, parsed, parts, text_of};
use datafusion::sql::sqlparser::ast::{CastKind, DataType, Expr, Value};

/// The expression in the place of a cast; none where the engine knows the type.
pub(super) fn instead(expr: &Expr, to: &DataType) -> Option<Expr> {
    let name = match to {
        DataType::Regclass => "regclass".to_owned(),
        DataType::Custom(name, _) => {
            let mut names = parts(name);
            let name = names.pop()?;
            match names.as_slice() {
                [] => name,
                [schema] if schema == "pg_catalog" => name,
                // sql_identifier, character_data and their like.
                [schema] if schema == "information_schema" => "name".to_owned(),
                _ => return None,
            }
        }
        // ARRAY[…]::text[] of a catalog; NULL has no elements.
        _ => return None,
    };
    let cast = |data_type| {
        Some(Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(expr.clone()),
            data_type,
            array: false,
            format: None,
        })
    };
    match (name.as_str(), text_of(expr)) {
        ("regclass", Some(text)) if text.parse::<i64>().is_err() => parsed(&table_number(text)),
        ("regclass", None) if is_parameter(expr) => parsed(&table_number_of(&expr.to_string())),
        ("regtype", Some(text)) => parsed(&type_number(&literal(text))),
        ("regtype", None) => parsed(&type_name(&expr.to_string())),
        ("regnamespace", Some(text)) => parsed(&format!(
            "(SELECT max(n.oid) FROM pg_catalog.pg_namespace n WHERE n.nspname = {})",
            literal(text)
        )),
        ("regnamespace", None) => parsed(&format!(
            "(SELECT max(n.nspname) FROM pg_catalog.pg_namespace n WHERE n.oid = ({expr}))"
        )),
        ("regproc" | "regprocedure" | "regoper" | "regoperator", _) => {
            parsed("CAST(NULL AS VARCHAR)")
        }
        ("regrole", _) => parsed("'tarn'"),
        ("oid" | "regclass" | "xid" | "cid" | "int8" | "bigint", _) => cast(DataType::BigInt(None)),
        ("int4" | "integer" | "int2" | "smallint", _) => cast(DataType::Int(None)),
        ("float8", _) => cast(DataType::DoublePrecision),
        ("bool" | "boolean", _) => cast(DataType::Boolean),
        (
            "name" | "char" | "text" | "varchar" | "bpchar" | "cstring" | "aclitem" | "anyarray"
            | "pg_node_tree",
            _,
        ) => cast(DataType::Varchar(None)),
        _ => None,
    }
}

fn is_parameter(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::Placeholder(_)),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => is_parameter(expr),
        _ => false,
    }
}
