//! Functions of PostgreSQL that clients call, as expressions of SQL. Nothing of an argument is copied: it stands once
//! in what takes the place of its call, so that calls within calls do not grow.

use super::super::settings::VERSION;
use super::tree::{
    arguments, call, cast, form, function_name, no_text, null, number, put, taken, text, text_of,
    truth,
};
use super::{Facts, udf};
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, ObjectName, ObjectNamePart, Value,
};

/// The number of a type by its name.
pub(super) fn type_number(name: Expr) -> Option<Expr> {
    form(
        "(SELECT max(tarn_number) FROM (SELECT oid AS tarn_number, typname AS tarn_name FROM pg_catalog.pg_type) \
         AS tarn_types WHERE tarn_name = tarn_argument)",
        name,
    )
}

/// The number of a table by its name.
pub(super) fn table_number(name: &str) -> Option<Expr> {
    let name = name.replace('"', "");
    let (dataset, table) = match name.rsplit_once('.') {
        Some((before, table)) => {
            let dataset = before.rsplit_once('.').map_or(before, |(_, dataset)| dataset);
            (Some(dataset), table)
        }
        None => (None, name.as_str()),
    };
    let within = match dataset {
        None => truth(true),
        Some(dataset) => form("n.nspname = tarn_argument", text(dataset))?,
    };
    let found = form(
        "(SELECT max(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = tarn_argument AND tarn_dataset)",
        text(table),
    )?;
    Some(put(found, "tarn_dataset", within))
}

/// The number of a table by its name, which is a parameter.
pub(super) fn table_number_of(parameter: usize) -> Option<Expr> {
    let parameter = Expr::value(Value::Placeholder(format!("${parameter}")));
    let found = form(
        "(SELECT max(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = tarn_argument OR n.nspname || '.' || c.relname = tarn_name)",
        parameter.clone(),
    )?;
    Some(put(found, "tarn_name", parameter))
}

/// The expression in the place of a call; none where the engine knows the function.
pub(super) fn instead(function: &mut Function, facts: &Facts) -> Option<Expr> {
    let name = function_name(function)?;
    if let Some(expr) = of(&name, &mut arguments(function), facts) {
        return Some(expr);
    }
    // A function that the engine has, with the schema that it has not.
    (function.name.0.len() > 1).then(|| {
        let mut function = function.clone();
        let last = function.name.0.pop();
        function.name = ObjectName(last.into_iter().collect::<Vec<ObjectNamePart>>());
        Expr::Function(function)
    })
}

fn of(name: &str, arguments: &mut [&mut Expr], facts: &Facts) -> Option<Expr> {
    let no_number = || null(DataType::BigInt(None));
    Some(match (name, arguments) {
        ("version", []) => text(format!(
            "PostgreSQL {VERSION} (Tarn {}, which is none: one SQL over scientific files)",
            env!("CARGO_PKG_VERSION")
        )),
        ("current_database" | "current_catalog", []) => text(&facts.lab),
        ("current_schema", []) => no_text(),
        ("current_schemas", _) => call("make_array", vec![text("pg_catalog")]),
        ("current_user" | "session_user" | "current_role" | "user", []) => text(&facts.user),
        ("pg_backend_pid", []) => number(facts.process.into()),
        ("pg_get_userbyid", _) => text("tarn"),
        ("pg_encoding_to_char", _) => text("UTF8"),
        (
            "pg_is_in_recovery"
            | "pg_is_other_temp_schema"
            | "pg_relation_is_publishable"
            | "pg_index_column_has_property",
            _,
        ) => truth(false),
        ("pg_my_temp_schema" | "txid_current" | "pg_current_xact_id", []) => {
            cast(number(0), DataType::BigInt(None))
        }
        (
            "pg_relation_size"
            | "pg_total_relation_size"
            | "pg_table_size"
            | "pg_indexes_size"
            | "pg_database_size"
            | "pg_stat_get_live_tuples"
            | "pg_stat_get_numscans"
            | "pg_sequence_last_value",
            _,
        ) => no_number(),
        (
            "pg_size_pretty"
            | "obj_description"
            | "col_description"
            | "shobj_description"
            | "pg_tablespace_location"
            | "inet_server_addr"
            | "inet_client_addr"
            | "pg_get_serial_sequence"
            // Nobody holds a lock here.
            | "pg_advisory_unlock_all",
            _,
        ) => no_text(),
        ("pg_get_viewdef", [oid, ..]) => form(
            "(SELECT max(tarn_text) FROM (SELECT viewoid AS tarn_number, definition AS tarn_text FROM \
             pg_catalog.pg_views) AS tarn_views WHERE tarn_number = tarn_argument)",
            taken(oid),
        )?,
        // The schemas that are looked through are one.
        ("array_upper", [array, _]) if is_current_schemas(array) => number(1),
        ("array_upper", [array, side]) => {
            cast(call("array_length", vec![taken(array), taken(side)]), DataType::BigInt(None))
        }
        ("array_lower", [array, side]) => {
            let length = call("array_length", vec![taken(array), taken(side)]);
            cast(call("least", vec![length, number(1)]), DataType::BigInt(None))
        }
        ("current_setting", [name, ..]) => {
            text_of(name).and_then(|name| facts.settings.get(name)).map_or_else(no_text, text)
        }
        ("set_config", [_, value, _]) => cast(taken(value), DataType::Varchar(None)),
        ("to_regclass", [name]) => table_number(text_of(name)?)?,
        ("to_regtype", [name]) => type_number(taken(name))?,
        (name, [.., on, privilege])
            if matches!(
                name,
                "has_table_privilege" | "has_column_privilege" | "has_any_column_privilege"
            ) =>
        {
            table_privilege(name, on, privilege)?
        }
        (name, [.., privilege]) if name.starts_with("has_") && name.ends_with("_privilege") => {
            call(udf::PRIVILEGE, vec![taken(privilege)])
        }
        (name, _) if name.starts_with("pg_") && name.ends_with("_is_visible") => truth(true),
        // Definitions of what there is none of.
        (name, _) if name.starts_with("pg_get_") && name != "pg_get_keywords" => no_text(),
        _ => return None,
    })
}

fn is_current_schemas(expr: &Expr) -> bool {
    // Its call was looked at before, and is a list now.
    matches!(expr, Expr::Function(function) if function_name(function).as_deref() == Some("make_array"))
}

/// Whether one may do something with a table, which has to be there if it is named.
fn table_privilege(function: &str, on: &mut Expr, privilege: &mut Expr) -> Option<Expr> {
    let named = text_of(on)
        .filter(|name| function != "has_column_privilege" && name.parse::<i64>().is_err());
    let Some(name) = named.map(str::to_owned) else {
        return Some(call(udf::PRIVILEGE, vec![taken(privilege)]));
    };
    let number = table_number(&name)?;
    Some(call(udf::PRIVILEGE_ON, vec![taken(privilege), number, text(name)]))
}
