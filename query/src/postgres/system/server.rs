//! Tables of `pg_catalog` about types, databases, roles and settings.

use super::super::settings::Settings;
use super::super::types::PgType;
use super::build::{Value, batch as built};
use super::{Listing, OWNER, SYSTEM_NAMESPACE};
use crate::error::QueryError;
use arrow::array::RecordBatch;

const TYPE: &str = "oid:i typname:t typnamespace:i typowner:i typlen:i typbyval:b typtype:t typcategory:t \
    typispreferred:b typisdefined:b typdelim:t typrelid:i typsubscript:t typelem:i typarray:i typinput:t typoutput:t \
    typreceive:t typsend:t typmodin:t typmodout:t typanalyze:t typalign:t typstorage:t typnotnull:b typbasetype:i \
    typtypmod:i typndims:i typcollation:i typdefaultbin:t typdefault:t typacl:l";
const DATABASE: &str = "oid:i datname:t datdba:i encoding:i datlocprovider:t datistemplate:b datallowconn:b \
    datconnlimit:i datlastsysoid:i datfrozenxid:i datminmxid:i dattablespace:i datcollate:t datctype:t \
    daticulocale:t datcollversion:t datacl:l";
const ROLES: &str = "rolname:t rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b \
    rolconnlimit:i rolpassword:t rolvaliduntil:t rolbypassrls:b rolconfig:l oid:i";
const USER: &str = "usename:t usesysid:i usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:t \
    useconfig:l";
const SETTINGS: &str = "name:t setting:t unit:t category:t short_desc:t extra_desc:t context:t vartype:t source:t \
    min_val:t max_val:t enumvals:l boot_val:t reset_val:t sourcefile:t sourceline:i pending_restart:b";
const AM: &str = "oid:i amname:t amhandler:t amtype:t";
const TABLESPACE: &str = "oid:i spcname:t spcowner:i spcacl:l spcoptions:l";

const KEYWORDS: &str = "word:t catcode:t barelabel:b catdesc:t baredesc:t";

/// Words of SQL that are no names, for clients that put others in quotes.
const RESERVED: [&str; 40] = [
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "case",
    "cast",
    "cross",
    "desc",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "right",
    "select",
    "true",
    "union",
    "where",
];

/// Types beside those of values that clients look up: number, array, name, length, category.
const OTHERS: [(i64, i64, &str, i64, &str); 7] = [
    (18, 1002, "char", 1, "Z"),
    (19, 1003, "name", 64, "S"),
    (705, 0, "unknown", -2, "X"),
    (1042, 1014, "bpchar", -1, "S"),
    (1043, 1015, "varchar", -1, "S"),
    (2950, 2951, "uuid", 16, "U"),
    (3802, 3807, "jsonb", -1, "U"),
];

/// The columns of those that have lists.
pub(super) const COLUMNS: [&str; 6] = [TYPE, DATABASE, ROLES, USER, SETTINGS, TABLESPACE];

type Row = Vec<(&'static str, Value)>;

/// Numbers of types, and their names in SQL.
pub(crate) fn type_names() -> Vec<(i64, String)> {
    let own = PgType::ALL
        .into_iter()
        .map(PgType::known)
        .map(|known| (i64::from(known.oid), i64::from(known.array), known.said.to_owned()));
    let others = OTHERS.into_iter().map(|(oid, array, name, ..)| {
        let said = match name {
            "char" => "\"char\"",
            "bpchar" => "character",
            "varchar" => "character varying",
            name => name,
        };
        (oid, array, said.to_owned())
    });
    own.chain(others)
        .flat_map(|(oid, array, said)| {
            let many = format!("{said}[]");
            [(oid, said), (array, many)]
        })
        .filter(|(oid, _)| *oid != 0)
        .collect()
}

/// The table of a name; none where another part makes it.
pub(super) fn batch(name: &str, listing: &Listing) -> Result<Option<RecordBatch>, QueryError> {
    Ok(Some(match name {
        "pg_type" => built(TYPE, &types())?,
        "pg_database" => built(DATABASE, &databases(listing))?,
        "pg_roles" => {
            let no = ["rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls"];
            let mut row: Row = vec![
                ("oid", OWNER.0.into()),
                ("rolname", OWNER.1.into()),
                ("rolinherit", true.into()),
                ("rolcanlogin", false.into()),
                ("rolconnlimit", (-1).into()),
            ];
            row.extend(no.map(|name| (name, false.into())));
            built(ROLES, &[row])?
        }
        "pg_user" => {
            let no = ["usecreatedb", "usesuper", "userepl", "usebypassrls"];
            let mut row: Row = vec![("usename", OWNER.1.into()), ("usesysid", OWNER.0.into())];
            row.extend(no.map(|name| (name, false.into())));
            built(USER, &[row])?
        }
        "pg_settings" => {
            let settings = Settings::new("", "");
            let row = |(name, value): (&str, &str)| -> Row {
                vec![
                    ("name", name.into()),
                    ("setting", value.into()),
                    ("context", "user".into()),
                    ("vartype", "string".into()),
                    ("source", "default".into()),
                    ("pending_restart", false.into()),
                ]
            };
            built(SETTINGS, &settings.all().map(row).collect::<Vec<_>>())?
        }
        "pg_get_keywords" => {
            let row = |word: &str| -> Row {
                vec![
                    ("word", word.into()),
                    ("catcode", "R".into()),
                    ("barelabel", true.into()),
                    ("catdesc", "reserved".into()),
                    ("baredesc", "can be bare label".into()),
                ]
            };
            built(KEYWORDS, &RESERVED.map(row))?
        }
        "pg_am" => built(
            AM,
            &[vec![("oid", 2.into()), ("amname", "heap".into()), ("amtype", "t".into())]],
        )?,
        "pg_tablespace" => built(
            TABLESPACE,
            &[vec![
                ("oid", 1663.into()),
                ("spcname", "pg_default".into()),
                ("spcowner", OWNER.0.into()),
            ]],
        )?,
        _ => return Ok(None),
    }))
}

fn types() -> Vec<Row> {
    let mut rows = Vec::new();
    let own = PgType::ALL.into_iter().map(PgType::known).map(|known| {
        let (oid, array) = (i64::from(known.oid), i64::from(known.array));
        (oid, array, known.name, i64::from(known.length), known.category)
    });
    for (oid, array, name, length, category) in own.chain(OTHERS) {
        rows.push(a_type(oid, name.to_owned(), length, category, (0, array)));
        if array != 0 {
            rows.push(a_type(array, format!("_{name}"), -1, "A", (oid, 0)));
        }
    }
    rows
}

fn a_type(oid: i64, name: String, length: i64, category: &str, (elem, array): (i64, i64)) -> Row {
    let mut row: Row = vec![
        ("oid", oid.into()),
        ("typname", Value::Text(name)),
        ("typnamespace", SYSTEM_NAMESPACE.into()),
        ("typowner", OWNER.0.into()),
        ("typlen", length.into()),
        ("typtype", "b".into()),
        ("typcategory", category.into()),
        ("typisdefined", true.into()),
        ("typdelim", ",".into()),
        ("typelem", elem.into()),
        ("typarray", array.into()),
        ("typinput", if elem == 0 { "in" } else { "array_in" }.into()),
        ("typoutput", if elem == 0 { "out" } else { "array_out" }.into()),
        ("typreceive", if elem == 0 { "recv" } else { "array_recv" }.into()),
        ("typtypmod", (-1).into()),
    ];
    row.extend(
        ["typrelid", "typbasetype", "typndims", "typcollation"].map(|name| (name, 0.into())),
    );
    row.extend(["typbyval", "typispreferred", "typnotnull"].map(|name| (name, false.into())));
    row
}

fn databases(listing: &Listing) -> Vec<Row> {
    let database = |(place, lab): (i64, &String)| {
        vec![
            ("oid", place.saturating_add(5).into()),
            ("datname", lab.as_str().into()),
            ("datdba", OWNER.0.into()),
            ("encoding", 6.into()),
            ("datlocprovider", "c".into()),
            ("datistemplate", false.into()),
            ("datallowconn", (*lab == listing.lab).into()),
            ("datconnlimit", (-1).into()),
            ("dattablespace", 1663.into()),
            ("datcollate", "C.UTF-8".into()),
            ("datctype", "C.UTF-8".into()),
        ]
    };
    (0_i64..).zip(&listing.labs).map(database).collect()
}
