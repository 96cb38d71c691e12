//! Searches that people keep under a name. Each is its owner's alone, and holds what is asked, never what
//! was found: running one decides anew, as its owner is then.

use crate::decision::may_be_kept_for;
use crate::model::{SavedSearch, SearchHit, SearchRequest};
use crate::policy::subject;
use crate::register::timestamp;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use sqlx::any::AnyRow;
use tarn_schemas::Principal;
use tarn_schemas::unseen::unseen;

/// Most searches of one person.
const MOST: i64 = 200;
/// Longest name in characters.
const LONGEST: usize = 100;

/// A saved search on its way: what to ask, and what the answer is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedRun {
    /// What to ask.
    pub request: SearchRequest,
    name: String,
    /// The last change when it ran before, unless it never did.
    since: Option<u64>,
    /// The last change now.
    last: u64,
}

impl Catalog {
    /// Keeps a search under a name, in place of the one of that name.
    ///
    /// # Errors
    /// [`CatalogError::Argument`] for a name that cannot be read, and for what a search refuses;
    /// [`CatalogError::Denied`] for who is not signed in; [`CatalogError::Conflict`] for too many.
    pub async fn save_search(
        &self,
        who: &Principal,
        name: &str,
        request: &SearchRequest,
    ) -> Result<SavedSearch, CatalogError> {
        may_be_kept_for(who)?;
        let subject = owner(who)?;
        check_name("search", name)?;
        if request.cursor.is_some() {
            return Err(CatalogError::Argument(
                "a cursor is a place in one answer: save the search without it".to_owned(),
            ));
        }
        crate::search::check(request)?;
        let database = &self.inner.database;
        let text = serde_json::to_string(request)
            .map_err(|error| database.unreadable("a search", &error))?;
        let now = timestamp(Utc::now());
        let mut write = database.write().await?;
        let row = sqlx::query(
            "SELECT count(*) AS number FROM saved_search WHERE subject = $1 AND name <> $2",
        )
        .bind(&subject)
        .bind(name)
        .fetch_one(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if database.number::<i64>(&row, "number")? >= MOST {
            return Err(CatalogError::Conflict(format!(
                "there are {MOST} saved searches of yours: forget some"
            )));
        }
        // Another question was never asked, so that all of its answer is new.
        sqlx::query(
            "INSERT INTO saved_search (subject, name, request, saved_at, seen, seen_before)
             VALUES ($1, $2, $3, $4, -1, -1)
             ON CONFLICT (subject, name) DO UPDATE SET
                 request = $3, saved_at = $4, ran_at = NULL, seen = -1, seen_before = -1",
        )
        .bind(&subject)
        .bind(name)
        .bind(text)
        .bind(&now)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.commit().await?;
        let (name, request) = (name.to_owned(), request.clone());
        Ok(SavedSearch { name, request, saved_at: now, ran_at: None })
    }

    /// The searches that somebody keeps, by name.
    pub async fn saved_searches(&self, who: &Principal) -> Result<Vec<SavedSearch>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT * FROM saved_search WHERE subject = $1 ORDER BY name")
            .bind(owner(who)?)
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        rows.iter().map(|row| self.saved(row)).collect()
    }

    /// One of them.
    pub async fn saved_search(
        &self,
        who: &Principal,
        name: &str,
    ) -> Result<SavedSearch, CatalogError> {
        self.saved(&self.saved_row(who, name).await?)
    }

    /// Forgets one.
    pub async fn forget_search(&self, who: &Principal, name: &str) -> Result<(), CatalogError> {
        may_be_kept_for(who)?;
        let (database, subject) = (&self.inner.database, owner(who)?);
        let mut write = database.write().await?;
        let gone = sqlx::query("DELETE FROM saved_search WHERE subject = $1 AND name = $2")
            .bind(subject)
            .bind(name)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if gone.rows_affected() == 0 {
            return Err(not_saved(name));
        }
        write.commit().await
    }

    /// Looks up what to ask, for one page of the answer.
    pub async fn begin_saved_search(
        &self,
        who: &Principal,
        name: &str,
        cursor: Option<String>,
    ) -> Result<SavedRun, CatalogError> {
        let database = &self.inner.database;
        // Looked up first: what changes while the search runs may be new twice, and is missed never.
        let last = database.last_change().await?;
        let row = self.saved_row(who, name).await?;
        let column = if cursor.is_some() { "seen_before" } else { "seen" };
        let since = u64::try_from(database.number::<i64>(&row, column)?).ok();
        let SavedSearch { name, request, .. } = self.saved(&row)?;
        Ok(SavedRun { request: SearchRequest { cursor, ..request }, name, since, last })
    }

    /// Remembers that the first page was given out, and says which of these hits of this lab are new since
    /// it was before: datasets that were registered, or registered anew, in the meantime. None if it
    /// never ran.
    pub async fn end_saved_search(
        &self,
        who: &Principal,
        run: &SavedRun,
        hits: &[SearchHit],
    ) -> Result<Option<Vec<String>>, CatalogError> {
        let (database, subject) = (&self.inner.database, owner(who)?);
        if run.request.cursor.is_none() {
            let mut write = database.write().await?;
            sqlx::query(
                "UPDATE saved_search SET ran_at = $3, seen_before = seen, seen = $4
                 WHERE subject = $1 AND name = $2",
            )
            .bind(subject)
            .bind(&run.name)
            .bind(timestamp(Utc::now()))
            .bind(i64::try_from(run.last).unwrap_or(i64::MAX))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
            write.commit().await?;
        }
        let Some(since) = run.since else { return Ok(None) };
        let (mut read, mut new) = (database.read().await?, Vec::new());
        for hit in hits.iter().filter(|hit| hit.lab == *self.lab()) {
            // A hit shows its version, to those too who see nothing else of it. What happens to tables or
            // policies in between shows nowhere, and does not here.
            let found = sqlx::query(
                "SELECT 1 FROM change WHERE dataset = $1 AND sequence > $2 AND kind = 'registered'
                 LIMIT 1",
            )
            .bind(hit.name.as_str())
            .bind(i64::try_from(since).unwrap_or(i64::MAX))
            .fetch_optional(&mut *read)
            .await
            .map_err(|error| database.error(&error))?;
            if found.is_some() {
                new.push(format!("{}.{}", hit.lab, hit.name));
            }
        }
        Ok(Some(new))
    }

    async fn saved_row(&self, who: &Principal, name: &str) -> Result<AnyRow, CatalogError> {
        let database = &self.inner.database;
        sqlx::query("SELECT * FROM saved_search WHERE subject = $1 AND name = $2")
            .bind(owner(who)?)
            .bind(name)
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?
            .ok_or_else(|| not_saved(name))
    }

    fn saved(&self, row: &AnyRow) -> Result<SavedSearch, CatalogError> {
        let database = &self.inner.database;
        let request = serde_json::from_str(&database.text(row, "request")?)
            .map_err(|error| database.unreadable("a saved search", &error))?;
        Ok(SavedSearch {
            name: database.text(row, "name")?,
            request,
            saved_at: database.text(row, "saved_at")?,
            ran_at: database.optional_text(row, "ran_at")?,
        })
    }
}

/// Whose searches these are: somebody's whom a lab has signed in, and who can come back.
fn owner(who: &Principal) -> Result<String, CatalogError> {
    if who.is_signed_in() {
        return Ok(subject(who));
    }
    Err(CatalogError::Denied(
        "searches are kept for those who are signed in: send a token, or log in".to_owned(),
    ))
}

/// Whether what somebody keeps (a `kind`) may have this name.
pub(crate) fn check_name(kind: &str, name: &str) -> Result<(), CatalogError> {
    let length = name.chars().count();
    let problem = if !(1..=LONGEST).contains(&length) || name.trim() != name {
        format!("it has 1 to {LONGEST} characters, no blanks at its ends")
    } else if let Some(unseen) = unseen(name) {
        format!("take out {unseen}")
    } else if name.contains('/') {
        "it has no /, which divides addresses".to_owned()
    } else {
        return Ok(());
    };
    Err(CatalogError::Argument(format!("{name:?} is no name of a {kind}: {problem}")))
}

fn not_saved(name: &str) -> CatalogError {
    CatalogError::NotFound {
        kind: "saved search",
        name: name.to_owned(),
        hint: "; `tarn search --list-saved` lists yours".to_owned(),
    }
}
