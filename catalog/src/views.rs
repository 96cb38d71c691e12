//! Views: queries under the name of a table, run each time that somebody reads them.
//!
//! A view says itself with whose rights it runs. With those of its **invoker** it is a shorthand: who reads it
//! reads its tables, and is decided about for each of them. With those of its **definer** it shows others what
//! they may not read themselves, as whoever made it sees it at that moment; so only an administrator or the owner
//! of the node makes one, in a dataset that is as strict in tier and markings as what the view reads. The owner
//! alone may make it in one that is laxer: showing less than all of strict data to more people is what such
//! views are for, and has to be somebody's decision.
//!
//! A view belongs to its dataset and to no version of it: who may read the dataset may ask the view. It is made
//! and taken away like a table that a query makes, but closes nothing by itself. Its query names every table in full
//! and by no version, unless it was written with one.

use crate::audit::{Act, Said};
use crate::lineage::{join, nothing, passed_on};
use crate::model::{ColumnInfo, Dataset};
use crate::policy::{Rights, subject};
use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};
use std::collections::{BTreeMap, BTreeSet};
use tarn_schemas::{DatasetName, DatasetRef, Principal, Scope, TableName};

/// How deep views may read views.
pub const DEEPEST_VIEW: usize = 4;
/// Most views of one dataset.
const MOST: usize = 100;
/// Longest query of a view in bytes.
const LONGEST: usize = 100_000;

/// A view as a principal may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its name, one of the tables and views of its dataset.
    pub name: TableName,
    /// Its columns.
    pub columns: Vec<ColumnInfo>,
    /// Whether it runs with the rights of whoever reads it, rather than of whoever made it.
    pub security_invoker: bool,
    /// Its query; told to those who may know of everything that it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// What it is to those who run it. It stays inside.
    #[serde(skip)]
    pub definition: ViewDefinition,
}

/// What runs when a view is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewDefinition {
    /// Its query.
    pub sql: String,
    /// Its columns when it was made, as text.
    pub schema: String,
    /// Who made it, as grants name people.
    definer: String,
    inputs: Vec<ViewInput>,
}

/// A table or view that a view reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ViewInput {
    /// The dataset, of this lab.
    pub dataset: DatasetName,
    /// Its version, where the query names one.
    pub version: Option<u32>,
    /// The table or view.
    pub table: TableName,
}

/// A view that is to be made.
#[derive(Debug, Clone)]
pub struct NewView {
    /// Its name.
    pub name: TableName,
    /// Its query, with every table named in full.
    pub sql: String,
    /// Whether it runs with the rights of whoever reads it.
    pub security_invoker: bool,
    /// Its columns as text.
    pub schema: String,
    /// Its columns.
    pub columns: Vec<ColumnInfo>,
    /// What it reads.
    pub inputs: BTreeSet<ViewInput>,
}

/// What is stored of it.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    sql: String,
    security_invoker: bool,
    schema: String,
    columns: Vec<ColumnInfo>,
    inputs: Vec<ViewInput>,
}

impl View {
    /// What tells this view from another of its name: its query, whose rights it has, and who made it.
    pub fn fingerprint(&self) -> String {
        let ViewDefinition { sql, definer, .. } = &self.definition;
        let all = format!("{}\0{definer}\0{sql}", self.security_invoker);
        format!("{:x}", Sha256::digest(all))
    }
}

impl Catalog {
    /// Refuses what [`Catalog::put_view`] would refuse, so that nothing is planned in vain.
    ///
    /// # Errors
    /// As [`Catalog::put_view`], but for its inputs.
    pub async fn check_view(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        (name, security_invoker): (&TableName, bool),
    ) -> Result<(), CatalogError> {
        let rights = self.rights(who).await?;
        let mut write = self.inner.database.write().await?;
        self.may_define(&rights, &mut write, dataset, (name, security_invoker)).await.map(drop)
    }

    /// Makes a view. Needs `Scope::Write` and that the dataset is one's own; for one with the rights of its definer
    /// an administrator or the owner of the node. Whether its maker may read what it reads was found out when
    /// it was planned.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] for a name that is taken and for too many views, [`CatalogError::Denied`] for
    /// another person's dataset, and for a definer's view in a dataset that is laxer than what it reads.
    pub async fn put_view(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        view: NewView,
    ) -> Result<(), CatalogError> {
        let NewView { name, sql, security_invoker, schema, columns, inputs } = view;
        if sql.len() > LONGEST {
            return Err(CatalogError::Argument(format!(
                "the query has {} bytes, and that of a view {LONGEST} at most",
                sql.len()
            )));
        }
        let rights = self.rights(who).await?;
        let inputs: Vec<ViewInput> = inputs.into_iter().collect();
        if !Box::pin(self.are_known(&rights, &inputs, (&mut BTreeMap::new(), 0))).await? {
            return Err(CatalogError::Conflict(
                "what the view reads changed while it was planned: make it again".to_owned(),
            ));
        }
        let database = &self.inner.database;
        let mut write = database.write().await?;
        // It is one of them itself.
        let deepest = DEEPEST_VIEW.saturating_sub(1);
        let seen = &mut BTreeSet::new();
        if !Box::pin(self.nest_within(&mut write.transaction, &inputs, (deepest, seen))).await? {
            return Err(CatalogError::Argument(format!(
                "views read views here {DEEPEST_VIEW} deep at most: name the tables in its query instead"
            )));
        }
        let seen = &mut BTreeSet::new();
        let tables = Box::pin(self.nest_within(&mut write.transaction, &inputs, (0, seen))).await?;
        if !security_invoker && !tables {
            return Err(CatalogError::Argument(
                "a view with the rights of whoever makes it reads tables alone: whoever made the views in it could \
                 choose later what is read with these rights. Write their queries in place of them"
                    .to_owned(),
            ));
        }
        let target =
            self.may_define(&rights, &mut write, dataset, (&name, security_invoker)).await?;
        if !security_invoker {
            self.is_as_strict(&mut write.transaction, &rights.who, &target, &inputs).await?;
        }
        let reads: Vec<String> = inputs.iter().map(|input| self.view_input(input)).collect();
        let content = Content { sql, security_invoker, schema, columns, inputs };
        let text = serde_json::to_string(&content)
            .map_err(|error| database.unreadable("a view", &error))?;
        sqlx::query(
            "INSERT INTO dataset_view (dataset, name, content, definer, made_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(dataset.as_str())
        .bind(name.as_str())
        .bind(text)
        .bind(subject(who))
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        let said = Said::new(Act::CreateView, subject(who))
            .on(target.full_name())
            .with("view", name.as_str())
            .with("rights", if security_invoker { "invoker" } else { "definer" })
            .with("reads", reads.join(", "));
        write.note(said).await?;
        write.commit().await
    }

    /// Takes a view away, by those who may make one there.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] for what is not there or may not be known of, [`CatalogError::Denied`] for another
    /// person's dataset.
    pub async fn drop_view(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        name: &TableName,
    ) -> Result<(), CatalogError> {
        let (database, rights) = (&self.inner.database, self.rights(who).await?);
        let mut write = database.write().await?;
        let target = self.own_dataset(&rights, &mut write, dataset).await?.dataset;
        let gone = sqlx::query("DELETE FROM dataset_view WHERE dataset = $1 AND name = $2")
            .bind(dataset.as_str())
            .bind(name.as_str())
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if gone.rows_affected() == 0 {
            return Err(CatalogError::NotFound {
                kind: "view",
                name: format!("{}.{dataset}.{name}", self.lab()),
                hint: format!("; `tarn show {dataset}` lists what there is"),
            });
        }
        let said = Said::new(Act::DropView, subject(who)).on(target.full_name());
        write.note(said.with("view", name.as_str())).await?;
        write.commit().await
    }

    /// With whose rights a view is run for somebody who reads it.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] where whoever made it may make such views no more, or has nothing left that
    /// vouches for them, or where what it reads became stricter than the dataset that holds it.
    pub async fn rights_of_view(
        &self,
        reader: &Principal,
        dataset: &Dataset,
        view: &View,
    ) -> Result<Principal, CatalogError> {
        if view.security_invoker {
            return Ok(reader.clone());
        }
        let Some(name) = view.definition.definer.strip_prefix("person:") else {
            return Ok(Principal::Owner);
        };
        let definer = Principal::person(name, Scope::Admin);
        self.check_current(&definer).await.map_err(|_| {
            CatalogError::Denied(
                "whoever made it is no administrator any more, or has no token and no login"
                    .to_owned(),
            )
        })?;
        let mut read = self.inner.database.read().await?;
        self.is_as_strict(&mut read, &definer, dataset, &view.definition.inputs).await?;
        Ok(definer)
    }

    /// The dataset that a view may be made in.
    async fn may_define(
        &self,
        rights: &Rights,
        write: &mut Write<'_>,
        dataset: &DatasetName,
        (name, security_invoker): (&TableName, bool),
    ) -> Result<Dataset, CatalogError> {
        let target = self.own_dataset(rights, write, dataset).await?.dataset;
        if !security_invoker && !rights.who.has_scope(Scope::Admin) {
            return Err(CatalogError::Denied(
                "a view with the rights of its definer shows others what they may not read themselves, so an \
                 administrator or the owner of the node makes it: ask one, or write \
                 WITH (security_invoker = true)"
                    .to_owned(),
            ));
        }
        let names = self.view_names(write, dataset).await?;
        if target.tables.iter().any(|entry| entry.name == *name) || names.contains(name.as_str()) {
            return Err(CatalogError::Conflict(format!(
                "{dataset} has a table or view {name}: choose another name, or take it away first"
            )));
        }
        if names.len() >= MOST {
            return Err(CatalogError::Conflict(format!(
                "{dataset} has {MOST} views: take some away"
            )));
        }
        Ok(target)
    }

    /// Names of the views of a dataset.
    pub(crate) async fn view_names(
        &self,
        write: &mut Write<'_>,
        dataset: &DatasetName,
    ) -> Result<BTreeSet<String>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT name FROM dataset_view WHERE dataset = $1")
            .bind(dataset.as_str())
            .fetch_all(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        rows.iter().map(|row| database.text(row, "name")).collect()
    }

    /// Refuses a definer's view in a dataset that is laxer in tier or markings than what it reads.
    async fn is_as_strict(
        &self,
        transaction: &mut Transaction<'static, Any>,
        definer: &Principal,
        target: &Dataset,
        inputs: &[ViewInput],
    ) -> Result<(), CatalogError> {
        if *definer == Principal::Owner {
            return Ok(());
        }
        let mut limits = nothing();
        for input in inputs {
            for version in BTreeSet::from([None, input.version]) {
                let found = self.load(transaction, &input.dataset, version).await?;
                if let Some(found) = found {
                    limits = join(limits, &passed_on(&found.dataset));
                }
            }
        }
        let own = passed_on(target);
        if own.tier >= limits.tier && limits.markings.is_subset(&own.markings) {
            return Ok(());
        }
        Err(CatalogError::Denied(format!(
            "{}.{} is laxer in tier or markings than what the view reads: only the owner of the node makes a view \
             there that shows it with the rights of its definer",
            target.lab, target.name
        )))
    }

    /// A dataset with those of its views that a principal may know of: a view with the rights of its reader only
    /// where they may know of everything that it reads, because its columns tell of it.
    pub(crate) async fn with_views(
        &self,
        rights: &Rights,
        mut dataset: Dataset,
    ) -> Result<Dataset, CatalogError> {
        if dataset.redacted || dataset.is_older() {
            return Ok(dataset);
        }
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT * FROM dataset_view WHERE dataset = $1 ORDER BY name")
            .bind(dataset.name.as_str())
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let mut found = BTreeMap::new();
        for row in &rows {
            let mut view = self.view_from_row(row)?;
            let inputs = &view.definition.inputs;
            let known = Box::pin(self.are_known(rights, inputs, (&mut found, 0))).await?;
            if known {
                view.sql = Some(view.definition.sql.clone());
            }
            if known || !view.security_invoker {
                dataset.views.push(view);
            }
        }
        Ok(dataset)
    }

    /// Datasets that have views.
    pub(crate) async fn datasets_with_views(&self) -> Result<BTreeSet<DatasetName>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT DISTINCT dataset FROM dataset_view")
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        rows.iter().map(|row| database.dataset_name(&database.text(row, "dataset")?)).collect()
    }

    /// Whether somebody may know of all these tables and views. What was found of each is remembered.
    async fn are_known(
        &self,
        rights: &Rights,
        inputs: &[ViewInput],
        (found, depth): (&mut BTreeMap<ViewInput, bool>, usize),
    ) -> Result<bool, CatalogError> {
        if depth >= DEEPEST_VIEW {
            return Ok(false);
        }
        for input in inputs {
            let known = match found.get(input) {
                Some(known) => *known,
                None => Box::pin(self.is_known(rights, input, (&mut *found, depth))).await?,
            };
            found.insert(input.clone(), known);
            if !known {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the views among these stand within one another no deeper than so.
    async fn nest_within(
        &self,
        transaction: &mut Transaction<'static, Any>,
        inputs: &[ViewInput],
        (deepest, seen): (usize, &mut BTreeSet<(ViewInput, usize)>),
    ) -> Result<bool, CatalogError> {
        for input in inputs {
            if !seen.insert((input.clone(), deepest)) {
                continue;
            }
            let database = &self.inner.database;
            let row = sqlx::query("SELECT * FROM dataset_view WHERE dataset = $1 AND name = $2")
                .bind(input.dataset.as_str())
                .bind(input.table.as_str())
                .fetch_optional(&mut **transaction)
                .await
                .map_err(|error| database.error(&error))?;
            let Some(row) = row else { continue };
            let Some(left) = deepest.checked_sub(1) else { return Ok(false) };
            let inputs = self.view_from_row(&row)?.definition.inputs;
            if !Box::pin(self.nest_within(transaction, &inputs, (left, &mut *seen))).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn is_known(
        &self,
        rights: &Rights,
        input: &ViewInput,
        (found, depth): (&mut BTreeMap<ViewInput, bool>, usize),
    ) -> Result<bool, CatalogError> {
        let (name, version) = (input.dataset.clone(), input.version);
        let of = DatasetRef { lab: None, name, version };
        let dataset = match self.dataset_without_views(rights, &of).await {
            Ok(dataset) if !dataset.redacted => dataset,
            Ok(_) | Err(CatalogError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let there = dataset.tables.iter().any(|entry| entry.name == input.table);
        if there || dataset.is_older() {
            return Ok(there);
        }
        let database = &self.inner.database;
        let row = sqlx::query("SELECT * FROM dataset_view WHERE dataset = $1 AND name = $2")
            .bind(input.dataset.as_str())
            .bind(input.table.as_str())
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(false) };
        let view = self.view_from_row(&row)?;
        let inputs = &view.definition.inputs;
        let below = (found, depth.saturating_add(1));
        Ok(!view.security_invoker || self.are_known(rights, inputs, below).await?)
    }

    fn view_from_row(&self, row: &AnyRow) -> Result<View, CatalogError> {
        let database = &self.inner.database;
        let unreadable =
            |error: &dyn std::error::Error| database.problem(&format!("a view: {error}"));
        let content: Content = serde_json::from_str(&database.text(row, "content")?)
            .map_err(|error| unreadable(&error))?;
        let name =
            TableName::new(database.text(row, "name")?).map_err(|error| unreadable(&error))?;
        let Content { sql, security_invoker, schema, columns, inputs } = content;
        let definer = database.text(row, "definer")?;
        let definition = ViewDefinition { sql, schema, definer, inputs };
        Ok(View { name, columns, security_invoker, sql: None, definition })
    }

    fn view_input(&self, input: &ViewInput) -> String {
        let version = input.version.map_or_else(String::new, |version| format!("@{version}"));
        format!("{}.{}{version}.{}", self.lab(), input.dataset, input.table)
    }
}
