//! Rules on what was extracted from the files.
//!
//! Units get a light look here: text that no unit parser could read. What a unit means is not
//! decided by the profile yet.

use super::rights::is_sha256;
use super::{Findings, NOTHING, shown};
use crate::facts::{Extent, FileFacts, VariableFacts};
use crate::record::Record;

const LONGEST_UNIT: usize = 200;

pub(super) fn check(record: &Record, files: &[FileFacts], findings: &mut Findings) {
    if files.is_empty() && !record.files.is_empty() {
        findings.add(
            "/files",
            "files.extracted",
            format!("{} file(s) that were not read", record.files.len()),
            "check that the paths and URLs exist and can be read: size, checksum and variables are taken from the files",
        );
    }
    for (place, file) in files.iter().enumerate() {
        check_file(file, &format!("/files/{place}"), findings);
    }
}

fn check_file(file: &FileFacts, pointer: &str, findings: &mut Findings) {
    if !is_sha256(&file.sha256) {
        findings.add(
            format!("{pointer}/sha256"),
            "files.sha256",
            shown(&file.sha256),
            format!("{}: read the file again, its checksum is missing", file.location),
        );
    }
    if file.bytes == 0 {
        findings.add(
            format!("{pointer}/bytes"),
            "files.bytes",
            "an empty file",
            format!("{}: leave the file out or write it again", file.location),
        );
    }
    if file.media_type.trim().is_empty() {
        findings.add(
            format!("{pointer}/media_type"),
            "files.media_type",
            NOTHING,
            format!("{}: its format is not known", file.location),
        );
    }
    if file.variables.is_empty() && holds_arrays(&file.media_type) {
        findings.add(
            format!("{pointer}/variables"),
            "variables.required",
            NOTHING,
            format!(
                "{}: an array file without variables holds no data; leave it out",
                file.location
            ),
        );
    }
    for (place, variable) in file.variables.iter().enumerate() {
        check_variable(variable, &format!("{pointer}/variables/{place}"), findings);
    }
    check_extent(&file.extent, &format!("{pointer}/extent"), findings);
}

fn holds_arrays(media_type: &str) -> bool {
    matches!(media_type, "application/x-netcdf" | "application/x-hdf5")
}

fn check_variable(variable: &VariableFacts, pointer: &str, findings: &mut Findings) {
    if variable.name.is_empty() {
        findings.add(
            format!("{pointer}/name"),
            "variables.name",
            NOTHING,
            "every variable needs a name",
        );
    }
    if variable.dimensions.len() != variable.shape.len() {
        findings.add(
            format!("{pointer}/shape"),
            "variables.shape",
            format!("{} dimensions, {} lengths", variable.dimensions.len(), variable.shape.len()),
            format!("variable {}: every dimension has one length", variable.name),
        );
    }
    if let Some(units) = &variable.units
        && !may_be_units(units)
    {
        findings.add(
            format!("{pointer}/units"),
            "variables.units",
            shown(units),
            format!("variable {}: write units as UDUNITS does, such as K or m s-1", variable.name),
        );
    }
    if let (Some(min), Some(max)) = (variable.min, variable.max)
        && min > max
    {
        findings.add(
            format!("{pointer}/min"),
            "variables.range",
            format!("{min} to {max}"),
            format!("variable {}: extract the file again, min is not below max", variable.name),
        );
    }
}

/// Whether text may be units at all: no control characters, brackets that close, not a book.
fn may_be_units(text: &str) -> bool {
    let mut open: usize = 0;
    // Fixed-length strings in files come with padding behind them.
    for character in text.trim_end_matches(['\0', ' ', '\n', '\r', '\t']).chars() {
        match character {
            '(' => open = open.saturating_add(1),
            ')' => match open.checked_sub(1) {
                Some(left) => open = left,
                None => return false,
            },
            _ if character.is_control() => return false,
            _ => {}
        }
    }
    open == 0 && text.len() <= LONGEST_UNIT
}

fn check_extent(extent: &Extent, pointer: &str, findings: &mut Findings) {
    if let Some((first, last)) = extent.time
        && !(first.is_finite() && last.is_finite() && first <= last)
    {
        findings.add(
            format!("{pointer}/time"),
            "extent.time",
            format!("{first} to {last}"),
            "the first time has to be before the last: check units and calendar of the time axis",
        );
    }
    if let Some([west, south, east, north]) = extent.bounding_box {
        // Ocean models write longitudes from -280, some grids past 360: any full turn is fine.
        let longitude = |degrees: f64| (-360.0..=540.0).contains(&degrees);
        let latitude = |degrees: f64| (-90.0..=90.0).contains(&degrees);
        // West may be greater than east: the box then crosses the antimeridian.
        let fits = longitude(west)
            && longitude(east)
            && latitude(south)
            && latitude(north)
            && south <= north;
        if !fits {
            findings.add(
                format!("{pointer}/bounding_box"),
                "extent.bounding_box",
                format!("west {west}, south {south}, east {east}, north {north}"),
                "latitudes lie in -90 to 90, south below north, longitudes in -360 to 540: check the coordinate variables",
            );
        }
    }
}
