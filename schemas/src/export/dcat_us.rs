//! DCAT-US 3.0 (`https://resources.data.gov/dcat-us/3.0.0/definitions/dataset`).

use super::identifiers::{self, orcid_url, ror_url};
use super::{Format, Source, access_rights, file_name};
use crate::facts::FileFacts;
use serde_json::{Map, Value, json};

/// The dataset.
pub(super) fn json(source: &Source) -> Value {
    let record = &source.record;
    let access = access_rights::of(source);
    let mut dataset = Map::new();
    let mut put = |name: &str, value: Value| {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !empty {
            dataset.insert(name.to_owned(), value);
        }
    };
    put("@type", json!("Dataset"));
    put("@id", json!(source.identifier_url()));
    put("title", json!(record.title));
    put("description", json!(record.description.trim()));
    put(
        "identifier",
        json!({"@type": "Identifier", "@id": source.identifier_url(), "notation": source.doi.as_ref().unwrap_or(&source.ark)}),
    );
    if source.doi.is_some() {
        put("otherIdentifier", json!([{"@type": "Identifier", "notation": source.ark}]));
    }
    let contact = record.contact.as_ref().or(record.steward.as_ref());
    put(
        "contactPoint",
        json!({
            "@type": "Kind",
            "fn": contact.map_or(source.publisher(), |contact| &contact.name),
            "hasEmail": contact.map(|contact| format!("mailto:{}", contact.email)),
        }),
    );
    put(
        "publisher",
        organisation(source.publisher(), record.publisher.as_ref().and_then(|p| p.ror.as_ref())),
    );
    if let Some(creator) = record.creators.first() {
        let id = creator.orcid.as_ref().map(|orcid| orcid_url(orcid));
        let id = id.or_else(|| creator.ror.as_ref().map(|ror| ror_url(ror)));
        put("creator", agent(&creator.name, id));
    }
    let others = record.creators.iter().skip(1).map(|creator| {
        let id = creator.orcid.as_ref().map(|orcid| orcid_url(orcid));
        agent(&creator.name, id)
    });
    put("contributor", json!(others.collect::<Vec<_>>()));
    put("issued", json!(source.issued()));
    put("modified", json!(source.registered_at.get(..10)));
    put("version", json!(source.version.to_string()));
    put("versionNotes", json!(record.version_notes));
    put("keyword", json!(record.keywords));
    let subjects = record.subjects.iter().map(|subject| {
        json!({"@type": "Concept", "prefLabel": subject.term, "inScheme": {"@type": "ConceptScheme", "title": subject.scheme}})
    });
    put("subject", json!(subjects.collect::<Vec<_>>()));
    // ISO 639-1, which has no regions.
    let language = record.language.as_deref().unwrap_or("en");
    put(
        "language",
        language
            .split('-')
            .next()
            .filter(|code| code.len() == 2)
            .map_or(Value::Null, |code| json!(code)),
    );
    put(
        "landingPage",
        json!({"@type": "Document", "title": record.title, "accessURL": source.page()}),
    );
    put("accessRights", json!(access.words));
    let rights: Vec<&String> = record.rights.iter().collect();
    put("rights", json!(rights));
    let standards =
        record.conforms_to.iter().map(|name| json!({"@type": "Standard", "title": name}));
    put("conformsTo", json!(standards.collect::<Vec<_>>()));
    if let Some((first, last)) = source.times() {
        put("temporal", json!([{"@type": "PeriodOfTime", "startDate": first, "endDate": last}]));
    }
    if let Some([west, south, east, north]) = source.bounding_box() {
        let ring = |west: f64, east: f64| {
            format!(
                "(({west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}))"
            )
        };
        // One that crosses the antimeridian is cut in two: WKT knows no circle.
        let polygon = if west > east {
            format!("MULTIPOLYGON({}, {})", ring(west, 180.0), ring(-180.0, east))
        } else {
            format!("POLYGON{}", ring(west, east))
        };
        put("spatial", json!({"@type": "Location", "bbox": polygon}));
    }
    if let Some(provenance) = &record.provenance {
        let words: Vec<&str> = [&provenance.activity, &provenance.software, &provenance.instrument]
            .into_iter()
            .filter_map(Option::as_deref)
            .collect();
        if !words.is_empty() {
            put("provenance", json!([words.join("; ")]));
        }
    }
    put("distribution", json!(distributions(source)));
    Value::Object(dataset)
}

fn agent(name: &str, id: Option<String>) -> Value {
    match id {
        Some(id) => json!({"@type": "Agent", "@id": id, "name": name}),
        None => json!({"@type": "Agent", "name": name}),
    }
}

fn organisation(name: &str, ror: Option<&String>) -> Value {
    match ror {
        Some(ror) => json!({"@type": "Organization", "@id": ror_url(ror), "name": name}),
        None => json!({"@type": "Organization", "name": name}),
    }
}

/// Files and tables; where neither is shown, the page. Nothing of what was withdrawn.
fn distributions(source: &Source) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    if source.withdrawn.is_some() {
        return found;
    }
    for (place, file) in source.files.iter().enumerate() {
        found.push(with_rights(source, of_file(source, place, file)));
    }
    for table in &source.tables {
        found.push(with_rights(
            source,
            json!({
                "@type": "Distribution",
                "title": format!("Table {}", table.name),
                "downloadURL": source.table_url(&table.name),
                "mediaType": "text/csv",
                "format": "CSV",
            }),
        ));
    }
    if found.is_empty() {
        let page = json!({
            "@type": "Distribution", "title": "Access to the data", "accessURL": source.page(),
            "mediaType": "text/html", "format": "HTML",
        });
        found.push(with_rights(source, page));
    }
    if !source.redacted {
        found.push(json!({
            "@type": "Distribution", "title": "Description for machine learning (Croissant)",
            "downloadURL": source.export_url(Format::Croissant),
            "mediaType": "application/ld+json", "format": "JSON-LD",
        }));
    }
    found
}

fn of_file(source: &Source, place: usize, file: &FileFacts) -> Value {
    json!({
        "@type": "Distribution",
        "title": file_name(file),
        "downloadURL": source.file_url(place),
        "mediaType": file.media_type,
        "byteSize": file.bytes.to_string(),
        "checksum": {"@type": "Checksum", "algorithm": "SHA-256", "checksumValue": file.sha256},
    })
}

/// Licence and restrictions, which DCAT-US states of distributions.
fn with_rights(source: &Source, mut distribution: Value) -> Value {
    let record = &source.record;
    let access = access_rights::of(source);
    distribution["accessRights"] = json!(access.words);
    if let Some(license) = &record.license {
        let single = !license.contains(' ');
        let text = if single { identifiers::license_url(license) } else { license.clone() };
        distribution["license"] = json!(text);
    }
    let status = json!({
        "@type": "Concept", "prefLabel": access.nara,
        "inScheme": {"@type": "ConceptScheme", "title": "NARA Access Restriction Status"},
    });
    let mut restriction = json!({"@type": "AccessRestriction", "restrictionStatus": status});
    if let Some(agreement) = &record.agreement {
        restriction["restrictionNote"] = json!(format!("Under the agreement {}", agreement.id));
    }
    distribution["accessRestriction"] = json!([restriction]);
    if let Some(cui) = &record.cui {
        distribution["cuiRestriction"] = json!({
            "@type": "CUIRestriction", "cuiBannerMarking": cui.banner,
            "designationIndicator": cui.designation,
        });
    }
    distribution
}
