//! Functions of PostgreSQL that clients call, as expressions of SQL.

use super::super::settings::VERSION;
use super::super::system::type_names;
use super::{Facts, literal, parsed, parts, text_of};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, ObjectNamePart,
};

/// No text.
const NOTHING: &str = "CAST(NULL AS VARCHAR)";

/// The name of a type by its number, which is an expression.
pub(super) fn type_name(oid: &str) -> String {
    let mut text = format!("CASE ({oid})");
    for (oid, name) in type_names() {
        text.push_str(&format!(" WHEN {oid} THEN {}", literal(&name)));
    }
    text.push_str(" ELSE '???' END");
    text
}

/// The number of a type by its name, which is an expression.
pub(super) fn type_number(name: &str) -> String {
    format!("(SELECT max(t.oid) FROM pg_catalog.pg_type t WHERE t.typname = {name})")
}

/// The number of a table by its name.
pub(super) fn table_number(name: &str) -> String {
    let name = name.replace('"', "");
    let (dataset, table) = match name.rsplit_once('.') {
        Some((before, table)) => {
            let dataset = before.rsplit_once('.').map_or(before, |(_, dataset)| dataset);
            (format!(" AND n.nspname = {}", literal(dataset)), table)
        }
        None => (String::new(), name.as_str()),
    };
    format!(
        "(SELECT max(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = {}{dataset})",
        literal(table)
    )
}

/// The number of a table by its name, which is a parameter.
pub(super) fn table_number_of(parameter: &str) -> String {
    format!(
        "(SELECT max(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = {parameter} OR n.nspname || '.' || c.relname = {parameter})"
    )
}

/// The expression in the place of a call; none where the engine knows the function.
pub(super) fn instead(function: &Function, facts: &Facts<'_>) -> Option<Expr> {
    let mut names = parts(&function.name);
    let name = names.pop()?;
    let of_catalog = match names.as_slice() {
        [] => false,
        [schema] if schema == "pg_catalog" => true,
        _ => return None,
    };
    let arguments: Vec<&Expr> = match &function.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect::<Option<_>>()
            .unwrap_or_default(),
        _ => vec![],
    };
    if let Some(text) = text(&name, &arguments, facts) {
        return parsed(&text);
    }
    // A function that the engine has, with the schema that it has not.
    of_catalog.then(|| {
        let mut function = function.clone();
        let last = function.name.0.pop();
        function.name = ObjectName(last.into_iter().collect::<Vec<ObjectNamePart>>());
        Expr::Function(function)
    })
}

fn text(name: &str, arguments: &[&Expr], facts: &Facts<'_>) -> Option<String> {
    Some(match (name, arguments) {
        ("version", []) => literal(&format!(
            "PostgreSQL {VERSION} (Tarn {}, which is none: one SQL over scientific files)",
            env!("CARGO_PKG_VERSION")
        )),
        ("current_database" | "current_catalog", []) => literal(facts.lab),
        ("current_schema", []) => NOTHING.to_owned(),
        ("current_schemas", _) => "make_array('pg_catalog')".to_owned(),
        ("current_user" | "session_user" | "current_role" | "user", []) => literal(facts.user),
        ("pg_backend_pid", []) => facts.process.to_string(),
        ("pg_get_userbyid", _) => literal("tarn"),
        ("pg_encoding_to_char", _) => literal("UTF8"),
        (
            "pg_is_in_recovery"
            | "pg_is_other_temp_schema"
            | "pg_relation_is_publishable"
            | "pg_index_column_has_property",
            _,
        ) => "false".to_owned(),
        ("pg_my_temp_schema" | "txid_current" | "pg_current_xact_id", []) => {
            "CAST(0 AS BIGINT)".to_owned()
        }
        (
            "pg_relation_size"
            | "pg_total_relation_size"
            | "pg_table_size"
            | "pg_indexes_size"
            | "pg_database_size"
            | "pg_stat_get_live_tuples",
            _,
        ) => "CAST(NULL AS BIGINT)".to_owned(),
        (
            "pg_size_pretty"
            | "obj_description"
            | "col_description"
            | "shobj_description"
            | "pg_tablespace_location"
            | "inet_server_addr"
            | "inet_client_addr"
            | "pg_get_serial_sequence",
            _,
        ) => NOTHING.to_owned(),
        ("pg_get_viewdef", [oid, ..]) => format!(
            "(SELECT max(v.definition) FROM pg_catalog.pg_views v WHERE v.viewoid = ({oid}))"
        ),
        ("format_type", [oid, ..]) => type_name(&oid.to_string()),
        ("quote_ident", [name]) => format!(
            "CASE WHEN ({name}) ~ '^[a-z_][a-z0-9_]*$' THEN ({name}) ELSE '\"' || replace(({name}), '\"', '\"\"') || '\"' END"
        ),
        ("quote_literal", [text]) => {
            format!("('''' || replace(({text}), '''', '''''') || '''')")
        }
        ("current_setting", [name, ..]) => text_of(name)
            .and_then(|name| facts.settings.get(name))
            .map_or(NOTHING.to_owned(), literal),
        ("set_config", [_, value, _]) => format!("CAST(({value}) AS VARCHAR)"),
        ("to_regclass", [name]) => text_of(name).map(table_number)?,
        ("to_regtype", [name]) => type_number(&name.to_string()),
        (name, _) if name.starts_with("has_") && name.ends_with("_privilege") => "true".to_owned(),
        (name, _) if name.starts_with("pg_") && name.ends_with("_is_visible") => "true".to_owned(),
        // Definitions of what there is none of.
        (name, _) if name.starts_with("pg_get_") => NOTHING.to_owned(),
        _ => return None,
    })
}
