//! From the names in a statement to open tables, under the policy of the own lab.

mod plan_view;
mod view;

use crate::engine::catalogs::OwnLab;
use crate::engine::{Engine, Veil, obligations};
use crate::error::QueryError;
use crate::provider::{ListedTable, schema_of};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{CatalogProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;
use std::sync::Arc;
use tarn_catalog::{
    Catalog, CatalogError, Dataset, Decision, Door, Obligation, PinnedTable, Reading, TableEntry,
    View, schema_text,
};
use tarn_schemas::{DatasetRef, LabName, Principal, TableName, Tier};

/// The schema that unqualified names are looked up in. No dataset can have this name.
pub(crate) const NO_DATASET: &str = "*";

/// Tables of `information_schema` that tell of tables, columns and functions, and not of settings.
const INFORMATION: [&str; 6] = ["tables", "columns", "schemata", "views", "routines", "parameters"];

/// How similar a name must be to be suggested.
const CLOSE: f64 = 0.5;
/// Most suggestions.
const SUGGESTIONS: usize = 3;

/// Finds the tables of the own lab that a principal names.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    engine: &'a Engine,
    catalog: &'a Catalog,
    reading: &'a Reading,
    who: &'a Principal,
    peers: &'a [(LabName, Arc<dyn CatalogProvider>)],
    veil: &'a Veil,
    pins: &'a [PinnedTable],
    /// The views that are being opened, from the outermost on.
    within: Vec<String>,
    /// The view with the rights of its definer that is being opened, and who reads it.
    lent: Option<(&'a str, &'a Principal)>,
}

/// What was opened of the own lab.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Tables and views that whoever asks reads with their own rights.
    tables: Vec<PinnedTable>,
    /// A view among what is read that has the rights of its definer.
    borrowed: Option<String>,
}

impl Read {
    /// What is read besides.
    pub(crate) fn add(&mut self, other: Self) {
        for table in other.tables {
            if !self.tables.contains(&table) {
                self.tables.push(table);
            }
        }
        self.borrowed = self.borrowed.take().or(other.borrowed);
    }

    /// Whether a view is among what is read.
    pub(crate) fn has_views(&self) -> bool {
        self.borrowed.is_some() || self.tables.iter().any(PinnedTable::is_view)
    }

    /// What is read, where all of it is read with the rights of whoever asks.
    pub(crate) fn own(self, what: &str) -> Result<Vec<PinnedTable>, QueryError> {
        match self.borrowed {
            None => Ok(self.tables),
            Some(view) => Err(QueryError::Invalid(format!(
                "{what}: {view} reads with the rights of whoever made it, which may end while what was made of \
                 it stays: ask for the tables themselves, or read the view in SELECT alone"
            ))),
        }
    }
}

/// What a name means in a dataset.
enum Found {
    Table(TableEntry),
    View(Box<View>),
}

impl Found {
    /// The table or view of a name.
    fn of(dataset: &Dataset, name: &str) -> Option<Self> {
        let table = dataset.tables.iter().find(|entry| entry.name.as_str() == name);
        let view = dataset.views.iter().find(|view| view.name.as_str() == name);
        let table = table.map(|entry| Self::Table(entry.clone()));
        table.or_else(|| view.map(|view| Self::View(Box::new(view.clone()))))
    }

    fn name(&self) -> &TableName {
        match self {
            Self::Table(entry) => &entry.name,
            Self::View(view) => &view.name,
        }
    }
}

/// The columns of a view as they were when it was made.
pub(crate) fn schema_of_view(view: &View) -> Result<SchemaRef, QueryError> {
    let decoded = schema_text::decode(&view.definition.schema);
    decoded.map(|schema| Arc::new(schema_text::with_tensors(&schema))).map_err(|error| {
        QueryError::InvalidData(format!(
            "the columns of view {} cannot be read: {error}",
            view.name
        ))
    })
}

/// Whether a table is read or only described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Its rows are read: policy must allow that.
    Read,
    /// Its columns are listed: who may know of the table may know them.
    Describe,
}

/// Whether a reference means `information_schema`.
pub(crate) fn is_information(reference: &TableReference) -> bool {
    reference.schema() == Some("information_schema")
}

/// Refuses the parts of `information_schema` that tell of settings.
pub(crate) fn check_information(reference: &TableReference) -> Result<(), QueryError> {
    if INFORMATION.contains(&reference.table()) {
        return Ok(());
    }
    Err(QueryError::NotFound(format!(
        "there is no table {reference}; information_schema has {}",
        INFORMATION.join(", ")
    )))
}

/// The failure of a name without a home.
pub(crate) fn no_home(reference: &TableReference) -> QueryError {
    QueryError::NotFound(format!(
        "there is no table {reference}: this is no home, so there are no tables; read files with \
         read_any('path'), or make a home with `tarn init`"
    ))
}

impl<'a> Names<'a> {
    /// Names as `who` sees them, who was looked up for `reading`.
    pub(crate) fn new(
        engine: &'a Engine,
        (catalog, reading): (&'a Catalog, &'a Reading),
        who: &'a Principal,
        peers: &'a [(LabName, Arc<dyn CatalogProvider>)],
        veil: &'a Veil,
    ) -> Self {
        Self {
            engine,
            catalog,
            reading,
            who,
            peers,
            veil,
            pins: &[],
            within: Vec::new(),
            lent: None,
        }
    }

    /// The same names, but for these tables at the versions that they are pinned to.
    pub(crate) fn pinned(self, pins: &'a [PinnedTable]) -> Self {
        Self { pins, ..self }
    }

    /// Opens what a reference means, under the name it has in the statement. Returns what is read of
    /// the own lab.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] for a name that does not exist or may not be known,
    /// [`QueryError::Denied`] for one that may be known and not read.
    pub(crate) async fn open(
        &self,
        reference: &TableReference,
        used: Use,
        lab: &mut OwnLab,
    ) -> Result<Read, QueryError> {
        if let Some(catalog) = reference.catalog()
            && catalog != self.catalog.lab().as_str()
        {
            return self.check_peer(reference, catalog).await.map(|()| Read::default());
        }
        let written = reference.to_quoted_string();
        let pin = self.pins.iter().find(|pin| pin.written == written);
        let (dataset, found) = match (pin, reference.schema()) {
            (Some(pin), _) => self.pinned_at(reference, pin).await?,
            (None, Some(dataset)) => self.qualified(reference, dataset).await?,
            (None, None) => self.unqualified(reference).await?,
        };
        let (provider, read) = match used {
            Use::Describe => (listed(&found)?, Read::default()),
            Use::Read => {
                let decision = self.admitted(&dataset, &found, pin).await?;
                let owed = &decision.obligations;
                let at = (dataset.name.clone(), dataset.version);
                let own = PinnedTable::new(written, at, found.name().clone(), owed);
                let (open, read) = match &found {
                    Found::Table(entry) => {
                        let open = self.table(&dataset, entry).await?;
                        (open, Read { tables: vec![own], borrowed: None })
                    }
                    Found::View(view) => {
                        let (open, inner) = Box::pin(self.view(&dataset, view)).await?;
                        let mut read = Read { tables: vec![own.of_view(view)], borrowed: None };
                        read.add(inner);
                        (open, read)
                    }
                };
                let open = if owed.is_empty() {
                    open
                } else {
                    let (state, at) = (self.engine.template(), (dataset.as_ref(), found.name()));
                    obligations::guarded(self.catalog, state, at, open, owed)?
                };
                (open, read)
            }
        };
        lab.open(reference.schema().unwrap_or(NO_DATASET), reference.table(), provider);
        Ok(read)
    }

    /// The decision that rows may be read; one that is limited otherwise than when a query was saved is none.
    async fn admitted(
        &self,
        dataset: &Dataset,
        found: &Found,
        pin: Option<&PinnedTable>,
    ) -> Result<Decision, QueryError> {
        let mut decision = self.reading.admit(dataset, Door::Sql, self.lent).await?;
        if self.lent.is_some() && dataset.tier == Tier::AggregatesOnly {
            // Whoever may see the rows themselves does not show them to others by a view.
            decision.obligations.insert(Obligation::Aggregates { minimum_cell: None });
        }
        if let Some(reason) = decision.refusal_at(Door::Sql) {
            return Err(QueryError::Denied(reason));
        }
        if pin.is_some_and(|pin| !pin.is_seen_alike(&decision.obligations)) {
            return Err(QueryError::Denied(format!(
                "you may read another part of {}.{}.{} than whoever saved the query could then \
                 (rows, masks, or aggregates only), so its answer would be another one: ask \
                 the query itself with `tarn sql`",
                dataset.lab,
                dataset.name,
                found.name()
            )));
        }
        Ok(decision)
    }

    /// The rows of a table.
    async fn table(
        &self,
        dataset: &Dataset,
        entry: &TableEntry,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let name = format!("{}.{}.{}", dataset.lab, dataset.name, entry.name);
        self.veil.hide(entry);
        let open = self.engine.opener().table(self.who, &name, entry).await;
        open.map_err(|error| self.veil.error(error))
    }

    /// What a saved query named, as it was then.
    async fn pinned_at(
        &self,
        reference: &TableReference,
        pin: &PinnedTable,
    ) -> Result<(Arc<Dataset>, Found), QueryError> {
        if !pin.is_view() {
            let (dataset, entry) = self.reading.table(&pin.dataset_ref(), &pin.table).await?;
            return Ok((dataset, Found::Table(entry)));
        }
        let (dataset, found) = self.qualified(reference, pin.dataset.as_str()).await?;
        match &found {
            Found::View(view) if pin.is_of_view(view) => Ok((dataset, found)),
            _ => Err(QueryError::Invalid(format!(
                "{reference} is another view than when the query was saved"
            ))),
        }
    }

    /// Adds every table and view that may be known of, for listings.
    pub(crate) async fn list(&self, lab: &mut OwnLab) -> Result<(), QueryError> {
        for dataset in self.catalog.datasets(self.who).await? {
            for entry in &dataset.tables {
                let table = Arc::new(ListedTable::new(schema_of(entry)?));
                lab.list(dataset.name.as_str(), entry.name.as_str(), table);
            }
            for view in &dataset.views {
                let table = Arc::new(ListedTable::view(schema_of_view(view)?, view.sql.clone()));
                lab.list(dataset.name.as_str(), view.name.as_str(), table);
            }
        }
        Ok(())
    }

    async fn check_peer(
        &self,
        reference: &TableReference,
        catalog: &str,
    ) -> Result<(), QueryError> {
        let peer = self.peers.iter().find(|(lab, _)| lab.as_str() == catalog);
        let dataset =
            peer.and_then(|(_, peer)| peer.schema(reference.schema().unwrap_or(NO_DATASET)));
        // A peer of which nothing is known says so itself: its tables may well exist.
        let table = match dataset {
            Some(dataset) => dataset.table(reference.table()).await?,
            None => None,
        };
        match table {
            Some(_) => Ok(()),
            None => Err(self.not_found(reference).await),
        }
    }

    async fn qualified(
        &self,
        reference: &TableReference,
        dataset: &str,
    ) -> Result<(Arc<Dataset>, Found), QueryError> {
        // A name that breaks the rules of names exists as little as one that is not taken.
        let Ok(mut dataset) = dataset.parse::<DatasetRef>() else {
            return Err(self.not_found(reference).await);
        };
        dataset.lab = Some(self.catalog.lab().clone());
        let found = match self.reading.dataset(&dataset).await {
            Ok(dataset) => Found::of(&dataset, reference.table()).map(|found| (dataset, found)),
            Err(CatalogError::NotFound { .. }) => None,
            Err(other) => return Err(other.into()),
        };
        match found {
            Some(found) => Ok(found),
            None => Err(self.not_found(reference).await),
        }
    }

    async fn unqualified(
        &self,
        reference: &TableReference,
    ) -> Result<(Arc<Dataset>, Found), QueryError> {
        let mut found = Vec::new();
        for dataset in self.reading.datasets_with(reference.table()).await? {
            if let Some(table) = Found::of(&dataset, reference.table()) {
                found.push((dataset, table));
            }
        }
        if found.len() > 1 {
            let names: Vec<String> = found
                .iter()
                .map(|(dataset, table)| format!("{}.{}", dataset.name, table.name()))
                .collect();
            return Err(QueryError::Invalid(format!(
                "{reference} is the name of {} tables; write one of {}",
                names.len(),
                names.join(", ")
            )));
        }
        match found.pop() {
            Some(found) => Ok(found),
            None => Err(self.not_found(reference).await),
        }
    }

    /// The same text for what does not exist and for what may not be known, with names that may.
    async fn not_found(&self, reference: &TableReference) -> QueryError {
        let mut visible = match self.catalog.datasets(self.who).await {
            Ok(datasets) => names_of(&datasets),
            Err(error) => return error.into(),
        };
        for (lab, peer) in self.peers {
            for dataset in peer.schema_names() {
                let tables = peer.schema(&dataset).map(|d| d.table_names()).unwrap_or_default();
                visible.extend(tables.iter().map(|table| format!("{lab}.{dataset}.{table}")));
            }
        }
        let close = close_to(reference, &visible);
        QueryError::NotFound(if close.is_empty() {
            format!("there is no table {reference}; SHOW TABLES lists what there is")
        } else {
            format!(
                "there is no table {reference}; near it are {}; SHOW TABLES lists all",
                close.join(", ")
            )
        })
    }
}

/// What is only talked about.
fn listed(found: &Found) -> Result<Arc<dyn TableProvider>, QueryError> {
    Ok(Arc::new(match found {
        Found::Table(entry) => ListedTable::new(schema_of(entry)?),
        Found::View(view) => ListedTable::view(schema_of_view(view)?, view.sql.clone()),
    }))
}

fn names_of(datasets: &[Dataset]) -> Vec<String> {
    datasets
        .iter()
        .flat_map(|dataset| {
            let tables = dataset.tables.iter().map(|entry| &entry.name);
            let all = tables.chain(dataset.views.iter().map(|view| &view.name));
            all.map(move |name| format!("{}.{}.{name}", dataset.lab, dataset.name))
        })
        .collect()
}

/// The most similar of these full names, compared over as many parts as were written.
fn close_to(reference: &TableReference, visible: &[String]) -> Vec<String> {
    let asked = reference.to_string();
    let parts = asked.split('.').count();
    let mut scored: Vec<(f64, &String)> = visible
        .iter()
        .map(|name| {
            let start = name.rmatch_indices('.').nth(parts.saturating_sub(1));
            let tail = start.and_then(|(at, _)| name.get(at.saturating_add(1)..));
            (normalized_levenshtein(&asked, tail.unwrap_or(name)), name)
        })
        .filter(|(score, _)| *score >= CLOSE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(SUGGESTIONS).map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_the_near_names_and_no_others() {
        let visible: Vec<String> =
            ["ornl.cmip6.ta", "ornl.cmip6.tas", "ornl.usaxs.reduced"].map(str::to_owned).to_vec();
        let near = |text: &str| close_to(&TableReference::parse_str(text), &visible);
        assert_eq!(near("ornl.cmip6.taa"), ["ornl.cmip6.ta", "ornl.cmip6.tas"]);
        assert_eq!(near("cmip.ta").first().map(String::as_str), Some("ornl.cmip6.ta"));
        assert_eq!(near("reduce"), ["ornl.usaxs.reduced"]);
        assert!(near("zzzzzzzz").is_empty());
    }
}
