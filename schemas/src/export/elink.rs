//! OSTI E-Link 2.0: a record of a dataset (product type `DA`), to be saved by a lab's account.

use super::identifiers::{self, IdentifierKind};
use super::{Source, file_name};
use crate::record::Creator;
use serde_json::{Map, Value, json};

/// Kinds of related identifiers that E-Link knows by the same name.
const KINDS: [IdentifierKind; 6] = [
    IdentifierKind::Ark,
    IdentifierKind::ArXiv,
    IdentifierKind::Doi,
    IdentifierKind::Handle,
    IdentifierKind::Url,
    IdentifierKind::Urn,
];

/// The record.
pub(super) fn json(source: &Source) -> Value {
    let record = &source.record;
    let details = record.marking_details.clone().unwrap_or_default();
    // What is not unlimited and has no codes is refused before.
    let markings =
        if record.markings.is_empty() { vec!["UNL".to_owned()] } else { record.markings.clone() };
    let marked = |code: &str| markings.iter().any(|marking| marking == code);
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !empty {
            fields.insert(name.to_owned(), value);
        }
    };
    put("product_type", json!("DA"));
    put("title", json!(record.title));
    put("description", json!(record.description.trim()));
    put("publication_date", json!(source.issued()));
    put("access_limitations", json!(markings));
    put("access_limitation_other", json!(other_limitation(source)));
    if let Some(date) = &details.release_date {
        for (code, field) in [
            ("OUO", "ouo_release_date"),
            ("PROT", "prot_release_date"),
            ("SBIR", "sbiz_release_date"),
            ("STTR", "sbiz_release_date"),
        ] {
            if marked(code) {
                put(field, json!(date));
            }
        }
    }
    if marked("PDOUO") {
        put("pdouo_exemption_number", json!(details.exemption.map(|number| number.to_string())));
    }
    if marked("SBIR") || marked("STTR") {
        put("sbiz_flag", json!(if marked("SBIR") { "SBIR" } else { "STTR" }));
    }
    put("keywords", json!(record.keywords));
    put("languages", json!([language(record.language.as_deref())]));
    put("country_publication_code", json!("US"));
    put("site_ownership_code", json!(source.site_code));
    put("site_unique_id", json!(format!("{}.{}", source.lab, source.name)));
    put("site_url", json!(source.page()));
    put("doi", json!(source.doi));
    put("publisher_information", json!(source.publisher()));
    put("edition", json!(source.version.to_string()));
    let bytes = source.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
    if !source.files.is_empty() {
        put("product_size", json!(format!("{bytes} bytes in {} files", source.files.len())));
        let names: Vec<&str> = source.files.iter().take(20).map(file_name).collect();
        put("format_information", json!(names.join(", ")));
    }
    put("persons", json!(persons(source)));
    put("organizations", json!(organizations(source)));
    put("identifiers", json!(identifiers(source)));
    put("related_identifiers", json!(related(source)));
    put("geolocations", json!(geolocations(source)));
    Value::Object(fields)
}

/// CUI's banner and other markings in words.
fn other_limitation(source: &Source) -> Option<String> {
    let banner = source.record.cui.as_ref().map(|cui| cui.banner.clone());
    let other = source.record.marking_details.as_ref().and_then(|details| details.other.clone());
    let parts: Vec<String> = banner.into_iter().chain(other).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn language(tag: Option<&str>) -> String {
    match tag.unwrap_or("en").split('-').next().unwrap_or_default() {
        "en" => "English".to_owned(),
        "de" => "German".to_owned(),
        "fr" => "French".to_owned(),
        "es" => "Spanish".to_owned(),
        "pt" => "Portuguese".to_owned(),
        "ja" => "Japanese".to_owned(),
        "zh" => "Chinese".to_owned(),
        "ru" => "Russian".to_owned(),
        other => other.to_owned(),
    }
}

fn persons(source: &Source) -> Vec<Value> {
    let mut persons: Vec<Value> =
        source.record.creators.iter().filter(|one| one.is_person()).map(author).collect();
    if let Some(contact) = &source.record.contact {
        persons
            .push(json!({"type": "CONTACT", "last_name": contact.name, "email": [contact.email]}));
    }
    persons
}

fn author(creator: &Creator) -> Value {
    let mut person = json!({"type": "AUTHOR"});
    match creator.name_parts() {
        Some((family, given)) => {
            person["last_name"] = json!(family);
            person["first_name"] = json!(given);
        }
        None => match creator.name.trim().rsplit_once(' ') {
            Some((given, family)) => {
                person["last_name"] = json!(family);
                person["first_name"] = json!(given);
            }
            None => person["last_name"] = json!(creator.name),
        },
    }
    if let Some(orcid) = &creator.orcid {
        let bare: String =
            orcid.rsplit('/').next().unwrap_or_default().chars().filter(|c| *c != '-').collect();
        person["orcid"] = json!(bare);
    }
    if let Some(affiliation) = &creator.affiliation {
        let mut value = json!({"name": affiliation.name});
        if let Some(ror) = &affiliation.ror {
            value["ror_id"] = json!(identifiers::ror_url(ror));
        }
        person["affiliations"] = json!([value]);
    }
    person
}

fn organizations(source: &Source) -> Vec<Value> {
    let record = &source.record;
    let mut found = Vec::new();
    let of = |kind: &str, name: &str, ror: Option<&String>| {
        let mut value = json!({"type": kind, "name": name});
        if let Some(ror) = ror {
            value["ror_id"] = json!(identifiers::ror_url(ror));
        }
        value
    };
    for creator in record.creators.iter().filter(|one| !one.is_person()) {
        found.push(of("AUTHOR", &creator.name, creator.ror.as_ref()));
    }
    let ror = record.publisher.as_ref().and_then(|publisher| publisher.ror.as_ref());
    found.push(of("RESEARCHING", source.publisher(), ror));
    for funding in &record.funding {
        let mut sponsor = of("SPONSOR", &funding.funder, funding.ror.as_ref());
        let mut numbers = Vec::new();
        if let Some(contract) = &funding.contract {
            numbers.push(json!({"type": "CN_DOE", "value": contract}));
        }
        if let Some(award) = &funding.award {
            let doi = identifiers::kind_of(award).filter(|(kind, _)| *kind == IdentifierKind::Doi);
            numbers.push(match doi {
                Some((_, doi)) => json!({"type": "AWARD_DOI", "value": doi}),
                None => json!({"type": "CN_NONDOE", "value": award}),
            });
        }
        if !numbers.is_empty() {
            sponsor["identifiers"] = json!(numbers);
        }
        found.push(sponsor);
    }
    found
}

fn identifiers(source: &Source) -> Vec<Value> {
    let mut found = vec![json!({"type": "OTHER_ID", "value": source.ark})];
    for funding in &source.record.funding {
        if let Some(contract) = &funding.contract {
            found.push(json!({"type": "CN_DOE", "value": contract}));
        }
    }
    if let Some(proposal) = &source.record.proposal {
        found.push(json!({"type": "PROJ_ID", "value": proposal}));
    }
    found
}

fn related(source: &Source) -> Vec<Value> {
    let record = &source.record;
    let inputs = record.provenance.iter().flat_map(|origin| &origin.derived_from);
    let inputs = inputs.map(|text| ("IsDerivedFrom", text.as_str()));
    let links = record.related.iter();
    let links = links.map(|related| (related.relation.as_str(), related.identifier.as_str()));
    let mut found = Vec::new();
    for (relation, text) in links.chain(inputs) {
        // E-Link has no translations in that direction.
        if relation == "HasTranslation" {
            continue;
        }
        let Some((kind, bare)) = identifiers::resolve(source, text) else { continue };
        if KINDS.contains(&kind) {
            found.push(json!({"type": kind.as_str(), "relation": relation, "value": bare}));
        }
    }
    found
}

fn geolocations(source: &Source) -> Vec<Value> {
    let Some([west, south, east, north]) = source.bounding_box() else { return Vec::new() };
    vec![json!({
        "type": "BOX",
        "label": "Extent of the data",
        "points": [
            {"latitude": north, "longitude": west},
            {"latitude": south, "longitude": east},
        ],
    })]
}
