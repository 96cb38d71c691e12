//! DataCite Metadata Schema 4.6 as XML (`metadata.xsd`, elements in any order), alone and as OAI-PMH
//! carries it.

use super::xml::Xml;
use super::{Source, datacite};
use serde_json::Value;

const KERNEL: &str = "http://datacite.org/schema/kernel-4";
const KERNEL_LOCATION: &str =
    "http://datacite.org/schema/kernel-4 https://schema.datacite.org/meta/kernel-4.6/metadata.xsd";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
const OAI: &str = "http://schema.datacite.org/oai/oai-1.1/";

/// The document.
pub(super) fn document(source: &Source) -> String {
    let mut xml = Xml::new();
    resource(&mut xml, source);
    xml.finish()
}

/// The document within `oai_datacite`.
pub(super) fn oai(source: &Source) -> String {
    let mut xml = Xml::new();
    let location = format!("{OAI} {OAI}oai.xsd");
    let attributes = [("xmlns", OAI), ("xmlns:xsi", XSI), ("xsi:schemaLocation", &location)];
    xml.element("oai_datacite", &attributes, |xml| {
        xml.text("schemaVersion", &[], "4.6");
        xml.text("datacentreSymbol", &[], source.lab.as_str());
        xml.element("payload", &[], |xml| resource(xml, source));
    });
    xml.finish()
}

fn resource(xml: &mut Xml, source: &Source) {
    let value = datacite::json(source);
    let attributes =
        [("xmlns", KERNEL), ("xmlns:xsi", XSI), ("xsi:schemaLocation", KERNEL_LOCATION)];
    xml.element("resource", &attributes, |xml| {
        match &source.doi {
            Some(doi) => xml.text("identifier", &[("identifierType", "DOI")], doi),
            None => xml.text("identifier", &[("identifierType", "ARK")], &source.ark),
        }
        people(xml, &value, "creators", "creator", "creatorName");
        xml.element("titles", &[], |xml| xml.text("title", &[], &source.record.title));
        identified(
            xml,
            "publisher",
            &value["publisher"],
            "name",
            &[
                ("publisherIdentifier", "publisherIdentifier"),
                ("publisherIdentifierScheme", "publisherIdentifierScheme"),
                ("schemeURI", "schemeUri"),
            ],
        );
        xml.text("publicationYear", &[], source.publication_year());
        let general = [("resourceTypeGeneral", text(&value["types"], "resourceTypeGeneral"))];
        xml.text("resourceType", &general, text(&value["types"], "resourceType"));
        people(xml, &value, "contributors", "contributor", "contributorName");
        list(xml, &value, "subjects", |xml, subject| {
            identified(
                xml,
                "subject",
                subject,
                "subject",
                &[
                    ("subjectScheme", "subjectScheme"),
                    ("schemeURI", "schemeUri"),
                    ("valueURI", "valueUri"),
                ],
            );
        });
        list(xml, &value, "dates", |xml, date| {
            identified(xml, "date", date, "date", &[("dateType", "dateType")]);
        });
        xml.text("language", &[], text(&value, "language"));
        list(xml, &value, "alternateIdentifiers", |xml, alternate| {
            let kind = [("alternateIdentifierType", "alternateIdentifierType")];
            identified(xml, "alternateIdentifier", alternate, "alternateIdentifier", &kind);
        });
        list(xml, &value, "relatedIdentifiers", |xml, related| {
            identified(
                xml,
                "relatedIdentifier",
                related,
                "relatedIdentifier",
                &[
                    ("relatedIdentifierType", "relatedIdentifierType"),
                    ("relationType", "relationType"),
                ],
            );
        });
        for (whole, one) in [("sizes", "size"), ("formats", "format")] {
            list(xml, &value, whole, |xml, item| {
                xml.text(one, &[], item.as_str().unwrap_or_default());
            });
        }
        xml.text("version", &[], text(&value, "version"));
        list(xml, &value, "rightsList", |xml, rights| {
            identified(
                xml,
                "rights",
                rights,
                "rights",
                &[
                    ("rightsURI", "rightsUri"),
                    ("rightsIdentifier", "rightsIdentifier"),
                    ("rightsIdentifierScheme", "rightsIdentifierScheme"),
                    ("schemeURI", "schemeUri"),
                ],
            );
        });
        list(xml, &value, "descriptions", |xml, description| {
            let kind = [("descriptionType", "descriptionType")];
            identified(xml, "description", description, "description", &kind);
        });
        list(xml, &value, "geoLocations", |xml, place| {
            xml.element("geoLocation", &[], |xml| {
                xml.element("geoLocationBox", &[], |xml| {
                    for side in [
                        "westBoundLongitude",
                        "eastBoundLongitude",
                        "southBoundLatitude",
                        "northBoundLatitude",
                    ] {
                        xml.text(side, &[], &place["geoLocationBox"][side].to_string());
                    }
                });
            });
        });
        list(xml, &value, "fundingReferences", |xml, funding| {
            xml.element("fundingReference", &[], |xml| {
                xml.text("funderName", &[], text(funding, "funderName"));
                let kind = [("funderIdentifierType", "funderIdentifierType")];
                identified(xml, "funderIdentifier", funding, "funderIdentifier", &kind);
                xml.text("awardNumber", &[], text(funding, "awardNumber"));
            });
        });
    });
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A list as an element, left out where it is empty.
fn list(xml: &mut Xml, value: &Value, name: &str, each: impl Fn(&mut Xml, &Value)) {
    let items = value.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !items.is_empty() {
        xml.element(name, &[], |xml| items.iter().for_each(|item| each(xml, item)));
    }
}

/// An element with the text of one field and attributes of others.
fn identified(xml: &mut Xml, name: &str, value: &Value, field: &str, attributes: &[(&str, &str)]) {
    let attributes: Vec<(&str, &str)> = attributes
        .iter()
        .map(|(attribute, field)| (*attribute, text(value, field)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    xml.text(name, &attributes, text(value, field));
}

fn people(xml: &mut Xml, value: &Value, whole: &str, one: &str, name: &str) {
    list(xml, value, whole, |xml, person| {
        let kind = text(person, "contributorType");
        let attributes = [("contributorType", kind)];
        let attributes = if kind.is_empty() { &[][..] } else { &attributes[..] };
        xml.element(one, attributes, |xml| {
            identified(xml, name, person, "name", &[("nameType", "nameType")]);
            xml.text("givenName", &[], text(person, "givenName"));
            xml.text("familyName", &[], text(person, "familyName"));
            for id in person["nameIdentifiers"].as_array().into_iter().flatten() {
                identified(
                    xml,
                    "nameIdentifier",
                    id,
                    "nameIdentifier",
                    &[("nameIdentifierScheme", "nameIdentifierScheme"), ("schemeURI", "schemeUri")],
                );
            }
            for affiliation in person["affiliation"].as_array().into_iter().flatten() {
                identified(
                    xml,
                    "affiliation",
                    affiliation,
                    "name",
                    &[
                        ("affiliationIdentifier", "affiliationIdentifier"),
                        ("affiliationIdentifierScheme", "affiliationIdentifierScheme"),
                        ("schemeURI", "schemeUri"),
                    ],
                );
            }
        });
    });
}
