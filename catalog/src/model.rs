//! What the catalog holds, as plain data.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tarn_connectors::store::FileStat;
use tarn_schemas::facts::{Extent, FileFacts};
use tarn_schemas::profile::Violation;
use tarn_schemas::record::{Contact, Embargo, Organisation};
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
    /// The record with everything filled in.
    pub record: Record,
    /// Tier that counts: of an older version, the stricter of its own and the newest version's.
    pub tier: Tier,
    /// The newest version's embargo, which holds back older versions too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_embargo: Option<Embargo>,
    /// Files of the record.
    pub files: Vec<FileFacts>,
    /// Extent of all files.
    pub extent: Extent,
    /// Tables.
    pub tables: Vec<TableEntry>,
    /// FAIR score in per cent of the points.
    pub fair_score: f64,
    /// When this version was made, RFC 3339.
    pub registered_at: String,
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
    /// What the steward should know although it breaks no rule.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// A FAIR metric that is not fully met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MissingPoint {
    /// Metric, such as `FsF-R1.1-01M`.
    pub metric: String,
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
    /// `key = value`, all of them: `lab`, `tier`, `keyword`, `standard_name`, `variable`, `units`, `format`, `creator`, `license`.
    pub filters: Vec<(String, String)>,
    /// Keys to count values of.
    pub facets: Vec<String>,
    /// Most hits; 20 if zero.
    pub limit: usize,
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
    /// ARK.
    pub ark: String,
    /// Tier.
    pub tier: Tier,
    /// Tables with their columns.
    pub tables: Vec<(TableName, Vec<ColumnInfo>)>,
    /// How well it fits; higher is better.
    pub score: f32,
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
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("lab", &self.lab)
            .field("flight", &self.flight)
            .finish_non_exhaustive()
    }
}
