//! What was extracted from files.

use super::*;

#[test]
fn files_are_extracted_and_have_checksums_sizes_and_variables() {
    let violations = validate(&record(), &[], &setting());
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].rule, "files.extracted");
    let mut without = record();
    without.files.clear();
    let violations = validate(&without, &[], &setting());
    assert_eq!(violations.len(), 1);
    assert_eq!((&*violations[0].pointer, &*violations[0].rule), ("/files", "files.required"));
    // Tables of an earlier ingest are data, too.
    let with_tables = Setting { has_tables: true, ..setting() };
    assert_eq!(validate(&without, &[], &with_tables), []);
    let twice = validate(&record(), &[file(), file()], &setting());
    assert_eq!(twice.len(), 1);
    assert_eq!((&*twice[0].pointer, &*twice[0].rule), ("/files/1", "files.once"));

    breaks("/files/0", "files.location", |r, _| r.files[0] = String::new());
    breaks("/files/0/sha256", "files.sha256", |_, f| f.sha256 = String::new());
    breaks("/files/0/bytes", "files.bytes", |_, f| f.bytes = 0);
    breaks("/files/0/media_type", "files.media_type", |_, f| f.media_type = String::new());
    breaks("/files/0/variables", "variables.required", |_, f| f.variables.clear());
    passes(|_, f| {
        f.media_type = "text/x-spec".to_owned();
        f.variables.clear();
    });
}

#[test]
fn variables_have_shapes_ranges_and_units_that_may_be_units() {
    let at = "/files/0/variables/0";
    breaks(&format!("{at}/name"), "variables.name", |_, f| f.variables[0].name = String::new());
    breaks(&format!("{at}/shape"), "variables.shape", |_, f| {
        f.variables[0].shape.pop();
    });
    breaks(&format!("{at}/min"), "variables.range", |_, f| f.variables[0].min = Some(35.0));
    for bad in ["m (s", "m) s(", "K\u{7}", &"x".repeat(201)] {
        breaks(&format!("{at}/units"), "variables.units", |_, f| {
            f.variables[0].units = Some(bad.to_owned());
        });
    }
    for good in ["", "1", "m s-1", "lg(re 1 mW)", "days since 1850-01-01", "µm", "K\0"] {
        passes(|_, f| {
            f.variables[0].standard_name = None;
            f.variables[0].units = Some(good.to_owned());
        });
    }
}

#[test]
fn units_are_units_where_the_format_promises_it_and_fit_their_standard_name() {
    let at = "/files/0/variables/0/units";
    let units = |text: &str, f: &mut FileFacts| f.variables[0].units = Some(text.to_owned());
    for bad in ["bananas", "bananas since yesterday", "days since 2000-13-45", "furlongs/"] {
        breaks(at, "variables.units", |_, f| units(bad, f));
        // Beamlines write such things, and HDF5 promises nothing; a file that claims CF does.
        passes(|r, f| {
            units(bad, f);
            f.media_type = "application/x-hdf5".to_owned();
            f.attributes.clear();
            r.conforms_to.clear();
        });
        breaks(at, "variables.units", |_, f| {
            units(bad, f);
            f.media_type = "application/x-hdf5".to_owned();
        });
    }
    for other in ["m", "Pa", "1", "dB"] {
        breaks(at, "variables.canonical_units", |_, f| units(other, f));
    }
    passes(|_, f| units("kelvin", f));
    passes(|_, f| {
        units("m s-1", f);
        f.variables[0].standard_name = Some("sea_surface_temperature status_flag".to_owned());
    });
}

/// A coordinate of ten cells.
fn axis(name: &str, units: &str, range: Option<(f64, f64)>) -> VariableFacts {
    VariableFacts {
        name: name.to_owned(),
        dimensions: vec![name.to_owned()],
        shape: vec![10],
        standard_name: None,
        units: Some(units.to_owned()),
        min: range.map(|(min, _)| min),
        max: range.map(|(_, max)| max),
        missing: Some(0),
        ..file().variables.remove(0)
    }
}

#[test]
fn coordinates_place_the_data() {
    let at = "/files/0/variables/1";
    for (name, units, range, rule) in [
        ("lat", "degrees_north", Some((0.0, 500.0)), "extent.latitude"),
        ("lat", "degrees_north", Some((-91.0, 0.0)), "extent.latitude"),
        ("lat", "degrees_north", None, "extent.latitude"),
        ("lon", "degrees_east", Some((0.0, 1e20)), "extent.longitude"),
        ("lon", "degrees_east", None, "extent.longitude"),
    ] {
        breaks(at, rule, |_, f| f.variables.push(axis(name, units, range)));
    }
    let time = || axis("time", "days since 2000-01-01", None);
    breaks(at, "extent.time", |_, f| {
        f.extent.time = None;
        f.variables.push(time());
    });
    passes(|_, f| f.variables.push(time()));
    for (name, units, range) in [
        ("lat", "degrees_north", (-90.0, 90.0)),
        ("lon", "degrees_east", (-280.0, 80.0)),
        ("angle", "degrees", (0.0, 500.0)),
    ] {
        passes(|_, f| f.variables.push(axis(name, units, Some(range))));
    }
    // What was not read, or has no cells yet, says nothing.
    for change in [
        |v: &mut VariableFacts| v.missing = None,
        |v: &mut VariableFacts| v.shape = vec![0],
        |v: &mut VariableFacts| v.dimensions = vec!["obs".to_owned()],
    ] {
        passes(|_, f| {
            f.extent.time = None;
            let mut time = time();
            change(&mut time);
            f.variables.push(time);
        });
    }
}

#[test]
fn extents_are_in_range() {
    let at = "/files/0/extent";
    let bbox = |[w, s, e, n]: [f64; 4]| {
        move |_: &mut Record, f: &mut FileFacts| f.extent.bounding_box = Some([w, s, e, n])
    };
    for bad in [
        [0.0, -91.0, 10.0, 0.0],
        [0.0, 0.0, 10.0, 90.5],
        [0.0, 10.0, 10.0, 0.0],
        [-400.0, 0.0, 10.0, 10.0],
        [0.0, 0.0, 1e20, 10.0],
        [f64::NAN, 0.0, 1.0, 1.0],
    ] {
        breaks(&format!("{at}/bounding_box"), "extent.bounding_box", bbox(bad));
    }
    // Over the antimeridian, and an ocean model's longitudes.
    passes(bbox([170.0, -10.0, -170.0, 10.0]));
    passes(bbox([-280.0, -90.0, 80.0, 90.0]));
    for bad in [(1.0, 0.0), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
        breaks(&format!("{at}/time"), "extent.time", |_, f| f.extent.time = Some(bad));
    }
}
