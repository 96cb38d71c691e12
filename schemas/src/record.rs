//! The record: what a steward says of a dataset. One key for every field of the lab-core profile.

use crate::name::{DatasetName, TableName};
use crate::table::TableOptions;
use crate::tier::Tier;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A record as written in YAML or JSON. Fields that may be left out are filled in from the files
/// or the lab's configuration; the profile says which are missing in the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The dataset's name; the lab is the node's own.
    pub name: DatasetName,
    /// Title.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What this is, how it was made and what it is good for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub creators: Vec<Creator>,
    /// Who publishes it; the lab by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<Organisation>,
    /// Whom to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// Date of issue, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<String>,
    /// Kind of resource, from DataCite's list; `Dataset` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// SPDX licence expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// URI of a rights statement, where there is no SPDX licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<String>,
    /// Keywords.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Access tier. There is no default: the steward says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Nobody but the owner reads the data before a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embargo: Option<Embargo>,
    /// E-Link access limitation codes, such as `UNL`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub markings: Vec<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub funding: Vec<Funding>,
    /// Typed links to other resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
    /// Standards it conforms to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conforms_to: Vec<String>,
    /// BCP 47 language of the text; `en` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Who looks after the record in the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steward: Option<Contact>,
    /// When the record is looked at again, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    /// Terms of use that readers of a registered dataset accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// What changed since the version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_notes: Option<String>,
    /// Paths or URLs; bytes, checksums, variables and extents are extracted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Tables to make of the files in place, by name. Without it: one table per grid.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<TableName, TableOptions>,
}

/// A person or organisation that made the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Creator {
    /// `Family, Given` for a person.
    pub name: String,
    /// ORCID iD of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcid: Option<String>,
    /// ROR of an organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ror: Option<String>,
    /// Where a person works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affiliation: Option<Organisation>,
}

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// Name.
    pub name: String,
    /// ROR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ror: Option<String>,
}

/// A person or mailbox to write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
}

/// An embargo: an overlay on the tier that ends by the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embargo {
    /// First day on which the tier counts, `YYYY-MM-DD`, at midnight UTC.
    pub until: String,
    /// Why.
    pub reason: String,
}

/// Where data come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provenance {
    /// Datasets or identifiers it was made from.
    pub derived_from: Vec<String>,
    /// What was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// With which software.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// With which instrument, by PID where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instrument: Option<String>,
}

/// Who paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Funding {
    /// Name of the funder.
    pub funder: String,
    /// Award or contract number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<String>,
}

/// A typed link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Related {
    /// DataCite relation type, such as `IsDerivedFrom`.
    pub relation: String,
    /// Identifier or URL of the other resource.
    pub identifier: String,
}

/// Terms that a reader accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Name or URI of the terms.
    pub id: String,
    /// SHA-256 of their text, lower-case hexadecimal.
    pub sha256: String,
}
