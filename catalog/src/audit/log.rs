//! Writing and reading the log.

use super::entry::{Said, hash};
use super::merkle::{self, Hash, Node};
use super::{AuditEntry, hash_of, hexadecimal};
use crate::people::check_subject;
use crate::register::timestamp;
use crate::store::{Database, Rows, Write};
use crate::{Catalog, CatalogError};
use chrono::{DateTime, Utc};
use sqlx::{Any, Row, Transaction};
use std::collections::BTreeMap;
use tarn_schemas::{DatasetRef, Principal, Scope};

/// Most entries of one answer.
const MOST: u32 = 1000;

/// Which entries are asked for, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Those of this person (`owner`, `person:ann`, `visitor:anl:bob`).
    pub person: Option<String>,
    /// Those about this dataset, in all its versions.
    pub dataset: Option<DatasetRef>,
    /// Those at or after this moment.
    pub since: Option<DateTime<Utc>>,
    /// Those before this moment.
    pub until: Option<DateTime<Utc>>,
    /// Those from this number on.
    pub from: u64,
    /// At most so many; 1,000 at most.
    pub limit: Option<u32>,
}

impl Write<'_> {
    /// Adds an entry. It is there if and only if the rest of this transaction is.
    pub(crate) async fn note(&mut self, said: Said) -> Result<(), CatalogError> {
        self.note_all(vec![said]).await
    }

    /// Adds entries, in this order.
    pub(crate) async fn note_all(&mut self, said: Vec<Said>) -> Result<(), CatalogError> {
        let database = self.database();
        let mut count = count(database, &mut self.transaction).await?;
        let mut last = merkle::empty();
        if let Some(position) = count.checked_sub(1) {
            last = node(database, &mut self.transaction, Node { level: 0, position }).await?;
        }
        // The full subtrees that these entries join, the largest first: of one entry those for the
        // trailing ones of the count, of several all.
        let mut peaks = Vec::new();
        let joined = if said.len() > 1 { u64::BITS } else { count.trailing_ones() };
        for at in merkle::peaks(0, count).into_iter().filter(|at| at.level < joined) {
            peaks.push(node(database, &mut self.transaction, at).await?);
        }
        let (mut entries, mut nodes) = (Rows::new(), Rows::new());
        for said in said {
            let entry = said.entry(count, timestamp(Utc::now()), &last);
            let text =
                entry.text().map_err(|error| database.unreadable("an audit entry", &error))?;
            let leaf = hash(&text);
            for (Node { level, position }, full) in merkle::append(&mut peaks, count, leaf) {
                nodes.push([
                    i64::from(level).into(),
                    stored(position).into(),
                    stored(count).into(),
                    hexadecimal(&full).into(),
                ]);
            }
            entries.push([
                stored(count).into(),
                entry.at.as_str().into(),
                entry.person.as_str().into(),
                entry.act.name().into(),
                entry.about().map(str::to_owned).into(),
                text.into(),
            ]);
            last = leaf;
            count = count.saturating_add(1);
        }
        entries.insert(self, "INTO audit (sequence, at, person, act, dataset, entry)").await?;
        nodes.insert(self, "INTO audit_node (level, position, filled_by, hash)").await
    }
}

/// The condition of entries about a dataset, or that name it among several, by parameters from this one on.
fn about(place: usize) -> String {
    let (first, other) = (place.saturating_add(1), place.saturating_add(2));
    format!(
        " AND (dataset = ${place} OR (dataset IS NULL AND act = 'describe'
           AND (entry LIKE ${first} ESCAPE '\\' OR entry LIKE ${other} ESCAPE '\\')))"
    )
}

/// A number as databases store it; 2^63 entries are not reached.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Number of entries.
pub(super) async fn count(
    database: &Database,
    transaction: &mut Transaction<'static, Any>,
) -> Result<u64, CatalogError> {
    let row = sqlx::query("SELECT coalesce(max(sequence), -1) + 1 AS entries FROM audit")
        .fetch_one(&mut **transaction)
        .await
        .map_err(|error| database.error(&error))?;
    database.number(&row, "entries")
}

/// The hash of a full subtree.
async fn node(
    database: &Database,
    transaction: &mut Transaction<'static, Any>,
    node: Node,
) -> Result<Hash, CatalogError> {
    let row = sqlx::query("SELECT hash FROM audit_node WHERE level = $1 AND position = $2")
        .bind(i64::from(node.level))
        .bind(stored(node.position))
        .fetch_optional(&mut **transaction)
        .await
        .map_err(|error| database.error(&error))?;
    let hash = match row {
        Some(row) => hash_of(&database.text(&row, "hash")?),
        None => None,
    };
    hash.ok_or_else(|| {
        database.problem(
            "the audit log has lost a part of its tree: nothing is done that could not be \
             accounted for. `tarn audit verify` says where",
        )
    })
}

/// The hashes of runs of leaves.
pub(super) async fn hashes(
    database: &Database,
    transaction: &mut Transaction<'static, Any>,
    runs: &[merkle::Run],
) -> Result<Vec<Hash>, CatalogError> {
    let mut nodes = BTreeMap::new();
    for &(from, to) in runs {
        for at in merkle::peaks(from, to) {
            nodes.insert(at, node(database, transaction, at).await?);
        }
    }
    // Every node of every run was fetched above.
    merkle::hashes(runs, &nodes).ok_or_else(|| database.problem("a part of the tree is missing"))
}

impl Catalog {
    /// Whether a principal may read the log: the owner and administrators.
    pub(crate) fn may_audit(who: &Principal) -> Result<(), CatalogError> {
        if who.has_scope(Scope::Admin) {
            return Ok(());
        }
        Err(CatalogError::Denied(
            "the audit log is for administrators: it needs a token of this lab with scope admin"
                .to_owned(),
        ))
    }

    /// Entries of the log, the oldest first.
    pub async fn audit(
        &self,
        who: &Principal,
        filter: &AuditFilter,
    ) -> Result<Vec<AuditEntry>, CatalogError> {
        Self::may_audit(who)?;
        if let Some(person) = &filter.person
            && !["owner", "anonymous"].contains(&person.as_str())
        {
            check_subject(person)?;
        }
        let database = &self.inner.database;
        let (mut conditions, mut texts) = (String::new(), Vec::new());
        let mut and = |condition: &str, text: Option<String>| {
            if let Some(text) = text {
                texts.push(text);
                conditions.push_str(&format!(" AND {condition} ${}", texts.len()));
            }
        };
        and("person =", filter.person.clone());
        and("at >=", filter.since.map(timestamp));
        and("at <", filter.until.map(timestamp));
        if let Some(wanted) = &filter.dataset {
            let lab = wanted.lab.as_ref().unwrap_or(self.lab());
            let name = format!("{lab}.{}", wanted.name);
            let place = texts.len().saturating_add(1);
            conditions.push_str(&about(place));
            // What was shown of several at once names them with spaces between; no name has one.
            let named = name.replace('_', "\\_");
            texts.push(name);
            texts.push(format!("%\"datasets\":\"{named}@%"));
            texts.push(format!("%\"datasets\":\"% {named}@%\",\"door\":%"));
        }
        let limit = filter.limit.unwrap_or(MOST).min(MOST);
        // Conditions are texts of this function; what was asked for is bound.
        let statement = format!(
            "SELECT entry FROM audit WHERE sequence >= {}{conditions} ORDER BY sequence LIMIT {limit}",
            stored(filter.from)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
        for text in texts {
            query = query.bind(text);
        }
        let rows =
            query.fetch_all(database.pool()).await.map_err(|error| database.error(&error))?;
        rows.iter()
            .map(|row| {
                let text: String = row.try_get("entry").map_err(|error| database.error(&error))?;
                serde_json::from_str(&text)
                    .map_err(|error| database.unreadable("an audit entry", &error))
            })
            .collect()
    }

    /// The hashes that prove that an entry is in the log of the first `size` entries (RFC 9162,
    /// 2.1.3), in hexadecimal.
    pub async fn audit_inclusion(
        &self,
        sequence: u64,
        size: u64,
    ) -> Result<Vec<String>, CatalogError> {
        self.proof(merkle::inclusion(sequence, size), size).await
    }

    /// The hashes that prove that the log of `first` entries is the beginning of that of `second`
    /// (RFC 9162, 2.1.4), in hexadecimal.
    pub async fn audit_consistency(
        &self,
        first: u64,
        second: u64,
    ) -> Result<Vec<String>, CatalogError> {
        self.proof(merkle::consistency(first, second), second).await
    }

    async fn proof(
        &self,
        runs: Option<Vec<merkle::Run>>,
        size: u64,
    ) -> Result<Vec<String>, CatalogError> {
        let database = &self.inner.database;
        let mut read = database.read().await?;
        let count = count(database, &mut read).await?;
        let Some(runs) = runs.filter(|_| size <= count) else {
            return Err(CatalogError::Argument(format!(
                "the log has {count} entries, numbered from 0: ask about what is in it, and about \
                 sizes from 1 to {count}"
            )));
        };
        let hashes = hashes(database, &mut read, &runs).await?;
        Ok(hashes.iter().map(|hash| hexadecimal(hash)).collect())
    }
}
