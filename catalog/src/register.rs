//! Registration: from a record to a version of a dataset, in one transaction.

use crate::audit::{Act, Said};
use crate::content::{changes, hash};
use crate::datasets::Stored;
use crate::decision::{Action, may_write_here};
use crate::fill::fill;
use crate::inputs::Inputs;
use crate::lineage::{MadeFrom, join, limits_of, passed_on};
use crate::model::{Assessment, Dataset, LabDefaults, MissingPoint, Registered, TableEntry};
use crate::policy::{Rights, subject};
use crate::relaxing::{check_relaxing, committee_of, ends_under_cui, is_held_alike, under_cui};
use crate::releases::{check_not_released, reasons};
use crate::store::Write;
use crate::{Catalog, CatalogError, ark};
use chrono::{NaiveDate, Utc};
use tarn_schemas::facts::{Extent, FileFacts};
use tarn_schemas::profile::{Setting, Violation, community, fair, truth, validate};
use tarn_schemas::{Principal, Record, Tier};

/// For how long data are held back at most where the lab does not say.
const LONGEST_EMBARGO_MONTHS: u32 = 24;
/// The fewest units behind a number that is shown where the lab does not say.
const SMALLEST_CELL: u32 = 11;

/// What differs between two versions of one record.
const HELD_ANEW: &str =
    "changed: what it takes over from what it was made from, or who decides about it";

/// What is told of how a more open version came about: the names of fields would tell what the past hid.
const OPENED: &str = "changed: it is more open than the version before";

/// By whose word something is registered, and what the lab says about all of it.
pub(crate) struct By {
    pub(crate) who: Principal,
    pub(crate) reviewer: Option<Principal>,
    rights: Rights,
    defaults: LabDefaults,
}

/// What becomes of a record that may be registered.
pub(crate) enum Accepted {
    /// It is what the newest version says.
    Unchanged(Box<Registered>),
    /// It is a version of its own. That of a new dataset has no ARK yet.
    Changed(Box<Version>),
}

/// A version that breaks no rule and is not stored yet.
pub(crate) struct Version {
    pub(crate) stored: Stored,
    /// Versions of datasets of this lab that it was made from.
    pub(crate) inputs: MadeFrom,
    pub(crate) missing: Vec<MissingPoint>,
    pub(crate) notices: Vec<String>,
}

impl Version {
    /// The answer to whoever registered it.
    pub(crate) fn registered(self) -> Registered {
        let Self { stored, missing, notices, .. } = self;
        Registered { dataset: stored.dataset, created: true, missing, notices }
    }
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
        let earlier = self.load(&mut read, &record.name, None).await?;
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
        let mut inputs =
            Box::pin(self.all_inputs(&rights, &mut read, (&record, files), earlier.as_ref()))
                .await?;
        let agreed = (*who == Principal::Owner).then_some(&record);
        let ends = ends_under_cui(&inputs.limits, &record, earlier.as_ref(), agreed.is_some());
        if agreed.is_none() {
            inputs.limits = under_cui(inputs.limits, &record, earlier.as_ref());
        }
        let unchanged = match &earlier {
            Some(earlier) => {
                self.hash(&record, files, tables)? == earlier.content_hash
                    && is_held_alike(&earlier.dataset, &inputs.limits, agreed)
            }
            None => false,
        };
        let violations = if unchanged {
            Vec::new()
        } else {
            let setting = setting(&defaults, tables, today);
            let before = earlier.as_ref().map(|earlier| &earlier.dataset.record);
            let mut violations = self.violations(&record, before, files, (&setting, &defaults))?;
            violations.append(&mut inputs.violations);
            violations
        };
        let before = earlier.as_ref().map(|earlier| earlier.dataset.tier);
        let tier = record.tier.map(|tier| tier.max(inputs.limits.tier));
        let mut notices = notices(before, tier);
        notices.extend(inputs.told(&record));
        notices.extend(ends);
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

    /// By whose word this is, if they may register at all.
    pub(crate) async fn by(
        &self,
        who: &Principal,
        reviewer: Option<&Principal>,
    ) -> Result<By, CatalogError> {
        may_write_here(who)?;
        let (rights, defaults) = (self.rights(who).await?, self.defaults().await?);
        Ok(By { who: who.clone(), reviewer: reviewer.cloned(), rights, defaults })
    }

    /// Registers a record in a transaction. Whatever is refused is refused before anything is written.
    pub(crate) async fn register_in(
        &self,
        write: &mut Write<'_>,
        by: &By,
        record: Record,
        files: Vec<FileFacts>,
        edited: Option<u32>,
    ) -> Result<Registered, CatalogError> {
        let transaction = &mut write.transaction;
        let earlier = self.load(transaction, &record.name, None).await?;
        self.check_writer(&by.rights, earlier.as_ref())?;
        let newest = earlier.as_ref().map_or(0, |earlier| earlier.dataset.version);
        let conflict = edited.filter(|edited| *edited != newest).map(|edited| {
            let name = format!("{}.{}", self.lab(), record.name);
            CatalogError::Conflict(format!(
                "{name} is at version {newest} by now, and this record was edited from version \
                 {edited}: nothing was stored. See what changed (`tarn versions {}`), bring it \
                 into the record and register it with --from {newest}",
                record.name
            ))
        });
        let inputs =
            Box::pin(self.all_inputs(&by.rights, transaction, (&record, &files), earlier.as_ref()))
                .await?;
        if let Some(reviewer) = &by.reviewer {
            self.check_release(reviewer, transaction, &inputs).await?;
        }
        // Whoever says what is there already is in nobody's way.
        let version = match (self.accept(by, earlier.as_ref(), record, files, inputs), conflict) {
            (Ok(Accepted::Unchanged(registered)), _) => return Ok(*registered),
            (_, Some(conflict)) => return Err(conflict),
            (Ok(Accepted::Changed(version)), None) => version,
            (Err(refused), None) => return Err(refused),
        };
        if earlier.is_some() {
            Box::pin(self.store_next(write, by, *version)).await
        } else {
            let stored = self.store_new(write, by, vec![*version]).await?;
            stored.into_iter().next().ok_or_else(|| self.inner.database.problem("nothing stored"))
        }
    }

    /// What becomes of a record, by all rules. Stores nothing, and asks the database nothing: what there
    /// was before and what was found of its inputs are given.
    pub(crate) fn accept(
        &self,
        By { who, reviewer, defaults, .. }: &By,
        earlier: Option<&Stored>,
        record: Record,
        files: Vec<FileFacts>,
        inputs: Inputs,
    ) -> Result<Accepted, CatalogError> {
        let now = Utc::now();
        let before = earlier.map(|earlier| &earlier.dataset.record);
        let record = fill(record, defaults, before, now.date_naive());
        let mut inputs = inputs;
        let is_agreed = *who == Principal::Owner || reviewer.is_some();
        let ends = ends_under_cui(&inputs.limits, &record, earlier, is_agreed);
        if !is_agreed {
            inputs.limits = under_cui(inputs.limits, &record, earlier);
        }
        let tables = earlier.map_or_else(Vec::new, |earlier| earlier.dataset.tables.clone());
        let metrics = fair::score(&record, &files, !tables.is_empty());
        let content_hash = self.hash(&record, &files, &tables)?;
        let agreed = is_agreed.then_some(&record);
        if let Some(Stored { dataset, content_hash: stored, .. }) = earlier
            && *stored == content_hash
            && is_held_alike(dataset, &inputs.limits, agreed)
        {
            let dataset = dataset.clone();
            let (missing, notices) = (missing(metrics), Vec::new());
            return Ok(Accepted::Unchanged(Box::new(Registered {
                dataset,
                created: false,
                missing,
                notices,
            })));
        }
        if reviewer.is_none() {
            check_not_released(&record, &files, earlier)?;
        }
        if agreed.is_none() {
            check_relaxing(earlier, &record, &inputs)?;
        }
        let setting = setting(defaults, &tables, now.date_naive());
        let mut violations = self.violations(&record, before, &files, (&setting, defaults))?;
        violations.extend(inputs.violations.iter().cloned());
        let Some(tier) = record.tier.filter(|_| violations.is_empty()) else {
            violations.sort_by(|one, other| one.pointer.cmp(&other.pointer));
            let dataset = format!("{}.{}", self.lab(), record.name);
            return Err(CatalogError::Invalid { dataset, violations });
        };
        // The tier that counts, whatever the record says.
        let tier = tier.max(inputs.limits.tier);
        let mut notices = notices(earlier.map(|earlier| earlier.dataset.tier), Some(tier));
        notices.extend(inputs.told(&record));
        notices.extend(ends);
        // The word of one writer makes nobody a committee of what others hold.
        let committee = match earlier {
            Some(Stored { dataset: before, .. }) if agreed.is_none() => before.committee.clone(),
            _ => committee_of(&record),
        };
        if committee != committee_of(&record) {
            notices.push(
                "its committee decides once a second person has said so: whoever may write the record submits it \
                 again, and the owner of the node or an administrator looks at it"
                    .to_owned(),
            );
        }
        let (ark, doi, version, registrant, notes) = match earlier {
            None => (String::new(), None, 1, Some(subject(who)), "registered".to_owned()),
            Some(Stored { dataset: before, .. }) => {
                let limits = join(limits_of(&record), &inputs.limits);
                let notes = if join(limits.clone(), &passed_on(before)) == limits {
                    changes((&before.record, &before.files), (&record, &files))
                        .map_err(|error| self.inner.database.unreadable("the record", &error))?
                        .unwrap_or_else(|| HELD_ANEW.to_owned())
                } else {
                    OPENED.to_owned()
                };
                let version = next(before.version)?;
                let (ark, doi) = (before.ark.clone(), before.doi.clone());
                (ark, doi, version, before.registrant.clone(), notes)
            }
        };
        let mut dataset = Dataset {
            lab: self.lab().clone(),
            name: record.name.clone(),
            version,
            ark,
            doi,
            tier,
            newest_embargo: None,
            newest: None,
            sources: Vec::new(),
            inherited: None,
            withdrawn: None,
            registrant,
            committee,
            redacted: false,
            extent: Extent::of(files.iter().map(|file| file.extent)),
            tables,
            views: Vec::new(),
            fair_score: fair::per_cent(&metrics),
            registered_at: timestamp(now),
            record,
            files,
        };
        // What the record says by itself need not be taken over.
        let own = limits_of(&dataset.record);
        if join(own.clone(), &inputs.limits) != own {
            dataset.inherited = Some(inputs.limits);
        }
        let notes = dataset.record.version_notes.clone().unwrap_or(notes);
        Ok(Accepted::Changed(Box::new(Version {
            stored: Stored { dataset, content_hash, notes },
            inputs: inputs.here,
            missing: missing(metrics),
            notices,
        })))
    }

    /// Stores the next version of a dataset that is there.
    async fn store_next(
        &self,
        write: &mut Write<'_>,
        by: &By,
        version: Version,
    ) -> Result<Registered, CatalogError> {
        let stored = &version.stored;
        self.insert(write, stored, &by.who, "registered").await?;
        let made = (&stored.dataset.name, stored.dataset.version);
        self.hand_on(write, made, &version.inputs).await?;
        self.note_published(write, &stored.dataset).await?;
        write.note(by.said(stored)).await?;
        Ok(version.registered())
    }

    /// Every rule that a record breaks by itself. A day of it, on which a marking or an embargo ends or on which it is
    /// looked at again, may have passed since it was written: a record that keeps it can be corrected, and closed.
    fn violations(
        &self,
        record: &Record,
        before: Option<&Record>,
        files: &[FileFacts],
        (setting, defaults): (&Setting, &LabDefaults),
    ) -> Result<Vec<Violation>, CatalogError> {
        let mut violations = validate(record, files, setting);
        if let Some(before) = before {
            violations.retain(|violation| !is_kept(&violation.rule, record, before));
        }
        violations.extend(community::check(&self.profiles()?, &defaults.profiles, record, files));
        Ok(violations)
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
}

impl By {
    /// What the log says of a version that was stored.
    pub(crate) fn said(&self, stored: &Stored) -> Said {
        let said = Said::new(Act::Register, subject(&self.who))
            .on(stored.dataset.full_name())
            .with("tier", stored.dataset.tier.as_str())
            .with("content", stored.content_hash.as_str());
        let said = match &self.reviewer {
            Some(reviewer) => said.with("reviewer", subject(reviewer)),
            None => said,
        };
        match reasons(&stored.dataset.record) {
            Some(reasons) => said.with("released", reasons),
            None => said,
        }
    }

    /// Where ARKs of this lab begin.
    pub(crate) fn naan(&self) -> &str {
        self.defaults.naan.as_deref().unwrap_or(ark::TEST_NAAN)
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

/// Whether what breaks a rule about days is the day that the version before has.
fn is_kept(rule: &str, record: &Record, before: &Record) -> bool {
    let day = |record: &Record| match rule {
        "markings.release_date" => record.marking_details.as_ref()?.release_date.clone(),
        "embargo.future" => Some(record.embargo.as_ref()?.until.clone()),
        "review.date" => record.review.clone(),
        _ => None,
    };
    day(record).is_some() && day(record) == day(before)
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
