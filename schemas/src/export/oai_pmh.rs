//! Answers of OAI-PMH 2.0 (openarchives.org/OAI/2.0/openarchivesprotocol.htm; `OAI-PMH.xsd`).

use super::xml::Xml;
use super::{Format, Source, export};

/// Formats that records are given out in.
pub const FORMATS: [(Format, &str, &str); 2] = [
    (
        Format::OaiDc,
        "http://www.openarchives.org/OAI/2.0/oai_dc.xsd",
        "http://www.openarchives.org/OAI/2.0/oai_dc/",
    ),
    (
        Format::OaiDataCite,
        "http://schema.datacite.org/oai/oai-1.1/oai.xsd",
        "http://schema.datacite.org/oai/oai-1.1/",
    ),
];

/// What a repository says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its name.
    pub name: String,
    /// Where it answers.
    pub base_url: String,
    /// Whom to ask.
    pub admin_email: String,
    /// No record changed earlier, `YYYY-MM-DDThh:mm:ssZ`.
    pub earliest: String,
}

/// A record, or what is left of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its identifier.
    pub identifier: String,
    /// When it changed last, `YYYY-MM-DDThh:mm:ssZ`.
    pub datestamp: String,
    /// The record with its sets; none if it is deleted.
    pub source: Option<(Source, Vec<String>)>,
}

/// Why a request has no other answer (section 3.6 of the protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// An argument is missing, repeated, wrong or not one of the verb's.
    BadArgument,
    /// The token is none of this repository.
    BadResumptionToken,
    /// No verb, or one that does not exist.
    BadVerb,
    /// No such format for this record.
    CannotDisseminateFormat,
    /// No such record.
    IdDoesNotExist,
    /// Nothing fits.
    NoRecordsMatch,
}

impl Problem {
    fn code(self) -> &'static str {
        match self {
            Self::BadArgument => "badArgument",
            Self::BadResumptionToken => "badResumptionToken",
            Self::BadVerb => "badVerb",
            Self::CannotDisseminateFormat => "cannotDisseminateFormat",
            Self::IdDoesNotExist => "idDoesNotExist",
            Self::NoRecordsMatch => "noRecordsMatch",
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// `Identify`
    Repository(Repository),
    /// `ListMetadataFormats`
    Formats,
    /// `ListSets`: `setSpec` and `setName`.
    Sets(Vec<(String, String)>),
    /// `GetRecord`
    Record(Box<Item>, Format),
    /// `ListIdentifiers`: the token is empty on the last of several pages.
    Headers(Vec<Item>, Option<String>),
    /// `ListRecords`
    Records(Vec<Item>, Format, Option<String>),
    /// A problem, in words.
    Problem(Problem, String),
}

/// The document of an answer to a request with these arguments at `base_url`.
pub fn document(
    base_url: &str,
    arguments: &[(String, String)],
    response_date: &str,
    answer: &Answer,
) -> String {
    let mut xml = Xml::new();
    let root = [
        ("xmlns", "http://www.openarchives.org/OAI/2.0/"),
        ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
        (
            "xsi:schemaLocation",
            "http://www.openarchives.org/OAI/2.0/ http://www.openarchives.org/OAI/2.0/OAI-PMH.xsd",
        ),
    ];
    // Arguments of a request that is wrong are not repeated (section 3.2).
    let wrong = matches!(answer, Answer::Problem(Problem::BadVerb | Problem::BadArgument, _));
    let repeated: Vec<(&str, &str)> = arguments
        .iter()
        .filter(|_| !wrong)
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    xml.element("OAI-PMH", &root, |xml| {
        xml.text("responseDate", &[], response_date);
        xml.text("request", &repeated, base_url);
        body(xml, answer);
    });
    xml.finish()
}

fn body(xml: &mut Xml, answer: &Answer) {
    match answer {
        Answer::Problem(problem, words) => {
            xml.text("error", &[("code", problem.code())], words);
        }
        Answer::Repository(Repository { name, base_url, admin_email, earliest }) => {
            xml.element("Identify", &[], |xml| {
                xml.text("repositoryName", &[], name);
                xml.text("baseURL", &[], base_url);
                xml.text("protocolVersion", &[], "2.0");
                xml.text("adminEmail", &[], admin_email);
                xml.text("earliestDatestamp", &[], earliest);
                xml.text("deletedRecord", &[], "persistent");
                xml.text("granularity", &[], "YYYY-MM-DDThh:mm:ssZ");
            });
        }
        Answer::Formats => xml.element("ListMetadataFormats", &[], |xml| {
            for (format, schema, namespace) in FORMATS {
                xml.element("metadataFormat", &[], |xml| {
                    xml.text("metadataPrefix", &[], format.as_str());
                    xml.text("schema", &[], schema);
                    xml.text("metadataNamespace", &[], namespace);
                });
            }
        }),
        Answer::Sets(sets) => xml.element("ListSets", &[], |xml| {
            for (specification, name) in sets {
                xml.element("set", &[], |xml| {
                    xml.text("setSpec", &[], specification);
                    xml.text("setName", &[], name);
                });
            }
        }),
        Answer::Record(item, format) => {
            xml.element("GetRecord", &[], |xml| record(xml, item, *format));
        }
        Answer::Headers(items, token) => xml.element("ListIdentifiers", &[], |xml| {
            for item in items {
                header(xml, item);
            }
            resumption(xml, token.as_deref());
        }),
        Answer::Records(items, format, token) => xml.element("ListRecords", &[], |xml| {
            for item in items {
                record(xml, item, *format);
            }
            resumption(xml, token.as_deref());
        }),
    }
}

fn record(xml: &mut Xml, item: &Item, format: Format) {
    xml.element("record", &[], |xml| {
        header(xml, item);
        if let Some((source, _)) = &item.source {
            let document = export(source, format);
            // Without the declaration: it is a part of another document here.
            let inside = document.split_once("?>\n").map_or(document.as_str(), |(_, rest)| rest);
            xml.element("metadata", &[], |xml| xml.raw(inside));
        }
    });
}

fn header(xml: &mut Xml, item: &Item) {
    let deleted: &[(&str, &str)] =
        if item.source.is_none() { &[("status", "deleted")] } else { &[] };
    xml.element("header", deleted, |xml| {
        xml.text("identifier", &[], &item.identifier);
        xml.text("datestamp", &[], &item.datestamp);
        for set in item.source.iter().flat_map(|(_, sets)| sets) {
            xml.text("setSpec", &[], set);
        }
    });
}

/// A token for what comes next; an empty one ends a list of several pages (section 3.5).
fn resumption(xml: &mut Xml, token: Option<&str>) {
    match token {
        Some("") => xml.raw("<resumptionToken/>\n"),
        Some(token) => xml.text("resumptionToken", &[], token),
        None => {}
    }
}
