//! What a registrar has still to be told, taken one at a time.
//!
//! Whoever takes a task has a lease of it: nobody else gets it before the lease has ended, whatever they
//! ask for. A dataset is looked at again right before the registrar is told of it, because asking the
//! registrar takes a while, and the dataset may be closed meanwhile.

use crate::audit::{Act, Said};
use crate::datasets::Stored;
use crate::doi::{DoiState, REGISTERED};
use crate::model::Dataset;
use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError, OWNER};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::any::AnyRow;
use tarn_schemas::DatasetName;

/// For how long nobody else tells the registrar what somebody took upon them, since they looked at it
/// last. Longer than two questions to a registrar may take, which are given up after 30 seconds each.
const LEASE: TimeDelta = TimeDelta::minutes(3);
/// The first wait after the registrar could not be reached, in seconds, and the longest.
const WAITS: (i64, i64) = (10, 3600);

/// How many datasets are looked at together.
const TOGETHER: usize = 200;

/// What a registrar is asked for.
const SHOWN: &str = "shown";
const HIDDEN: &str = "hidden";

/// What the registrar is to be told.
#[derive(Debug, Clone)]
pub struct DoiTask {
    /// The dataset as it is now.
    pub dataset: Dataset,
    /// The DOI, where it is known.
    pub doi: Option<String>,
    /// What the registrar calls it.
    pub registrar_id: Option<String>,
    /// Whether everyone may see the record: otherwise it is to be hidden.
    pub shown: bool,
    revision: i64,
    attempts: u32,
    lease: String,
}

/// Which task is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Pick<'a> {
    /// The one that is due longest.
    Due,
    /// That of a dataset, also if it is not due yet or was refused.
    Of(&'a DatasetName),
}

/// What there is of a task.
#[derive(Debug)]
pub enum Taken {
    /// This is to be told.
    Task(Box<DoiTask>),
    /// Somebody else is telling it.
    Busy,
    /// Nothing is to be told.
    Nothing,
}

impl Catalog {
    /// Takes upon the caller something that the registrar is to be told. For three minutes nobody else
    /// gets it.
    pub async fn take_doi_task(&self, pick: Pick<'_>) -> Result<Taken, CatalogError> {
        let database = &self.inner.database;
        let now = timestamp(Utc::now());
        let (statement, which) = match pick {
            Pick::Due => (
                "SELECT * FROM doi WHERE state = 'waiting' AND next_at <= $1
                     AND (leased_until IS NULL OR leased_until <= $1)
                 ORDER BY next_at, dataset LIMIT 1",
                now.clone(),
            ),
            Pick::Of(name) => (
                "SELECT * FROM doi WHERE state IN ('waiting', 'refused') AND dataset = $1",
                name.to_string(),
            ),
        };
        // Nothing is written where nothing waits.
        let waiting =
            sqlx::query(statement).bind(which.clone()).fetch_optional(database.pool()).await;
        if waiting.map_err(|error| database.error(&error))?.is_none() {
            return Ok(Taken::Nothing);
        }
        let mut write = database.write().await?;
        let row = sqlx::query(statement)
            .bind(which)
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(Taken::Nothing) };
        if database.optional_text(&row, "leased_until")?.is_some_and(|until| until > now) {
            return Ok(Taken::Busy);
        }
        let task = self.lease(&mut write, &row).await?;
        write.commit().await?;
        Ok(Taken::Task(Box::new(task)))
    }

    /// The same task with the dataset as it is now, and the whole lease again. None if the lease has
    /// ended meanwhile and the task may be somebody else's.
    pub async fn renew_doi_task(&self, task: &DoiTask) -> Result<Option<DoiTask>, CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let row = sqlx::query("SELECT * FROM doi WHERE dataset = $1 AND leased_until = $2")
            .bind(task.dataset.name.as_str())
            .bind(&task.lease)
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let Some(row) = row.filter(|_| task.lease > timestamp(Utc::now())) else { return Ok(None) };
        let task = self.lease(&mut write, &row).await?;
        write.commit().await?;
        Ok(Some(task))
    }

    async fn lease(&self, write: &mut Write<'_>, row: &AnyRow) -> Result<DoiTask, CatalogError> {
        let database = &self.inner.database;
        let doi = self.doi_of(row)?;
        let names = std::slice::from_ref(&doi.dataset);
        let found = self.load_all(&mut write.transaction, names).await?;
        let Some(Stored { dataset, .. }) = found.into_iter().next() else {
            return Err(database.problem("the dataset of a DOI is missing"));
        };
        let lease = timestamp(Utc::now() + LEASE);
        sqlx::query("UPDATE doi SET leased_until = $2, state = 'waiting' WHERE dataset = $1")
            .bind(doi.dataset.as_str())
            .bind(&lease)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        Ok(DoiTask {
            shown: self.may_be_registered(&dataset),
            dataset,
            doi: doi.doi,
            registrar_id: doi.registrar_id,
            revision: database.number(row, "revision")?,
            attempts: doi.attempts,
            lease,
        })
    }

    /// Notes that the registrar did it, with the DOI and what it calls it. What changed meanwhile still
    /// waits; so does a dataset whose DOI the registrar gives later, and that counts as an attempt.
    pub async fn doi_done(
        &self,
        task: &DoiTask,
        doi: Option<&str>,
        registrar_id: Option<&str>,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let now = Utc::now();
        let (state, told) = match (task.shown, doi) {
            (false, _) => (DoiState::Hidden, HIDDEN),
            (true, Some(_)) => (DoiState::Registered, SHOWN),
            (true, None) => (DoiState::Waiting, SHOWN),
        };
        let vain = state == DoiState::Waiting;
        let mut write = database.write().await?;
        let before = self.doi_in(&mut write, &task.dataset.name).await?;
        sqlx::query(
            "UPDATE doi SET doi = coalesce($2, doi), registrar_id = coalesce($3, registrar_id),
                 registered_at = coalesce(registered_at, $4), problem = $5, told = $6,
                 attempts = CASE WHEN revision = $7 THEN $8 ELSE attempts END,
                 next_at = CASE WHEN revision = $7 THEN $9 ELSE next_at END,
                 state = CASE WHEN revision = $7 THEN $10 ELSE 'waiting' END,
                 leased_until = CASE WHEN leased_until = $11 THEN NULL ELSE leased_until END
             WHERE dataset = $1",
        )
        .bind(task.dataset.name.as_str())
        .bind(doi.map(str::to_owned))
        .bind(registrar_id.map(str::to_owned))
        .bind(doi.filter(|_| task.shown).map(|_| timestamp(now)))
        .bind(vain.then(|| "the registrar has the record and gives the DOI later".to_owned()))
        .bind(told)
        .bind(task.revision)
        .bind(if vain { i64::from(task.attempts).saturating_add(1) } else { 0 })
        .bind(timestamp(wait_after(now, task.attempts)))
        .bind(state.as_str())
        .bind(&task.lease)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        let first = before.is_some_and(|before| before.registered_at.is_none());
        if let Some(doi) = doi.filter(|_| first && task.shown) {
            // From now on it is cited by it.
            self.note_change(&mut write, &task.dataset, REGISTERED).await?;
            self.note_published(&mut write, &task.dataset).await?;
            let said = Said::new(Act::RegisterDoi, OWNER).on(task.dataset.full_name());
            write.note(said.with("doi", doi)).await?;
        }
        write.commit().await
    }

    /// Notes that the registrar did not do it, and why. It is asked again after a while, which grows with
    /// every attempt and is at least `wait`; without one it refused, and is asked again after the next
    /// change. One that refused to hide a dataset shows it: [`Catalog::compare_dois`] has it asked again.
    pub async fn doi_failed(
        &self,
        task: &DoiTask,
        problem: &str,
        wait: Option<std::time::Duration>,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let now = Utc::now();
        let least = wait.and_then(|wait| TimeDelta::from_std(wait).ok()).unwrap_or_default();
        let next = wait_after(now, task.attempts).max(now + least.min(TimeDelta::days(1)));
        let mut write = database.write().await?;
        sqlx::query(
            "UPDATE doi SET problem = $2,
                 attempts = CASE WHEN revision = $3 THEN attempts + 1 ELSE attempts END,
                 next_at = CASE WHEN revision = $3 THEN $4 ELSE next_at END,
                 state = CASE WHEN revision = $3 THEN $5 ELSE 'waiting' END,
                 told = CASE WHEN $5 = 'waiting' THEN told ELSE $6 END,
                 leased_until = CASE WHEN leased_until = $7 THEN NULL ELSE leased_until END
             WHERE dataset = $1",
        )
        .bind(task.dataset.name.as_str())
        .bind(problem)
        .bind(task.revision)
        .bind(timestamp(next))
        .bind(if wait.is_some() { DoiState::Waiting } else { DoiState::Refused }.as_str())
        .bind(task.shown.then(|| SHOWN.to_owned()))
        .bind(&task.lease)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// Names of the datasets of which the registrar has still to be told something.
    pub async fn open_dois(&self) -> Result<Vec<DatasetName>, CatalogError> {
        let statement =
            "SELECT dataset FROM doi WHERE state IN ('waiting', 'refused') ORDER BY dataset";
        let database = &self.inner.database;
        let rows = sqlx::query(statement).fetch_all(database.pool()).await;
        let rows = rows.map_err(|error| database.error(&error))?;
        rows.iter().map(|row| database.dataset_name(&database.text(row, "dataset")?)).collect()
    }

    /// Compares what the registrar was asked for with what is for everyone now, which changes with the
    /// lab's own policies too, and has it told where they differ. Says in how many cases.
    pub async fn compare_dois(&self) -> Result<usize, CatalogError> {
        let database = &self.inner.database;
        let mut read = database.read().await?;
        let rows = sqlx::query("SELECT * FROM doi WHERE state <> 'waiting' ORDER BY dataset")
            .fetch_all(&mut *read)
            .await
            .map_err(|error| database.error(&error))?;
        let mut told = std::collections::BTreeMap::new();
        for row in &rows {
            let name = database.dataset_name(&database.text(row, "dataset")?)?;
            told.insert(name, database.optional_text(row, "told")?);
        }
        let names: Vec<DatasetName> = told.keys().cloned().collect();
        let mut differ = Vec::new();
        for some in names.chunks(TOGETHER) {
            for Stored { dataset, .. } in self.load_all(&mut read, some).await? {
                let wanted = if self.may_be_registered(&dataset) { SHOWN } else { HIDDEN };
                if told.get(&dataset.name).is_some_and(|told| told.as_deref() != Some(wanted)) {
                    differ.push(dataset.name);
                }
            }
        }
        drop(read);
        if differ.is_empty() {
            return Ok(0);
        }
        let mut write = database.write().await?;
        for name in &differ {
            sqlx::query(
                "UPDATE doi SET state = 'waiting', revision = revision + 1, attempts = 0, next_at = $2
                 WHERE dataset = $1",
            )
            .bind(name.as_str())
            .bind(timestamp(Utc::now()))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        }
        write.commit().await?;
        Ok(differ.len())
    }
}

/// When the registrar is asked again after so many attempts in vain: the wait doubles, up to an hour.
fn wait_after(now: DateTime<Utc>, attempts: u32) -> DateTime<Utc> {
    let (first, longest) = WAITS;
    let seconds = first.saturating_mul(1_i64.checked_shl(attempts.min(32)).unwrap_or(i64::MAX));
    now + TimeDelta::seconds(seconds.clamp(first, longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let now = Utc::now();
        let seconds = |attempts| (wait_after(now, attempts) - now).num_seconds();
        let first: Vec<i64> = (0..4).map(seconds).collect();
        assert_eq!(first, [10, 20, 40, 80]);
        assert_eq!((seconds(9), seconds(40), seconds(u32::MAX)), (3600, 3600, 3600));
    }
}
