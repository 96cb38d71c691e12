//! Queries that people keep under a citable identifier: the text, the versions of the tables that it
//! reads, and what the answer was. What stands under an identifier never changes.
//!
//! A saved query gives nobody rights: whoever runs it is asked for theirs then. It is known of by its owner
//! and by those whom it is shared with, as far as these may know of every table that it reads; to all
//! others it does not exist, because its text names tables. What the answer was (its number of rows and its
//! checksum) is told to those alone who may read the same of every table: the checksum of a single
//! number is soon guessed.

use crate::audit::{Act, Said};
use crate::decision::{Action, may_be_kept_for};
use crate::obligation::Obligation;
use crate::policy::{Rights, subject};
use crate::register::timestamp;
use crate::saved_searches::check_name;
use crate::store::{Rows, Write};
use crate::views::View;
use crate::{Catalog, CatalogError, ark};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::{DatasetName, DatasetRef, Principal, TableName};

/// Most queries of one person.
const MOST: i64 = 200;
/// Longest text of a statement in bytes.
const LONGEST: usize = 100_000;
/// Queries of one page of a listing.
const PAGE: usize = 100;
/// Rows that are looked at for a page at once.
const LOOK: i64 = 200;
/// The reader that stands for everyone.
const PUBLIC: &str = "public";

/// A table that a saved query reads, at the version that it was saved with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedTable {
    /// The name as it stands in the statement.
    pub written: String,
    /// The dataset, of this lab.
    pub dataset: DatasetName,
    /// Its version.
    pub version: u32,
    /// The table.
    pub table: TableName,
    /// Checksum of what was owed for the data by whoever saved the query. It stays inside: policies are the
    /// lab's own, and short conditions can be guessed.
    owed: String,
    /// Checksum of the definition, where it is a view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    view: Option<String>,
}

impl PinnedTable {
    /// A table as it was read under these obligations.
    pub fn new(
        written: String,
        (dataset, version): (DatasetName, u32),
        table: TableName,
        obligations: &BTreeSet<Obligation>,
    ) -> Self {
        let owed = fingerprint(obligations);
        Self { written, dataset, version, table, owed, view: None }
    }

    /// The same, where it is a view.
    #[must_use]
    pub fn of_view(self, view: &View) -> Self {
        Self { view: Some(view.fingerprint()), ..self }
    }

    /// Whether it is a view.
    pub fn is_view(&self) -> bool {
        self.view.is_some()
    }

    /// Whether it is this view, as it is now.
    pub fn is_of_view(&self, view: &View) -> bool {
        self.view.as_ref() == Some(&view.fingerprint())
    }

    /// `name@version`, of this lab.
    pub fn dataset_ref(&self) -> DatasetRef {
        DatasetRef { lab: None, name: self.dataset.clone(), version: Some(self.version) }
    }

    /// Whether the same was owed for both.
    pub(crate) fn is_owed_like(&self, other: &Self) -> bool {
        self.owed == other.owed
    }

    /// Whether the same is seen of it under these obligations.
    pub fn is_seen_alike(&self, obligations: &BTreeSet<Obligation>) -> bool {
        self.owed == fingerprint(obligations)
    }
}

/// What tells two sets of obligations apart.
fn fingerprint(obligations: &BTreeSet<Obligation>) -> String {
    // Debug text names every field; a set has one order.
    format!("{:x}", Sha256::digest(format!("{obligations:?}")))
}

/// What an answer was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// Number of its rows.
    pub rows: u64,
    /// SHA-256 of its canonical bytes, lower-case hexadecimal.
    pub sha256: String,
}

/// Whom a query is shared with, besides its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readers {
    /// Everyone.
    pub public: bool,
    /// People, as grants name them: `person:ann`, `visitor:anl:bob`.
    pub people: BTreeSet<String>,
}

/// A query that ran and is to be kept.
#[derive(Debug, Clone)]
pub struct NewQuery {
    /// Its name, one of its owner's.
    pub name: String,
    /// The statement.
    pub sql: String,
    /// Values of its parameters `$1`, `$2`, …: texts, numbers, Booleans, NULLs.
    pub parameters: Vec<serde_json::Value>,
    /// Every table that it reads.
    pub tables: Vec<PinnedTable>,
    /// What ran it, with versions.
    pub engine: String,
    /// What the answer was.
    pub answer: KeptAnswer,
    /// Whom it is shared with.
    pub readers: Readers,
}

/// What is stored of a query and never changes.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    sql: String,
    parameters: Vec<serde_json::Value>,
    tables: Vec<PinnedTable>,
    engine: String,
    answer: KeptAnswer,
}

/// A query that somebody keeps, as a principal may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedQuery {
    /// Its id: the last part of its ARK.
    pub id: String,
    /// Its ARK: `ark:/99999/…`.
    pub ark: String,
    /// Its name, one of its owner's.
    pub name: String,
    /// Whose it is, as grants name people.
    pub owner: String,
    /// The statement as it was written.
    pub sql: String,
    /// Values of its parameters.
    pub parameters: Vec<serde_json::Value>,
    /// Every table that it reads, with its version.
    pub tables: Vec<PinnedTable>,
    /// What ran it, with versions.
    pub engine: String,
    /// When it was saved, RFC 3339.
    pub saved_at: String,
    /// Whom it is shared with; told to its owner alone.
    pub readers: Option<Readers>,
    /// What the answer was; told to those who may read the same of every table.
    pub answer: Option<KeptAnswer>,
}

impl Catalog {
    /// Keeps a query that ran under a new ARK.
    ///
    /// # Errors
    /// [`CatalogError::Argument`] for a name that cannot be read; [`CatalogError::Denied`] for who is
    /// not signed in; [`CatalogError::Conflict`] for a name that is taken and for too many.
    pub async fn save_query(
        &self,
        who: &Principal,
        query: NewQuery,
    ) -> Result<SavedQuery, CatalogError> {
        may_be_kept_for(who)?;
        let owner = self.check_query(who, &query.name, &query.sql).await?;
        let NewQuery { name, sql, parameters, tables, engine, answer, readers } = query;
        let content = Content { sql, parameters, tables, engine, answer };
        let database = &self.inner.database;
        let text = serde_json::to_string(&content)
            .map_err(|error| database.unreadable("a query", &error))?;
        let naan = self.defaults().await?.naan;
        let ark = ark::mint(naan.as_deref().unwrap_or(ark::TEST_NAAN));
        let id = ark.rsplit('/').next().unwrap_or_default().to_owned();
        let saved_at = timestamp(Utc::now());
        let mut write = database.write().await?;
        self.check_room(&mut write, &owner, &name).await?;
        let mut arks = Rows::new();
        // It names no dataset, and is never given out again.
        arks.push([ark.as_str().into(), "".into(), saved_at.as_str().into()]);
        arks.insert(&mut write, "INTO ark (ark, dataset, minted_at)").await?;
        let mut rows = Rows::new();
        rows.push([
            id.as_str().into(),
            ark.as_str().into(),
            owner.as_str().into(),
            name.as_str().into(),
            text.into(),
            saved_at.as_str().into(),
        ]);
        let columns = "INTO saved_query (id, ark, subject, name, content, saved_at)";
        rows.insert(&mut write, columns).await?;
        let mut shared = Rows::new();
        let public = readers.public.then_some(PUBLIC);
        for reader in readers.people.iter().map(String::as_str).chain(public) {
            shared.push([id.as_str().into(), reader.into()]);
        }
        shared.insert(&mut write, "INTO saved_query_reader (query, reader)").await?;
        let Content { sql, parameters, tables, engine, answer } = content;
        let reads: Vec<String> = tables.iter().map(|table| self.full_name(table)).collect();
        let said = Said::new(Act::SaveQuery, owner.as_str())
            .with("query", ark.as_str())
            .with("tables", reads.join(", "));
        write.note(said).await?;
        write.commit().await?;
        let (readers, answer) = (Some(readers), Some(answer));
        Ok(SavedQuery {
            id,
            ark,
            name,
            owner,
            sql,
            parameters,
            tables,
            engine,
            saved_at,
            readers,
            answer,
        })
    }

    /// Refuses what [`Catalog::save_query`] would refuse, so that nothing runs in vain. Returns whose the
    /// query would be.
    ///
    /// # Errors
    /// As [`Catalog::save_query`].
    pub async fn check_query(
        &self,
        who: &Principal,
        name: &str,
        sql: &str,
    ) -> Result<String, CatalogError> {
        if !who.is_signed_in() {
            return Err(CatalogError::Denied(
                "queries are kept for those who are signed in: send a token, or log in".to_owned(),
            ));
        }
        check_name("query", name)?;
        if sql.len() > LONGEST {
            return Err(CatalogError::Argument(format!(
                "the statement has {} bytes, and one that is kept {LONGEST} at most",
                sql.len()
            )));
        }
        let owner = subject(who);
        let mut write = self.inner.database.write().await?;
        self.check_room(&mut write, &owner, name).await?;
        Ok(owner)
    }

    /// Whether somebody may have one more query, of this name.
    async fn check_room(
        &self,
        write: &mut Write<'_>,
        owner: &str,
        name: &str,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query(
            "SELECT count(*) AS number, coalesce(sum(CASE WHEN name = $2 THEN 1 ELSE 0 END), 0) AS taken
             FROM saved_query WHERE subject = $1",
        )
        .bind(owner)
        .bind(name)
        .fetch_one(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if database.number::<i64>(&row, "taken")? > 0 {
            return Err(CatalogError::Conflict(format!(
                "there is a saved query {name:?} of yours, and what was cited does not change: choose \
                 another name"
            )));
        }
        if database.number::<i64>(&row, "number")? >= MOST {
            return Err(CatalogError::Conflict(format!(
                "there are {MOST} saved queries of yours: delete some"
            )));
        }
        Ok(())
    }

    /// A query by its id, its ARK, or the name that the principal gave it.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] for what is not there and for what may not be known of.
    pub async fn saved_query(
        &self,
        who: &Principal,
        named: &str,
    ) -> Result<SavedQuery, CatalogError> {
        let rights = self.rights(who).await?;
        let database = &self.inner.database;
        let found = sqlx::query(
            "SELECT * FROM saved_query WHERE id = $1 OR ark = $2 OR (subject = $3 AND name = $1)
             ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END",
        )
        .bind(named)
        .bind(ark::parse(named).unwrap_or_default())
        .bind(own(who))
        .fetch_all(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        for row in &found {
            if let Some(query) = self.seen_query(&rights, row).await? {
                return Ok(query);
            }
        }
        Err(no_query(named))
    }

    /// Queries that a principal may know of, by id, from behind `after` on; and where the next page begins,
    /// if there is one.
    pub async fn saved_queries(
        &self,
        who: &Principal,
        after: Option<&str>,
    ) -> Result<(Vec<SavedQuery>, Option<String>), CatalogError> {
        let rights = self.rights(who).await?;
        let database = &self.inner.database;
        let (mut after, mut queries) = (after.unwrap_or_default().to_owned(), Vec::new());
        loop {
            let rows = sqlx::query(
                "SELECT * FROM saved_query q WHERE q.id > $2 AND (q.subject = $1 OR EXISTS (
                     SELECT 1 FROM saved_query_reader r
                     WHERE r.query = q.id AND r.reader IN ('public', $1)))
                 ORDER BY q.id LIMIT $3",
            )
            .bind(own(who))
            .bind(&after)
            .bind(LOOK)
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
            let Some(last) = rows.last() else { return Ok((queries, None)) };
            for row in &rows {
                let Some(query) = self.seen_query(&rights, row).await? else { continue };
                if queries.len() == PAGE {
                    let next = queries.last().map(|query: &SavedQuery| query.id.clone());
                    return Ok((queries, next));
                }
                queries.push(query);
            }
            after = database.text(last, "id")?;
        }
    }

    /// Deletes a query of the principal's. Its ARK is not given out again.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] for what is not there or may not be known of, [`CatalogError::Denied`] for
    /// what is another person's.
    pub async fn delete_query(&self, who: &Principal, named: &str) -> Result<(), CatalogError> {
        may_be_kept_for(who)?;
        let query = self.saved_query(who, named).await?;
        if own(who) != query.owner {
            return Err(CatalogError::Denied(format!(
                "{} was saved by somebody else, who alone deletes it",
                query.ark
            )));
        }
        let database = &self.inner.database;
        let mut write = database.write().await?;
        for statement in [
            "DELETE FROM saved_query_reader WHERE query = $1",
            "DELETE FROM saved_query WHERE id = $1",
        ] {
            sqlx::query(statement)
                .bind(&query.id)
                .execute(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?;
        }
        let said = Said::new(Act::DeleteQuery, query.owner).with("query", query.ark);
        write.note(said).await?;
        write.commit().await
    }

    /// A query as a principal may see it; none if they may not know of it.
    async fn seen_query(
        &self,
        rights: &Rights,
        row: &AnyRow,
    ) -> Result<Option<SavedQuery>, CatalogError> {
        let database = &self.inner.database;
        let (id, owner) = (database.text(row, "id")?, database.text(row, "subject")?);
        let readers = self.readers(&id).await?;
        let mine = own(&rights.who) == owner;
        if !mine && !readers.public && !readers.people.contains(&own(&rights.who)) {
            return Ok(None);
        }
        let content: Content = serde_json::from_str(&database.text(row, "content")?)
            .map_err(|error| database.unreadable("a saved query", &error))?;
        let mut alike = true;
        for table in &content.tables {
            let dataset = match Box::pin(self.dataset_as(rights, &table.dataset_ref())).await {
                Ok(dataset) if !dataset.redacted => dataset,
                Ok(_) | Err(CatalogError::NotFound { .. }) if mine => {
                    alike = false;
                    continue;
                }
                Ok(_) | Err(CatalogError::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            let read = self.decide_as(rights, Action::Read, &dataset)?;
            alike &= read.allowed && table.is_seen_alike(&read.obligations);
        }
        let Content { sql, parameters, tables, engine, answer } = content;
        Ok(Some(SavedQuery {
            id,
            ark: database.text(row, "ark")?,
            name: database.text(row, "name")?,
            owner,
            sql,
            parameters,
            tables,
            engine,
            saved_at: database.text(row, "saved_at")?,
            readers: mine.then_some(readers),
            answer: alike.then_some(answer),
        }))
    }

    /// The tables that the query of an ARK reads, and whether they count whatever else the principal may know:
    /// for the query's owner and the owner of the node. None where they may not know of the query.
    pub(crate) async fn tables_of_query(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        ark: &str,
    ) -> Result<Option<(Vec<PinnedTable>, bool)>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query(
            "SELECT q.subject, q.content, (SELECT count(*) FROM saved_query_reader r
                 WHERE r.query = q.id AND r.reader IN ('public', $2)) AS shared
             FROM saved_query q WHERE q.ark = $1",
        )
        .bind(ark)
        .bind(own(&rights.who))
        .fetch_optional(&mut **transaction)
        .await
        .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(None) };
        let mine =
            rights.who == Principal::Owner || own(&rights.who) == database.text(&row, "subject")?;
        if !mine && database.number::<i64>(&row, "shared")? == 0 {
            return Ok(None);
        }
        let content: Content = serde_json::from_str(&database.text(&row, "content")?)
            .map_err(|error| database.unreadable("a saved query", &error))?;
        Ok(Some((content.tables, mine)))
    }

    async fn readers(&self, id: &str) -> Result<Readers, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT reader FROM saved_query_reader WHERE query = $1")
            .bind(id)
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let mut readers = Readers::default();
        for row in &rows {
            let reader = database.text(row, "reader")?;
            if reader == PUBLIC {
                readers.public = true;
            } else {
                readers.people.insert(reader);
            }
        }
        Ok(readers)
    }

    /// `lab.name@version.table`.
    pub(crate) fn full_name(&self, table: &PinnedTable) -> String {
        format!("{}.{}@{}.{}", self.lab(), table.dataset, table.version, table.table)
    }
}

/// Whose queries are this principal's; nobody's are those of who is not signed in.
fn own(who: &Principal) -> String {
    if who.is_signed_in() { subject(who) } else { String::new() }
}

fn no_query(named: &str) -> CatalogError {
    CatalogError::NotFound {
        kind: "saved query",
        name: named.to_owned(),
        hint: "; `tarn query list` lists those that you may know of".to_owned(),
    }
}
