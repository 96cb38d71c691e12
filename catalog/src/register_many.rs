//! New datasets, many at once: what each breaks is found on all cores, and all are stored by a few
//! statements.

use crate::inputs::Inputs;
use crate::policy::Resource;
use crate::register::{Accepted, By, Version, timestamp};
use crate::store::{Rows, Write};
use crate::{Catalog, CatalogError, Registered, ark};
use chrono::Utc;
use sqlx::{Any, Transaction};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::{DatasetName, Principal, Record};

/// A record to be registered, with what is known of its files, and its place among those given.
type Given = (usize, Record, Vec<FileFacts>);

/// The newest versions of datasets at a moment; those that were not there are not in it.
#[derive(Debug, Clone, Default)]
pub struct Seen(BTreeMap<String, u32>);

impl Seen {
    /// The newest version that was there, 0 where there was none: what a record of this name is edited from.
    pub fn version(&self, name: &DatasetName) -> u32 {
        self.0.get(name.as_str()).copied().unwrap_or(0)
    }
}

/// What became of the record of each place.
type Answers = Vec<(usize, Result<Registered, CatalogError>)>;

impl Catalog {
    /// The newest versions of these datasets: whoever registers from what they saw is told where somebody else
    /// was faster.
    pub async fn newest_versions(&self, names: &[&DatasetName]) -> Result<Seen, CatalogError> {
        let mut read = self.inner.database.read().await?;
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        self.newest_in(&mut read, &names).await
    }

    /// Registers many records in one transaction, which is much faster than one by one. Each has its
    /// own answer: one that breaks rules stops no other. New datasets that name nothing they were made
    /// from come first, then the others in their order.
    ///
    /// # Errors
    /// The outer one if nothing was stored: the database fails, or `who` may not write here.
    pub async fn register_many(
        &self,
        who: &Principal,
        records: Vec<(Record, Vec<FileFacts>)>,
    ) -> Result<Vec<Result<Registered, CatalogError>>, CatalogError> {
        self.register_many_from(who, records, None).await
    }

    /// As [`Catalog::register_many`], of records that were edited when these versions were the newest.
    ///
    /// # Errors
    /// As [`Catalog::register_many`]; [`CatalogError::Conflict`] of a record whose dataset is at another
    /// version by now.
    pub async fn register_many_from(
        &self,
        who: &Principal,
        records: Vec<(Record, Vec<FileFacts>)>,
        seen: Option<&Seen>,
    ) -> Result<Vec<Result<Registered, CatalogError>>, CatalogError> {
        let by = Arc::new(self.by(who, None).await?);
        let mut write = self.inner.database.write().await?;
        let names: Vec<&str> = records.iter().map(|(record, _)| record.name.as_str()).collect();
        let known = self.newest_in(&mut write.transaction, &names).await?;
        let mut named: BTreeSet<String> = BTreeSet::new();
        let (mut new, mut others): (Vec<Given>, Vec<_>) = (Vec::new(), Vec::new());
        for (place, (record, files)) in records.into_iter().enumerate() {
            let inputs = record.provenance.iter().flat_map(|origin| &origin.derived_from).next();
            // The second record of a name is one of a dataset that is there.
            let is_first = named.insert(record.name.to_string());
            let there = known.version(&record.name);
            let edited = seen.filter(|_| is_first).map(|seen| seen.version(&record.name));
            let is_new = is_first && there == 0 && edited.unwrap_or(0) == 0 && inputs.is_none();
            if is_new {
                new.push((place, record, files));
            } else {
                others.push((place, record, files, edited));
            }
        }
        let mut answers = self.register_new(&mut write, &by, new).await?;
        for (place, record, files, edited) in others {
            let answer = Box::pin(self.register_in(&mut write, &by, record, files, edited)).await;
            answers.push((place, refused_or(answer)?));
        }
        write.commit().await?;
        answers.sort_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// The newest versions of those among these names that datasets have already.
    async fn newest_in(
        &self,
        transaction: &mut Transaction<'static, Any>,
        names: &[&str],
    ) -> Result<Seen, CatalogError> {
        let database = &self.inner.database;
        let statement = "SELECT name, newest FROM dataset WHERE name IN";
        let rows = database.rows_for(transaction, statement, names).await?;
        let of_row = |row| Ok((database.text(row, "name")?, database.number(row, "newest")?));
        rows.iter().map(of_row).collect::<Result<_, _>>().map(Seen)
    }

    /// Registers records of new datasets without inputs, each of a name of its own.
    async fn register_new(
        &self,
        write: &mut Write<'_>,
        by: &Arc<By>,
        mut given: Vec<Given>,
    ) -> Result<Answers, CatalogError> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let share = given.len().div_ceil(cores).max(1);
        let mut working = Vec::new();
        while !given.is_empty() {
            let some = given.split_off(given.len().saturating_sub(share));
            let (catalog, by) = (self.clone(), Arc::clone(by));
            working.push(tokio::task::spawn_blocking(move || {
                let accept = |(place, record, files)| {
                    (place, catalog.accept(&by, None, record, files, Inputs::none()))
                };
                some.into_iter().map(accept).collect::<Vec<_>>()
            }));
        }
        let (mut places, mut versions, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for work in working {
            let problem = |error| self.inner.database.problem(&format!("checking failed: {error}"));
            for (place, accepted) in work.await.map_err(problem)? {
                match refused_or(accepted)? {
                    Ok(Accepted::Changed(version)) => {
                        places.push(place);
                        versions.push(*version);
                    }
                    Ok(Accepted::Unchanged(registered)) => answers.push((place, Ok(*registered))),
                    Err(refusal) => answers.push((place, Err(refusal))),
                }
            }
        }
        let stored = self.store_new(write, by, versions).await?;
        answers.extend(places.into_iter().zip(stored.into_iter().map(Ok)));
        Ok(answers)
    }

    /// Stores first versions, each under a new ARK.
    pub(crate) async fn store_new(
        &self,
        write: &mut Write<'_>,
        by: &By,
        mut versions: Vec<Version>,
    ) -> Result<Vec<Registered>, CatalogError> {
        if versions.is_empty() {
            return Ok(Vec::new());
        }
        let database = &self.inner.database;
        let wrong = |error: serde_json::Error| database.unreadable("the record", &error);
        let at = self.change_time(write).await?;
        let mut arks = Rows::new();
        for Version { stored, .. } in &mut versions {
            // Two equal names in 29^10 are not expected once; then nothing is stored.
            stored.dataset.ark = ark::mint(by.naan());
            let (ark, name) = (stored.dataset.ark.as_str(), stored.dataset.name.as_str());
            arks.push([ark.into(), name.into(), timestamp(Utc::now()).into()]);
        }
        let (mut datasets, mut rows, mut files) = (Rows::new(), Rows::new(), Rows::new());
        let (mut inputs, mut changes, mut said) = (Rows::new(), Rows::new(), Vec::new());
        let mut shown: BTreeMap<Resource, bool> = BTreeMap::new();
        for Version { stored, inputs: made_from, .. } in &versions {
            let dataset = &stored.dataset;
            let (name, version) = (dataset.name.as_str(), i64::from(dataset.version));
            let resource = self.inner.policies.resource(dataset);
            let published = *shown.entry(resource).or_insert_with(|| self.is_for_all(dataset));
            let opens = self.opens_at(dataset).filter(|_| published);
            let published = published.then(|| at.clone());
            let inherited = dataset.inherited.as_ref().map(serde_json::to_string);
            datasets.push([
                name.into(),
                dataset.ark.as_str().into(),
                version.into(),
                dataset.registered_at.as_str().into(),
                dataset.registrant.clone().into(),
                dataset.committee.clone().into(),
                published.clone().into(),
                published.into(),
                opens.into(),
            ]);
            rows.push([
                name.into(),
                version.into(),
                serde_json::to_string(&dataset.record).map_err(wrong)?.into(),
                serde_json::to_string(&dataset.files).map_err(wrong)?.into(),
                dataset.tier.as_str().into(),
                dataset.fair_score.into(),
                stored.content_hash.as_str().into(),
                stored.notes.as_str().into(),
                dataset.registered_at.as_str().into(),
                by.who.label().into(),
                inherited.transpose().map_err(wrong)?.into(),
            ]);
            let contents: BTreeSet<&str> =
                dataset.files.iter().map(|file| file.sha256.as_str()).collect();
            for content in contents {
                files.push([content.into(), name.into()]);
            }
            for ((input, of), released) in made_from {
                inputs.push([
                    input.as_str().into(),
                    i64::from(*of).into(),
                    name.into(),
                    version.into(),
                    i64::from(*released).into(),
                ]);
            }
            changes.push([name.into(), version.into(), "registered".into(), at.as_str().into()]);
            said.push(by.said(stored));
        }
        arks.insert(write, "INTO ark (ark, dataset, minted_at)").await?;
        datasets
            .insert(
                write,
                "INTO dataset (name, ark, newest, created_at, registrant, committee, published, \
                 harvest_at, opens_at)",
            )
            .await?;
        rows.insert(
            write,
            "INTO version (dataset, version, record, files, tier, fair_score, content_hash, notes, \
             created_at, created_by, inherited)",
        )
        .await?;
        files.insert(write, "INTO dataset_file (sha256, dataset)").await?;
        inputs
            .insert(write, "INTO derivation (input, input_version, dataset, version, released)")
            .await?;
        changes.insert(write, "INTO change (dataset, version, kind, at)").await?;
        write.note_all(said).await?;
        Ok(versions.into_iter().map(Version::registered).collect())
    }
}

/// A refusal is an answer, and has written nothing. After anything else nothing is sure.
fn refused_or<T>(answer: Result<T, CatalogError>) -> Result<Result<T, CatalogError>, CatalogError> {
    match answer {
        Err(error) if !error.is_refusal() => Err(error),
        answer => Ok(answer),
    }
}
