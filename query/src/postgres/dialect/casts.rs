//! Casts to types that only PostgreSQL's catalog has.

use super::super::interval::in_words;
use super::functions::{table_number, table_number_of, type_number};
use super::tree::{cast, form, no_text, parameter_of, parts, taken, text, text_of};
use super::udf;
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType, Expr, Value};

/// The name that a type has in the catalog; none for those of SQL.
fn catalog_name(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Regclass => Some("regclass".to_owned()),
        DataType::Custom(name, _) => {
            let mut names = parts(name);
            let name = names.pop()?;
            match names.as_slice() {
                [] => Some(name),
                [schema] if schema == "pg_catalog" => Some(name),
                // sql_identifier, character_data and their like.
                [schema] if schema == "information_schema" => Some("name".to_owned()),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The parameter that an expression is, casts left out.
fn parameter_within(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => parameter_within(expr),
        other => parameter_of(other),
    }
}

/// What the elements of an array are for the engine, where their type is one of the catalog.
fn element_type(name: &str) -> Option<DataType> {
    match name {
        "oid" | "xid" | "cid" => Some(DataType::BigInt(None)),
        "name" | "char" | "cstring" => Some(DataType::Varchar(None)),
        _ => None,
    }
}

/// The expression in the place of a cast; none where the engine knows the type.
pub(super) fn instead(expr: &mut Expr, to: &DataType) -> Option<Expr> {
    if let DataType::Array(ArrayElemTypeDef::SquareBracket(element, size)) = to
        && let Some(element) = element_type(&catalog_name(element)?)
    {
        let array = ArrayElemTypeDef::SquareBracket(Box::new(element), *size);
        return Some(cast(taken(expr), DataType::Array(array)));
    }
    match to {
        DataType::Uuid | DataType::JSON | DataType::JSONB => {
            return Some(cast(taken(expr), DataType::Varchar(None)));
        }
        DataType::Interval { .. } => {
            let words = in_words(text_of(expr)?);
            return Some(cast(text(words), to.clone()));
        }
        DataType::Bytea => {
            let digits = text_of(expr)?.strip_prefix("\\x")?;
            let pairs = digits.len().is_multiple_of(2);
            let all = pairs && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            return all.then(|| Expr::value(Value::HexStringLiteral(digits.to_owned())));
        }
        _ => {}
    }
    let name = catalog_name(to)?;
    let literal = text_of(expr).map(str::to_owned);
    match (name.as_str(), literal) {
        ("regclass", Some(name)) if name.parse::<i64>().is_err() => table_number(&name),
        ("regclass", None) if parameter_within(expr).is_some() => {
            table_number_of(parameter_within(expr)?)
        }
        ("regtype", Some(name)) => type_number(text(name)),
        ("regtype", None) => Some(super::tree::call(udf::FORMAT_TYPE, vec![taken(expr)])),
        ("regnamespace", Some(name)) => form(
            "(SELECT max(tarn_number) FROM (SELECT oid AS tarn_number, nspname AS tarn_name \
             FROM pg_catalog.pg_namespace) AS tarn_names WHERE tarn_name = tarn_argument)",
            text(name),
        ),
        ("regnamespace", None) => form(
            "(SELECT max(tarn_name) FROM (SELECT oid AS tarn_number, nspname AS tarn_name \
             FROM pg_catalog.pg_namespace) AS tarn_names WHERE tarn_number = tarn_argument)",
            taken(expr),
        ),
        // Functions are called by their names in the catalog.
        ("regproc" | "regprocedure", Some(name)) => {
            Some(text(name.strip_prefix("pg_catalog.").unwrap_or(&name)))
        }
        ("regproc" | "regprocedure" | "regoper" | "regoperator", _) => Some(no_text()),
        ("regrole", _) => Some(text("tarn")),
        ("oid" | "regclass" | "xid" | "cid" | "int8" | "bigint", _) => {
            Some(cast(taken(expr), DataType::BigInt(None)))
        }
        ("int4" | "integer" | "int2" | "smallint", _) => {
            Some(cast(taken(expr), DataType::Int(None)))
        }
        ("float8", _) => Some(cast(taken(expr), DataType::DoublePrecision)),
        ("bool" | "boolean", _) => Some(cast(taken(expr), DataType::Boolean)),
        (
            "name" | "char" | "text" | "varchar" | "bpchar" | "cstring" | "aclitem" | "anyarray"
            | "pg_node_tree",
            _,
        ) => Some(cast(taken(expr), DataType::Varchar(None))),
        _ => None,
    }
}
