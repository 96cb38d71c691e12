//! Simple Dublin Core as OAI-PMH carries it (`oai_dc.xsd`).

use super::xml::Xml;
use super::{Source, access_rights, schema_org};

const OAI_DC: &str = "http://www.openarchives.org/OAI/2.0/oai_dc/";

/// The document.
pub(super) fn document(source: &Source) -> String {
    let record = &source.record;
    let mut xml = Xml::new();
    let attributes = [
        ("xmlns:oai_dc", OAI_DC),
        ("xmlns:dc", "http://purl.org/dc/elements/1.1/"),
        ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
        (
            "xsi:schemaLocation",
            "http://www.openarchives.org/OAI/2.0/oai_dc/ http://www.openarchives.org/OAI/2.0/oai_dc.xsd",
        ),
    ];
    xml.element("oai_dc:dc", &attributes, |xml| {
        let mut put = |name: &str, text: &str| xml.text(name, &[], text);
        put("dc:title", &record.title);
        for creator in &record.creators {
            put("dc:creator", &creator.name);
        }
        for keyword in &record.keywords {
            put("dc:subject", keyword);
        }
        for subject in &record.subjects {
            put("dc:subject", &subject.term);
        }
        put("dc:description", record.description.trim());
        put("dc:publisher", source.publisher());
        put("dc:date", source.issued());
        put("dc:type", record.resource_type.as_deref().unwrap_or("Dataset"));
        for file in &source.files {
            put("dc:format", &file.media_type);
        }
        put("dc:identifier", &source.identifier_url());
        put("dc:identifier", &source.ark);
        put("dc:language", record.language.as_deref().unwrap_or("en"));
        let inputs = record.provenance.iter().flat_map(|origin| &origin.derived_from);
        for input in inputs.filter_map(|text| schema_org::link(source, text)) {
            put("dc:source", &input);
        }
        for related in &record.related {
            if let Some(link) = schema_org::link(source, &related.identifier) {
                put("dc:relation", &link);
            }
        }
        if let Some((first, last)) = source.times() {
            put("dc:coverage", &format!("{first}/{last}"));
        }
        if let Some([west, south, east, north]) = source.bounding_box() {
            put("dc:coverage", &format!("West {west}, South {south}, East {east}, North {north}"));
        }
        for license in schema_org::license(source) {
            put("dc:rights", &license);
        }
        put("dc:rights", access_rights::of(source).coar);
    });
    xml.finish()
}
