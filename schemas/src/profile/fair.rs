//! The FAIR score: the 17 metrics of F-UJI 0.8 (DOI 10.5281/zenodo.15045911), 26 points.
//!
//! All of them are decided by the record, the facts of its files and what a catalog serves for
//! every dataset: an ARK that resolves by a redirect to a landing page with embedded JSON-LD, over
//! HTTP, with tokens. The published metrics look at form only, so the score is a floor; that the
//! contents are true is the business of [`validate`](super::validate).

use super::license::check_spdx;
use super::standards;
use crate::facts::FileFacts;
use crate::record::Record;

/// Points of all metrics together.
pub const POINTS: f64 = 26.0;

/// One metric and how far it is met.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Name, such as `FsF-R1.1-01M`.
    pub name: &'static str,
    /// What it asks, in a few words.
    pub title: &'static str,
    /// Most points.
    pub points: f64,
    /// Points it gets.
    pub earned: f64,
    /// What to add for the rest; empty if nothing is missing.
    pub fix: String,
}

/// The 17 metrics in the order of F-UJI. `has_tables` says whether the dataset has tables to query.
pub fn score(record: &Record, files: &[FileFacts], has_tables: bool) -> Vec<Metric> {
    let has_data = has_tables || !files.is_empty();
    let data = "name the data under `files`, or ingest a table";
    let filled = |text: &str| !text.trim().is_empty();
    let core = [
        (filled(&record.title), "title"),
        (!record.creators.is_empty(), "creators"),
        (record.publisher.is_some(), "publisher"),
        (record.issued.is_some(), "issued"),
        (record.resource_type.is_some(), "resource_type"),
    ];
    let discovery =
        [(filled(&record.description), "description"), (!record.keywords.is_empty(), "keywords")];
    let vocabulary =
        files.iter().flat_map(|file| &file.variables).any(|v| v.standard_name.is_some())
            || !record.subjects.is_empty();
    let references = !record.related.is_empty()
        || record.provenance.as_ref().is_some_and(|origin| !origin.derived_from.is_empty());
    let provenance = record.provenance.as_ref().is_some_and(|origin| {
        !origin.derived_from.is_empty()
            || [&origin.activity, &origin.software, &origin.instrument]
                .into_iter()
                .flatten()
                .any(|text| filled(text))
    });
    let license = record.license.as_deref().is_some_and(|license| check_spdx(license).is_ok());
    let sized = has_tables
        || (!files.is_empty()
            && files.iter().all(|file| file.bytes > 0 && filled(&file.media_type)));
    let open_format = has_tables
        || (!files.is_empty() && files.iter().all(|file| is_open_format(&file.media_type)));

    vec![
        given("FsF-F1-01MD", 1.0),
        given("FsF-F1-02MD", 1.0),
        parts("FsF-F2-01M", &[(&core, 1.0), (&discovery, 1.0)]),
        whole("FsF-F3-01M", 1.0, has_data, data),
        given("FsF-F4-01M", 2.0),
        whole("FsF-A1-01M", 1.0, record.tier.is_some(), "say the `tier`"),
        // One point for the metadata, which the catalog always answers with, one for the data.
        parts("FsF-A1-02MD", &[(&[(true, "")], 1.0), (&[(has_data, data)], 1.0)]),
        given("FsF-A1.1-01MD", 2.0),
        given("FsF-A1.2-01MD", 2.0),
        given("FsF-I1-01M", 2.0),
        whole(
            "FsF-I2-01M",
            2.0,
            vocabulary,
            "give at least one variable a CF `standard_name` in the files, or a term under `subjects`",
        ),
        whole(
            "FsF-I3-01M",
            2.0,
            references,
            "link a paper, a source dataset or code under `related`, or name the inputs under `provenance: derived_from`",
        ),
        parts(
            "FsF-R1-01M",
            &[(&[(record.resource_type.is_some(), "resource_type")], 1.0), (&[(sized, data)], 1.0)],
        ),
        whole("FsF-R1.1-01M", 1.0, license, "give an SPDX `license` such as CC-BY-4.0"),
        whole(
            "FsF-R1.2-01M",
            1.0,
            provenance,
            "say under `provenance` what was done, with which software or instrument, or from which inputs",
        ),
        whole(
            "FsF-R1.3-01M",
            1.0,
            files.iter().any(standards::follows),
            "say in the `Conventions` attribute of the files which standard they follow, such as CF-1.11; NeXus files say it in their root",
        ),
        whole(
            "FsF-R1.3-02D",
            1.0,
            open_format,
            if has_data {
                "offer the data in an open format such as NetCDF, HDF5 or Parquet"
            } else {
                data
            },
        ),
    ]
}

/// The score in per cent of all points.
pub fn per_cent(metrics: &[Metric]) -> f64 {
    let earned: f64 = metrics.iter().map(|metric| metric.earned).sum();
    earned / POINTS * 100.0
}

/// What the metrics ask, in a few words.
const TITLES: [(&str, &str); 17] = [
    ("FsF-F1-01MD", "unique identifier"),
    ("FsF-F1-02MD", "persistent identifier"),
    ("FsF-F2-01M", "core metadata"),
    ("FsF-F3-01M", "link to the data"),
    ("FsF-F4-01M", "found by search engines"),
    ("FsF-A1-01M", "access level"),
    ("FsF-A1-02MD", "metadata and data can be fetched"),
    ("FsF-A1.1-01MD", "open protocol"),
    ("FsF-A1.2-01MD", "protocol with authentication"),
    ("FsF-I1-01M", "formal language"),
    ("FsF-I2-01M", "registered vocabularies"),
    ("FsF-I3-01M", "links to related resources"),
    ("FsF-R1-01M", "description of the contents"),
    ("FsF-R1.1-01M", "licence"),
    ("FsF-R1.2-01M", "provenance"),
    ("FsF-R1.3-01M", "community standard"),
    ("FsF-R1.3-02D", "file format"),
];

fn title(name: &str) -> &'static str {
    TITLES.iter().find(|(known, _)| *known == name).map_or("", |(_, title)| title)
}

/// What the catalog provides for every dataset.
fn given(name: &'static str, points: f64) -> Metric {
    Metric { name, title: title(name), points, earned: points, fix: String::new() }
}

fn whole(name: &'static str, points: f64, met: bool, fix: &str) -> Metric {
    let (earned, fix) = if met { (points, String::new()) } else { (0.0, fix.to_owned()) };
    Metric { name, title: title(name), points, earned, fix }
}

/// A metric of several parts; each part earns its points if all it asks for is there.
fn parts(name: &'static str, parts: &[(&[(bool, &str)], f64)]) -> Metric {
    let mut metric =
        Metric { name, title: title(name), points: 0.0, earned: 0.0, fix: String::new() };
    let mut absent: Vec<&str> = Vec::new();
    for (wanted, points) in parts {
        metric.points += points;
        let missing = wanted.iter().filter(|(there, _)| !there).map(|(_, what)| *what);
        let before = absent.len();
        absent.extend(missing);
        if absent.len() == before {
            metric.earned += points;
        }
    }
    if !absent.is_empty() {
        metric.fix = format!("add: {}", absent.join(", "));
    }
    metric
}

fn is_open_format(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/x-netcdf"
            | "application/x-hdf5"
            | "application/vnd.apache.parquet"
            | "application/vnd.apache.arrow.file"
            | "application/json"
            | "application/fits"
            | "image/fits"
            | "image/tiff"
    ) || media_type.starts_with("text/")
}
