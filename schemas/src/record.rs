//! The record: what a steward says of a dataset. One key for every field of the lab-core profile.

mod access;

pub use access::{
    Agreement, Conditions, Cui, DOMINANCE_PERCENT, DataUse, Disclosure, ExportControl, Exposure,
    MarkingDetails, Privacy, Reviewed, UseModifier,
};

use crate::name::{DatasetName, TableName};
use crate::table::TableOptions;
use crate::tier::Tier;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Terms of registered vocabularies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
    /// Where it was measured or computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facility: Option<Organisation>,
    /// Proposal or experiment that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<String>,
    /// Samples, by IGSN or another identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
    /// Chemical formulas of the samples, such as `Fe2O3`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formulas: Vec<String>,
    /// What E-Link asks for besides the codes under `markings`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marking_details: Option<MarkingDetails>,
    /// Whether it is about people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human_data: Option<bool>,
    /// What data about people may be used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_use: Option<DataUse>,
    /// Agreement that readers of a controlled or stricter dataset sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// What readers have to bring besides a grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Conditions>,
    /// Controlled unclassified information.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cui: Option<Cui>,
    /// Export control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_control: Option<ExportControl>,
    /// Who may know of it; everyone by default where the tier is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// What leaves of data from which no rows leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disclosure: Option<Disclosure>,
    /// Who has checked that the text of a restricted record gives nothing away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<Reviewed>,
    /// Where and when the data lie, to be compared with what the files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extent: Option<StatedExtent>,
    /// SHA-256 of files as their source states it, by the entry of `files`; compared with the bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checksums: BTreeMap<String, String>,
    /// Community profiles that it has to satisfy besides lab-core, such as `cf-acdd`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
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

impl Record {
    /// A record of which nothing is known yet.
    pub fn new(name: DatasetName) -> Self {
        Self {
            name,
            title: String::new(),
            description: String::new(),
            creators: Vec::new(),
            publisher: None,
            contact: None,
            issued: None,
            resource_type: None,
            license: None,
            rights: None,
            keywords: Vec::new(),
            tier: None,
            embargo: None,
            markings: Vec::new(),
            provenance: None,
            funding: Vec::new(),
            related: Vec::new(),
            conforms_to: Vec::new(),
            language: None,
            steward: None,
            review: None,
            terms: None,
            subjects: Vec::new(),
            facility: None,
            proposal: None,
            samples: Vec::new(),
            formulas: Vec::new(),
            marking_details: None,
            human_data: None,
            data_use: None,
            agreement: None,
            conditions: None,
            cui: None,
            export_control: None,
            exposure: None,
            disclosure: None,
            reviewed: None,
            extent: None,
            checksums: BTreeMap::new(),
            profiles: Vec::new(),
            version_notes: None,
            files: Vec::new(),
            tables: BTreeMap::new(),
        }
    }
}

impl Record {
    /// What it is about, in the words of vocabularies and keywords: each term once.
    pub fn subject_terms(&self) -> BTreeSet<&str> {
        let terms = self.subjects.iter().map(|subject| &subject.term);
        let terms = terms.chain(&self.keywords).map(|term| term.trim());
        terms.filter(|term| !term.is_empty()).collect()
    }
}

/// A person or organisation that made the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Creator {
    /// `Family, Given` for a person.
    pub name: String,
    /// Whether this is a person; without it told by ORCID iD, ROR and the form of the name.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<AgentKind>,
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

impl Creator {
    /// A creator of whom only the name is known.
    pub fn named(name: String) -> Self {
        Self { name, kind: None, orcid: None, ror: None, affiliation: None }
    }

    /// Whether this is a person: as stated, else with an ORCID iD, an affiliation or a name of the
    /// form `Family, Given` that is not one of an institution, and no ROR.
    pub fn is_person(&self) -> bool {
        match self.kind {
            Some(kind) => kind == AgentKind::Person,
            None => {
                self.ror.is_none()
                    && (self.orcid.is_some()
                        || self.affiliation.is_some()
                        || self.name_parts().is_some_and(|_| !is_institution(&self.name)))
            }
        }
    }

    /// Family and given name of a name of the form `Family, Given`.
    pub fn name_parts(&self) -> Option<(&str, &str)> {
        let (family, given) = self.name.split_once(',')?;
        let (family, given) = (family.trim(), given.trim());
        let plain = !family.is_empty() && !given.is_empty() && !given.contains(',');
        plain.then_some((family, given))
    }
}

/// Whether a name is that of an institution and its part or place: `Meteorological Research
/// Institute, Tsukuba`.
fn is_institution(name: &str) -> bool {
    const WORDS: [&str; 20] = [
        "agency",
        "association",
        "bureau",
        "center",
        "centre",
        "collaboration",
        "college",
        "company",
        "consortium",
        "council",
        "department",
        "facility",
        "group",
        "institut",
        "laborator",
        "office",
        "organi",
        "society",
        "team",
        "universi",
    ];
    let mut words = name.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.any(|word| WORDS.iter().any(|start| word.starts_with(start)))
}

/// Kind of a creator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentKind {
    /// A person.
    Person,
    /// An organisation.
    Organization,
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
    /// Inputs whose limits end for what was made of them, by the word of a second person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub released: Vec<ReleasedInput>,
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

/// An input that limits no more what was made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasedInput {
    /// The input, as `derived_from` names it.
    pub input: String,
    /// Why what was made of it gives nothing of it away.
    pub reason: String,
}

/// Who paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Funding {
    /// Name of the funder.
    pub funder: String,
    /// ROR of the funder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ror: Option<String>,
    /// Award number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<String>,
    /// Contract of the US Department of Energy, such as `DE-AC05-00OR22725`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
}

/// A term of a registered vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The term.
    pub term: String,
    /// Name of the vocabulary, such as `CF Standard Name Table`.
    pub scheme: String,
    /// URI of the term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// An extent as somebody states it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatedExtent {
    /// First and last day or time, RFC 3339 or `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<(String, String)>,
    /// West, south, east, north in degrees; west is greater than east across the antimeridian.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounding_box: Option<[f64; 4]>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_institutions_are_told_apart() {
        let person = |name: &str| Creator::named(name.to_owned()).is_person();
        for name in ["Curie, Marie", "van der Waals, Johannes Diderik", "O'Neill, C."] {
            assert!(person(name), "{name}");
        }
        for name in [
            "Institut Pierre Simon Laplace",
            "Centre for Climate Change Research, Indian Institute of Tropical Meteorology",
            "Meteorological Research Institute, Tsukuba",
            "ORNL",
            "A, B, C",
        ] {
            assert!(!person(name), "{name}");
        }
        let known = |creator: Creator| creator.is_person();
        let ada = Creator::named("Ada".to_owned());
        assert!(known(Creator { orcid: Some("0000-0002-1825-0097".to_owned()), ..ada.clone() }));
        assert!(known(Creator { kind: Some(AgentKind::Person), ..ada.clone() }));
        let stated = Creator { kind: Some(AgentKind::Organization), ..ada };
        assert!(!known(Creator { name: "Curie, Marie".to_owned(), ..stated }));
    }
}
