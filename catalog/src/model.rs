//! What the catalog holds, as plain data.

use crate::data_use::IntendedUse;
use crate::lineage::Newest;
use crate::sources::Source;
use crate::views::View;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tarn_connectors::store::FileStat;
use tarn_schemas::facts::{Extent, FileFacts};
use tarn_schemas::profile::{Truth, Violation};
use tarn_schemas::record::{Contact, DataUse, Embargo, Exposure, Organisation};
use tarn_schemas::{DatasetName, LabName, Record, TableName, TableOptions, Tier};

/// What records of a lab may leave out, and the lab's own limits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LabDefaults {
    /// Publisher of the lab's records.
    pub publisher: Option<Organisation>,
    /// Whom to ask.
    pub contact: Option<Contact>,
    /// Name Assigning Authority Number of the lab's ARKs; 99999 (for tests) if unset.
    pub naan: Option<String>,
    /// For how many months data are held back at most; 24 if unset.
    pub longest_embargo_months: Option<u32>,
    /// The fewest units behind a number that leaves data of the tier aggregates_only; 11 if unset.
    pub smallest_cell: Option<u32>,
    /// Community profiles that every record of the lab has to satisfy.
    pub profiles: Vec<String>,
    /// The lab's site ownership code at OSTI.
    pub site_ownership_code: Option<String>,
}

/// Where the rows of a table are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "storage", rename_all = "snake_case")]
pub enum TableStorage {
    /// A Delta table.
    Delta {
        /// URL of the table's folder.
        url: String,
        /// The Delta version that this dataset version pins.
        version: u64,
    },
    /// Files that are read where they are.
    InPlace {
        /// The files with what pins them.
        files: Vec<PinnedFile>,
        /// How they become a table.
        options: TableOptions,
    },
}

/// A file in place and the content it had when it was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedFile {
    /// Location, size and tag at that time; checked at every open.
    #[serde(flatten)]
    pub stat: FileStat,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// A table of a dataset version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Name.
    pub name: TableName,
    /// Where its rows are.
    #[serde(flatten)]
    pub storage: TableStorage,
    /// Arrow schema with field metadata: an IPC schema message in base64 (see `schema_text`).
    pub schema: String,
    /// Rows, where known.
    pub rows: Option<u64>,
    /// Column name and its `standard_name` and `units`, for search.
    #[serde(default)]
    pub columns: Vec<ColumnInfo>,
}

/// What search and listings say of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Name.
    pub name: String,
    /// Arrow type as text.
    pub data_type: String,
    /// CF standard name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_name: Option<String>,
    /// Units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<String>,
}

/// A dataset at one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Owning lab.
    pub lab: LabName,
    /// Name.
    pub name: DatasetName,
    /// Version.
    pub version: u32,
    /// ARK of the dataset: `ark:/99999/…`.
    pub ark: String,
    /// Its DOI without `https://doi.org/`, where one is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doi: Option<String>,
    /// The record with everything filled in.
    pub record: Record,
    /// Tier that counts: of an older version, the stricter of its own and the newest version's.
    pub tier: Tier,
    /// The newest version's embargo, which holds back older versions too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_embargo: Option<Embargo>,
    /// What the newest version is to policies: of an older one, that counts as well.
    #[serde(skip)]
    pub(crate) newest: Option<Box<Newest>>,
    /// What tables of it that queries made were made from: that counts as well.
    #[serde(skip)]
    pub(crate) sources: Vec<Source>,
    /// What it takes over from the datasets that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited: Option<Inherited>,
    /// Withdrawn: its page stays, its data are for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawal>,
    /// Who registered it first, as grants name people.
    #[serde(skip)]
    pub(crate) registrant: Option<String>,
    /// The committee that decides about it. One that a writer named by themselves while they closed the dataset
    /// waits for the word of a second person.
    #[serde(skip)]
    pub(crate) committee: Option<String>,
    /// Whether only identifier, title and whom to ask are shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
    /// Files of the record.
    pub files: Vec<FileFacts>,
    /// Extent of all files.
    pub extent: Extent,
    /// Tables.
    pub tables: Vec<TableEntry>,
    /// Views, as far as whoever asks may know of them; the newest version alone has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<View>,
    /// FAIR score in per cent of the points.
    pub fair_score: f64,
    /// When this version was made, RFC 3339.
    pub registered_at: String,
}

/// A dataset as harvesters get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Harvested {
    /// Its identifier.
    pub ark: String,
    /// When it changed last, RFC 3339 in UTC.
    pub at: String,
    /// The dataset; none if it is gone.
    pub dataset: Option<Dataset>,
}

impl Dataset {
    /// `lab.name@version`.
    pub fn full_name(&self) -> String {
        format!("{}.{}@{}", self.lab, self.name, self.version)
    }

    /// What those see who may know of it and no more: identifier, title, tier and whom to ask.
    pub(crate) fn redacted(self) -> Self {
        let Self { lab, name, version, ark, tier, record, .. } = self;
        let Self { withdrawn, committee, registered_at, .. } = self;
        let shown = Record {
            title: record.title,
            contact: record.contact,
            publisher: record.publisher,
            tier: record.tier,
            exposure: record.exposure,
            agreement: record.agreement,
            ..Record::new(name.clone())
        };
        Self {
            lab,
            name,
            version,
            ark,
            doi: None,
            tier,
            record: shown,
            newest_embargo: None,
            newest: None,
            sources: Vec::new(),
            inherited: None,
            withdrawn,
            registrant: None,
            committee,
            redacted: true,
            files: Vec::new(),
            extent: Extent::default(),
            tables: Vec::new(),
            views: Vec::new(),
            fair_score: 0.0,
            registered_at,
        }
    }
}

/// What a dataset takes over from those that it was made from: the strictest of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// Tier.
    pub tier: Tier,
    /// Who may know of it.
    pub exposure: Exposure,
    /// Markings that limit access, those within CUI as `CUI//NOFORN`.
    pub markings: BTreeSet<String>,
    /// The day until which it is under embargo, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embargo: Option<String>,
    /// Lowest assurance of an identity (REFEDS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<String>,
    /// Training that has to be valid.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub training: BTreeSet<String>,
    /// Affiliations of which one is needed; empty for any, `none` for one that nobody has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub affiliations: BTreeSet<String>,
    /// Countries that are allowed; empty for all, `none` for no country.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub countries: BTreeSet<String>,
    /// Whether only US persons may have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub us_persons: bool,
    /// What data about people may be used for: a use is within all of these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub data_use: BTreeSet<DataUse>,
}

/// A dataset that was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Why.
    pub reason: String,
    /// What to use instead: a dataset or an identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// Who withdrew it.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
}

/// What decisions know of a person besides their name, as its lab or this one vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PersonAttributes {
    /// Groups, such as committees.
    pub groups: BTreeSet<String>,
    /// Assurance of their identity: `low`, `medium` or `high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assurance: Option<String>,
    /// Markings they are cleared for.
    pub clearances: BTreeSet<String>,
    /// Trainings that are valid.
    pub training: BTreeSet<String>,
    /// Affiliations, such as `ornl.gov`.
    pub affiliations: BTreeSet<String>,
    /// Citizenships, ISO 3166-1 alpha-2.
    pub countries: BTreeSet<String>,
    /// Whether they are a US person (22 CFR 120.62).
    pub us_person: bool,
    /// SHA-256 of the terms they accepted.
    pub terms: BTreeSet<String>,
    /// What tells which human it is who has several logins or tokens: `orcid:…`, `mailto:…`, or another name of
    /// theirs here (`person:ann`). Whoever shares one is one person in every rule that takes two.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub identities: BTreeSet<String>,
}

/// A grant: somebody may read a dataset for a purpose, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    pub id: String,
    /// The dataset.
    pub dataset: DatasetName,
    /// Who: `person:ann` or `visitor:anl:bob`.
    pub subject: String,
    /// For what.
    pub purpose: String,
    /// SHA-256 of the agreement that was signed.
    pub agreement: String,
    /// Who granted it.
    pub granted_by: String,
    /// When, RFC 3339.
    pub granted_at: String,
    /// Until when, RFC 3339.
    pub expires_at: String,
    /// When it was revoked, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// The committee has not decided.
    Open,
    /// A grant was given.
    Approved,
    /// It was refused.
    Denied,
}

impl RequestState {
    /// The text that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }

    /// The state of a stored text.
    pub(crate) fn of(text: &str) -> Option<Self> {
        [Self::Open, Self::Approved, Self::Denied].into_iter().find(|one| one.as_str() == text)
    }
}

/// A request for access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Its id.
    pub id: String,
    /// The dataset.
    pub dataset: DatasetName,
    /// Who asks: `person:ann` or `visitor:anl:bob`.
    pub subject: String,
    /// For what.
    pub ask: IntendedUse,
    /// Where it is.
    pub state: RequestState,
    /// When it was made, RFC 3339.
    pub requested_at: String,
    /// When it was decided, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The grant that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// One line of `tarn versions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Version.
    pub version: u32,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Who made it.
    pub created_by: String,
    /// What changed: from the record, or "ingested table …".
    pub notes: String,
    /// Hash of everything the version pins, lower-case hexadecimal.
    pub content_hash: String,
    /// Its tables: name → `delta@7` or `in place, 3 files`.
    pub tables: BTreeMap<String, String>,
}

/// One entry of the feed of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Place in the feed: later changes have higher ones. There may be gaps.
    pub sequence: u64,
    /// The dataset.
    pub dataset: DatasetName,
    /// Its version at that moment.
    pub version: u32,
    /// What happened: `registered`, `tables`, …
    pub kind: String,
    /// When, RFC 3339.
    pub at: String,
}

/// What a record lacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The record with everything filled in that the files and the lab know.
    pub record: Record,
    /// Every broken rule; empty means it may be registered.
    pub violations: Vec<Violation>,
    /// FAIR score in per cent of the points.
    pub fair_score: f64,
    /// What would raise the score, by name of the metric.
    pub missing: Vec<MissingPoint>,
    /// Whether what the record says is true, as far as bytes and numbers tell.
    #[serde(default)]
    pub truth: Vec<Truth>,
    /// What the steward should know although it breaks no rule.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// A FAIR metric that is not fully met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MissingPoint {
    /// Metric, such as `FsF-R1.1-01M`.
    pub metric: String,
    /// What it asks, in a few words.
    #[serde(default)]
    pub title: String,
    /// Points that are missing.
    pub points: f64,
    /// What to add.
    pub fix: String,
}

/// What `register` did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// The dataset as stored.
    pub dataset: Dataset,
    /// Whether anything new was stored.
    pub created: bool,
    /// What would raise the score.
    pub missing: Vec<MissingPoint>,
    /// What the steward should know although it breaks no rule.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchRequest {
    /// Words; empty finds everything.
    pub text: String,
    /// `key = value`, all of them; the keys are those of the reference of `tarn search`.
    pub filters: Vec<(String, String)>,
    /// Keys to count values of.
    pub facets: Vec<String>,
    /// Most hits; 20 if zero.
    pub limit: usize,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A search that somebody keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSearch {
    /// Its name, one of its owner's.
    pub name: String,
    /// What is asked.
    pub request: SearchRequest,
    /// When it was saved, RFC 3339.
    pub saved_at: String,
    /// When it ran last, RFC 3339; none if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_at: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SearchAnswer {
    /// Hits, best first.
    pub hits: Vec<SearchHit>,
    /// Number of all hits.
    pub total: u64,
    /// Counts of values by facet.
    pub facets: BTreeMap<String, Vec<(String, u64)>>,
    /// The cursor of the next page; none on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One hit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchHit {
    /// Owning lab.
    pub lab: LabName,
    /// Dataset.
    pub name: DatasetName,
    /// Newest version.
    pub version: u32,
    /// Title.
    pub title: String,
    /// First sentence or two of the description.
    pub summary: String,
    /// The sentence of the description in which most of the words stand, where any does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
    /// ARK.
    pub ark: String,
    /// Tier.
    pub tier: Tier,
    /// Tables with their columns.
    pub tables: Vec<(TableName, Vec<ColumnInfo>)>,
    /// How well it fits; higher is better.
    pub score: f32,
    /// Whether its lab was silent for longer than it allows its records to be shown as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Short public id, the first part of the token.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub scope: tarn_schemas::Scope,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub expires_at: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// Who made it: `owner`, or an administrator over the network, for a program.
    pub made_by: String,
}

/// A peer lab and the secret that both share.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The lab.
    pub lab: LabName,
    /// Its Flight address, `http://host:port` or `https://…`.
    pub flight: String,
    /// Its HTTP address.
    pub http: String,
    /// Shared secret. Never printed.
    pub secret: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// The public key that it signs what it says of its records with, 64 hexadecimal digits; labs that became peers
    /// before there were such keys have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("lab", &self.lab)
            .field("flight", &self.flight)
            .finish_non_exhaustive()
    }
}
