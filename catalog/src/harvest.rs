//! What everyone may know, in the order in which it changed: for harvesters.

use crate::datasets::load;
use crate::decision::Seen;
use crate::model::{Dataset, Harvested};
use crate::policy::Rights;
use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::{DateTime, Utc};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};
use tarn_schemas::{DatasetRef, Principal};

/// Datasets that are looked at together.
const TOGETHER: i64 = 256;

/// A place in the order of last changes: that of a dataset that a harvester has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When it changed last.
    pub at: String,
    /// Its name.
    pub name: String,
}

impl Catalog {
    /// Datasets in the order of their last changes, those after a place and within `from` (inclusive)
    /// and `until` (exclusive), at most `limit` of them, with the place from which to go on; none at
    /// the end. What changes meanwhile moves to the end and is met there: nothing is skipped.
    ///
    /// Records that only some may see are left out, unless everyone could see them before: of those it
    /// is said that they are gone. Nothing in the answer depends on the others.
    pub async fn harvest(
        &self,
        after: Option<Place>,
        (from, until): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
        limit: usize,
    ) -> Result<(Vec<Harvested>, Option<Place>), CatalogError> {
        let database = &self.inner.database;
        if after.is_none() {
            // Whoever asks next time for what changed since now has to meet what is being written.
            database.settle().await?;
        }
        let from = from.map_or_else(String::new, timestamp);
        let until = until.map_or_else(|| "9999".to_owned(), timestamp);
        let (mut found, mut last) = (Vec::<(Harvested, Place)>::new(), after);
        let mut read = database.read().await?;
        loop {
            let (at, name) =
                last.as_ref().map_or(("", ""), |last| (last.at.as_str(), last.name.as_str()));
            let rows = sqlx::query(
                "SELECT c.at, c.dataset, d.ark, d.published
                 FROM change c JOIN dataset d ON d.name = c.dataset
                 WHERE c.at >= $1 AND (c.at > $1 OR c.dataset > $2) AND c.at >= $3 AND c.at < $4
                   AND NOT EXISTS (SELECT 1 FROM change later
                                   WHERE later.dataset = c.dataset AND later.sequence > c.sequence)
                 ORDER BY c.at, c.dataset LIMIT $5",
            )
            .bind(at.to_owned())
            .bind(name.to_owned())
            .bind(&from)
            .bind(&until)
            .bind(TOGETHER)
            .fetch_all(&mut *read)
            .await
            .map_err(|error| database.error(&error))?;
            if rows.is_empty() {
                return Ok((found.into_iter().map(|(one, _)| one).collect(), None));
            }
            for row in rows {
                let place =
                    Place { at: database.text(&row, "at")?, name: database.text(&row, "dataset")? };
                if let Some(one) = self.harvested(&mut read, &row, &place).await? {
                    if found.len() >= limit {
                        let next = found.last().map(|(_, place)| place.clone());
                        return Ok((found.into_iter().map(|(one, _)| one).collect(), next));
                    }
                    found.push((one, place.clone()));
                }
                last = Some(place);
            }
        }
    }

    /// What a harvester gets of a dataset; none if it never was for everyone.
    async fn harvested(
        &self,
        read: &mut Transaction<'static, Any>,
        row: &AnyRow,
        place: &Place,
    ) -> Result<Option<Harvested>, CatalogError> {
        let database = &self.inner.database;
        let name = database.dataset_name(&place.name)?;
        let stored = load(database, self.lab(), read, &name, None).await?;
        let shown = match stored {
            Some(stored) if stored.dataset.withdrawn.is_none() => {
                let seen = self.seen(&self.everyone(), &stored.dataset)?;
                (seen == Seen::Whole).then_some(stored.dataset)
            }
            _ => None,
        };
        if shown.is_none() && database.optional_text(row, "published")?.is_none() {
            return Ok(None);
        }
        let ark = database.text(row, "ark")?;
        Ok(Some(Harvested { ark, at: place.at.clone(), dataset: shown }))
    }

    fn everyone(&self) -> Rights {
        Rights::bare(&Principal::Anonymous, self.lab().as_str())
    }

    /// The first day on which a record was for everyone; today if none was.
    pub async fn first_published(&self) -> Result<String, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT min(published) AS first FROM dataset")
            .fetch_one(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let first = database.optional_text(&row, "first")?;
        let first = first.unwrap_or_else(|| timestamp(Utc::now()));
        Ok(first.get(..10).unwrap_or_default().to_owned())
    }

    /// One dataset by its ARK, as a harvester gets it; none if it is not there, or never was for
    /// everyone.
    pub async fn harvest_one(&self, ark: &str) -> Result<Option<Harvested>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query(
            "SELECT d.name, d.published, max(c.at) AS at FROM dataset d
             JOIN change c ON c.dataset = d.name WHERE d.ark = $1 GROUP BY d.name, d.published",
        )
        .bind(ark)
        .fetch_optional(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(None) };
        let published = database.optional_text(&row, "published")?.is_some();
        let (at, ark) = (database.text(&row, "at")?, ark.to_owned());
        let shown = self.by_ark(&Principal::Anonymous, &ark).await?;
        let shown = shown.filter(|dataset| !dataset.redacted && dataset.withdrawn.is_none());
        Ok((shown.is_some() || published).then_some(Harvested { ark, at, dataset: shown }))
    }

    /// The dataset of an ARK as a principal may see it; none if they may not know of it.
    pub async fn by_ark(
        &self,
        who: &Principal,
        ark: &str,
    ) -> Result<Option<Dataset>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT name FROM dataset WHERE ark = $1")
            .bind(ark)
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(None) };
        let name = database.dataset_name(&database.text(&row, "name")?)?;
        let wanted = DatasetRef { lab: Some(self.lab().clone()), name, version: None };
        match self.dataset(who, &wanted).await {
            Ok(dataset) => Ok(Some(dataset)),
            Err(CatalogError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Remembers that everyone may see a record, if so.
    pub(crate) async fn note_published(
        &self,
        write: &mut Write<'_>,
        dataset: &Dataset,
    ) -> Result<(), CatalogError> {
        // Policies that fail show nothing to anybody; they stop no registration.
        if !matches!(self.seen(&self.everyone(), dataset), Ok(Seen::Whole)) {
            return Ok(());
        }
        sqlx::query("UPDATE dataset SET published = $2 WHERE name = $1 AND published IS NULL")
            .bind(dataset.name.as_str())
            .bind(timestamp(Utc::now()))
            .execute(&mut *write.transaction)
            .await
            .map(drop)
            .map_err(|error| self.inner.database.error(&error))
    }
}
