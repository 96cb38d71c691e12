//! Croissant 1.1 (MLCommons): the dataset with its files, and one record set a table, whose rows
//! come from the table as CSV.

use super::schema_org::{creator, license, organisation_or, usage, without_nulls};
use super::{Column, Source, Table, file_name};
use serde_json::{Value, json};

/// The description.
pub(super) fn json(source: &Source) -> Value {
    let record = &source.record;
    let mut value = without_nulls(json!({
        "@context": context(),
        "@type": "Dataset",
        "@id": source.identifier_url(),
        "dct:conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": record.title,
        "description": record.description.trim(),
        "url": source.page(),
        "version": format!("{}.0.0", source.version),
        "creator": record.creators.iter().map(creator).collect::<Vec<_>>(),
        "publisher": organisation_or(record.publisher.as_ref(), source.publisher()),
        "datePublished": source.issued(),
        "dateModified": source.registered_at.get(..10),
        "license": license(source),
        "keywords": record.keywords,
        "inLanguage": record.language,
        "citeAs": citation(source),
        // Tables are answers to a query, made when they are asked for: they have no checksum.
        "isLiveDataset": true,
        "distribution": distributions(source),
        "recordSet": source.tables.iter().map(record_set).collect::<Vec<_>>(),
    }));
    let usage = usage(source);
    if let Some(fields) = value.as_object_mut() {
        if !usage.is_empty() {
            fields.insert("usageInfo".to_owned(), json!(usage));
        }
        fields.retain(|_, field| field.as_array().is_none_or(|list| !list.is_empty()));
    }
    value
}

/// The context that the standard prescribes.
fn context() -> Value {
    let mut context = json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "sc": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "description": {"@container": "@language"},
        "name": {"@container": "@language"},
    });
    for term in [
        "arrayShape",
        "citeAs",
        "column",
        "containedIn",
        "equivalentProperty",
        "extract",
        "field",
        "fileObject",
        "fileProperty",
        "fileSet",
        "format",
        "includes",
        "isArray",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
        "repeated",
        "replace",
        "samplingRate",
        "separator",
        "source",
        "subField",
        "transform",
    ] {
        context[term] = json!(format!("cr:{term}"));
    }
    context
}

/// Creators, year, title, version, publisher and identifier, as DataCite recommends.
pub(super) fn citation(source: &Source) -> String {
    let names: Vec<&str> =
        source.record.creators.iter().map(|creator| creator.name.as_str()).collect();
    format!(
        "{} ({}): {}. Version {}. {}. {}",
        names.join("; "),
        source.publication_year(),
        source.record.title,
        source.version,
        source.publisher(),
        source.identifier_url()
    )
}

fn distributions(source: &Source) -> Vec<Value> {
    let files = source.files.iter().enumerate().map(|(place, file)| {
        json!({
            "@type": "cr:FileObject", "@id": format!("file-{place}"), "name": file_name(file),
            "contentUrl": source.file_url(place), "contentSize": format!("{} B", file.bytes),
            "encodingFormat": file.media_type, "sha256": file.sha256,
        })
    });
    let tables = source.tables.iter().map(|table| {
        json!({
            "@type": "cr:FileObject", "@id": table_id(table), "name": format!("{}.csv", table.name),
            "description": format!("All rows of the table {}", table.name),
            "contentUrl": source.table_url(&table.name), "encodingFormat": "text/csv",
        })
    });
    files.chain(tables).collect()
}

fn table_id(table: &Table) -> String {
    format!("table-{}", table.name)
}

fn record_set(table: &Table) -> Value {
    let fields = table.columns.iter().filter_map(|column| field(table, column));
    let rows = table.rows.map(|rows| format!("{rows} rows"));
    without_nulls(json!({
        "@type": "cr:RecordSet", "@id": table.name, "name": table.name, "description": rows,
        "field": fields.collect::<Vec<_>>(),
    }))
}

/// A column; lists and structures are not columns of CSV.
fn field(table: &Table, column: &Column) -> Option<Value> {
    let name = &column.name;
    let words = [
        column.standard_name.as_ref().map(|name| name.replace('_', " ")),
        column.units.as_ref().map(|units| format!("in {units}")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    let description = (!words.is_empty()).then(|| words.join(", "));
    Some(without_nulls(json!({
        "@type": "cr:Field",
        "@id": format!("{}/{name}", table.name),
        "name": name,
        "description": description,
        "dataType": data_type(&column.data_type)?,
        "equivalentProperty": column.standard_name.as_deref()
            .filter(|name| crate::standard_names::resolve(name).is_some())
            .map(|name| format!("https://cfconventions.org/standard-names.html#{name}")),
        "source": {"fileObject": {"@id": table_id(table)}, "extract": {"column": name}},
    })))
}

/// The type of an Arrow type's text. Numbers are read from CSV, where a column with NULLs has no
/// whole numbers: wide types that hold both.
fn data_type(arrow: &str) -> Option<&'static str> {
    // Dictionaries and run-end encoded columns are what they hold.
    let inner = match arrow.split_once('(') {
        Some(("Dictionary", rest)) => rest.rsplit_once(',').map_or(rest, |(_, value)| value),
        Some(("RunEndEncoded", rest)) => rest.rsplit_once(',').map_or(rest, |(_, value)| value),
        _ => arrow,
    };
    let inner = inner.trim().trim_end_matches(')');
    match inner {
        "Boolean" => Some("sc:Boolean"),
        "Utf8" | "LargeUtf8" | "Utf8View" => Some("sc:Text"),
        "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64" => {
            Some("sc:Integer")
        }
        "Float16" | "Float32" | "Float64" => Some("sc:Float"),
        _ if inner.starts_with("Timestamp") => Some("sc:DateTime"),
        _ if inner.starts_with("Date") => Some("sc:Date"),
        _ if inner.starts_with("Time") || inner.starts_with("Decimal") => Some("sc:Text"),
        _ => None,
    }
}
