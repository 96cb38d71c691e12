//! Rules on what was extracted from the files.
//!
//! Units have to be units of UDUNITS where the format or the file promises that: in NetCDF (NetCDF
//! Users Guide, appendix A) and in files that claim CF. HDF5 promises nothing, and beamlines write
//! there what their devices say (`eng`, `full st`): such units only have to be text.

use super::rights::is_sha256;
use super::{Findings, NOTHING, Setting, shown, standards};
use crate::facts::{Extent, FileFacts, Horizontal, VariableFacts};
use crate::record::Record;
use crate::standard_names;
use crate::units::Unit;
use std::collections::HashSet;

const LONGEST_UNIT: usize = 200;

pub(super) fn check(
    record: &Record,
    files: &[FileFacts],
    setting: &Setting,
    findings: &mut Findings,
) {
    if files.is_empty() && record.files.is_empty() && !setting.has_tables {
        findings.add(
            "/files",
            "files.required",
            NOTHING,
            "name the data by paths or URLs: size, checksum, variables and extents are taken from them",
        );
    }
    if files.is_empty() && !record.files.is_empty() {
        findings.add(
            "/files",
            "files.extracted",
            format!("{} file(s) that were not read", record.files.len()),
            "check that the paths and URLs exist and can be read: size, checksum and variables are taken from the files",
        );
    }
    let mut seen = HashSet::new();
    for (place, file) in files.iter().enumerate() {
        if !seen.insert(&file.location) {
            findings.add(
                format!("/files/{place}"),
                "files.once",
                shown(&file.location),
                "name every file once",
            );
        }
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
        let pointer = format!("{pointer}/variables/{place}");
        check_variable(variable, &pointer, findings);
        check_units(variable, needs_units(file), &pointer, findings);
        check_axis(variable, &file.extent, &pointer, findings);
    }
    check_extent(&file.extent, &format!("{pointer}/extent"), findings);
}

fn holds_arrays(media_type: &str) -> bool {
    matches!(media_type, "application/x-netcdf" | "application/x-hdf5")
}

/// Whether the units of a file are those of UDUNITS.
fn needs_units(file: &FileFacts) -> bool {
    file.media_type == "application/x-netcdf" || standards::claims_cf(file)
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

/// The unit is one, and measures what the standard name says.
fn check_units(variable: &VariableFacts, strict: bool, pointer: &str, findings: &mut Findings) {
    let Some(units) = &variable.units else { return };
    let name = &variable.name;
    let unit = match Unit::parse(units) {
        Ok(unit) => unit,
        Err(error) if strict || !may_be_units(units) => {
            findings.add(
                format!("{pointer}/units"),
                "variables.units",
                shown(units),
                format!(
                    "variable {name}: {error}; write units as UDUNITS does, such as K, m s-1 or \
                     days since 1850-01-01, in the file's `units` attribute (1 for a plain number)"
                ),
            );
            return;
        }
        Err(_) => return,
    };
    let Some(standard_name) = &variable.standard_name else { return };
    let Some(canonical) = standard_names::canonical_unit(standard_name) else { return };
    if is_scan_angle(standard_name, units) {
        return;
    }
    if strict && !Unit::parse(canonical).is_ok_and(|canonical| unit.converts_to(canonical)) {
        findings.add(
            format!("{pointer}/units"),
            "variables.canonical_units",
            shown(units),
            format!(
                "variable {name}: {standard_name} is measured in {canonical}, which this unit does \
                 not convert to; correct `units` or `standard_name` in the file"
            ),
        );
    }
}

/// Whether these are the coordinates of a geostationary projection as CF wrote them before it had
/// names for angles (CF 1.7 and 1.8, appendix F): `projection_x_coordinate` in radians.
pub(super) fn is_scan_angle(standard_name: &str, units: &str) -> bool {
    const ANGLES: [&str; 8] =
        ["rad", "radian", "radians", "microradian", "microradians", "degree", "degrees", "urad"];
    let name = standard_names::without_modifier(standard_name);
    matches!(name, "projection_x_coordinate" | "projection_y_coordinate")
        && ANGLES.contains(&units.trim())
}

/// The axes of a file.
pub(super) fn check_axes(file: &FileFacts, pointer: &str, findings: &mut Findings) {
    for variable in &file.variables {
        check_axis(variable, &file.extent, pointer, findings);
    }
}

/// Axes have values that place the data: extents are taken from them.
fn check_axis(variable: &VariableFacts, extent: &Extent, pointer: &str, findings: &mut Findings) {
    let (name, units) = (&variable.name, variable.units.as_deref());
    // Variables that were not read, or have no cells, say nothing.
    let read = variable.missing.is_some() && variable.shape.iter().all(|length| *length > 0);
    let nothing = || format!("{} cell(s) without a value", cells(variable));
    if let Some(axis) = Horizontal::of(variable.standard_name.as_deref(), units) {
        let (range, rule) = match axis {
            Horizontal::Latitude => (axis.range(), "extent.latitude"),
            Horizontal::Longitude => (axis.range(), "extent.longitude"),
        };
        let fix = format!(
            "variable {name}: degrees lie in {} to {}; correct the values, or mark the missing \
             ones with `_FillValue`",
            range.start(),
            range.end()
        );
        match (variable.min, variable.max) {
            (Some(min), Some(max)) if !(range.contains(&min) && range.contains(&max)) => {
                findings.add(pointer, rule, format!("{min} to {max}"), fix);
            }
            (None, _) | (_, None) if read => findings.add(pointer, rule, nothing(), fix),
            _ => {}
        }
    }
    let is_axis = match variable.dimensions.as_slice() {
        [dimension] => name.rsplit('/').next() == Some(dimension),
        _ => false,
    };
    let is_time = units.and_then(|units| Unit::parse(units).ok()).is_some_and(Unit::is_moment)
        && (is_axis || variable.standard_name.as_deref() == Some("time"));
    if is_time && read && extent.time.is_none() {
        findings.add(
            pointer,
            "extent.time",
            format!("{} in {}", nothing(), shown(units.unwrap_or_default())),
            format!(
                "variable {name}: a time axis has times; correct its values, and count them in \
                 days, hours, minutes or seconds of a calendar of CF"
            ),
        );
    }
}

fn cells(variable: &VariableFacts) -> u64 {
    variable.shape.iter().fold(1, |cells: u64, length| cells.saturating_mul(*length))
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
