//! The data that a lab of a federation to try things out with begins with: one small NetCDF file, written here.

/// Months, latitudes and longitudes.
const SHAPE: [u32; 3] = [24, 9, 18];

/// Tags of the format (NetCDF classic, "CDF-1").
const DIMENSIONS: u32 = 10;
const VARIABLES: u32 = 11;
const ATTRIBUTES: u32 = 12;
const CHARACTERS: u32 = 2;
const FLOATS: u32 = 5;

struct Variable {
    name: &'static str,
    dimensions: Vec<u32>,
    attributes: Vec<(&'static str, &'static str)>,
    values: Vec<f32>,
}

/// A file of monthly temperatures on a coarse grid; those of every lab are others.
pub(super) fn netcdf(lab: u32) -> Vec<u8> {
    let [months, rows, columns] = SHAPE;
    let time: Vec<f32> = (0..months).map(|month| 15.0 + 30.0 * number(month)).collect();
    let lat: Vec<f32> = (0..rows).map(|row| -80.0 + 20.0 * number(row)).collect();
    let lon: Vec<f32> = (0..columns).map(|column| -170.0 + 20.0 * number(column)).collect();
    let mut temperature = Vec::new();
    for month in 0..months {
        let season = (number(month) * std::f32::consts::TAU / 12.0).cos();
        for lat in &lat {
            for lon in &lon {
                let wave = (lon.to_radians() * 2.0 + number(lab)).sin();
                temperature.push(300.0 - lat.abs() * 0.5 - season * lat * 0.15 + wave);
            }
        }
    }
    let variables = vec![
        Variable {
            name: "time",
            dimensions: vec![0],
            attributes: vec![
                ("standard_name", "time"),
                ("units", "days since 2024-01-01"),
                ("calendar", "standard"),
            ],
            values: time,
        },
        Variable {
            name: "lat",
            dimensions: vec![1],
            attributes: vec![("standard_name", "latitude"), ("units", "degrees_north")],
            values: lat,
        },
        Variable {
            name: "lon",
            dimensions: vec![2],
            attributes: vec![("standard_name", "longitude"), ("units", "degrees_east")],
            values: lon,
        },
        Variable {
            name: "tas",
            dimensions: vec![0, 1, 2],
            attributes: vec![("standard_name", "air_temperature"), ("units", "K")],
            values: temperature,
        },
    ];
    // Offsets have four bytes whatever they are: the first header says how long the second is.
    let length = header(&variables, 0).len();
    let mut bytes = header(&variables, u32::try_from(length).unwrap_or(u32::MAX));
    bytes
        .extend(variables.iter().flat_map(|one| &one.values).flat_map(|value| value.to_be_bytes()));
    bytes
}

#[expect(clippy::cast_precision_loss, reason = "numbers of this file, below a thousand")]
fn number(count: u32) -> f32 {
    count as f32
}

fn header(variables: &[Variable], first: u32) -> Vec<u8> {
    let mut bytes = b"CDF\x01".to_vec();
    word(&mut bytes, 0);
    word(&mut bytes, DIMENSIONS);
    word(&mut bytes, 3);
    for (name, length) in ["time", "lat", "lon"].into_iter().zip(SHAPE) {
        text(&mut bytes, name);
        word(&mut bytes, length);
    }
    attributes(
        &mut bytes,
        &[("Conventions", "CF-1.11"), ("title", "Sample of tarn dev federation")],
    );
    word(&mut bytes, VARIABLES);
    word(&mut bytes, count(variables.len()));
    let mut begin = first;
    for variable in variables {
        text(&mut bytes, variable.name);
        word(&mut bytes, count(variable.dimensions.len()));
        variable.dimensions.iter().for_each(|dimension| word(&mut bytes, *dimension));
        attributes(&mut bytes, &variable.attributes);
        word(&mut bytes, FLOATS);
        let size = count(variable.values.len()).saturating_mul(4);
        word(&mut bytes, size);
        word(&mut bytes, begin);
        begin = begin.saturating_add(size);
    }
    bytes
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn word(bytes: &mut Vec<u8>, word: u32) {
    bytes.extend(word.to_be_bytes());
}

/// A text behind its length, filled up to whole words.
fn text(bytes: &mut Vec<u8>, text: &str) {
    word(bytes, count(text.len()));
    bytes.extend(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn attributes(bytes: &mut Vec<u8>, attributes: &[(&str, &str)]) {
    word(bytes, ATTRIBUTES);
    word(bytes, count(attributes.len()));
    for (name, value) in attributes {
        text(bytes, name);
        word(bytes, CHARACTERS);
        text(bytes, value);
    }
}

/// A record of it, as JSON.
pub(super) fn record(lab: &str, file: &str) -> serde_json::Value {
    serde_json::json!({
        "name": "sample",
        "title": format!("Sample temperatures of {lab}"),
        "description": format!(
            "Monthly temperatures on a grid of twenty degrees that tarn dev federation computed for {lab}: they mean \
             nothing, and are good for trying out searches and statements over several labs."
        ),
        "creators": [{"name": "tarn dev federation"}],
        "publisher": {"name": lab},
        "contact": {"name": lab, "email": format!("desk@{lab}.example")},
        "steward": {"name": lab, "email": format!("desk@{lab}.example")},
        "issued": "2026-11-22",
        "license": "CC0-1.0",
        "keywords": ["sample", lab],
        "tier": "public",
        "provenance": {"activity": "computed", "software": "tarn dev federation"},
        "files": [file],
    })
}
