//! What a record states of its data, compared with what the files say: extents and checksums.

use super::rights::is_sha256;
use super::{Findings, NOTHING, shown};
use crate::facts::{Extent, FileFacts};
use crate::record::{Record, StatedExtent};
use chrono::{DateTime, NaiveDate};

/// Degrees that a stated box may differ by: about ten metres, less than coordinates are written to.
const DEGREES: f64 = 1e-4;
/// Seconds that a stated time may differ by; a day alone stands for all of it.
const SECONDS: f64 = 1.0;
const DAY: f64 = 86_400.0;

pub(super) fn check(record: &Record, files: &[FileFacts], findings: &mut Findings) {
    if let Some(stated) = &record.extent {
        let found = Extent::of(files.iter().map(|file| file.extent));
        time(stated, &found, findings);
        bounding_box(stated, &found, findings);
    }
    checksums(record, files, findings);
}

/// First and last second that text stands for.
fn seconds(text: &str) -> Option<(f64, f64)> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "whole seconds of any date are exact in a double"
    )]
    let float = |seconds: i64| seconds as f64;
    if let Some(day) = super::parse_date(text) {
        let days = day.signed_duration_since(NaiveDate::default()).num_seconds();
        return Some((float(days), float(days) + DAY));
    }
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    let at = float(at.timestamp()) + f64::from(at.timestamp_subsec_millis()) / 1e3;
    Some((at, at))
}

fn time(stated: &StatedExtent, found: &Extent, findings: &mut Findings) {
    let Some((start, end)) = &stated.time else { return };
    let mut ends = Vec::new();
    for (place, text) in [start, end].into_iter().enumerate() {
        match seconds(text) {
            Some(range) => ends.push(range),
            None => findings.add(
                format!("/extent/time/{place}"),
                "extent.time",
                shown(text),
                "write a day as YYYY-MM-DD or a time as YYYY-MM-DDThh:mm:ssZ",
            ),
        }
    }
    let [first, last] = ends.as_slice() else { return };
    let near = |at: f64, (from, to): (f64, f64)| at >= from - SECONDS && at <= to + SECONDS;
    match found.time {
        None => findings.add(
            "/extent/time",
            "extent.time_unknown",
            format!("{start} to {end}"),
            "no file has a time axis that says so: leave the extent out, or mend the axis",
        ),
        Some((from, to)) if near(from, *first) && near(to, *last) => {}
        Some((from, to)) => findings.add(
            "/extent/time",
            "extent.time_differs",
            format!("{start} to {end}"),
            format!(
                "the files say {} to {}: leave the extent out, it is taken from them",
                crate::time::day_or_time(from),
                crate::time::day_or_time(to)
            ),
        ),
    }
}

fn bounding_box(stated: &StatedExtent, found: &Extent, findings: &mut Findings) {
    let Some(given) = stated.bounding_box else { return };
    let words = |[west, south, east, north]: [f64; 4]| {
        format!("west {west}, south {south}, east {east}, north {north}")
    };
    match found.written_box() {
        None => findings.add(
            "/extent/bounding_box",
            "extent.box_unknown",
            words(given),
            "no file has latitudes and longitudes: leave the box out, or mend the coordinates",
        ),
        Some(box_) if same(given, box_) => {}
        Some(box_) => findings.add(
            "/extent/bounding_box",
            "extent.box_differs",
            words(given),
            format!("the files say {}: leave the box out, it is taken from them", words(box_)),
        ),
    }
}

/// Whether two boxes are the same, whatever turns their longitudes are written with. Never of NaN.
fn same(given: [f64; 4], found: [f64; 4]) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= DEGREES;
    let width = |[west, _, east, _]: [f64; 4]| {
        if east < west { east - west + 360.0 } else { east - west }
    };
    let west = (given[0] - found[0]).rem_euclid(360.0);
    let around = width(given) >= 360.0 - DEGREES;
    near(given[1], found[1])
        && near(given[3], found[3])
        && near(width(given), width(found))
        && (around || west <= DEGREES || 360.0 - west <= DEGREES)
}

fn checksums(record: &Record, files: &[FileFacts], findings: &mut Findings) {
    for (name, stated) in &record.checksums {
        let pointer = format!("/checksums/{}", name.replace('~', "~0").replace('/', "~1"));
        if !is_sha256(stated) {
            findings.add(
                pointer,
                "checksums.sha256",
                shown(stated),
                "write 64 lower-case hexadecimal digits (`sha256sum FILE`)",
            );
            continue;
        }
        // A path relative to the record ends the location that the file was found at.
        let tail = format!("/{}", name.trim_start_matches("./"));
        let named = |file: &&FileFacts| file.location == *name || file.location.ends_with(&tail);
        match files.iter().find(named) {
            None if files.is_empty() => {}
            None => findings.add(
                pointer,
                "checksums.file",
                NOTHING,
                format!("no file of the record is called {}: correct the name", shown(name)),
            ),
            Some(file) if file.sha256 == *stated => {}
            Some(file) => findings.add(
                pointer,
                "checksums.bytes",
                shown(stated),
                format!(
                    "the bytes have {}: the file is damaged or another one; fetch it again from its source",
                    file.sha256
                ),
            ),
        }
    }
}
