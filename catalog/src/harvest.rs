//! What everyone may know, in the order in which it changed: for harvesters.

use crate::datasets::Stored;
use crate::decision::Seen;
use crate::model::{Dataset, Harvested};
use crate::register::timestamp;
use crate::{Catalog, CatalogError, ark};
use chrono::{DateTime, Utc};
use sqlx::{Any, Transaction};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use tarn_schemas::{DatasetName, DatasetRef, Principal};

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
        self.note_openings().await?;
        if after.is_none() {
            // Whoever asks next time for what changed since now has to meet what is being written.
            database.settle().await?;
        }
        let from = from.map_or_else(String::new, timestamp);
        let until = until.map_or_else(|| "9999".to_owned(), timestamp);
        let (at, name) = after.as_ref().map_or(("", ""), |place| (&*place.at, &*place.name));
        let mut read = database.read().await?;
        // One more than is given out says whether there is a next page.
        let wanted = limit.saturating_add(1);
        let rows = sqlx::query(
            "SELECT name, ark, harvest_at, gone FROM dataset
             WHERE harvest_at >= $1 AND (harvest_at > $1 OR name > $2)
               AND harvest_at >= $3 AND harvest_at < $4
             ORDER BY harvest_at, name LIMIT $5",
        )
        .bind(at.to_owned())
        .bind(name.to_owned())
        .bind(&from)
        .bind(&until)
        .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
        .fetch_all(&mut *read)
        .await
        .map_err(|error| database.error(&error))?;
        let mut names = Vec::with_capacity(rows.len());
        for row in rows.iter().take(limit) {
            if database.number::<i64>(row, "gone")? == 0 {
                names.push(database.dataset_name(&database.text(row, "name")?)?);
            }
        }
        let mut visible = self.visible(&mut read, &names).await?;
        let (mut found, mut last) = (Vec::with_capacity(rows.len()), None);
        for row in rows.iter().take(limit) {
            let (name, at) = (database.text(row, "name")?, database.text(row, "harvest_at")?);
            let dataset = visible.remove(&name);
            found.push(Harvested { ark: database.text(row, "ark")?, at: at.clone(), dataset });
            last = Some(Place { at, name });
        }
        Ok((found, last.filter(|_| rows.len() > limit)))
    }

    /// Those of some datasets whose records everyone may see, by name. Policies of the lab may have
    /// changed since they were written.
    async fn visible(
        &self,
        read: &mut Transaction<'static, Any>,
        names: &[DatasetName],
    ) -> Result<BTreeMap<String, Dataset>, CatalogError> {
        let (mut visible, mut decided) = (BTreeMap::new(), BTreeMap::new());
        for Stored { dataset, .. } in self.load_all(read, names).await? {
            // Datasets that are one to the policies are decided once; those that were made of others are
            // decided by these, too.
            let seen = match decided.entry(self.inner.policies.resource(&dataset)) {
                _ if !dataset.sources.is_empty() => self.seen(&self.everyone(), &dataset)?,
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(self.seen(&self.everyone(), &dataset)?),
            };
            if dataset.withdrawn.is_none() && seen == Seen::Whole {
                visible.insert(dataset.name.to_string(), dataset);
            }
        }
        Ok(visible)
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
        self.note_openings().await?;
        let row = sqlx::query("SELECT name, harvest_at, gone FROM dataset WHERE ark = $1")
            .bind(ark)
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(None) };
        let Some(at) = database.optional_text(&row, "harvest_at")? else { return Ok(None) };
        let gone = database.number::<i64>(&row, "gone")? != 0;
        let (name, mut read) = (database.text(&row, "name")?, database.read().await?);
        let names = if gone { Vec::new() } else { vec![database.dataset_name(&name)?] };
        let dataset = self.visible(&mut read, &names).await?.remove(&name);
        Ok(Some(Harvested { ark: ark.to_owned(), at, dataset }))
    }

    /// The dataset of an ARK as a principal may see it; none if they may not know of it.
    pub async fn by_ark(
        &self,
        who: &Principal,
        ark: &str,
    ) -> Result<Option<Dataset>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT name FROM dataset WHERE ark = $1")
            .bind(ark::parse(ark).unwrap_or_else(|| ark.to_owned()))
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
}
