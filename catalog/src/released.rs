//! Numbers that were released under differential privacy, and what they cost.
//!
//! The cells of a table are given noise once, and whatever is asked is computed from them: the same question
//! has the same answer, and asking costs nothing. What costs is a release, of a new version of the data or by
//! other rules. All releases of a dataset add up, and the record's budget ends them.

use crate::audit::{Act, Said};
use crate::{Catalog, CatalogError, OWNER};
use chrono::Utc;
use sqlx::Row;
use tarn_schemas::DatasetName;
use tarn_schemas::record::Privacy;

/// A release: which numbers, and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// The dataset.
    pub dataset: DatasetName,
    /// The table.
    pub table: String,
    /// What of the data and of the rules makes these numbers: others have another key.
    pub key: String,
    /// How much they may tell.
    pub privacy: Privacy,
}

impl Release {
    fn budget(&self) -> f64 {
        self.privacy.budget.unwrap_or(self.privacy.epsilon)
    }
}

impl Catalog {
    /// The numbers of a release; none if they were not made yet.
    pub async fn released(&self, release: &Release) -> Result<Option<String>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT content FROM released WHERE dataset = $1 AND key = $2")
            .bind(release.dataset.as_str())
            .bind(&release.key)
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        row.map(|row| database.text(&row, "content")).transpose()
    }

    /// Refuses a release that the budget does not allow, so that nothing is computed in vain.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] where the budget is spent.
    pub async fn may_release(&self, release: &Release) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query(SPENT)
            .bind(release.dataset.as_str())
            .fetch_one(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let spent = row.try_get("spent").map_err(|error| database.error(&error))?;
        within(release, spent)
    }

    /// Keeps the numbers of a release, and notes in the log what they cost. Where two made them at once those
    /// of the first count, and are returned: the others are never told.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] where the budget is spent.
    pub async fn release(&self, release: &Release, content: &str) -> Result<String, CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let first = sqlx::query("SELECT content FROM released WHERE dataset = $1 AND key = $2")
            .bind(release.dataset.as_str())
            .bind(&release.key)
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if let Some(first) = first {
            return database.text(&first, "content");
        }
        let row = sqlx::query(SPENT)
            .bind(release.dataset.as_str())
            .fetch_one(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let spent: f64 = row.try_get("spent").map_err(|error| database.error(&error))?;
        within(release, spent)?;
        let epsilon = release.privacy.epsilon;
        sqlx::query(
            "INSERT INTO released (dataset, key, epsilon, content, released_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(release.dataset.as_str())
        .bind(&release.key)
        .bind(epsilon)
        .bind(content)
        .bind(crate::register::timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        let said = Said::new(Act::ReleaseNumbers, OWNER)
            .on(format!("{}.{}", self.lab(), release.dataset))
            .with("table", release.table.as_str())
            .with("epsilon", epsilon.to_string())
            .with("delta", release.privacy.delta.to_string())
            .with("spent", (spent + epsilon).to_string())
            .with("budget", release.budget().to_string());
        write.note(said).await?;
        write.commit().await?;
        Ok(content.to_owned())
    }
}

/// What a dataset has spent.
const SPENT: &str = "SELECT coalesce(sum(epsilon), 0.0) AS spent FROM released WHERE dataset = $1";

fn within(release: &Release, spent: f64) -> Result<(), CatalogError> {
    // Sums of doubles: a thousandth of a millionth more is none.
    if spent + release.privacy.epsilon <= release.budget() * (1.0 + 1e-9) {
        return Ok(());
    }
    Err(CatalogError::Denied(format!(
        "the privacy budget of {} is spent: epsilon {spent} of {}, and a release costs {}; ask its \
         contact, who may raise `disclosure.privacy.budget`",
        release.dataset,
        release.budget(),
        release.privacy.epsilon
    )))
}
