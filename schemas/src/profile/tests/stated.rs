//! Extents and checksums that a record states, against the files.

use super::*;
use crate::record::StatedExtent;

fn time(start: &str, end: &str) -> StatedExtent {
    StatedExtent { time: Some((start.to_owned(), end.to_owned())), bounding_box: None }
}

#[test]
fn a_stated_time_is_that_of_the_files() {
    // 0 to 1e9 seconds: 1970-01-01 to 2001-09-09T01:46:40Z.
    passes(|r, _| r.extent = Some(time("1970-01-01", "2001-09-09")));
    passes(|r, _| r.extent = Some(time("1970-01-01T00:00:00Z", "2001-09-09T01:46:40Z")));
    passes(|r, _| r.extent = Some(time("1970-01-01T01:00:00+01:00", "2001-09-09")));
    for (start, end) in [("1970-01-02", "2001-09-09"), ("1970-01-01", "2001-09-10")] {
        breaks("/extent/time", "extent.time_differs", |r, _| r.extent = Some(time(start, end)));
    }
    breaks("/extent/time/1", "extent.time", |r, _| r.extent = Some(time("1970-01-01", "now")));
    breaks("/extent/time", "extent.time_unknown", |r, f| {
        r.extent = Some(time("1970-01-01", "2001-09-09"));
        f.extent.time = None;
    });
}

#[test]
fn a_stated_box_is_that_of_the_files() {
    let given = |bounds| Some(StatedExtent { time: None, bounding_box: Some(bounds) });
    passes(|r, _| r.extent = given([0.5, -89.5, 359.5, 89.50005]));
    for wrong in
        [[0.5, -89.5, 359.5, 89.0], [f64::NAN, -89.5, 359.5, 89.5], [-180.0, -90.0, 180.0, 90.0]]
    {
        breaks("/extent/bounding_box", "extent.box_differs", |r, _| r.extent = given(wrong));
    }
    // Across the antimeridian, by any turn; not the Earth that would hold it too.
    for right in
        [[170.0, 0.0, -170.0, 10.0], [170.0, 0.0, 190.0, 10.0], [-190.0, 0.0, -170.0, 10.0]]
    {
        passes(|r, f| {
            f.extent.bounding_box = Some([170.0, 0.0, 190.0, 10.0]);
            r.extent = given(right);
        });
    }
    for wrong in [[-180.0, 0.0, 180.0, 10.0], [-170.0, 0.0, 170.0, 10.0]] {
        breaks("/extent/bounding_box", "extent.box_differs", |r, f| {
            f.extent.bounding_box = Some([170.0, 0.0, 190.0, 10.0]);
            r.extent = given(wrong);
        });
    }
    breaks("/extent/bounding_box", "extent.box_unknown", |r, f| {
        r.extent = given([0.5, -89.5, 359.5, 89.5]);
        f.extent.bounding_box = None;
    });
}

#[test]
fn stated_checksums_are_those_of_the_bytes() {
    let sum = |name: &str, sum: &str, r: &mut Record| {
        r.checksums.insert(name.to_owned(), sum.to_owned());
    };
    let right = "0123456789abcdef".repeat(4);
    passes(|r, _| sum("data/sst.nc", &right, r));
    passes(|r, _| sum("/data/sst.nc", &right, r));
    let wrong = "f".repeat(64);
    breaks("/checksums/data~1sst.nc", "checksums.bytes", |r, _| sum("data/sst.nc", &wrong, r));
    breaks("/checksums/other.nc", "checksums.file", |r, _| sum("other.nc", &right, r));
    breaks("/checksums/sst.nc", "checksums.sha256", |r, _| sum("sst.nc", "AB", r));
}

#[test]
fn truth_is_told_by_name() {
    let told = |change: &dyn Fn(&mut Record, &mut FileFacts)| {
        let (mut record, mut file) = (record(), file());
        change(&mut record, &mut file);
        let checks = truth(&record, &[file]).into_iter();
        checks
            .filter(|check| !check.wrong.is_empty())
            .map(|check| {
                assert!(!check.fix.is_empty() && check.wrong.len() <= 6);
                (check.name, check.wrong.join(" "))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&|_, _| ()), []);
    for (name, word, change) in [
        (
            "units",
            "bananas",
            (|_, f| f.variables[0].units = Some("bananas".to_owned()))
                as fn(&mut Record, &mut FileFacts),
        ),
        ("canonical_units", "sst", |_, f| f.variables[0].units = Some("Pa".to_owned())),
        ("standard_names", "sea_surface_temprature", |_, f| {
            f.variables[0].standard_name = Some("sea_surface_temprature".to_owned());
        }),
        ("checksums", "sst.nc", |r, _| {
            r.checksums.insert("data/sst.nc".to_owned(), "f".repeat(64));
        }),
        ("extents", "/extent/time", |r, _| r.extent = Some(time("1999-01-01", "2001-09-09"))),
        ("identifiers", "0000-0002-1825-0098", |r, _| {
            r.creators[0].orcid = Some("0000-0002-1825-0098".to_owned());
        }),
        ("licence", "license", |r, _| r.tier = Some(Tier::Restricted)),
    ] {
        let found = told(&change);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].0 == name && found[0].1.contains(word), "{found:?}");
    }
}
