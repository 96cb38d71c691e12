//! Tables that were made by queries, and what of their inputs holds for them.
//!
//! What was computed from data is for those alone who may read these data: whoever reads a dataset with such
//! a table is asked about every input as well, at every decision, by what holds for the input then.
//! So embargoes, agreements, conditions and withdrawals of an input need not be copied, and what is tightened
//! later counts at once. Row filters and masks cannot be done to what a query made of the rows. The table was
//! made of what one person saw, and is for those who see the same of the inputs, or all of them.
//!
//! As decisions are for datasets as a whole, such a table closes its dataset. So it is made in one's own
//! dataset alone, and taken away (`drop_table`) by those who may make one.

use crate::audit::{Act, Said};
use crate::datasets::{Stored, no_dataset};
use crate::decision::{Action, may_write_here};
use crate::lineage::{join, nothing, passed_on};
use crate::model::{Dataset, TableEntry};
use crate::policy::{Rights, subject};
use crate::register::{next, timestamp};
use crate::saved_queries::PinnedTable;
use crate::sources::Content;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::profile::fair;
use tarn_schemas::record::Provenance;
use tarn_schemas::{DatasetName, Principal, Scope, TableName, Tier};

/// How a table was made by a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// The statement, from its SELECT on.
    pub sql: String,
    /// Every table that it read.
    pub tables: Vec<PinnedTable>,
    /// What ran it, with versions.
    pub engine: String,
}

impl Catalog {
    /// Gives a dataset a table that a query made, in its next version, and notes what it was made from: in
    /// the record, for decisions, and in the log. The dataset takes over the strictest tier, exposure
    /// and markings of the inputs. Needs `Scope::Write`.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where the dataset has a table of that name, and where the folder was taken
    /// for abandoned ([`Catalog::begin_table`]);
    /// [`CatalogError::Denied`] where the principal may not write, the dataset is another person's, they may not
    /// read an input (any more), or of an input only aggregates may leave.
    pub async fn put_derived_table(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        (entry, folder): (TableEntry, &str),
        making: Making,
    ) -> Result<u32, CatalogError> {
        let rights = self.rights(who).await?;
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let mut newest = self.may_derive(&rights, &mut write, dataset, &entry.name).await?;
        let (mut limits, mut here) =
            (nothing(), self.inputs_of(&mut write.transaction, (dataset, newest.version)).await?);
        let mut further = Vec::new();
        for table in &making.tables {
            let found = self.input(&rights, &mut write.transaction, table).await?;
            self.is_as_open(&found, &newest)?;
            limits = join(limits, &passed_on(&found));
            here.insert((table.dataset.clone(), table.version), false);
            let (of, newer) =
                (table.version, self.newest_of(&mut write.transaction, &table.dataset).await?);
            for version in BTreeSet::from([of, newer]) {
                let makings = self.makings(&mut write.transaction, &table.dataset, version);
                for content in makings.await? {
                    further.extend(content.tables);
                    further.extend(content.further);
                }
            }
        }
        let made = self.made_from_now(&mut write.transaction, dataset).await?;
        if let Some(circle) = making.tables.iter().find(|table| made.contains(&table.dataset)) {
            return Err(CatalogError::Denied(format!(
                "{} was made from {dataset}, and nothing is made from what is made of it: make the table in \
                 another dataset; nothing was made",
                circle.dataset
            )));
        }
        // What holds for the rows of one table of a dataset would not hold for one that was made of it.
        check_elsewhere(dataset, making.tables.iter().chain(&further))?;
        let name = entry.name.clone();
        newest.tables.push(entry);
        newest.tables.sort_by(|one, other| one.name.cmp(&other.name));
        newest.version = next(newest.version)?;
        newest.registered_at = timestamp(Utc::now());
        let origin = newest.record.provenance.get_or_insert_with(Provenance::default);
        for table in making.tables.iter().filter(|table| table.dataset != *dataset) {
            let input = format!("{}.{}@{}", self.lab(), table.dataset, table.version);
            if !origin.derived_from.contains(&input) {
                origin.derived_from.push(input);
            }
        }
        let taken = newest.inherited.clone().unwrap_or_else(nothing);
        let taken = join(taken, &limits);
        let own = passed_on(&newest);
        newest.tier = newest.tier.max(taken.tier);
        newest.inherited = (join(own.clone(), &taken) != own).then_some(taken).or(newest.inherited);
        let metrics = fair::score(&newest.record, &newest.files, true);
        newest.fair_score = fair::per_cent(&metrics);
        let content_hash = self.hash(&newest.record, &newest.files, &newest.tables)?;
        let notes = format!("made table {name} by a query");
        let mut stored = Stored { dataset: newest, content_hash, notes };
        self.insert(&mut write, &stored, who, "tables").await?;
        let Making { sql, tables, engine } = making;
        let reads: Vec<String> = tables.iter().map(|table| self.full_name(table)).collect();
        let content = Content { sql, engine, tables, further };
        self.note_making(&mut write, (dataset, &name), &content, &stored.dataset).await?;
        self.end_table(&mut write, folder).await?;
        let version = stored.dataset.version;
        stored.dataset.sources = self.sources(&mut write.transaction, dataset, version).await?;
        self.hand_on(&mut write, (dataset, version), &here).await?;
        self.note_published(&mut write, &stored.dataset).await?;
        let said = Said::new(Act::PutTables, subject(who))
            .on(stored.dataset.full_name())
            .with("tables", name.as_str())
            .with("made_from", reads.join(", "));
        write.note(said).await?;
        write.commit().await?;
        Ok(version)
    }

    /// Refuses what [`Catalog::put_derived_table`] would refuse, so that nothing runs in vain.
    ///
    /// # Errors
    /// As [`Catalog::put_derived_table`], but for the inputs.
    pub async fn check_derived_table(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        table: &TableName,
    ) -> Result<(), CatalogError> {
        let rights = self.rights(who).await?;
        let mut write = self.inner.database.write().await?;
        self.may_derive(&rights, &mut write, dataset, table).await.map(drop)
    }

    /// A dataset that a principal may make tables in by queries, and take them away again: their own.
    pub(crate) async fn own_dataset(
        &self,
        rights: &Rights,
        write: &mut Write<'_>,
        dataset: &DatasetName,
    ) -> Result<Stored, CatalogError> {
        may_write_here(&rights.who)?;
        let stored = self
            .load(&mut write.transaction, dataset, None)
            .await?
            .ok_or_else(|| no_dataset(dataset.as_str()))?;
        if !self.decide_as(rights, Action::Discover, &stored.dataset)?.allowed {
            return Err(no_dataset(dataset.as_str()));
        }
        let registrant = stored.dataset.registrant.as_deref();
        if registrant != Some(&*subject(&rights.who)) && !rights.who.has_scope(Scope::Admin) {
            return Err(CatalogError::Denied(format!(
                "{}.{dataset} was registered by somebody else: a table of a query is made, and taken away, in \
                 one's own dataset, because it closes the dataset to those who may not read what it is made \
                 of. Register one of your own, or ask whoever registered this one or an administrator",
                self.lab()
            )));
        }
        self.check_writer(rights, Some(&stored))?;
        Ok(stored)
    }

    /// The dataset that a table may be made in.
    async fn may_derive(
        &self,
        rights: &Rights,
        write: &mut Write<'_>,
        dataset: &DatasetName,
        table: &TableName,
    ) -> Result<Dataset, CatalogError> {
        let stored = self.own_dataset(rights, write, dataset).await?;
        let views = self.view_names(write, dataset).await?;
        if stored.dataset.tables.iter().any(|entry| entry.name == *table)
            || views.contains(table.as_str())
        {
            return Err(CatalogError::Conflict(format!(
                "{dataset} has a table or view {table}: choose another name"
            )));
        }
        Ok(stored.dataset)
    }

    /// An input, if it may still be read.
    async fn input(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        table: &PinnedTable,
    ) -> Result<Dataset, CatalogError> {
        let mut found = self
            .version_of(transaction, table)
            .await?
            .ok_or_else(|| no_dataset(table.dataset.as_str()))?;
        found.sources = self.sources(transaction, &table.dataset, table.version).await?;
        if let Some(newest) = self.load(transaction, &table.dataset, None).await? {
            found.sources.extend(newest.dataset.sources);
        }
        let read = self.decide_as(rights, Action::Read, &found)?;
        if let Some(reason) = read.refusal() {
            return Err(CatalogError::Denied(reason));
        }
        if found.tier == Tier::AggregatesOnly {
            return Err(CatalogError::Denied(format!(
                "of {}.{} only aggregates may leave, and what protects them does not go with a table \
                 that is made of them: nothing was made",
                found.lab, found.name
            )));
        }
        if !table.is_seen_alike(&read.obligations) {
            return Err(CatalogError::Conflict(
                "your rights changed while the query ran: run it again".to_owned(),
            ));
        }
        Ok(found)
    }

    /// Refuses to make a table of an input that not everyone may know of in a dataset that everyone sees:
    /// its columns, and the name of the input, would stand there for all.
    fn is_as_open(&self, input: &Dataset, target: &Dataset) -> Result<(), CatalogError> {
        let everyone = Rights::bare(&Principal::Anonymous, self.lab().as_str());
        let shown = |dataset| -> Result<bool, CatalogError> {
            Ok(self.decide_as(&everyone, Action::Describe, dataset)?.allowed)
        };
        if shown(target)? && !shown(input)? {
            return Err(CatalogError::Denied(format!(
                "everyone sees {}.{}, and not what this table is made of: make it in a dataset with an \
                 exposure as strict as that of {}.{}; nothing was made",
                target.lab, target.name, input.lab, input.name
            )));
        }
        Ok(())
    }

    async fn note_making(
        &self,
        write: &mut Write<'_>,
        (dataset, table): (&DatasetName, &TableName),
        content: &Content,
        made: &Dataset,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let text = serde_json::to_string(content)
            .map_err(|error| database.unreadable("how a table was made", &error))?;
        sqlx::query(
            "INSERT INTO derived_table (dataset, name, content, made_at, made_in)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(dataset.as_str())
        .bind(table.as_str())
        .bind(text)
        .bind(&made.registered_at)
        .bind(i64::from(made.version))
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| database.error(&error))
    }

    /// The newest version of a dataset; 0 where there is none.
    pub(crate) async fn newest_of(
        &self,
        transaction: &mut Transaction<'static, Any>,
        dataset: &DatasetName,
    ) -> Result<u32, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT newest FROM dataset WHERE name = $1")
            .bind(dataset.as_str())
            .fetch_optional(&mut **transaction)
            .await
            .map_err(|error| database.error(&error))?;
        row.map_or(Ok(0), |row| database.number(&row, "newest"))
    }
}

/// Refuses to make a table in a dataset that it is made of.
pub fn check_elsewhere<'a>(
    dataset: &DatasetName,
    mut inputs: impl Iterator<Item = &'a PinnedTable>,
) -> Result<(), CatalogError> {
    if inputs.any(|table| table.dataset == *dataset) {
        return Err(CatalogError::Denied(format!(
            "a table is made in another dataset than those that it is made of, and {dataset} is one of \
             these: nothing was made"
        )));
    }
    Ok(())
}
