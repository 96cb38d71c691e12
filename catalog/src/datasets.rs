//! Reading datasets, versions and tables.

use crate::audit::{Act, Said};
use crate::decision::{Action, Seen};
use crate::lineage::Newest;
use crate::model::{Dataset, Inherited, TableEntry, TableStorage, VersionInfo};
use crate::policy::{Policies, Resource, Rights, subject};
use crate::saved_queries::PinnedTable;
use crate::store::Database;
use crate::{Catalog, CatalogError, ark};
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tarn_schemas::facts::{Extent, FileFacts};
use tarn_schemas::{DatasetName, DatasetRef, LabName, Principal, Record, TableName, Tier};

/// "No such dataset" is said at a multiple of this after it was asked: by then both have been found
/// out, that there is none, and that there is one which is nobody's business.
const ANSWERING: Duration = Duration::from_millis(10);

/// A version as stored.
pub(crate) struct Stored {
    pub(crate) dataset: Dataset,
    pub(crate) content_hash: String,
    pub(crate) notes: String,
}

/// What [`from_row`] reads of a version, and from where.
macro_rules! select_version {
    ($rest:literal) => {
        concat!(
            "SELECT d.ark, CASE WHEN i.registered_at IS NULL THEN NULL ELSE i.doi END AS doi, d.registrant, d.committee, v.inherited, d.withdrawn, v.dataset, v.version, v.record, v.files, v.tier, v.fair_score, ",
            "v.content_hash, v.notes, v.created_at FROM dataset d ",
            "JOIN version v ON v.dataset = d.name LEFT JOIN doi i ON i.dataset = d.name ",
            $rest
        )
    };
}

/// A version of `select_version!`; the tables are read apart.
fn from_row(database: &Database, lab: &LabName, row: &AnyRow) -> Result<Stored, CatalogError> {
    let text =
        |column: &str| row.try_get::<String, _>(column).map_err(|error| database.error(&error));
    let name = text("dataset")?;
    let what = |part: &str| format!("{part} of dataset {name}");
    let record: Record = serde_json::from_str(&text("record")?)
        .map_err(|error| database.unreadable(&what("the record"), &error))?;
    let files: Vec<FileFacts> = serde_json::from_str(&text("files")?)
        .map_err(|error| database.unreadable(&what("the files"), &error))?;
    let tier: Tier = serde_json::from_value(text("tier")?.into())
        .map_err(|error| database.unreadable(&what("the tier"), &error))?;
    let json = |column: &str| database.optional_text(row, column);
    let inherited: Option<Inherited> = json("inherited")?
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| database.unreadable(&what("what is taken over"), &error))?;
    let withdrawn = json("withdrawn")?
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| database.unreadable(&what("the withdrawal"), &error))?;
    let tier = inherited.as_ref().map_or(tier, |inherited| tier.max(inherited.tier));
    let extent = Extent::of(files.iter().map(|file| file.extent));
    let dataset = Dataset {
        lab: lab.clone(),
        version: database.number(row, "version")?,
        ark: text("ark")?,
        doi: json("doi")?,
        tier,
        newest_embargo: None,
        newest: None,
        sources: Vec::new(),
        inherited,
        withdrawn,
        registrant: json("registrant")?,
        committee: json("committee")?,
        redacted: false,
        extent,
        tables: Vec::new(),
        views: Vec::new(),
        fair_score: row.try_get("fair_score").map_err(|error| database.error(&error))?,
        registered_at: text("created_at")?,
        name: DatasetName::new(name.as_str())
            .map_err(|error| database.unreadable(&what("the name"), &error))?,
        record,
        files,
    };
    Ok(Stored { dataset, content_hash: text("content_hash")?, notes: text("notes")? })
}

fn table_from_row(database: &Database, row: &AnyRow) -> Result<TableEntry, CatalogError> {
    let entry: String = row.try_get("entry").map_err(|error| database.error(&error))?;
    serde_json::from_str(&entry).map_err(|error| database.unreadable("a table entry", &error))
}

/// One version of a dataset, the newest without a number, as it is stored: without what it was made from.
async fn version_row(
    database: &Database,
    lab: &LabName,
    transaction: &mut Transaction<'static, Any>,
    name: &DatasetName,
    version: Option<u32>,
) -> Result<Option<Stored>, CatalogError> {
    let query = select_version!("WHERE d.name = $1 AND v.version = coalesce($2, d.newest)");
    let row = sqlx::query(query)
        .bind(name.as_str())
        .bind(version.map(i64::from))
        .fetch_optional(&mut **transaction)
        .await
        .map_err(|error| database.error(&error))?;
    let Some(row) = row else { return Ok(None) };
    let mut stored = from_row(database, lab, &row)?;
    let tables = sqlx::query(
        "SELECT entry FROM data_table WHERE dataset = $1 AND version = $2 ORDER BY name",
    )
    .bind(name.as_str())
    .bind(i64::from(stored.dataset.version))
    .fetch_all(&mut **transaction)
    .await
    .map_err(|error| database.error(&error))?;
    stored.dataset.tables =
        tables.iter().map(|row| table_from_row(database, row)).collect::<Result<_, _>>()?;
    Ok(Some(stored))
}

/// The newest versions of these datasets, in this order, as they are stored; those that are not there are
/// left out.
async fn version_rows(
    database: &Database,
    lab: &LabName,
    transaction: &mut Transaction<'static, Any>,
    names: &[DatasetName],
) -> Result<Vec<Stored>, CatalogError> {
    let texts: Vec<&str> = names.iter().map(DatasetName::as_str).collect();
    let query = select_version!("WHERE v.version = d.newest AND d.name IN");
    let mut found = BTreeMap::new();
    for row in database.rows_for(transaction, query, &texts).await? {
        let stored = from_row(database, lab, &row)?;
        found.insert(stored.dataset.name.clone(), stored);
    }
    let query = "SELECT t.dataset, t.entry FROM dataset d JOIN data_table t
                 ON t.dataset = d.name AND t.version = d.newest WHERE d.name IN";
    let mut tables = Vec::new();
    for row in database.rows_for(transaction, query, &texts).await? {
        let name = database.dataset_name(&database.text(&row, "dataset")?)?;
        tables.push((name, table_from_row(database, &row)?));
    }
    tables.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    for (name, table) in tables {
        if let Some(stored) = found.get_mut(&name) {
            stored.dataset.tables.push(table);
        }
    }
    Ok(names.iter().filter_map(|name| found.remove(name)).collect())
}

/// An older version under what holds for the newest: closing a dataset closes its past, while
/// opening it opens nothing that was closed when it was made.
pub(crate) fn held_like(policies: &Policies, mut older: Dataset, newest: &Dataset) -> Dataset {
    older.tier = older.tier.max(newest.tier);
    older.newest_embargo.clone_from(&newest.record.embargo);
    for source in &newest.sources {
        if !older.sources.contains(source) {
            older.sources.push(source.clone());
        }
    }
    older.newest = Some(Box::new(Newest::of(newest, policies.resource(newest))));
    older
}

impl Catalog {
    /// One version of a dataset, the newest without a number, whoever asks, with what it was made from:
    /// whatever is decided about it is decided about these, too.
    pub(crate) async fn load(
        &self,
        transaction: &mut Transaction<'static, Any>,
        name: &DatasetName,
        version: Option<u32>,
    ) -> Result<Option<Stored>, CatalogError> {
        let found = version_row(&self.inner.database, self.lab(), transaction, name, version);
        // Large futures: on the heap they are no burden to those of the many callers.
        let Some(mut stored) = Box::pin(found).await? else { return Ok(None) };
        let version = stored.dataset.version;
        stored.dataset.sources = Box::pin(self.sources(transaction, name, version)).await?;
        Ok(Some(stored))
    }

    /// The newest versions of these datasets, in this order, as [`Catalog::load`] gives them; those that are
    /// not there are left out.
    pub(crate) async fn load_all(
        &self,
        transaction: &mut Transaction<'static, Any>,
        names: &[DatasetName],
    ) -> Result<Vec<Stored>, CatalogError> {
        let found = version_rows(&self.inner.database, self.lab(), transaction, names);
        let mut found = Box::pin(found).await?;
        let derived = self.derived_datasets(transaction).await?;
        for Stored { dataset, .. } in &mut found {
            if derived.contains(&dataset.name) {
                let made = self.sources(transaction, &dataset.name, dataset.version);
                dataset.sources = Box::pin(made).await?;
            }
        }
        Ok(found)
    }

    /// The version that was read of a table, under what holds for the newest; without what it was made from.
    pub(crate) async fn version_of(
        &self,
        transaction: &mut Transaction<'static, Any>,
        table: &PinnedTable,
    ) -> Result<Option<Dataset>, CatalogError> {
        let (database, name) = (&self.inner.database, &table.dataset);
        let newest = version_row(database, self.lab(), transaction, name, None);
        let newest = Box::pin(newest).await?;
        let read = version_row(database, self.lab(), transaction, name, Some(table.version));
        let read = Box::pin(read).await?;
        Ok(match (read, newest) {
            (Some(read), Some(newest)) if read.dataset.version == newest.dataset.version => {
                Some(newest.dataset)
            }
            (Some(read), Some(newest)) => {
                Some(held_like(&self.inner.policies, read.dataset, &newest.dataset))
            }
            _ => None,
        })
    }

    /// One dataset, by default its newest version. What the principal may not know does not exist.
    pub async fn dataset(
        &self,
        who: &Principal,
        dataset: &DatasetRef,
    ) -> Result<Dataset, CatalogError> {
        let started = Instant::now();
        let rights = self.rights(who).await?;
        let found = Box::pin(self.dataset_as(&rights, dataset)).await;
        if matches!(found, Err(CatalogError::NotFound { .. })) && *who != Principal::Owner {
            self.not_found(started, rights, dataset.name.clone()).await;
        }
        found
    }

    /// Waits so that what is hidden answers no later than what does not exist. That somebody asked for
    /// something hidden comes into the audit log meanwhile.
    pub(crate) async fn not_found(&self, started: Instant, rights: Rights, name: DatasetName) {
        let catalog = self.clone();
        tokio::spawn(async move {
            if let Err(error) = catalog.note_looked_for(&rights, &name).await {
                tracing::error!(%error, "who asked for a hidden dataset is not in the audit log");
            }
        });
        let quanta = started.elapsed().as_nanos() / ANSWERING.as_nanos();
        let quanta = u32::try_from(quanta).unwrap_or(u32::MAX).saturating_add(1);
        tokio::time::sleep_until((started + ANSWERING.saturating_mul(quanta)).into()).await;
    }

    async fn note_looked_for(
        &self,
        rights: &Rights,
        name: &DatasetName,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut read = database.read().await?;
        let found = self.load(&mut read, name, None).await?;
        drop(read);
        let Some(Stored { dataset, .. }) = found else { return Ok(()) };
        if self.decide_as(rights, Action::Discover, &dataset)?.allowed {
            return Ok(());
        }
        let mut write = database.write().await?;
        let said = Said::new(Act::Discover, subject(&rights.who)).on(dataset.full_name());
        write.note(said.refused()).await?;
        write.commit().await
    }

    /// As [`Catalog::dataset`], for a principal that was looked up.
    pub(crate) async fn dataset_as(
        &self,
        rights: &Rights,
        dataset: &DatasetRef,
    ) -> Result<Dataset, CatalogError> {
        let found = self.dataset_without_views(rights, dataset).await?;
        self.with_views(rights, found).await
    }

    pub(crate) async fn dataset_without_views(
        &self,
        rights: &Rights,
        dataset: &DatasetRef,
    ) -> Result<Dataset, CatalogError> {
        self.own(dataset)?;
        let mut read = self.inner.database.read().await?;
        let stored = self.load(&mut read, &dataset.name, None).await?;
        let newest = stored.map(|stored| stored.dataset);
        let newest = match &newest {
            Some(newest) => self.shown(rights, newest.clone())?.map(|shown| (shown, newest)),
            None => None,
        };
        let (shown, newest) = newest.ok_or_else(|| no_dataset(&dataset.to_string()))?;
        match dataset.version {
            None => Ok(shown),
            Some(version) if version == newest.version => Ok(shown),
            Some(version) => {
                let older = self.load(&mut read, &dataset.name, Some(version)).await?;
                let older = match older {
                    Some(older) => {
                        let older = held_like(&self.inner.policies, older.dataset, newest);
                        self.shown(rights, older)?
                    }
                    None => None,
                };
                older.ok_or_else(|| CatalogError::NotFound {
                    kind: "version",
                    name: dataset.to_string(),
                    hint: format!("; the newest is {}", newest.version),
                })
            }
        }
    }

    /// The newest version of every dataset the principal may know of, by name.
    pub async fn datasets(&self, who: &Principal) -> Result<Vec<Dataset>, CatalogError> {
        let rights = self.rights(who).await?;
        let mut read = self.inner.database.read().await?;
        let (datasets, _) = self.datasets_behind(&rights, &mut read, "", i64::MAX).await?;
        drop(read);
        self.all_with_views(&rights, datasets).await
    }

    /// At most so many of them, those behind a name, and whether there are more.
    pub async fn datasets_after(
        &self,
        who: &Principal,
        name: &str,
        most: usize,
    ) -> Result<(Vec<Dataset>, bool), CatalogError> {
        let rights = self.rights(who).await?;
        let mut read = self.inner.database.read().await?;
        // One more says whether there are more. Few are hidden from most people.
        let wanted = most.saturating_add(1);
        let page = i64::try_from(wanted).unwrap_or(i64::MAX);
        let (mut found, mut after) = (Vec::new(), Some(name.to_owned()));
        while let Some(name) = after.filter(|_| found.len() < wanted) {
            let (datasets, last) = self.datasets_behind(&rights, &mut read, &name, page).await?;
            found.extend(datasets);
            after = last;
        }
        drop(read);
        let more = found.len() > most;
        found.truncate(most);
        Ok((self.all_with_views(&rights, found).await?, more))
    }

    /// Datasets with the views that the principal may know of.
    async fn all_with_views(
        &self,
        rights: &Rights,
        mut datasets: Vec<Dataset>,
    ) -> Result<Vec<Dataset>, CatalogError> {
        let with_views = self.datasets_with_views().await?;
        for dataset in &mut datasets {
            if with_views.contains(&dataset.name) {
                *dataset = self.with_views(rights, dataset.clone()).await?;
            }
        }
        Ok(datasets)
    }

    /// Those of the next so many datasets behind a name that the principal may know of, and the name of the
    /// last one that was looked at; none at the end.
    async fn datasets_behind(
        &self,
        rights: &Rights,
        read: &mut Transaction<'static, Any>,
        name: &str,
        most: i64,
    ) -> Result<(Vec<Dataset>, Option<String>), CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query(select_version!(
            "WHERE v.version = d.newest AND d.name > $1 ORDER BY d.name LIMIT $2"
        ))
        .bind(name)
        .bind(most)
        .fetch_all(&mut **read)
        .await
        .map_err(|error| database.error(&error))?;
        let Some(last) = rows.last().map(|row| database.text(row, "dataset")).transpose()? else {
            return Ok((Vec::new(), None));
        };
        let tables = sqlx::query(
            "SELECT t.dataset, t.entry FROM dataset d JOIN data_table t
             ON t.dataset = d.name AND t.version = d.newest
             WHERE d.name > $1 AND d.name <= $2 ORDER BY t.dataset, t.name",
        )
        .bind(name)
        .bind(&last)
        .fetch_all(&mut **read)
        .await
        .map_err(|error| database.error(&error))?;
        let mut by_dataset: BTreeMap<String, Vec<TableEntry>> = BTreeMap::new();
        for row in &tables {
            let name: String = row.try_get("dataset").map_err(|error| database.error(&error))?;
            by_dataset.entry(name).or_default().push(table_from_row(database, row)?);
        }
        let derived = self.derived_datasets(read).await?;
        let mut datasets = Vec::with_capacity(rows.len());
        // Datasets that are one to the policies are decided once.
        let mut decided: BTreeMap<Resource, (Seen, bool)> = BTreeMap::new();
        for row in &rows {
            let mut dataset = from_row(database, self.lab(), row)?.dataset;
            dataset.tables = by_dataset.remove(dataset.name.as_str()).unwrap_or_default();
            let resource = self.inner.policies.resource(&dataset);
            // What it was made from makes a dataset one of its kind.
            let made = derived.contains(&dataset.name);
            if made {
                dataset.sources = self.sources(read, &dataset.name, dataset.version).await?;
            }
            let (seen, counted) = match decided.get(&resource).filter(|_| !made) {
                Some(decided) => *decided,
                None => (self.seen(rights, &dataset)?, self.may_count(rights, &dataset)?),
            };
            if !made {
                decided.insert(resource, (seen, counted));
            }
            datasets.extend(seen.of(dataset).map(|dataset| dataset.counted(counted)));
        }
        let full = i64::try_from(rows.len()).is_ok_and(|rows| rows == most);
        Ok((datasets, full.then_some(last)))
    }

    /// The newest version of the dataset that an ARK names.
    pub async fn dataset_by_ark(
        &self,
        who: &Principal,
        ark: &str,
    ) -> Result<Dataset, CatalogError> {
        let unknown = || CatalogError::NotFound {
            kind: "ARK",
            name: ark.to_owned(),
            hint: "; look for a typing error: the last character is a check character".to_owned(),
        };
        let parsed = ark::parse(ark).ok_or_else(unknown)?;
        let row = sqlx::query("SELECT name FROM dataset WHERE ark = $1")
            .bind(&parsed)
            .fetch_optional(self.inner.database.pool())
            .await
            .map_err(|error| self.inner.database.error(&error))?
            .ok_or_else(unknown)?;
        let name: String =
            row.try_get("name").map_err(|error| self.inner.database.error(&error))?;
        let name = DatasetName::new(name)
            .map_err(|error| self.inner.database.unreadable("a dataset's name", &error))?;
        match self.dataset(who, &DatasetRef { lab: None, name, version: None }).await {
            Err(CatalogError::NotFound { .. }) => Err(unknown()),
            other => other,
        }
    }

    /// All versions, oldest first.
    pub async fn versions(
        &self,
        who: &Principal,
        dataset: &DatasetName,
    ) -> Result<Vec<VersionInfo>, CatalogError> {
        let database = &self.inner.database;
        let mut read = database.read().await?;
        let newest = self.load(&mut read, dataset, None).await?;
        let rights = self.rights(who).await?;
        let newest = newest.map(|newest| newest.dataset);
        let newest = match newest {
            Some(newest) if self.decide_as(&rights, Action::Discover, &newest)?.allowed => newest,
            _ => return Err(no_dataset(dataset.as_str())),
        };
        // A version that may not be seen whole is not listed.
        let mut seen = BTreeSet::new();
        for version in 1..=newest.version {
            let older = self.load(&mut read, dataset, Some(version)).await?;
            let Some(older) = older.map(|older| older.dataset) else { continue };
            let older = held_like(&self.inner.policies, older, &newest);
            if self.decide_as(&rights, Action::Describe, &older)?.allowed {
                seen.insert(version);
            }
        }
        let rows = sqlx::query(
            "SELECT version, created_at, created_by, notes, content_hash FROM version
             WHERE dataset = $1 ORDER BY version",
        )
        .bind(dataset.as_str())
        .fetch_all(&mut *read)
        .await
        .map_err(|error| database.error(&error))?;
        let tables = sqlx::query("SELECT version, entry FROM data_table WHERE dataset = $1")
            .bind(dataset.as_str())
            .fetch_all(&mut *read)
            .await
            .map_err(|error| database.error(&error))?;
        let mut by_version: BTreeMap<u32, BTreeMap<String, String>> = BTreeMap::new();
        for row in &tables {
            let version: u32 = database.number(row, "version")?;
            let table = table_from_row(database, row)?;
            by_version.entry(version).or_default().insert(table.name.to_string(), pin(&table));
        }
        let text = |row: &AnyRow, column: &str| {
            row.try_get::<String, _>(column).map_err(|error| database.error(&error))
        };
        let mut versions = Vec::with_capacity(rows.len());
        for row in &rows {
            let version: u32 = database.number(row, "version")?;
            if !seen.contains(&version) {
                continue;
            }
            versions.push(VersionInfo {
                version,
                created_at: text(row, "created_at")?,
                created_by: text(row, "created_by")?,
                notes: text(row, "notes")?,
                content_hash: text(row, "content_hash")?,
                tables: by_version.remove(&version).unwrap_or_default(),
            });
        }
        Ok(versions)
    }

    /// A table of the newest version (or of `dataset.version`) with the dataset it belongs to.
    pub async fn table(
        &self,
        who: &Principal,
        dataset: &DatasetRef,
        table: &TableName,
    ) -> Result<(Dataset, TableEntry), CatalogError> {
        let found = self.dataset(who, dataset).await?;
        let entry = found.table(table)?.clone();
        Ok((found, entry))
    }

    /// Only datasets of this lab are held here.
    fn own(&self, dataset: &DatasetRef) -> Result<(), CatalogError> {
        match &dataset.lab {
            Some(lab) if lab != self.lab() => Err(CatalogError::NotFound {
                kind: "dataset",
                name: dataset.to_string(),
                hint: format!("; this is the catalog of {}", self.lab()),
            }),
            _ => Ok(()),
        }
    }
}

impl Dataset {
    /// The table of a name; the error says which there are.
    pub(crate) fn table(&self, table: &TableName) -> Result<&TableEntry, CatalogError> {
        if let Some(entry) = self.tables.iter().find(|entry| entry.name == *table) {
            return Ok(entry);
        }
        let names: Vec<&str> = self.tables.iter().map(|entry| entry.name.as_str()).collect();
        let hint = if self.views.iter().any(|view| view.name == *table) {
            "; it is a view, which SQL alone reads: make a table of it (CREATE TABLE … AS) for other doors"
                .to_owned()
        } else if names.is_empty() {
            "; the dataset has no tables yet: ingest its files".to_owned()
        } else {
            format!("; the dataset has {}", names.join(", "))
        };
        Err(CatalogError::NotFound {
            kind: "table",
            name: format!("{}.{}.{table}", self.lab, self.name),
            hint,
        })
    }
}

/// Where the rows of a table are, for people.
fn pin(table: &TableEntry) -> String {
    match &table.storage {
        TableStorage::Delta { version, .. } => format!("delta@{version}"),
        TableStorage::InPlace { files, .. } if files.len() == 1 => "in place, 1 file".to_owned(),
        TableStorage::InPlace { files, .. } => format!("in place, {} files", files.len()),
    }
}

pub(crate) fn no_dataset(name: &str) -> CatalogError {
    CatalogError::NotFound {
        kind: "dataset",
        name: name.to_owned(),
        hint: "; `tarn search` lists what there is".to_owned(),
    }
}
