//! One record in the formats of others: crosswalks from a dataset as the catalog holds it.
//!
//! All are pure functions of a [`Source`]. What a tier keeps inside the lab is taken out once, in
//! [`Source::published`], so that no format can forget it.

mod access_rights;
mod croissant;
mod datacite;
mod datacite_xml;
mod dcat_us;
mod elink;
mod identifiers;
mod links;
mod oai_dc;
pub mod oai_pmh;
mod refused;
mod ro_crate;
mod schema_org;
mod stac;
mod xml;

pub use identifiers::{IdentifierKind, kind_of};
pub use links::{Link, header, links, linkset};
pub use refused::Refused;

use crate::facts::{Extent, FileFacts};
use crate::name::{DatasetName, LabName};
use crate::record::{AgentKind, Creator, Record};
use crate::tier::Tier;
use chrono::NaiveDate;
use serde_json::Value;
use std::str::FromStr;

/// What stands for what is not told.
const SUPPRESSED: &str = "(:unal)";

/// A dataset as exports see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Owning lab.
    pub lab: LabName,
    /// Name.
    pub name: DatasetName,
    /// Version.
    pub version: u32,
    /// `ark:/99999/…`
    pub ark: String,
    /// DOI without a prefix, where it has one.
    pub doi: Option<String>,
    /// The record with everything filled in.
    pub record: Record,
    /// The tier that counts.
    pub tier: Tier,
    /// Whether not even all of those may have the data whom the tier lets in: conditions, markings or export
    /// control, of its own or of what it was made from.
    pub limited: bool,
    /// Files of the record.
    pub files: Vec<FileFacts>,
    /// Extent of all files.
    pub extent: Extent,
    /// Tables.
    pub tables: Vec<Table>,
    /// When this version was made, RFC 3339.
    pub registered_at: String,
    /// Address of the node without a slash at the end, such as `https://tarn.lab.gov`.
    pub base: String,
    /// The lab's site ownership code at OSTI.
    pub site_code: Option<String>,
    /// The day of the export, `YYYY-MM-DD` in UTC: embargoes end by the clock.
    pub today: String,
    /// When it was withdrawn, RFC 3339: its data are then for nobody.
    pub withdrawn: Option<String>,
    /// Whether only identifier, title and whom to ask are told.
    pub redacted: bool,
}

/// A table of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Name.
    pub name: String,
    /// Rows, where known.
    pub rows: Option<u64>,
    /// Columns.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Arrow type as text.
    pub data_type: String,
    /// Units.
    pub units: Option<String>,
    /// CF standard name.
    pub standard_name: Option<String>,
}

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// DataCite 4.6 as XML.
    DataCiteXml,
    /// DataCite 4.6 as JSON.
    DataCiteJson,
    /// DCAT-US 3.0.
    DcatUs,
    /// schema.org `Dataset` as JSON-LD.
    SchemaOrg,
    /// Croissant 1.1.
    Croissant,
    /// RO-Crate 1.2.
    RoCrate,
    /// STAC 1.1.
    Stac,
    /// OSTI E-Link 2.0.
    ELink,
    /// Simple Dublin Core as OAI-PMH carries it.
    OaiDc,
    /// DataCite as OAI-PMH carries it.
    OaiDataCite,
}

impl Format {
    /// All formats by the names that `--as` takes.
    pub const ALL: [(&'static str, Self); 10] = [
        ("datacite", Self::DataCiteXml),
        ("datacite-json", Self::DataCiteJson),
        ("dcat-us", Self::DcatUs),
        ("schema.org", Self::SchemaOrg),
        ("croissant", Self::Croissant),
        ("ro-crate", Self::RoCrate),
        ("stac", Self::Stac),
        ("elink", Self::ELink),
        ("oai_dc", Self::OaiDc),
        ("oai_datacite", Self::OaiDataCite),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }

    /// Media type of an export.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::DataCiteXml => "application/vnd.datacite.datacite+xml",
            Self::DataCiteJson => "application/vnd.datacite.datacite+json",
            Self::DcatUs | Self::ELink => "application/json",
            Self::SchemaOrg | Self::Croissant | Self::RoCrate => "application/ld+json",
            Self::Stac => "application/geo+json",
            Self::OaiDc | Self::OaiDataCite => "application/xml",
        }
    }

    /// The profile of a media type that several formats share.
    pub fn profile(self) -> Option<&'static str> {
        match self {
            Self::SchemaOrg => Some("http://schema.org/"),
            Self::Croissant => Some("http://mlcommons.org/croissant/1.1"),
            Self::RoCrate => Some("https://w3id.org/ro/crate/1.2"),
            Self::DcatUs => Some("https://resources.data.gov/dcat-us/3.0.0"),
            Self::DataCiteXml
            | Self::DataCiteJson
            | Self::Stac
            | Self::ELink
            | Self::OaiDc
            | Self::OaiDataCite => None,
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(name, _)| *name == text);
        known.map(|(_, format)| *format).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("no format {text:?}; there are {}", names.join(", "))
        })
    }
}

/// A dataset in a format, as text that ends in a line break.
///
/// # Errors
/// [`Refused`] where the format needs what may not be told, or would say what is not true.
pub fn export(source: &Source, format: Format) -> Result<String, Refused> {
    refused::check(source, format)?;
    let source = &source.published();
    let json = |value: Value| format!("{value:#}\n");
    Ok(match format {
        Format::DataCiteXml => datacite_xml::document(source),
        Format::DataCiteJson => json(datacite::json(source)),
        Format::DcatUs => json(dcat_us::json(source)),
        Format::SchemaOrg => json(schema_org::json(source)),
        Format::Croissant => json(croissant::json(source)),
        Format::RoCrate => json(ro_crate::json(source)),
        Format::Stac => json(stac::json(source)),
        Format::ELink => json(elink::json(source)),
        Format::OaiDc => oai_dc::document(source),
        Format::OaiDataCite => datacite_xml::oai(source),
    })
}

impl Source {
    /// The dataset with only what its tier shows: of restricted data and of data from which only
    /// aggregates leave no files, extents to whole degrees and years, and of restricted data no
    /// variables. Of what was withdrawn no data, and of a redacted record the standard's word for what
    /// is not told.
    #[must_use]
    fn published(&self) -> Self {
        let mut source = self.clone();
        if self.redacted {
            // "Unallowed, suppressed intentionally": DataCite 4.6, appendix 3.
            source.record.creators = vec![Creator {
                kind: Some(AgentKind::Organization),
                ..Creator::named(SUPPRESSED.to_owned())
            }];
            source.record.description = format!(
                "{SUPPRESSED} The description of this dataset is told to those who may know more of it. \
                 Ask its contact for access."
            );
        }
        if self.withdrawn.is_some() {
            source.files.clear();
            source.record.files.clear();
            source.record.checksums.clear();
            source.tables.clear();
        }
        if self.tier < Tier::Restricted {
            return source;
        }
        source.files.clear();
        source.record.files.clear();
        source.record.checksums.clear();
        source.extent = coarse(self.extent);
        source.record.extent = None;
        if self.tier == Tier::Restricted {
            source.tables.clear();
        }
        source
    }

    /// Whether an embargo holds on the day of the export. One whose end cannot be read does not end.
    fn is_embargoed(&self) -> bool {
        let Some(embargo) = &self.record.embargo else { return false };
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        match (day(&embargo.until), day(&self.today)) {
            (Some(until), Some(today)) => today < until,
            _ => true,
        }
    }

    /// The page of the dataset.
    pub fn page(&self) -> String {
        format!("{}/datasets/{}/{}", self.base, self.lab, self.name)
    }

    /// The identifier as a URL that resolves: the DOI's, or the ARK at this node.
    pub fn identifier_url(&self) -> String {
        match &self.doi {
            Some(doi) => format!("https://doi.org/{doi}"),
            None => format!("{}/{}", self.base, self.ark),
        }
    }

    /// Where a format of the dataset is.
    fn export_url(&self, format: Format) -> String {
        format!(
            "{}/api/v1/datasets/{}/{}/export/{}",
            self.base,
            self.lab,
            self.at(),
            format.as_str()
        )
    }

    /// Where the bytes of a file are.
    fn file_url(&self, place: usize) -> String {
        let name = self.files.get(place).map_or("", file_name);
        let path = format!("{}/api/v1/datasets/{}/{}/files", self.base, self.lab, self.at());
        format!("{path}/{place}/{}", identifiers::encode(name))
    }

    /// Where the rows of a table are, as CSV.
    fn table_url(&self, table: &str) -> String {
        format!("{}/api/v1/datasets/{}/{}/tables/{table}.csv", self.base, self.lab, self.at())
    }

    fn at(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The day of issue; the day of registration where the record has none.
    fn issued(&self) -> &str {
        self.record
            .issued
            .as_deref()
            .unwrap_or_else(|| self.registered_at.get(..10).unwrap_or("1970-01-01"))
    }

    /// The year that DataCite asks for: of an embargoed dataset the year in which it opens.
    fn publication_year(&self) -> &str {
        let until = self.record.embargo.as_ref().map(|embargo| embargo.until.as_str());
        let day = until.into_iter().chain([self.issued()]).max().unwrap_or_default();
        day.get(..4).unwrap_or("1970")
    }

    /// Name of the publisher; the lab's where the record has none.
    fn publisher(&self) -> &str {
        let publisher = self.record.publisher.as_ref().map(|publisher| publisher.name.as_str());
        publisher.unwrap_or_else(|| self.lab.as_str())
    }

    /// First and last time as text, if it has any that can be written.
    fn times(&self) -> Option<(String, String)> {
        let (first, last) = self.extent.time?;
        Some((crate::time::rfc3339(first)?, crate::time::rfc3339(last)?))
    }

    /// A bounding box of numbers within -180 to 180 and -90 to 90, west above east where it crosses
    /// the antimeridian.
    fn bounding_box(&self) -> Option<[f64; 4]> {
        self.extent.written_box()
    }

    /// Variables of all files, each name once.
    fn variables(&self) -> Vec<&crate::facts::VariableFacts> {
        let mut seen = std::collections::BTreeSet::new();
        if self.tier == Tier::Restricted {
            return Vec::new();
        }
        let all = self.files.iter().flat_map(|file| &file.variables);
        all.filter(|variable| seen.insert(&variable.name)).collect()
    }
}

/// The name of a file without its folder.
fn file_name(file: &FileFacts) -> &str {
    let name = file.location.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or_default();
    if name.is_empty() { "data" } else { name }
}

fn coarse(extent: Extent) -> Extent {
    const YEAR: f64 = 31_556_952.0;
    let bounding_box = extent
        .bounding_box
        .map(|[west, south, east, north]| [west.floor(), south.floor(), east.ceil(), north.ceil()]);
    let time = extent
        .time
        .map(|(first, last)| ((first / YEAR).floor() * YEAR, (last / YEAR).ceil() * YEAR));
    Extent { time, bounding_box }
}

#[cfg(test)]
mod tests;
