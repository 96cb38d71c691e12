//! DataCite Metadata Schema 4.6 as JSON, in the shape of DataCite's REST API. The XML is written
//! from the same object, so that both say the same.

use super::identifiers::{self, orcid_url, ror_url};
use super::{Source, access_rights, file_name};
use crate::record::Organisation;
use serde_json::{Value, json};

/// Kinds of resources that came with DataCite 4.7, and what they are in 4.6.
const NEWER_KINDS: [(&str, &str); 2] = [("Poster", "Text"), ("Presentation", "Text")];

/// The record.
pub(super) fn json(source: &Source) -> Value {
    let record = &source.record;
    let mut value = json!({
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "types": {
            "resourceType": record.resource_type.as_deref().unwrap_or("Dataset"),
            "resourceTypeGeneral": kind(source),
        },
        "creators": creators(source),
        "titles": [{"title": record.title}],
        "publisher": publisher(source),
        "publicationYear": source.publication_year(),
        "contributors": contributors(source),
        "subjects": subjects(source),
        "dates": dates(source),
        "language": record.language.as_deref().unwrap_or("en"),
        "alternateIdentifiers": alternates(source),
        "relatedIdentifiers": related(source),
        "sizes": sizes(source),
        "formats": formats(source),
        "version": source.version.to_string(),
        "rightsList": rights(source),
        "descriptions": descriptions(source),
        "geoLocations": places(source),
        "fundingReferences": funding(source),
        "url": source.page(),
    });
    if let (Some(doi), Some(fields)) = (&source.doi, value.as_object_mut()) {
        fields.insert("doi".to_owned(), json!(doi));
    }
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, field| field.as_array().is_none_or(|list| !list.is_empty()));
    }
    value
}

/// `resourceTypeGeneral` of DataCite 4.6.
fn kind(source: &Source) -> &str {
    let kind = source.record.resource_type.as_deref().unwrap_or("Dataset");
    NEWER_KINDS.iter().find(|(newer, _)| *newer == kind).map_or(kind, |(_, older)| older)
}

fn creators(source: &Source) -> Vec<Value> {
    let creators = source.record.creators.iter().map(|creator| {
        let mut value = json!({
            "name": creator.name,
            "nameType": if creator.is_person() { "Personal" } else { "Organizational" },
        });
        if creator.is_person()
            && let Some((family, given)) = creator.name_parts()
        {
            value["familyName"] = json!(family);
            value["givenName"] = json!(given);
        }
        let mut ids = Vec::new();
        if let Some(orcid) = &creator.orcid {
            ids.push(json!({"nameIdentifier": orcid_url(orcid), "nameIdentifierScheme": "ORCID", "schemeUri": "https://orcid.org"}));
        }
        if let Some(ror) = &creator.ror {
            ids.push(json!({"nameIdentifier": ror_url(ror), "nameIdentifierScheme": "ROR", "schemeUri": "https://ror.org"}));
        }
        if !ids.is_empty() {
            value["nameIdentifiers"] = json!(ids);
        }
        if let Some(affiliation) = &creator.affiliation {
            value["affiliation"] = json!([self::affiliation(affiliation)]);
        }
        value
    });
    creators.collect()
}

fn affiliation(organisation: &Organisation) -> Value {
    match &organisation.ror {
        Some(ror) => json!({
            "name": organisation.name, "affiliationIdentifier": ror_url(ror),
            "affiliationIdentifierScheme": "ROR", "schemeUri": "https://ror.org",
        }),
        None => json!({"name": organisation.name}),
    }
}

fn publisher(source: &Source) -> Value {
    match source.record.publisher.as_ref().and_then(|publisher| publisher.ror.as_ref()) {
        Some(ror) => json!({
            "name": source.publisher(), "publisherIdentifier": ror_url(ror),
            "publisherIdentifierScheme": "ROR", "schemeUri": "https://ror.org",
        }),
        None => json!({"name": source.publisher()}),
    }
}

fn contributors(source: &Source) -> Vec<Value> {
    let mut contributors = Vec::new();
    if let Some(contact) = &source.record.contact {
        contributors.push(json!({"name": contact.name, "contributorType": "ContactPerson"}));
    }
    if let Some(facility) = &source.record.facility {
        let mut value = json!({
            "name": facility.name, "nameType": "Organizational",
            "contributorType": "HostingInstitution",
        });
        if let Some(ror) = &facility.ror {
            value["nameIdentifiers"] = json!([{"nameIdentifier": ror_url(ror), "nameIdentifierScheme": "ROR", "schemeUri": "https://ror.org"}]);
        }
        contributors.push(value);
    }
    contributors
}

fn subjects(source: &Source) -> Vec<Value> {
    let mut subjects: Vec<Value> = Vec::new();
    for subject in &source.record.subjects {
        let mut value = json!({"subject": subject.term, "subjectScheme": subject.scheme});
        if let Some(uri) = &subject.uri {
            value["valueUri"] = json!(identifiers::iri(uri));
        }
        subjects.push(value);
    }
    subjects.extend(source.record.keywords.iter().map(|keyword| json!({"subject": keyword})));
    let mut names: Vec<&str> = source
        .variables()
        .iter()
        .filter_map(|variable| variable.standard_name.as_deref())
        .filter(|name| crate::standard_names::resolve(name).is_some())
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        subjects.push(json!({
            "subject": name, "subjectScheme": "CF Standard Name Table",
            "schemeUri": "https://cfconventions.org/standard-names.html",
        }));
    }
    let mut seen = Vec::new();
    subjects.retain(|subject| {
        let new = !seen.contains(subject);
        if new {
            seen.push(subject.clone());
        }
        new
    });
    subjects
}

fn dates(source: &Source) -> Vec<Value> {
    let mut dates = vec![json!({"date": source.issued(), "dateType": "Issued"})];
    if let Some(embargo) = &source.record.embargo {
        dates.push(json!({"date": embargo.until, "dateType": "Available"}));
    }
    if let Some(day) = source.registered_at.get(..10) {
        dates.push(json!({"date": day, "dateType": "Updated"}));
    }
    if let Some(day) = source.withdrawn.as_ref().and_then(|at| at.get(..10)) {
        dates.push(json!({"date": day, "dateType": "Withdrawn"}));
    }
    if let Some((first, last)) = source.times() {
        dates.push(json!({"date": format!("{first}/{last}"), "dateType": "Coverage"}));
    }
    dates
}

fn alternates(source: &Source) -> Vec<Value> {
    let mut alternates = Vec::new();
    if source.doi.is_some() {
        alternates
            .push(json!({"alternateIdentifier": source.ark, "alternateIdentifierType": "ARK"}));
    }
    let name = format!("{}.{}@{}", source.lab, source.name, source.version);
    alternates.push(json!({"alternateIdentifier": name, "alternateIdentifierType": "Tarn"}));
    alternates
}

/// Typed links, and inputs as `IsDerivedFrom`; each once.
fn related(source: &Source) -> Vec<Value> {
    let inputs = source.record.provenance.iter().flat_map(|origin| &origin.derived_from);
    let inputs = inputs.map(|text| ("IsDerivedFrom", text.as_str()));
    let links = source.record.related.iter();
    let links = links.map(|related| (related.relation.as_str(), related.identifier.as_str()));
    let samples = source.record.samples.iter().map(|sample| ("IsDerivedFrom", sample.as_str()));
    let instrument =
        source.record.provenance.iter().filter_map(|origin| origin.instrument.as_deref());
    let instrument = instrument
        .filter(|text| identifiers::kind_of(text).is_some())
        .map(|text| ("IsCollectedBy", text));
    let mut found: Vec<Value> = Vec::new();
    for (relation, text) in links.chain(inputs).chain(samples).chain(instrument) {
        let Some((kind, bare)) = identifiers::resolve(source, text) else { continue };
        let bare =
            if kind == identifiers::IdentifierKind::Url { identifiers::iri(&bare) } else { bare };
        let value = json!({
            "relatedIdentifier": bare, "relatedIdentifierType": kind.as_str(), "relationType": relation,
        });
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

fn sizes(source: &Source) -> Vec<String> {
    let bytes = source.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
    if source.files.is_empty() {
        return Vec::new();
    }
    vec![format!("{bytes} bytes"), format!("{} files", source.files.len())]
}

fn formats(source: &Source) -> Vec<String> {
    let mut formats: Vec<String> = source
        .files
        .iter()
        .map(|file| file.media_type.clone())
        .filter(|kind| !kind.is_empty())
        .collect();
    formats.sort_unstable();
    formats.dedup();
    formats
}

fn rights(source: &Source) -> Vec<Value> {
    let mut rights = Vec::new();
    if let Some(license) = &source.record.license {
        let single = !license.contains(' ');
        let mut value = json!({"rights": license});
        if single {
            value["rightsUri"] = json!(identifiers::license_url(license));
            value["rightsIdentifier"] = json!(license);
            value["rightsIdentifierScheme"] = json!("SPDX");
            value["schemeUri"] = json!("https://spdx.org/licenses/");
        }
        rights.push(value);
    }
    if let Some(uri) = &source.record.rights {
        rights.push(json!({"rights": "Rights statement", "rightsUri": identifiers::iri(uri)}));
    }
    let access = access_rights::of(source);
    rights.push(json!({"rights": access.words, "rightsUri": access.coar}));
    rights
}

fn descriptions(source: &Source) -> Vec<Value> {
    let mut descriptions = vec![
        json!({"description": source.record.description.trim(), "descriptionType": "Abstract"}),
    ];
    if let Some(provenance) = &source.record.provenance {
        let parts = [
            provenance.activity.clone(),
            provenance.software.as_ref().map(|software| format!("Software: {software}")),
            provenance.instrument.as_ref().map(|instrument| format!("Instrument: {instrument}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            descriptions
                .push(json!({"description": parts.join("\n"), "descriptionType": "Methods"}));
        }
    }
    let names: Vec<&str> = source.files.iter().map(file_name).collect();
    if !names.is_empty() && names.len() <= 100 {
        descriptions
            .push(json!({"description": names.join("\n"), "descriptionType": "TableOfContents"}));
    }
    descriptions
}

fn places(source: &Source) -> Vec<Value> {
    let Some([west, south, east, north]) = source.bounding_box() else { return Vec::new() };
    vec![json!({"geoLocationBox": {
        "westBoundLongitude": west, "eastBoundLongitude": east,
        "southBoundLatitude": south, "northBoundLatitude": north,
    }})]
}

fn funding(source: &Source) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for funding in &source.record.funding {
        let mut value = json!({"funderName": funding.funder});
        if let Some(ror) = &funding.ror {
            value["funderIdentifier"] = json!(ror_url(ror));
            value["funderIdentifierType"] = json!("ROR");
        }
        if let Some(award) = funding.award.as_ref().or(funding.contract.as_ref()) {
            value["awardNumber"] = json!(award);
        }
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}
