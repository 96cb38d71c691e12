//! Which records everyone may see, and when that changed last: what harvesters are told by.
//!
//! Three things change it. Somebody changes the dataset: then it is noted with the change. An embargo ends by
//! the clock: then it is noted by whoever looks next, with the moment of the end. The lab changes its policies:
//! then every record is decided anew.

use crate::datasets::Stored;
use crate::decision::Seen;
use crate::model::Dataset;
use crate::policy::{Resource, Rights};
use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use std::collections::BTreeMap;
use tarn_schemas::Principal;

/// Records that are decided anew in one transaction: others wait for it.
const PAGE: i64 = 500;

impl Catalog {
    /// Whether everyone may see a record. Policies that fail show nothing to anybody; they stop no
    /// registration.
    pub(crate) fn is_for_all(&self, dataset: &Dataset) -> bool {
        dataset.withdrawn.is_none()
            && matches!(self.seen(&self.everyone(), dataset), Ok(Seen::Whole))
    }

    pub(crate) fn everyone(&self) -> Rights {
        Rights::bare(&Principal::Anonymous, self.lab().as_str())
    }

    /// When the embargo of a record ends that everyone may see; none where it has ended, or has no end.
    pub(crate) fn opens_at(&self, dataset: &Dataset) -> Option<String> {
        let ends = self.inner.policies.resource(dataset).opens()?;
        (ends > Utc::now()).then(|| timestamp(ends))
    }

    /// Remembers whether everyone may see a record, and when that was changed last. What happens to it
    /// while they may not leaves no trace here. Call it after the change was noted.
    pub(crate) async fn note_published(
        &self,
        write: &mut Write<'_>,
        dataset: &Dataset,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let for_all = self.is_for_all(dataset);
        let statement = if for_all {
            "UPDATE dataset SET harvest_at = (SELECT max(at) FROM change WHERE dataset = $1),
                 published = coalesce(published, (SELECT max(at) FROM change WHERE dataset = $1)),
                 gone = 0, opens_at = $2
             WHERE name = $1"
        } else {
            "UPDATE dataset SET harvest_at = (SELECT max(at) FROM change WHERE dataset = $1), gone = 1,
                 opens_at = $2
             WHERE name = $1 AND published IS NOT NULL AND gone = 0"
        };
        sqlx::query(statement)
            .bind(dataset.name.as_str())
            .bind(self.opens_at(dataset).filter(|_| for_all))
            .execute(&mut *write.transaction)
            .await
            .map(drop)
            .map_err(|error| database.error(&error))
    }

    /// Notes the embargoes that have ended: to a harvester their records changed at that moment. Nobody had
    /// looked since, or it would have been noted then, so nobody has passed that moment.
    pub(crate) async fn note_openings(&self) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let now = timestamp(Utc::now());
        let due = sqlx::query("SELECT name FROM dataset WHERE opens_at <= $1 LIMIT 1")
            .bind(&now)
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        if due.is_none() {
            return Ok(());
        }
        let mut write = database.write().await?;
        sqlx::query(
            "UPDATE dataset SET
                 harvest_at = CASE WHEN harvest_at > opens_at THEN harvest_at ELSE opens_at END,
                 opens_at = NULL
             WHERE opens_at <= $1",
        )
        .bind(&now)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// Whether policies of the lab speak of the time: then what everyone may see changes without a word, and
    /// [`Catalog::publish_by_policies`] has to look again and again.
    pub fn policies_heed_time(&self) -> bool {
        self.inner.policies.heeds_time()
    }

    /// Decides anew which records everyone may see, if the policies are others than those by which that was
    /// decided last, or speak of the time. Returns of how many it changed. Interrupted, it begins again the next time.
    pub async fn publish_by_policies(&self) -> Result<u64, CatalogError> {
        let database = &self.inner.database;
        let policies = self.inner.policies.fingerprint();
        let row = sqlx::query("SELECT published_by FROM lab")
            .fetch_one(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        if database.text(&row, "published_by")? == policies && !self.policies_heed_time() {
            return Ok(0);
        }
        let (mut after, mut changed) = (String::new(), 0_u64);
        let mut decided: BTreeMap<Resource, bool> = BTreeMap::new();
        loop {
            let mut write = database.write().await?;
            let rows = sqlx::query(
                "SELECT name, published, gone, opens_at FROM dataset WHERE name > $1 ORDER BY name LIMIT $2",
            )
            .bind(&after)
            .bind(PAGE)
            .fetch_all(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
            let mut known = BTreeMap::new();
            for row in &rows {
                let name = database.dataset_name(&database.text(row, "name")?)?;
                let seen = database.optional_text(row, "published")?.is_some()
                    && database.number::<i64>(row, "gone")? == 0;
                known.insert(name, (seen, database.optional_text(row, "opens_at")?));
            }
            let Some(last) = known.keys().next_back() else {
                sqlx::query("UPDATE lab SET published_by = $1")
                    .bind(policies)
                    .execute(&mut *write.transaction)
                    .await
                    .map_err(|error| database.error(&error))?;
                write.commit().await?;
                return Ok(changed);
            };
            after = last.to_string();
            let names: Vec<_> = known.keys().cloned().collect();
            for Stored { dataset, .. } in self.load_all(&mut write.transaction, &names).await? {
                let for_all = if dataset.sources.is_empty() && dataset.withdrawn.is_none() {
                    // Datasets that are one to the policies are decided once.
                    let resource = self.inner.policies.resource(&dataset);
                    *decided.entry(resource).or_insert_with(|| self.is_for_all(&dataset))
                } else {
                    self.is_for_all(&dataset)
                };
                let (was, opened) = known.remove(&dataset.name).unwrap_or_default();
                let opens = self.opens_at(&dataset).filter(|_| for_all);
                if was == for_all && (!for_all || opened == opens) {
                    continue;
                }
                sqlx::query(
                    "UPDATE dataset SET opens_at = $2, gone = $3,
                         harvest_at = CASE WHEN $4 = 1 THEN $5 ELSE harvest_at END,
                         published = CASE WHEN $3 = 0 THEN coalesce(published, $5) ELSE published END
                     WHERE name = $1",
                )
                .bind(dataset.name.as_str())
                .bind(opens)
                .bind(i64::from(!for_all))
                .bind(i64::from(was != for_all))
                .bind(timestamp(Utc::now()))
                .execute(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?;
                changed = changed.saturating_add(u64::from(was != for_all));
            }
            write.commit().await?;
        }
    }
}
