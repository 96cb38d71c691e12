//! STAC 1.1: an Item of data that have a time, a Collection of others.

use super::{Format, Source, file_name};
use serde_json::{Map, Value, json};

/// The Item, or the Collection.
pub(super) fn json(source: &Source) -> Value {
    match source.times() {
        Some(times) => item(source, times),
        None => collection(source),
    }
}

fn id(source: &Source) -> String {
    format!("{}.{}-v{}", source.lab, source.name, source.version)
}

/// An SPDX identifier, or `other` with a link to what holds.
fn license(source: &Source) -> &str {
    let single = source.record.license.as_deref().filter(|license| !license.contains(' '));
    single.unwrap_or("other")
}

fn links(source: &Source, kind: &str) -> Vec<Value> {
    let mut links = vec![
        json!({"rel": "self", "href": source.export_url(Format::Stac), "type": kind}),
        json!({"rel": "via", "href": source.page(), "type": "text/html", "title": "Landing page"}),
        json!({"rel": "cite-as", "href": source.identifier_url()}),
    ];
    for link in super::schema_org::license(source).iter().filter(|link| link.contains("://")) {
        links.push(json!({"rel": "license", "href": link}));
    }
    links
}

fn assets(source: &Source) -> Value {
    let mut assets = Map::new();
    for (place, file) in source.files.iter().enumerate() {
        assets.insert(
            format!("file-{place}"),
            json!({
                "href": source.file_url(place), "type": file.media_type, "title": file_name(file),
                "roles": ["data"],
            }),
        );
    }
    for table in &source.tables {
        assets.insert(
            format!("table-{}", table.name),
            json!({
                "href": source.table_url(&table.name), "type": "text/csv",
                "title": format!("Table {}", table.name), "roles": ["data"],
            }),
        );
    }
    Value::Object(assets)
}

fn providers(source: &Source) -> Value {
    json!([{"name": source.publisher(), "roles": ["host"], "url": source.base}])
}

fn item(source: &Source, (first, last): (String, String)) -> Value {
    let record = &source.record;
    let mut properties = json!({
        "title": record.title,
        "description": record.description.trim(),
        "datetime": null,
        "start_datetime": first,
        "end_datetime": last,
        "updated": source.registered_at,
        "license": license(source),
        "keywords": record.keywords,
        "providers": providers(source),
    });
    if first == last {
        properties["datetime"] = json!(first);
    }
    let mut item = json!({
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": id(source),
        "geometry": source.bounding_box().map(geometry),
        "properties": properties,
        "links": links(source, "application/geo+json"),
        "assets": assets(source),
    });
    if let Some(bounds) = source.bounding_box() {
        item["bbox"] = json!(bounds);
    }
    item
}

fn collection(source: &Source) -> Value {
    let record = &source.record;
    // The box is not optional; of data without a place it is the whole Earth.
    let bounds = source.bounding_box().unwrap_or([-180.0, -90.0, 180.0, 90.0]);
    json!({
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": id(source),
        "title": record.title,
        "description": record.description.trim(),
        "keywords": record.keywords,
        "license": license(source),
        "providers": providers(source),
        "extent": {
            "spatial": {"bbox": [bounds]},
            "temporal": {"interval": [[format!("{}T00:00:00Z", source.issued()), null]]},
        },
        "links": links(source, "application/json"),
        "assets": assets(source),
    })
}

/// The box as GeoJSON (RFC 7946, section 3.1.9: one that crosses the antimeridian is cut in two);
/// a box without width or height is a point.
fn geometry([west, south, east, north]: [f64; 4]) -> Value {
    let ring = |west: f64, east: f64| {
        json!([[[west, south], [east, south], [east, north], [west, north], [west, south]]])
    };
    if west > east {
        return json!({"type": "MultiPolygon", "coordinates": [ring(west, 180.0), ring(-180.0, east)]});
    }
    let point = (west - east).abs() < f64::EPSILON && (south - north).abs() < f64::EPSILON;
    if point {
        return json!({"type": "Point", "coordinates": [west, south]});
    }
    json!({"type": "Polygon", "coordinates": ring(west, east)})
}
