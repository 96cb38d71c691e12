//! RO-Crate 1.2: the metadata document of a detached crate, whose files are on the web.

use super::schema_org::{creator, license, link, organisation_or, without_nulls};
use super::{Source, file_name};
use serde_json::{Value, json};

/// `ro-crate-metadata.json`
pub(super) fn json(source: &Source) -> Value {
    let record = &source.record;
    let mut graph = vec![json!({
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.2"},
    })];
    let mut parts = Vec::new();
    let mut entities = Vec::new();
    for (place, file) in source.files.iter().enumerate() {
        let id = source.file_url(place);
        parts.push(json!({"@id": id}));
        entities.push(json!({
            "@id": id, "@type": "File", "name": file_name(file), "encodingFormat": file.media_type,
            "contentSize": file.bytes.to_string(), "sha256": file.sha256, "contentUrl": id,
        }));
    }
    for table in &source.tables {
        let id = source.table_url(&table.name);
        parts.push(json!({"@id": id}));
        entities.push(json!({
            "@id": id, "@type": "File", "name": format!("{}.csv", table.name),
            "encodingFormat": "text/csv", "contentUrl": id,
        }));
    }
    let mut refer = |mut entity: Value, otherwise: String| -> Value {
        if entity.get("@id").is_none() {
            entity["@id"] = json!(otherwise);
        }
        let id = entity["@id"].clone();
        if let Some(affiliation) = entity.get("affiliation").cloned() {
            let mut affiliation = affiliation;
            if affiliation.get("@id").is_none() {
                affiliation["@id"] = json!(format!("{otherwise}-affiliation"));
            }
            entity["affiliation"] = json!({"@id": affiliation["@id"]});
            entities.push(affiliation);
        }
        entities.push(entity);
        json!({"@id": id})
    };
    let creators = record.creators.iter().enumerate();
    let creators: Vec<Value> =
        creators.map(|(place, one)| refer(creator(one), format!("#creator-{place}"))).collect();
    let publisher = refer(
        organisation_or(record.publisher.as_ref(), source.publisher()),
        "#publisher".to_owned(),
    );
    let rights = license(source).into_iter().next();
    let rights = refer(
        json!({
            "@id": rights.clone().filter(|text| !text.contains(' ')).unwrap_or_else(|| "#license".to_owned()),
            "@type": "CreativeWork",
            "name": record.license.clone().or(rights).unwrap_or_else(|| "No licence".to_owned()),
            "description": if record.license.is_some() { "Licence of the data" } else { "Rights in the data" },
        }),
        "#license".to_owned(),
    );
    let contact = record.contact.as_ref().map(|contact| {
        let entity = json!({
            "@id": "#contact", "@type": "ContactPoint", "name": contact.name,
            "email": contact.email, "contactType": "data desk",
        });
        refer(entity, "#contact".to_owned())
    });
    let action = record.provenance.as_ref().map(|origin| {
        let inputs: Vec<Value> = origin
            .derived_from
            .iter()
            .filter_map(|text| link(source, text))
            .map(|id| json!({"@id": id}))
            .collect();
        let entity = without_nulls(json!({
            "@id": "#made", "@type": "CreateAction",
            "name": origin.activity.as_deref().unwrap_or("How the data were made"),
            "description": origin.software.as_ref().map(|software| format!("Software: {software}")),
            "object": inputs, "result": {"@id": "./"},
            "instrument": origin.instrument,
        }));
        refer(entity, "#made".to_owned())
    });
    graph.push(without_nulls(json!({
        "@id": "./",
        "@type": "Dataset",
        "name": record.title,
        "description": record.description.trim(),
        "datePublished": source.issued(),
        "license": rights,
        "identifier": source.identifier_url(),
        "url": source.page(),
        "version": source.version.to_string(),
        "keywords": record.keywords,
        "author": creators,
        "publisher": publisher,
        "contactPoint": contact,
        "mentions": action,
        "temporalCoverage": source.times().map(|(first, last)| format!("{first}/{last}")),
        "hasPart": parts,
    })));
    // People and organisations may stand in a record twice; an entity stands once.
    let mut seen = std::collections::BTreeSet::new();
    entities.retain(|entity| seen.insert(entity["@id"].as_str().unwrap_or_default().to_owned()));
    graph.extend(entities);
    json!({"@context": "https://w3id.org/ro/crate/1.2/context", "@graph": graph})
}
