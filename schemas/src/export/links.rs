//! FAIR Signposting: typed links of a dataset's page, as a `Link` header (level 1) and as a linkset
//! (level 2, RFC 9264).

use super::identifiers::{orcid_url, ror_url};
use super::{Format, Source, refused, schema_org};
use serde_json::{Map, Value, json};

/// Files that are named in a header; headers are short, the linkset names all.
const MOST_ITEMS: usize = 20;

/// A typed link from the page of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Relation, such as `cite-as`.
    pub rel: &'static str,
    /// Where to.
    pub href: String,
    /// Media type of what is there.
    pub media_type: Option<String>,
    /// Profile of that media type.
    pub profile: Option<&'static str>,
}

/// Links of a dataset's page.
pub fn links(source: &Source) -> Vec<Link> {
    let offered = Format::ALL.into_iter().map(|(_, format)| format);
    let offered = offered.filter(|format| refused::check(source, *format).is_ok());
    let offered: Vec<Format> = offered.collect();
    let source = &source.published();
    let plain = |rel, href: String| Link { rel, href, media_type: None, profile: None };
    let mut links = vec![plain("cite-as", source.identifier_url())];
    for creator in &source.record.creators {
        if let Some(orcid) = &creator.orcid {
            links.push(plain("author", orcid_url(orcid)));
        } else if let Some(ror) = &creator.ror {
            links.push(plain("author", ror_url(ror)));
        }
    }
    links.push(plain("type", "https://schema.org/Dataset".to_owned()));
    links.push(plain("type", "https://schema.org/AboutPage".to_owned()));
    let license = schema_org::license(source);
    links.extend(
        license.into_iter().find(|href| href.contains("://")).map(|href| plain("license", href)),
    );
    for format in offered {
        links.push(Link {
            rel: "describedby",
            href: source.export_url(format),
            media_type: Some(format.media_type().to_owned()),
            profile: format.profile(),
        });
    }
    let files = source.files.iter().enumerate();
    for (place, file) in files {
        links.push(Link {
            rel: "item",
            href: source.file_url(place),
            media_type: Some(file.media_type.clone()),
            profile: None,
        });
    }
    for table in &source.tables {
        links.push(Link {
            rel: "item",
            href: source.table_url(&table.name),
            media_type: Some("text/csv".to_owned()),
            profile: None,
        });
    }
    links
}

/// The links as the value of a `Link` header (RFC 8288), with one to the linkset.
pub fn header(source: &Source) -> String {
    let mut items = 0_usize;
    let mut parts: Vec<String> = Vec::new();
    for link in links(source) {
        if link.rel == "item" {
            items = items.saturating_add(1);
            if items > MOST_ITEMS {
                continue;
            }
        }
        let mut part = format!("<{}>; rel=\"{}\"", plain(&link.href), link.rel);
        if let Some(kind) = &link.media_type {
            part.push_str(&format!("; type=\"{}\"", plain(kind)));
        }
        if let Some(profile) = link.profile {
            part.push_str(&format!("; profile=\"{profile}\""));
        }
        parts.push(part);
    }
    parts.push(format!(
        "<{}/linkset>; rel=\"linkset\"; type=\"application/linkset+json\"",
        plain(&source.page())
    ));
    parts.join(", ")
}

/// What may stand between the marks of a header: visible ASCII without the marks themselves.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() && !"<>\"\\".contains(*c)).collect()
}

/// The linkset of the page; each described and each file leads back to the page.
pub fn linkset(source: &Source) -> Value {
    let page = source.page();
    let mut relations: Map<String, Value> = Map::new();
    let mut back = Vec::new();
    for link in links(source) {
        let mut target = json!({"href": link.href});
        if let Some(kind) = &link.media_type {
            target["type"] = json!(kind);
        }
        if let Some(profile) = link.profile {
            target["profile"] = json!(profile);
        }
        let list = relations.entry(link.rel).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(target);
        }
        let rel = match link.rel {
            "item" => "collection",
            "describedby" => "describes",
            _ => continue,
        };
        back.push(json!({"anchor": link.href, rel: [{"href": page, "type": "text/html"}]}));
    }
    relations.insert("anchor".to_owned(), json!(page));
    let mut sets = vec![Value::Object(relations)];
    sets.extend(back);
    json!({"linkset": sets})
}
