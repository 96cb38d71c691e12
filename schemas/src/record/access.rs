//! What a record says of who may use the data, and for what: the rows of the lab-core profile that
//! tiers above `public` ask for.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who may know of a dataset, apart from who may read its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// Everyone sees the whole record.
    Full,
    /// Everyone sees identifier, title and whom to ask; the rest is for those with need to know.
    Redacted,
    /// Others learn that it exists when they ask for its identifier, and nothing more.
    Existence,
    /// For others it does not exist.
    None,
}

/// What human data may be used for, in terms of the Data Use Ontology (DUO, release 2021-02-23).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataUse {
    /// One permission: `GRU`, `HMB`, `DS`, `POA` or `NRES`.
    pub permission: String,
    /// The disease that `DS` is about, as a term such as `MONDO:0005015`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disease: Option<String>,
    /// Modifiers of the permission.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modifiers: Vec<UseModifier>,
}

/// A modifier of a data use permission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UseModifier {
    /// Shorthand of DUO, such as `MOR`.
    pub code: String,
    /// The day that `MOR` (publication moratorium) ends, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The place that `GS` restricts use to, as an ISO 3166-1 alpha-2 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The months after which `TS` ends use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub months: Option<u32>,
}

/// The data use agreement that readers sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Name or URI of the agreement.
    pub id: String,
    /// SHA-256 of its text, lower-case hexadecimal.
    pub sha256: String,
    /// The committee that decides about requests.
    pub committee: String,
    /// Longest time that access is granted for, in months.
    pub months: u32,
    /// Purposes that may be granted.
    pub purposes: Vec<String>,
}

/// What a person has to bring besides a grant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    /// Lowest assurance of the identity (REFEDS: `low`, `medium`, `high`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assurance: Option<String>,
    /// Training that has to be valid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub training: Vec<String>,
    /// Affiliations of which one is needed, such as `ornl.gov`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub affiliations: Vec<String>,
    /// Countries of citizenship that are allowed (ISO 3166-1 alpha-2). Of a person with several, all
    /// have to be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
}

/// Controlled unclassified information (32 CFR 2002).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cui {
    /// Banner marking, such as `CUI//SP-EXPT//NOFORN`.
    pub banner: String,
    /// Category markings, such as `EXPT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Limited dissemination controls, such as `NOFORN`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dissemination: Vec<String>,
    /// Designation indicator: the agency that designated it, and whom to ask.
    pub designation: String,
    /// When or by which event the control ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decontrol: Option<String>,
}

/// Export control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportControl {
    /// `EAR`, `ITAR`, `10CFR810` or `10CFR110`.
    pub regime: String,
    /// ECCN or USML category, such as `3A001` or `XI(d)`.
    pub classification: String,
    /// Countries that it may go to (ISO 3166-1 alpha-2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
    /// Whether only US persons (22 CFR 120.62) may have it.
    #[serde(default)]
    pub us_persons: bool,
}

/// Largest share of a sum that one unit may have, in per cent, where the record says nothing.
pub const DOMINANCE_PERCENT: f64 = 75.0;

/// What leaves of data from which no rows leave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// What is protected and counted: the column that names the person, site or firm.
    pub unit: String,
    /// Smallest number of units behind a number that is shown.
    pub minimum_cell: u32,
    /// Largest share of a sum that one unit may have, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dominance_percent: Option<f64>,
    /// Numbers are rounded to multiples of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounding: Option<f64>,
    /// Differential privacy, where numbers have noise instead of being withheld one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Box<Privacy>>,
    /// Aggregate functions that may be used.
    pub functions: Vec<String>,
    /// Columns that may be grouped by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
}

/// Differential privacy of numbers: how much all of them together may tell of one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// ε of everything that is told of one version of a table.
    pub epsilon: f64,
    /// δ: how probable it is that a cell shows that a unit is in it.
    #[serde(default = "usual_delta")]
    pub delta: f64,
    /// ε of all versions and tables of the dataset together; that of one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
    /// Most cells that one unit is counted in.
    pub cells: u32,
    /// Most rows of one unit that are counted in a cell.
    pub rows: u32,
    /// Smallest and largest value of every column that sums are made of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bounds: BTreeMap<String, [f64; 2]>,
}

/// δ where the record says nothing.
fn usual_delta() -> f64 {
    1e-6
}

/// Who has checked that the text of a record gives nothing away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reviewed {
    /// The reviewer.
    pub by: String,
    /// When, `YYYY-MM-DD`.
    pub on: String,
}

/// What E-Link asks for besides the codes under `markings`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarkingDetails {
    /// Further markings in words; where CUI stands, they belong here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// First day on which protection by `OUO`, `PROT`, `SBIR` or `STTR` ends, `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_date: Option<String>,
    /// Number of the exemption of the Freedom of Information Act that `OUO` or `PDOUO` rests on, 3 to 9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemption: Option<u8>,
}
