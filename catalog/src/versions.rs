//! How versions and their tables are stored, each change with its entry in the feed.

use crate::datasets::Stored;
use crate::model::Dataset;
use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use tarn_schemas::Principal;

impl Catalog {
    /// Stores a new version with its tables.
    pub(crate) async fn insert(
        &self,
        write: &mut Write<'_>,
        stored: &Stored,
        who: &Principal,
        kind: &str,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let wrong = |error: serde_json::Error| database.unreadable("the record", &error);
        let dataset = &stored.dataset;
        sqlx::query(
            "INSERT INTO dataset (name, ark, newest, created_at, registrant, committee)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (name) DO UPDATE SET newest = excluded.newest, committee = excluded.committee",
        )
        .bind(dataset.name.as_str())
        .bind(&dataset.ark)
        .bind(i64::from(dataset.version))
        .bind(&dataset.registered_at)
        .bind(&dataset.registrant)
        .bind(&dataset.committee)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        sqlx::query(
            "INSERT INTO version (dataset, version, record, files, tier, fair_score, content_hash,
                                  notes, created_at, created_by, inherited)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(dataset.name.as_str())
        .bind(i64::from(dataset.version))
        .bind(serde_json::to_string(&dataset.record).map_err(wrong)?)
        .bind(serde_json::to_string(&dataset.files).map_err(wrong)?)
        .bind(dataset.tier.as_str())
        .bind(dataset.fair_score)
        .bind(&stored.content_hash)
        .bind(&stored.notes)
        .bind(&dataset.registered_at)
        .bind(who.label())
        .bind(dataset.inherited.as_ref().map(serde_json::to_string).transpose().map_err(wrong)?)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        for file in &dataset.files {
            sqlx::query(
                "INSERT INTO dataset_file (sha256, dataset) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(&file.sha256)
            .bind(dataset.name.as_str())
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        }
        self.insert_tables(write, dataset).await?;
        self.note_change(write, dataset, kind).await
    }

    /// Stores what joined the newest version.
    pub(crate) async fn update(
        &self,
        write: &mut Write<'_>,
        stored: &Stored,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let dataset = &stored.dataset;
        sqlx::query(
            "UPDATE version SET fair_score = $3, content_hash = $4, notes = $5
             WHERE dataset = $1 AND version = $2",
        )
        .bind(dataset.name.as_str())
        .bind(i64::from(dataset.version))
        .bind(dataset.fair_score)
        .bind(&stored.content_hash)
        .bind(&stored.notes)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        self.insert_tables(write, dataset).await?;
        self.note_change(write, dataset, "tables").await
    }

    async fn insert_tables(
        &self,
        write: &mut Write<'_>,
        dataset: &Dataset,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        for table in &dataset.tables {
            let entry = serde_json::to_string(table)
                .map_err(|error| database.unreadable("a table entry", &error))?;
            sqlx::query(
                "INSERT INTO data_table (dataset, version, name, entry) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (dataset, version, name) DO UPDATE SET entry = excluded.entry",
            )
            .bind(dataset.name.as_str())
            .bind(i64::from(dataset.version))
            .bind(table.name.as_str())
            .bind(entry)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        }
        Ok(())
    }

    pub(crate) async fn note_change(
        &self,
        write: &mut Write<'_>,
        dataset: &Dataset,
        kind: &str,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let at = self.change_time(write).await?;
        sqlx::query("INSERT INTO change (dataset, version, kind, at) VALUES ($1, $2, $3, $4)")
            .bind(dataset.name.as_str())
            .bind(i64::from(dataset.version))
            .bind(kind)
            .bind(at)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        self.note_for_registrar(write, dataset, kind).await
    }

    /// When a change is that is noted now. Times go with sequences, also where a clock went back.
    pub(crate) async fn change_time(&self, write: &mut Write<'_>) -> Result<String, CatalogError> {
        let database = &self.inner.database;
        let last = sqlx::query("SELECT at FROM change ORDER BY sequence DESC LIMIT 1")
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let last = last.map(|row| database.text(&row, "at")).transpose()?;
        let now = timestamp(Utc::now());
        Ok(last.filter(|last| *last > now).unwrap_or(now))
    }
}
