//! schema.org `Dataset` as JSON-LD, by the guidelines of science-on-schema.org 1.3 and Google Dataset
//! Search. The vocabulary is given without a remote context, so that nothing has to be fetched.

use super::identifiers::{self, orcid_url, ror_url};
use super::{Source, access_rights, file_name};
use crate::facts::VariableFacts;
use crate::profile::data_use_term;
use crate::record::{Creator, Organisation};
use serde_json::{Value, json};

/// The dataset.
pub(super) fn json(source: &Source) -> Value {
    let mut value = dataset(source);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("@context".to_owned(), json!({"@vocab": "http://schema.org/"}));
        fields.retain(|_, field| {
            !field.is_null() && field.as_array().is_none_or(|list| !list.is_empty())
        });
    }
    value
}

fn dataset(source: &Source) -> Value {
    let record = &source.record;
    let access = access_rights::of(source);
    let mut identifiers =
        vec![identifier(&source.ark, "ARK", &format!("{}/{}", source.base, source.ark))];
    if let Some(doi) = &source.doi {
        identifiers.insert(0, identifier(&format!("doi:{doi}"), "DOI", &source.identifier_url()));
    }
    let links = |relations: &[&str]| -> Vec<String> {
        let found =
            record.related.iter().filter(|related| relations.contains(&related.relation.as_str()));
        found.filter_map(|related| link(source, &related.identifier)).collect()
    };
    let inputs = record.provenance.iter().flat_map(|origin| &origin.derived_from);
    let mut based_on: Vec<String> = inputs.filter_map(|text| link(source, text)).collect();
    based_on.extend(links(&["IsDerivedFrom"]));
    json!({
        "@type": "Dataset",
        "@id": source.identifier_url(),
        "name": record.title,
        "description": record.description.trim(),
        "url": source.page(),
        "identifier": identifiers,
        "version": source.version.to_string(),
        "creator": record.creators.iter().map(creator).collect::<Vec<_>>(),
        "publisher": organisation_or(record.publisher.as_ref(), source.publisher()),
        "provider": organisation_or(record.publisher.as_ref(), source.publisher()),
        "datePublished": source.issued(),
        "dateModified": source.registered_at.get(..10),
        "license": license(source),
        "isAccessibleForFree": access.free,
        "conditionsOfAccess": access.coar,
        "keywords": keywords(source),
        "inLanguage": record.language,
        "variableMeasured": source.variables().into_iter().filter(|v| is_measured(v)).map(variable).collect::<Vec<_>>(),
        "temporalCoverage": source.times().map(|(first, last)| format!("{first}/{last}")),
        "spatialCoverage": source.bounding_box().map(place),
        "distribution": distributions(source),
        "isBasedOn": based_on,
        "citation": links(&["Cites", "References", "IsDocumentedBy", "IsDescribedBy", "IsSupplementTo"]),
        "subjectOf": links(&["IsCitedBy", "IsReferencedBy"]),
        "funding": record.funding.iter().map(|funding| json!({
            "@type": "MonetaryGrant", "name": funding.funder,
            "identifier": funding.award.as_ref().or(funding.contract.as_ref()),
            "funder": {"@type": "Organization", "name": funding.funder, "@id": funding.ror.as_ref().map(|ror| ror_url(ror))},
        })).map(without_nulls).collect::<Vec<_>>(),
        "usageInfo": usage(source),
        "measurementTechnique": record.provenance.as_ref().and_then(|origin| origin.instrument.clone()),
        "includedInDataCatalog": {"@type": "DataCatalog", "name": format!("Catalog of {}", source.lab), "url": format!("{}/api/v1/datasets", source.base)},
    })
}

fn identifier(value: &str, kind: &str, url: &str) -> Value {
    json!({"@type": "PropertyValue", "propertyID": kind, "value": value, "url": url})
}

/// The address of what a text names.
pub(super) fn link(source: &Source, text: &str) -> Option<String> {
    let (kind, bare) = identifiers::resolve(source, text)?;
    Some(identifiers::url(kind, &bare))
}

/// A person or organisation.
pub(super) fn creator(creator: &Creator) -> Value {
    let mut value = if creator.is_person() {
        json!({"@type": "Person", "name": creator.name})
    } else {
        json!({"@type": "Organization", "name": creator.name})
    };
    if creator.is_person()
        && let Some((family, given)) = creator.name_parts()
    {
        value["familyName"] = json!(family);
        value["givenName"] = json!(given);
    }
    if let Some(orcid) = &creator.orcid {
        value["@id"] = json!(orcid_url(orcid));
    } else if let Some(ror) = &creator.ror {
        value["@id"] = json!(ror_url(ror));
    }
    if let Some(affiliation) = &creator.affiliation {
        value["affiliation"] = organisation_or(Some(affiliation), "");
    }
    value
}

/// An organisation, by another name where there is none.
pub(super) fn organisation_or(organisation: Option<&Organisation>, name: &str) -> Value {
    let name = organisation.map_or(name, |organisation| organisation.name.as_str());
    match organisation.and_then(|organisation| organisation.ror.as_ref()) {
        Some(ror) => json!({"@type": "Organization", "@id": ror_url(ror), "name": name}),
        None => json!({"@type": "Organization", "name": name}),
    }
}

/// Where the licence or the rights are written down.
pub(super) fn license(source: &Source) -> Vec<String> {
    let license = source.record.license.as_ref().map(|license| {
        if license.contains(' ') { license.clone() } else { identifiers::license_url(license) }
    });
    license.into_iter().chain(source.record.rights.as_deref().map(identifiers::iri)).collect()
}

fn keywords(source: &Source) -> Vec<Value> {
    let plain = source.record.keywords.iter().map(|keyword| json!(keyword));
    let terms = source.record.subjects.iter().map(|subject| {
        without_nulls(json!({
            "@type": "DefinedTerm", "name": subject.term, "inDefinedTermSet": subject.scheme,
            "@id": subject.uri.as_deref().map(identifiers::iri),
        }))
    });
    terms.chain(plain).collect()
}

fn is_measured(variable: &VariableFacts) -> bool {
    !variable.shape.is_empty() || variable.units.is_some()
}

fn variable(variable: &VariableFacts) -> Value {
    without_nulls(json!({
        "@type": "PropertyValue",
        "name": variable.name,
        "description": variable.long_name,
        "unitText": variable.units,
        "minValue": variable.min,
        "maxValue": variable.max,
        "propertyID": variable.standard_name.as_deref()
            .filter(|name| crate::standard_names::resolve(name).is_some())
            .map(|name| format!("https://cfconventions.org/standard-names.html#{name}")),
    }))
}

fn place([west, south, east, north]: [f64; 4]) -> Value {
    json!({"@type": "Place", "geo": {"@type": "GeoShape", "box": format!("{south} {west} {north} {east}")}})
}

fn distributions(source: &Source) -> Vec<Value> {
    let files = source.files.iter().enumerate().map(|(place, file)| {
        json!({
            "@type": "DataDownload", "name": file_name(file), "contentUrl": source.file_url(place),
            "encodingFormat": file.media_type, "contentSize": format!("{} B", file.bytes),
            "sha256": file.sha256,
        })
    });
    let tables = source.tables.iter().map(|table| {
        json!({
            "@type": "DataDownload", "name": format!("{}.csv", table.name),
            "contentUrl": source.table_url(&table.name), "encodingFormat": "text/csv",
        })
    });
    files.chain(tables).collect()
}

/// Terms of the Data Use Ontology, and the agreement.
pub(super) fn usage(source: &Source) -> Vec<Value> {
    let given = source.record.data_use.iter();
    let codes = given.flat_map(|given| {
        [given.permission.as_str()]
            .into_iter()
            .chain(given.modifiers.iter().map(|m| m.code.as_str()))
    });
    let terms = codes.filter_map(|code| Some((code, data_use_term(code)?)));
    let terms = terms.map(|(code, term)| {
        json!({
            "@type": "DefinedTerm", "termCode": code,
            "@id": format!("http://purl.obolibrary.org/obo/{}", term.replace(':', "_")),
        })
    });
    let agreement = source.record.agreement.iter();
    let agreement =
        agreement.map(|agreement| json!({"@type": "CreativeWork", "name": agreement.id}));
    terms.chain(agreement).collect()
}

/// An object without the fields that say nothing.
pub(super) fn without_nulls(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        for field in fields.values_mut() {
            *field = without_nulls(field.take());
        }
        fields.retain(|_, field| !field.is_null());
    }
    value
}
