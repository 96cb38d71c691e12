//! Taking a table away that a query made.
//!
//! The next version of its dataset has no such table, and is asked no more about what it was made from; the
//! versions before stay as they are, under the rules that they had. What the dataset took over from the inputs
//! (tier, exposure, markings) stays: that is loosened by a new record, which takes two people.

use crate::audit::{Act, Said};
use crate::datasets::Stored;
use crate::policy::{Rights, subject};
use crate::register::{next, timestamp};
use crate::saved_queries::PinnedTable;
use crate::sources::Content;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use std::collections::BTreeSet;
use tarn_schemas::profile::fair;
use tarn_schemas::{DatasetName, Principal, TableName};

impl Catalog {
    /// Gives a dataset a next version without a table that a query made. Its rows stay where older versions
    /// find them. Returns that version. Needs `Scope::Write`, and that the dataset is one's own.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] for a dataset or table that is not there or may not be known of,
    /// [`CatalogError::Conflict`] for a table that no query made, [`CatalogError::Denied`] for another
    /// person's dataset.
    pub async fn drop_derived_table(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        table: &TableName,
    ) -> Result<u32, CatalogError> {
        // A large future: on the heap it is no burden to those of callers.
        Box::pin(self.take_table_away(who, dataset, table)).await
    }

    async fn take_table_away(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        table: &TableName,
    ) -> Result<u32, CatalogError> {
        let rights = self.rights(who).await?;
        let mut write = self.inner.database.write().await?;
        let Stored { dataset: mut newest, .. } =
            self.own_dataset(&rights, &mut write, dataset).await?;
        let before = newest.version;
        if !newest.tables.iter().any(|entry| entry.name == *table) {
            return Err(CatalogError::NotFound {
                kind: "table",
                name: format!("{}.{dataset}.{table}", self.lab()),
                hint: format!("; `tarn show {dataset}` lists what there is"),
            });
        }
        if !self.derived_tables(&mut write.transaction, dataset).await?.contains(table.as_str()) {
            return Err(CatalogError::Conflict(format!(
                "table {table} of {dataset} was ingested, and only tables that queries made are taken away: \
                 versions cite it. Nothing was changed"
            )));
        }
        newest.version = next(before)?;
        newest.registered_at = timestamp(Utc::now());
        newest.tables.retain(|entry| entry.name != *table);
        self.end_making(&mut write, (dataset, table), newest.version).await?;
        let left = self.makings(&mut write.transaction, dataset, newest.version).await?;
        let still: BTreeSet<String> = left
            .iter()
            .flat_map(|content| &content.tables)
            .map(|input| self.input_name(input))
            .collect();
        let own = self.named_before(&mut write, (dataset, table), newest.version).await?;
        let dropped = self.dropped(&mut write, (dataset, table), newest.version).await?;
        let gone: BTreeSet<String> =
            dropped.tables.iter().map(|input| self.input_name(input)).collect();
        if let Some(origin) = &mut newest.record.provenance {
            origin.derived_from.retain(|named| {
                !gone.contains(named) || still.contains(named) || own.contains(named)
            });
        }
        let metrics = fair::score(&newest.record, &newest.files, !newest.tables.is_empty());
        newest.fair_score = fair::per_cent(&metrics);
        newest.sources = self.sources(&mut write.transaction, dataset, newest.version).await?;
        let content_hash = self.hash(&newest.record, &newest.files, &newest.tables)?;
        // The name of the table is for those who may see the versions that have it.
        let notes = "took away a table that a query had made".to_owned();
        let stored = Stored { dataset: newest, content_hash, notes };
        self.insert(&mut write, &stored, who, "tables").await?;
        let everything = Rights::bare(&Principal::Owner, self.lab().as_str());
        let record = &stored.dataset.record;
        let mut inputs = self.inputs(&everything, &mut write.transaction, record).await?;
        let at = (dataset, stored.dataset.version);
        self.add_sources(&mut write.transaction, at, &mut inputs).await?;
        let kept = self.inputs_of(&mut write.transaction, (dataset, before)).await?;
        inputs.here.extend(kept.into_iter().filter(|((name, _), _)| name == dataset));
        self.hand_on(&mut write, at, &inputs.here).await?;
        self.note_published(&mut write, &stored.dataset).await?;
        let said = Said::new(Act::DropTable, subject(who))
            .on(stored.dataset.full_name())
            .with("table", table.as_str())
            .with("until", before.to_string());
        write.note(said).await?;
        write.commit().await?;
        Ok(stored.dataset.version)
    }

    /// Notes in which version a table is there no more.
    async fn end_making(
        &self,
        write: &mut Write<'_>,
        (dataset, table): (&DatasetName, &TableName),
        version: u32,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE derived_table SET dropped_in = $3
             WHERE dataset = $1 AND name = $2 AND dropped_in IS NULL",
        )
        .bind(dataset.as_str())
        .bind(table.as_str())
        .bind(i64::from(version))
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| self.inner.database.error(&error))
    }

    /// How the table was made that is there no more from this version on.
    async fn dropped(
        &self,
        write: &mut Write<'_>,
        (dataset, table): (&DatasetName, &TableName),
        version: u32,
    ) -> Result<Content, CatalogError> {
        let row = self.dropped_row(write, (dataset, table), version).await?;
        let database = &self.inner.database;
        serde_json::from_str(&database.text(&row, "content")?)
            .map_err(|error| database.unreadable("how a table was made", &error))
    }

    /// The inputs that the record named before the table was made: those its steward wrote.
    async fn named_before(
        &self,
        write: &mut Write<'_>,
        (dataset, table): (&DatasetName, &TableName),
        version: u32,
    ) -> Result<BTreeSet<String>, CatalogError> {
        let row = self.dropped_row(write, (dataset, table), version).await?;
        let made_in: u32 = self.inner.database.number(&row, "made_in")?;
        let before = made_in.checked_sub(1).filter(|version| *version > 0);
        let before = match before {
            Some(version) => self.load(&mut write.transaction, dataset, Some(version)).await?,
            None => None,
        };
        let origin = before.and_then(|before| before.dataset.record.provenance);
        Ok(origin.into_iter().flat_map(|origin| origin.derived_from).collect())
    }

    async fn dropped_row(
        &self,
        write: &mut Write<'_>,
        (dataset, table): (&DatasetName, &TableName),
        version: u32,
    ) -> Result<sqlx::any::AnyRow, CatalogError> {
        sqlx::query(
            "SELECT content, made_in FROM derived_table
             WHERE dataset = $1 AND name = $2 AND dropped_in = $3",
        )
        .bind(dataset.as_str())
        .bind(table.as_str())
        .bind(i64::from(version))
        .fetch_one(&mut *write.transaction)
        .await
        .map_err(|error| self.inner.database.error(&error))
    }

    /// An input as the making of a table wrote it into the record.
    pub(crate) fn input_name(&self, input: &PinnedTable) -> String {
        format!("{}.{}@{}", self.lab(), input.dataset, input.version)
    }
}
