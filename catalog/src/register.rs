//! Registration: from a record to a version of a dataset, in one transaction.

use crate::audit::{Act, Said};
use crate::content::{changes, hash};
use crate::datasets::{Stored, load};
use crate::decision::{Action, may_write_here};
use crate::fill::fill;
use crate::inputs::Inputs;
use crate::lineage::{join, passed_on};
use crate::model::{Assessment, Dataset, LabDefaults, MissingPoint, Registered, TableEntry};
use crate::policy::{Rights, subject};
use crate::store::Write;
use crate::{Catalog, CatalogError, ark};
use chrono::{NaiveDate, Utc};
use sqlx::{Any, Transaction};
use tarn_schemas::facts::{Extent, FileFacts};
use tarn_schemas::profile::{Setting, community, fair, truth, validate};
use tarn_schemas::{DatasetName, Principal, Record, Tier};

/// For how long data are held back at most where the lab does not say.
const LONGEST_EMBARGO_MONTHS: u32 = 24;
/// The fewest units behind a number that is shown where the lab does not say.
const SMALLEST_CELL: u32 = 11;

/// By whose word something is registered, and what the lab says about all of it.
struct By<'a> {
    who: &'a Principal,
    reviewer: Option<&'a Principal>,
    rights: Rights,
    defaults: LabDefaults,
}

impl Catalog {
    /// What `register` would say to the owner: every violation, the FAIR score and what is missing.
    /// Changes nothing.
    pub async fn assess(
        &self,
        record: &Record,
        files: &[FileFacts],
    ) -> Result<Assessment, CatalogError> {
        self.assess_as(&Principal::Owner, record, files).await
    }

    /// Validates, mints an ARK and stores a record as version 1 (the next search indexes it), or as the next version if
    /// the dataset exists and anything changed (an unchanged record is answered with the version it
    /// has). Tables of the version before stay in the next one until an ingest replaces them. Needs
    /// `Scope::Write`.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] with every violation.
    pub async fn register(
        &self,
        who: &Principal,
        record: Record,
        files: Vec<FileFacts>,
    ) -> Result<Registered, CatalogError> {
        // A large future: on the heap it is no burden to those of callers.
        Box::pin(self.register_from(who, record, files, None)).await
    }

    /// As [`Catalog::assess`], of what a principal would hear.
    pub(crate) async fn assess_as(
        &self,
        who: &Principal,
        record: &Record,
        files: &[FileFacts],
    ) -> Result<Assessment, CatalogError> {
        let database = &self.inner.database;
        let rights = self.rights(who).await?;
        let defaults = self.defaults().await?;
        let mut read = database.read().await?;
        let earlier = load(database, self.lab(), &mut read, &record.name, None).await?;
        self.check_writer(&rights, earlier.as_ref())?;
        let today = Utc::now().date_naive();
        let record = fill(
            record.clone(),
            &defaults,
            earlier.as_ref().map(|earlier| &earlier.dataset.record),
            today,
        );
        let tables = earlier.as_ref().map_or(&[][..], |earlier| &earlier.dataset.tables);
        let metrics = fair::score(&record, files, !tables.is_empty());
        let unchanged = match &earlier {
            Some(earlier) => self.hash(&record, files, tables)? == earlier.content_hash,
            None => false,
        };
        let violations = if unchanged {
            Vec::new()
        } else {
            let setting = setting(&defaults, tables, today);
            self.violations(&rights, &mut read, &record, files, (&setting, &defaults))
                .await?
                .violations
        };
        let before = earlier.as_ref().map(|earlier| earlier.dataset.tier);
        let notices = notices(before, record.tier);
        let truth = truth(&record, files);
        Ok(Assessment {
            truth,
            record,
            violations,
            fair_score: fair::per_cent(&metrics),
            missing: missing(metrics),
            notices,
        })
    }

    /// As [`Catalog::register`], for a record that was edited from a version (0: that is new).
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] if the dataset is at another version by now: of two people who edit
    /// one record at the same time, the second is told.
    pub async fn register_from(
        &self,
        who: &Principal,
        record: Record,
        files: Vec<FileFacts>,
        edited: Option<u32>,
    ) -> Result<Registered, CatalogError> {
        Box::pin(self.register_reviewed(who, None, record, files, edited)).await
    }

    /// As [`Catalog::register_from`], by the word of a second person who looked at it.
    pub(crate) async fn register_reviewed(
        &self,
        who: &Principal,
        reviewer: Option<&Principal>,
        record: Record,
        files: Vec<FileFacts>,
        edited: Option<u32>,
    ) -> Result<Registered, CatalogError> {
        let by = self.by(who, reviewer).await?;
        let mut write = self.inner.database.write().await?;
        let done = Box::pin(self.register_in(&mut write, &by, record, files, edited)).await?;
        if done.created {
            write.commit().await?;
        }
        Ok(done)
    }

    /// Registers many records in one transaction, which is much faster than one by one. Each has its
    /// own answer: one that breaks rules stops no other.
    ///
    /// # Errors
    /// The outer one if nothing was stored: the database fails, or `who` may not write here.
    pub async fn register_many(
        &self,
        who: &Principal,
        records: Vec<(Record, Vec<FileFacts>)>,
    ) -> Result<Vec<Result<Registered, CatalogError>>, CatalogError> {
        let by = self.by(who, None).await?;
        let mut write = self.inner.database.write().await?;
        let mut answers = Vec::with_capacity(records.len());
        for (record, files) in records {
            let answer = Box::pin(self.register_in(&mut write, &by, record, files, None)).await;
            // What was refused has written nothing. After anything else nothing is sure.
            match answer {
                Err(error) if !error.is_refusal() => return Err(error),
                answer => answers.push(answer),
            }
        }
        write.commit().await?;
        Ok(answers)
    }

    async fn by<'a>(
        &self,
        who: &'a Principal,
        reviewer: Option<&'a Principal>,
    ) -> Result<By<'a>, CatalogError> {
        may_write_here(who)?;
        let (rights, defaults) = (self.rights(who).await?, self.defaults().await?);
        Ok(By { who, reviewer, rights, defaults })
    }

    /// Registers a record in a transaction. Whatever is refused is refused before anything is written.
    async fn register_in(
        &self,
        write: &mut Write<'_>,
        by: &By<'_>,
        record: Record,
        files: Vec<FileFacts>,
        edited: Option<u32>,
    ) -> Result<Registered, CatalogError> {
        let By { who, reviewer, rights, defaults } = by;
        let database = &self.inner.database;
        let earlier =
            load(database, self.lab(), &mut write.transaction, &record.name, None).await?;
        self.check_writer(rights, earlier.as_ref())?;
        let newest = earlier.as_ref().map_or(0, |earlier| earlier.dataset.version);
        if let Some(edited) = edited.filter(|edited| *edited != newest) {
            let name = format!("{}.{}", self.lab(), record.name);
            return Err(CatalogError::Conflict(format!(
                "{name} is at version {newest} by now, and this record was edited from version \
                 {edited}: nothing was stored. See what changed (`tarn versions {}`), bring it \
                 into the record and register it with --from {newest}",
                record.name
            )));
        }
        let now = Utc::now();
        let record = fill(
            record,
            defaults,
            earlier.as_ref().map(|earlier| &earlier.dataset.record),
            now.date_naive(),
        );
        let tables =
            earlier.as_ref().map_or_else(Vec::new, |earlier| earlier.dataset.tables.clone());
        let metrics = fair::score(&record, &files, !tables.is_empty());
        let content_hash = self.hash(&record, &files, &tables)?;
        if let Some(Stored { dataset, content_hash: stored, .. }) = &earlier
            && *stored == content_hash
        {
            let dataset = dataset.clone();
            let (missing, notices) = (missing(metrics), Vec::new());
            return Ok(Registered { dataset, created: false, missing, notices });
        }
        if reviewer.is_none() {
            check_relaxing(who, earlier.as_ref(), &record)?;
        }
        let setting = setting(defaults, &tables, now.date_naive());
        let Inputs { mut violations, here, limits } = self
            .violations(rights, &mut write.transaction, &record, &files, (&setting, defaults))
            .await?;
        let Some(tier) = record.tier.filter(|_| violations.is_empty()) else {
            violations.sort_by(|one, other| one.pointer.cmp(&other.pointer));
            let dataset = format!("{}.{}", self.lab(), record.name);
            return Err(CatalogError::Invalid { dataset, violations });
        };

        let at = timestamp(now);
        let before = earlier.as_ref().map(|earlier| earlier.dataset.tier);
        let notices = notices(before, Some(tier));
        let (ark, version, notes) = match &earlier {
            None => {
                (self.mint(write, defaults, &record.name, &at).await?, 1, "registered".to_owned())
            }
            Some(earlier) => {
                let before = (&earlier.dataset.record, earlier.dataset.files.as_slice());
                let changed = changes(before, (&record, &files))
                    .map_err(|error| database.unreadable("the record", &error))?;
                (earlier.dataset.ark.clone(), next(earlier.dataset.version)?, changed)
            }
        };
        let mut stored = Stored {
            notes: record.version_notes.clone().unwrap_or(notes),
            content_hash,
            dataset: Dataset {
                lab: self.lab().clone(),
                name: record.name.clone(),
                version,
                ark,
                tier,
                newest_embargo: None,
                newest: None,
                inherited: None,
                withdrawn: None,
                registrant: earlier
                    .map_or_else(|| Some(subject(who)), |earlier| earlier.dataset.registrant),
                redacted: false,
                extent: files.iter().fold(Extent::default(), |all, file| all.union(file.extent)),
                tables,
                fair_score: fair::per_cent(&metrics),
                registered_at: at,
                record,
                files,
            },
        };
        self.insert(write, &stored, who, "registered").await?;
        // What the record says by itself need not be taken over.
        let own = passed_on(&stored.dataset);
        if join(own.clone(), &limits) != own {
            stored.dataset.inherited = Some(limits);
        }
        let inherited = stored.dataset.inherited.as_ref();
        self.put_inherited(write, &stored.dataset.name, inherited).await?;
        self.hand_on(write, &stored.dataset.name, &here).await?;
        self.note_published(write, &stored.dataset).await?;
        let said = Said::new(Act::Register, subject(who))
            .on(stored.dataset.full_name())
            .with("tier", stored.dataset.tier.as_str())
            .with("content", stored.content_hash.as_str());
        let said = match reviewer {
            Some(reviewer) => said.with("reviewer", subject(reviewer)),
            None => said,
        };
        write.note(said).await?;
        let missing = missing(metrics);
        Ok(Registered { dataset: stored.dataset, created: true, missing, notices })
    }

    /// Every rule that a record breaks, those on its inputs too.
    async fn violations(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        record: &Record,
        files: &[FileFacts],
        (setting, defaults): (&Setting, &LabDefaults),
    ) -> Result<Inputs, CatalogError> {
        let mut violations = validate(record, files, setting);
        let known = self.profiles()?;
        violations.extend(community::check(&known, &defaults.profiles, record, files));
        let mut inputs = self.inputs(rights, transaction, record).await?;
        violations.append(&mut inputs.violations);
        Ok(Inputs { violations, ..inputs })
    }

    /// Whether what is there under a name may be written to. Names that are taken by what may not be
    /// known of cannot be given out a second time, and this is all that is said of them.
    pub(crate) fn check_writer(
        &self,
        rights: &Rights,
        earlier: Option<&Stored>,
    ) -> Result<(), CatalogError> {
        let Some(Stored { dataset, .. }) = earlier else { return Ok(()) };
        if !self.decide_as(rights, Action::Discover, dataset)?.allowed {
            return Err(CatalogError::Denied(format!(
                "the name {} cannot be given to a dataset by you: choose another",
                dataset.name
            )));
        }
        if dataset.withdrawn.is_some() {
            return Err(CatalogError::Conflict(format!(
                "{} was withdrawn, and its name is not used again: choose another",
                dataset.name
            )));
        }
        match self.decide_as(rights, Action::Write, dataset)?.refusal() {
            Some(reason) => Err(CatalogError::Denied(reason)),
            None => Ok(()),
        }
    }

    pub(crate) fn hash(
        &self,
        record: &Record,
        files: &[FileFacts],
        tables: &[TableEntry],
    ) -> Result<String, CatalogError> {
        hash(record, files, tables)
            .map_err(|error| self.inner.database.unreadable("the record", &error))
    }

    /// A new ARK for a dataset, kept for ever.
    async fn mint(
        &self,
        write: &mut Write<'_>,
        defaults: &LabDefaults,
        dataset: &DatasetName,
        at: &str,
    ) -> Result<String, CatalogError> {
        let naan = defaults.naan.as_deref().unwrap_or(ark::TEST_NAAN);
        // Two equal names in 29^10 are not expected once; trying again costs nothing.
        for _ in 0..8 {
            let ark = ark::mint(naan);
            let minted = sqlx::query(
                "INSERT INTO ark (ark, dataset, minted_at) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
            )
            .bind(&ark)
            .bind(dataset.as_str())
            .bind(at)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| self.inner.database.error(&error))?;
            if minted.rows_affected() == 1 {
                return Ok(ark);
            }
        }
        Err(CatalogError::Conflict(format!("no free ARK was found under {naan}; try again")))
    }
}

fn setting(defaults: &LabDefaults, tables: &[TableEntry], today: NaiveDate) -> Setting {
    Setting {
        today,
        has_tables: !tables.is_empty(),
        smallest_cell: defaults.smallest_cell.unwrap_or(SMALLEST_CELL),
        longest_embargo_months: defaults.longest_embargo_months.unwrap_or(LONGEST_EMBARGO_MONTHS),
    }
}

/// What the steward should know of a change that breaks no rule.
fn notices(before: Option<Tier>, now: Option<Tier>) -> Vec<String> {
    match (before, now) {
        (Some(before), Some(now)) if now < before => vec![format!(
            "the tier was {before} and is {now} in the new version: more people may read its data, \
             and what they have read cannot be taken back"
        )],
        _ => Vec::new(),
    }
}

/// Tightening is immediate, relaxing takes two people: who asks for it, and the owner, who looks at it
/// and registers it.
fn check_relaxing(
    who: &Principal,
    earlier: Option<&Stored>,
    record: &Record,
) -> Result<(), CatalogError> {
    let Some(Stored { dataset, .. }) = earlier.filter(|_| *who != Principal::Owner) else {
        return Ok(());
    };
    let mut after = dataset.clone();
    after.inherited = None;
    after.tier = record.tier.unwrap_or(dataset.tier);
    after.record = record.clone();
    let (before, now) = (passed_on(dataset), passed_on(&after));
    let today = Utc::now().date_naive().to_string();
    let until = |record: &Record| record.embargo.as_ref().map(|embargo| embargo.until.clone());
    // An embargo that has ended holds nothing back.
    let held = until(&dataset.record).filter(|until| *until > today);
    let sooner = held > until(record);
    if join(now.clone(), &before) == now && !sooner {
        return Ok(());
    }
    Err(CatalogError::Denied(format!(
        "this opens {}.{} further (tier, exposure, markings or embargo), which takes two people: \
         hand the record to the owner of the node, who registers it",
        dataset.lab, dataset.name
    )))
}

pub(crate) fn next(version: u32) -> Result<u32, CatalogError> {
    version
        .checked_add(1)
        .ok_or_else(|| CatalogError::Conflict("the dataset has too many versions".to_owned()))
}

/// A moment as it is stored: RFC 3339 in UTC, to the microsecond.
pub(crate) fn timestamp(at: chrono::DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

fn missing(metrics: Vec<fair::Metric>) -> Vec<MissingPoint> {
    metrics
        .into_iter()
        .filter(|metric| metric.earned < metric.points)
        .map(|metric| MissingPoint {
            metric: metric.name.to_owned(),
            title: metric.title.to_owned(),
            points: metric.points - metric.earned,
            fix: metric.fix,
        })
        .collect()
}
