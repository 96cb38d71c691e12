//! Backup and restore: the whole database as lines of JSON, the same for both engines.
//!
//! ```text
//! {"tarn_backup": 1, "schema": 1, "lab": "ornl", "at": "…", "config": "…"}
//! {"table": "ark", "columns": ["ark", "dataset", "minted_at"]}
//! ["ark:/99999/…", "sst", "…"]
//! …
//! {"end": {"rows": 17, "blake3": "…"}}
//! ```
//!
//! It is read in one snapshot, so that a node may go on writing. The last line holds the hash of
//! every byte before it: a backup that was cut or changed is refused before anything is written.
//! Secrets of peers are in it, so it is to be kept like the home itself.

use super::columns::Kind::{self, Integer, Real, Text};
use super::columns::TABLES;
use super::{Database, Engine};
use crate::CatalogError;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction, ValueRef};
use std::io::{BufRead, Write};

/// The first line of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Version of the format.
    pub(crate) tarn_backup: u32,
    /// Schema version of the database.
    pub(crate) schema: usize,
    /// Whose catalog it is.
    pub(crate) lab: String,
    /// When it was made, RFC 3339.
    pub(crate) at: String,
    /// Text of `tarn.toml`.
    pub(crate) config: String,
}

#[derive(Serialize, Deserialize)]
struct TableLine {
    table: String,
    columns: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct EndLine {
    end: End,
}

#[derive(Serialize, Deserialize)]
struct End {
    rows: u64,
    blake3: String,
}

const FORMAT: u32 = 1;

/// What a backup holds and does not bring back.
const FORGOTTEN: [&str; 4] = [
    // They were signed by the key of another home. Who kept them somewhere else still can compare.
    "DELETE FROM audit_head",
    // Who logged out after the backup was made is not to be let in again by it.
    "DELETE FROM login_session",
    "DELETE FROM login_said",
    // A one-time token that was used after the backup was made is not to work again.
    "DELETE FROM administrator_token",
];

/// Its rows are not restored: what was being written when the backup was made is another home's, and may be a
/// table of that by now.
const NOT_RESTORED: &str = "table_folder";

fn broken(problem: impl std::fmt::Display) -> CatalogError {
    CatalogError::Backup(problem.to_string())
}

/// Writes lines and knows what was written.
struct Lines<W> {
    to: W,
    hash: blake3::Hasher,
    rows: u64,
}

impl<W: Write> Lines<W> {
    fn line(&mut self, line: &impl Serialize) -> Result<(), CatalogError> {
        let mut text = serde_json::to_vec(line).map_err(broken)?;
        text.push(b'\n');
        self.hash.update(&text);
        self.to.write_all(&text).map_err(broken)
    }
}

impl Database {
    /// Writes everything; returns the number of rows.
    pub(crate) async fn dump(
        &self,
        to: impl Write,
        lab: &str,
        at: String,
        config: String,
    ) -> Result<u64, CatalogError> {
        let mut lines = Lines { to, hash: blake3::Hasher::new(), rows: 0 };
        let mut read = self.read().await?;
        let schema = self.schema_version(&mut read).await?;
        let header = Header { tarn_backup: FORMAT, schema, lab: lab.to_owned(), at, config };
        lines.line(&header)?;
        for (table, columns) in TABLES {
            let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
            let select = format!("SELECT {} FROM {table}", names.join(", "));
            lines.line(&TableLine { table: (*table).to_owned(), columns: names })?;
            // Made of names of this file alone.
            let mut rows = sqlx::query(sqlx::AssertSqlSafe(select)).fetch(&mut *read);
            while let Some(row) = rows.try_next().await.map_err(|error| self.error(&error))? {
                let values = columns
                    .iter()
                    .map(|(name, kind)| self.value(&row, name, *kind))
                    .collect::<Result<Vec<_>, _>>()?;
                lines.line(&values)?;
                lines.rows = lines.rows.saturating_add(1);
            }
        }
        let end = End { rows: lines.rows, blake3: lines.hash.finalize().to_hex().to_string() };
        lines.line(&EndLine { end })?;
        lines.to.flush().map_err(broken)?;
        Ok(lines.rows)
    }

    fn value(&self, row: &AnyRow, name: &str, kind: Kind) -> Result<Value, CatalogError> {
        Ok(match kind {
            Text => self.optional_text(row, name)?.map_or(Value::Null, Value::String),
            Integer => {
                let stored = row.try_get_raw(name).map_err(|error| self.error(&error))?;
                if stored.is_null() { Value::Null } else { self.number::<i64>(row, name)?.into() }
            }
            Real => {
                let number: f64 = row.try_get(name).map_err(|error| self.error(&error))?;
                Value::String(format!("{number:?}"))
            }
        })
    }

    /// Fills an empty database with a backup that [`check`] found whole, under the catalog id given,
    /// in one transaction.
    pub(crate) async fn fill(
        &self,
        backup: impl BufRead,
        catalog_id: &str,
    ) -> Result<u64, CatalogError> {
        let mut lines = backup.lines();
        let mut next = || lines.next().transpose().map_err(broken);
        let header: Header = parse(&next()?.unwrap_or_default())?;
        let mut write = self.write().await?;
        if self.schema_version(&mut write.transaction).await? != 0 {
            return Err(CatalogError::Conflict(format!(
                "{} is not empty: restore into a new home, or a new database",
                self.engine().place()
            )));
        }
        self.apply(&mut write.transaction, 0, header.schema).await?;
        let (mut into, mut rows) = (None::<(String, Vec<(&'static str, Kind)>, bool)>, 0_u64);
        while let Some(line) = next()? {
            if line.starts_with('[') {
                let (insert, columns, restored) =
                    into.as_ref().ok_or_else(|| broken("a row stands before its table"))?;
                if *restored {
                    self.insert_row(&mut write.transaction, insert, columns, &line).await?;
                }
                rows = rows.saturating_add(1);
            } else if let Ok(table) = serde_json::from_str::<TableLine>(&line) {
                let (insert, columns) = insert_into(&table)?;
                into = Some((insert, columns, table.table != NOT_RESTORED));
            }
        }
        for statement in FORGOTTEN {
            sqlx::query(statement)
                .execute(&mut *write.transaction)
                .await
                .map_err(|error| self.error(&error))?;
        }
        sqlx::query("UPDATE lab SET catalog_id = $1")
            .bind(catalog_id)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| self.error(&error))?;
        if let Engine::Postgres(_) = self.engine() {
            sqlx::query(
                "SELECT setval(pg_get_serial_sequence('change', 'sequence'),
                               coalesce(max(sequence), 0) + 1, false) FROM change",
            )
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| self.error(&error))?;
        }
        write.commit().await?;
        self.migrate().await?;
        Ok(rows)
    }

    async fn insert_row(
        &self,
        transaction: &mut Transaction<'static, Any>,
        insert: &str,
        columns: &[(&'static str, Kind)],
        line: &str,
    ) -> Result<(), CatalogError> {
        let values: Vec<Value> = parse(line)?;
        if values.len() != columns.len() {
            return Err(broken("a row has another number of values than its table has columns"));
        }
        // Made of names of this file alone.
        let mut query = sqlx::query(sqlx::AssertSqlSafe(insert.to_owned()));
        for ((name, kind), value) in columns.iter().zip(values) {
            let wrong = || broken(format!("{name} holds a value of another type"));
            query = match (kind, value) {
                (Text, Value::Null) => query.bind(None::<String>),
                (Text, Value::String(text)) => query.bind(text),
                (Integer, Value::Null) => query.bind(None::<i64>),
                (Integer, value) => query.bind(value.as_i64().ok_or_else(wrong)?),
                (Real, Value::String(text)) => {
                    query.bind(text.parse::<f64>().map_err(|_| wrong())?)
                }
                _ => return Err(wrong()),
            };
        }
        query.execute(&mut **transaction).await.map_err(|error| self.error(&error))?;
        Ok(())
    }
}

fn parse<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, CatalogError> {
    serde_json::from_str(line).map_err(|error| broken(format!("a line cannot be read: {error}")))
}

/// The statement for rows of a table, and its columns. Only names that this file knows come into it.
fn insert_into(line: &TableLine) -> Result<(String, Vec<(&'static str, Kind)>), CatalogError> {
    let unknown = |what: &str| {
        broken(format!("it has {what:?}, which this version does not know: use a newer tarn"))
    };
    let (table, known) = TABLES
        .iter()
        .find(|(table, _)| *table == line.table)
        .ok_or_else(|| unknown(&line.table))?;
    let columns = line
        .columns
        .iter()
        .map(|name| {
            known.iter().find(|(known, _)| known == name).copied().ok_or_else(|| unknown(name))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=columns.len()).map(|place| format!("${place}")).collect();
    let insert =
        format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
    Ok((insert, columns))
}

/// Reads a backup to its end: whether it is one, whole and unchanged.
pub(crate) fn check(mut backup: impl BufRead) -> Result<Header, CatalogError> {
    let mut hash = blake3::Hasher::new();
    let (mut header, mut rows, mut line) = (None::<Header>, 0_u64, String::new());
    loop {
        line.clear();
        if backup.read_line(&mut line).map_err(broken)? == 0 {
            return Err(broken("it ends too early: it was cut, or is no backup of Tarn"));
        }
        let Some(first) = &header else {
            let first: Header = serde_json::from_str(&line)
                .map_err(|_| broken("it does not begin as a backup of Tarn does"))?;
            if first.tarn_backup != FORMAT {
                return Err(broken("it was made by a newer tarn: use that one"));
            }
            header = Some(first);
            hash.update(line.as_bytes());
            continue;
        };
        if let Ok(EndLine { end }) = serde_json::from_str(&line) {
            let same =
                blake3::Hash::from_hex(&end.blake3).is_ok_and(|said| said == hash.finalize());
            if !same || rows != end.rows {
                return Err(broken("it was changed since it was made: its hash does not fit"));
            }
            line.clear();
            if backup.read_line(&mut line).map_err(broken)? != 0 {
                return Err(broken("something was written behind its end"));
            }
            return Ok(first.clone());
        }
        rows = rows.saturating_add(u64::from(line.starts_with('[')));
        hash.update(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[tokio::test]
    async fn every_column_of_the_schema_is_backed_up() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::sqlite(folder.path());
        let Engine::Sqlite(path) = &engine else { panic!() };
        std::fs::write(path, "").unwrap();
        let database = Database::open(engine).await.unwrap();
        database.migrate().await.unwrap();
        let rows = sqlx::query(
            "SELECT m.name AS table_name, p.name AS column_name, p.type AS kind
             FROM sqlite_schema m JOIN pragma_table_info(m.name) p
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
        )
        .fetch_all(database.pool())
        .await
        .unwrap();
        let mut found: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        for row in rows {
            let column = (row.get("column_name"), row.get("kind"));
            found.entry(row.get("table_name")).or_default().insert(column);
        }
        let known: BTreeMap<String, BTreeSet<(String, String)>> = TABLES
            .iter()
            .map(|(table, columns)| {
                let columns = columns
                    .iter()
                    .map(|(name, kind)| ((*name).to_owned(), format!("{kind:?}").to_uppercase()));
                ((*table).to_owned(), columns.collect())
            })
            .collect();
        assert_eq!(found, known);
    }

    #[test]
    fn names_that_are_not_ours_never_reach_the_database() {
        let line = |table: &str, column: &str| TableLine {
            table: table.to_owned(),
            columns: vec![column.to_owned()],
        };
        assert!(insert_into(&line("ark", "ark")).is_ok());
        for (table, column) in
            [("ark; DROP TABLE lab", "ark"), ("ark", "ark) VALUES (1); --"), ("sqlite_schema", "x")]
        {
            assert!(insert_into(&line(table, column)).is_err());
        }
    }
}
