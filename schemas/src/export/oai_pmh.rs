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

/// The `setSpec` of a subject: `subject:sea_ice` for "sea ice". A specification has letters and digits of
/// ASCII and few marks (`OAI-PMH.xsd`); blanks are `_`, and whatever else there is stands as `~XX`, byte by
/// byte, so that no two subjects are one set.
pub fn subject_set(term: &str) -> String {
    let mut set = "subject:".to_owned();
    for byte in term.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => set.push(char::from(byte)),
            b' ' => set.push('_'),
            _ => set.extend(["~".to_owned(), format!("{byte:02X}")]),
        }
    }
    set
}

/// The subject of a set that [`subject_set`] made.
pub fn subject_of_set(set: &str) -> Option<String> {
    let mut rest = set.strip_prefix("subject:")?.bytes();
    let mut term = Vec::new();
    while let Some(byte) = rest.next() {
        term.push(match byte {
            b'_' => b' ',
            b'~' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit()?.checked_mul(16)?.checked_add(digit()?)?;
                u8::try_from(value).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(term).ok().filter(|term| subject_set(term) == set)
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
    /// `ListSets`: `setSpec` and `setName`; the token is empty on the last of several pages.
    Sets(Vec<(String, String)>, Option<String>),
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
        Answer::Sets(sets, token) => xml.element("ListSets", &[], |xml| {
            for (specification, name) in sets {
                xml.element("set", &[], |xml| {
                    xml.text("setSpec", &[], specification);
                    xml.text("setName", &[], name);
                });
            }
            resumption(xml, token.as_deref());
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
        let document = item.source.as_ref().and_then(|(source, _)| export(source, format).ok());
        if let Some(document) = document {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_set_of_a_subject_can_be_read() {
        assert_eq!(subject_set("sea ice"), "subject:sea_ice");
        assert_eq!(subject_set("air_temperature"), "subject:air~5Ftemperature");
        assert_eq!(subject_set("Größe: a!b"), "subject:Gr~C3~B6~C3~9Fe~3A_a~21b");
        for other in
            ["subject", "tier:public", "subject:~", "subject:~5", "subject:~FF", "subject:~41"]
        {
            assert_eq!(subject_of_set(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_subject_has_a_set_of_its_own(term in "\\PC{1,40}") {
            let set = subject_set(&term);
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte);
            prop_assert!(set.bytes().all(allowed), "{}", set);
            prop_assert_eq!(subject_of_set(&set), Some(term));
        }
    }
}
