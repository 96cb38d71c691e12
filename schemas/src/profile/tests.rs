//! Each rule once as it passes and once as it fails.

use super::*;
use crate::facts::{Extent, VariableFacts};
use crate::tier::Tier;
use proptest::prelude::*;

const RECORD: &str = r"
name: sea_surface
title: Monthly sea surface temperature, 1854 to 2020
description: >-
  Monthly means of sea surface temperature on a one degree grid, made from ship and buoy reports by
  optimal interpolation; good for studies of climate variability, not for single days.
creators:
  - {name: 'Curie, Marie', orcid: 0000-0002-1825-0097, affiliation: {name: ORNL, ror: 01qz5mb56}}
  - {name: Argonne National Laboratory, ror: 'https://ror.org/05gvnxz63'}
publisher: {name: Oak Ridge National Laboratory, ror: 01qz5mb56}
contact: {name: Data desk, email: data@lab.gov}
issued: 2026-11-22
resource_type: Dataset
license: CC-BY-4.0
keywords: [sea surface temperature]
tier: public
embargo: {until: 2027-01-01, reason: paper in review}
markings: [UNL]
provenance: {derived_from: ['doi:10.1/x'], activity: optimal interpolation, software: oi 2.1, instrument: buoys}
funding: [{funder: DOE, award: DE-1}]
related: [{relation: IsCitedBy, identifier: 'https://doi.org/10.1/y'}]
conforms_to: [CF-1.6]
language: en
steward: {name: Data desk, email: data@lab.gov}
review: 2028-11-22
files: [data/sst.nc]
";

fn record() -> Record {
    serde_yaml_ng::from_str(RECORD).unwrap()
}

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 22).unwrap()
}

fn setting() -> Setting {
    Setting { today: today(), has_tables: false, longest_embargo_months: 24 }
}

fn file() -> FileFacts {
    FileFacts {
        location: "/data/sst.nc".to_owned(),
        media_type: "application/x-netcdf".to_owned(),
        bytes: 4096,
        sha256: "0123456789abcdef".repeat(4),
        variables: vec![VariableFacts {
            name: "sst".to_owned(),
            data_type: "Float32".to_owned(),
            dimensions: vec!["time".to_owned(), "lat".to_owned()],
            shape: vec![12, 180],
            standard_name: Some("sea_surface_temperature".to_owned()),
            long_name: None,
            units: Some("degC".to_owned()),
            min: Some(-1.8),
            max: Some(34.0),
            missing: Some(3),
        }],
        extent: Extent { time: Some((0.0, 1e9)), bounding_box: Some([0.5, -89.5, 359.5, 89.5]) },
        attributes: vec![("Conventions".to_owned(), "CF-1.6".to_owned())],
    }
}

/// What changing the record or its file breaks.
fn broken(change: impl FnOnce(&mut Record, &mut FileFacts)) -> Vec<(String, String)> {
    let (mut record, mut file) = (record(), file());
    change(&mut record, &mut file);
    validate(&record, &[file], &setting())
        .into_iter()
        .map(|violation| {
            assert!(!violation.found.is_empty() && !violation.fix.is_empty(), "{violation}");
            (violation.pointer, violation.rule)
        })
        .collect()
}

#[track_caller]
fn breaks(pointer: &str, rule: &str, change: impl FnOnce(&mut Record, &mut FileFacts)) {
    assert_eq!(broken(change), [(pointer.to_owned(), rule.to_owned())]);
}

#[track_caller]
fn passes(change: impl FnOnce(&mut Record, &mut FileFacts)) {
    assert_eq!(broken(change), []);
}

#[test]
fn a_complete_record_breaks_no_rule() {
    passes(|_, _| {});
}

#[test]
fn an_empty_record_breaks_every_required_rule_at_once() {
    let empty: Record = serde_yaml_ng::from_str("name: x").unwrap();
    let violations = validate(&empty, &[], &setting());
    let rules: Vec<&str> = violations.iter().map(|violation| violation.rule.as_str()).collect();
    assert_eq!(
        rules,
        [
            "title.required",
            "description.length",
            "keywords.required",
            "resource_type.required",
            "creators.required",
            "publisher.required",
            "contact.required",
            "steward.required",
            "tier.required",
            "license.required",
            "issued.required",
            "review.required",
            "files.required",
        ]
    );
}

#[test]
fn a_title_has_8_to_300_characters() {
    breaks("/title", "title.required", |r, _| r.title = "  ".to_owned());
    breaks("/title", "title.length", |r, _| r.title = "ä".repeat(7));
    passes(|r, _| r.title = "ä".repeat(8));
    passes(|r, _| r.title = "ä".repeat(300));
    breaks("/title", "title.length", |r, _| r.title = "ä".repeat(301));
    breaks("/title", "title.required", |r, _| r.title = "\u{200b}".repeat(10));
    breaks("/title", "title.length", |r, _| r.title = format!("a{}b", " ".repeat(20)));
}

#[test]
fn a_title_is_not_the_name_of_a_file() {
    for title in ["sst_monthly.nc", "SST_MONTHLY", "data/sst_monthly.nc"] {
        breaks("/title", "title.not_file_name", |r, _| {
            r.files = vec!["data/sst_monthly.nc".to_owned()];
            r.title = title.to_owned();
        });
    }
    breaks("/title", "title.not_file_name", |r, f| {
        f.location = "s3://bucket/sst_monthly.nc".to_owned();
        r.title = "sst_monthly".to_owned();
    });
}

#[test]
fn a_description_has_at_least_100_characters() {
    breaks("/description", "description.length", |r, _| r.description = "é".repeat(99));
    breaks("/description", "description.length", |r, _| r.description = " ".repeat(200));
    passes(|r, _| r.description = "é".repeat(100));
    let blanks = format!("a{}b", " ".repeat(120));
    breaks("/description", "description.length", |r, _| r.description = blanks);
}

#[test]
fn creators_have_names_and_right_check_digits() {
    breaks("/creators", "creators.required", |r, _| r.creators.clear());
    breaks("/creators/1/name", "creators.name", |r, _| r.creators[1].name = " ".to_owned());
    breaks("/creators/0/orcid", "creators.orcid", |r, _| {
        r.creators[0].orcid = Some("0000-0002-1825-0098".to_owned());
    });
    breaks("/creators/1/ror", "creators.ror", |r, _| {
        r.creators[1].ror = Some("05gvnxz64".to_owned());
    });
    breaks("/creators/0/affiliation/ror", "creators.affiliation.ror", |r, _| {
        r.creators[0].affiliation.as_mut().unwrap().ror = Some("x".to_owned());
    });
    passes(|r, _| {
        r.creators[0].orcid = None;
        r.creators[0].affiliation = None;
    });
}

#[test]
fn publisher_contact_and_steward_are_named() {
    breaks("/publisher", "publisher.required", |r, _| r.publisher = None);
    breaks("/publisher/name", "publisher.name", |r, _| {
        r.publisher.as_mut().unwrap().name = String::new();
    });
    breaks("/publisher/ror", "publisher.ror", |r, _| {
        r.publisher.as_mut().unwrap().ror = Some("01qz5mb55".to_owned());
    });
    breaks("/contact", "contact.required", |r, _| r.contact = None);
    breaks("/contact/email", "contact.email", |r, _| {
        r.contact.as_mut().unwrap().email = "desk".to_owned();
    });
    breaks("/steward", "steward.required", |r, _| r.steward = None);
    breaks("/steward/email", "steward.email", |r, _| {
        r.steward.as_mut().unwrap().email = "desk@".to_owned();
    });
}

#[test]
fn kind_and_language_are_from_their_lists() {
    breaks("/resource_type", "resource_type.required", |r, _| r.resource_type = None);
    breaks("/resource_type", "resource_type.list", |r, _| {
        r.resource_type = Some("dataset".to_owned());
    });
    passes(|r, _| r.resource_type = Some("Poster".to_owned()));
    breaks("/language", "language.form", |r, _| r.language = Some("english please".to_owned()));
    passes(|r, _| r.language = Some("pt-BR".to_owned()));
    passes(|r, _| r.language = None);
}

#[test]
fn public_data_need_an_spdx_licence() {
    breaks("/license", "license.required", |r, _| r.license = None);
    breaks("/license", "license.required", |r, _| {
        r.license = None;
        r.rights = Some("https://rightsstatements.org/vocab/InC/1.0/".to_owned());
    });
    for bad in ["CC-BY", "cc-by-4.0", "LicenseRef-mine", "", "MIT AND", "NOASSERTION"] {
        breaks("/license", "license.spdx", |r, _| r.license = Some(bad.to_owned()));
    }
    passes(|r, _| r.license = Some("MIT OR Apache-2.0".to_owned()));
    breaks("/rights", "rights.uri", |r, _| r.rights = Some("in copyright".to_owned()));
}

#[test]
fn registered_data_need_a_licence_or_a_rights_statement_and_terms() {
    let registered = |r: &mut Record| {
        r.tier = Some(Tier::Registered);
        r.terms = Some(crate::record::Terms {
            id: "https://lab.gov/terms".to_owned(),
            sha256: "ab".repeat(32),
        });
    };
    passes(|r, _| registered(r));
    passes(|r, _| {
        registered(r);
        r.license = None;
        r.rights = Some("urn:lab:rights:1".to_owned());
    });
    breaks("/license", "license.required", |r, _| {
        registered(r);
        r.license = None;
    });
    breaks("/terms", "terms.required", |r, _| r.tier = Some(Tier::Registered));
    breaks("/terms/id", "terms.id", |r, _| {
        registered(r);
        r.terms.as_mut().unwrap().id = String::new();
    });
    breaks("/terms/sha256", "terms.sha256", |r, _| {
        registered(r);
        r.terms.as_mut().unwrap().sha256 = "AB".repeat(32);
    });
}

#[test]
fn a_record_needs_a_keyword() {
    breaks("/keywords", "keywords.required", |r, _| r.keywords.clear());
    breaks("/keywords/0", "keywords.length", |r, _| r.keywords[0] = " ".to_owned());
    breaks("/keywords/0", "keywords.length", |r, _| r.keywords[0] = "x".repeat(201));
}

#[test]
fn the_tier_is_said() {
    breaks("/tier", "tier.required", |r, _| r.tier = None);
}

#[test]
fn an_embargo_ends_in_the_future_and_has_a_reason() {
    let until = |text: &str, r: &mut Record| r.embargo.as_mut().unwrap().until = text.to_owned();
    breaks("/embargo/until", "embargo.date", |r, _| until("next year", r));
    breaks("/embargo/until", "embargo.date", |r, _| until("2027-02-30", r));
    breaks("/embargo/until", "embargo.future", |r, _| until("2026-11-22", r));
    passes(|r, _| until("2026-11-23", r));
    passes(|r, _| until("2028-11-22", r));
    for late in ["2028-11-23", "9999-12-31"] {
        breaks("/embargo/until", "embargo.longest", |r, _| until(late, r));
    }
    breaks("/embargo/reason", "embargo.reason", |r, _| {
        r.embargo.as_mut().unwrap().reason = String::new();
    });
    passes(|r, _| r.embargo = None);
}

#[test]
fn open_data_carry_no_marking_that_limits() {
    for limited in ["CUI", "ECI", "OUO", "PDOUO"] {
        breaks("/markings/1", "markings.tier", |r, _| r.markings.push(limited.to_owned()));
    }
    for unknown in ["unl", "", "SECRET"] {
        breaks("/markings/0", "markings.list", |r, _| r.markings = vec![unknown.to_owned()]);
    }
    passes(|r, _| r.markings.clear());
}

#[test]
fn dates_of_issue_and_review_are_dates() {
    breaks("/issued", "issued.required", |r, _| r.issued = None);
    breaks("/issued", "issued.date", |r, _| r.issued = Some("2026".to_owned()));
    breaks("/review", "review.required", |r, _| r.review = None);
    breaks("/review", "review.date", |r, _| r.review = Some("soon".to_owned()));
    breaks("/review", "review.date", |r, _| r.review = Some("2028-12-24".to_owned()));
    breaks("/review", "review.date", |r, _| r.review = Some("2026-11-21".to_owned()));
    passes(|r, _| r.review = Some("2026-11-22".to_owned()));
    for day in ["0000-01-01", "9999-12-31", "2027-11-23"] {
        breaks("/issued", "issued.range", |r, _| r.issued = Some(day.to_owned()));
    }
    passes(|r, _| r.issued = Some("1854-01-01".to_owned()));
    // Data that are held back are issued when they become available.
    passes(|r, _| {
        r.embargo.as_mut().unwrap().until = "2028-06-01".to_owned();
        r.issued = Some("2028-06-01".to_owned());
    });
}

#[test]
fn provenance_funding_and_links_are_filled_where_they_are_given() {
    breaks("/provenance/activity", "provenance.activity", |r, _| {
        r.provenance.as_mut().unwrap().activity = Some(String::new());
    });
    breaks("/provenance/derived_from/0", "provenance.derived_from", |r, _| {
        r.provenance.as_mut().unwrap().derived_from[0] = " ".to_owned();
    });
    breaks("/funding/0/funder", "funding.funder", |r, _| r.funding[0].funder = String::new());
    breaks("/related/0/identifier", "related.identifier", |r, _| {
        r.related[0].identifier = String::new();
    });
    breaks("/related/0/relation", "related.relation", |r, _| {
        r.related[0].relation = "cites".to_owned();
    });
    breaks("/conforms_to/0", "conforms_to.name", |r, _| r.conforms_to[0] = String::new());
}

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
fn text_has_no_characters_that_command_a_terminal_or_turn_it_around() {
    let bell = "Monthly means\u{7}\u{1b}[31m in red";
    breaks("/title", "text.characters", |r, _| r.title = bell.to_owned());
    breaks("/keywords/0", "text.characters", |r, _| r.keywords[0] = "a\u{202e}b".to_owned());
    breaks("/creators/0/affiliation/name", "text.characters", |r, _| {
        r.creators[0].affiliation.as_mut().unwrap().name = "OR\0NL".to_owned();
    });
    passes(|r, _| r.description.push_str("\n\tA second paragraph, with a joiner: \u{200d}."));
}

#[test]
fn a_claimed_standard_is_one_that_was_published_and_that_the_files_state() {
    let claim = |text: &str, r: &mut Record| r.conforms_to = vec![text.to_owned()];
    for unpublished in ["CF-99.9", "CF-1.14", "cf-2", "ACDD-1.2"] {
        breaks("/conforms_to/0", "conforms_to.version", |r, _| claim(unpublished, r));
    }
    breaks("/conforms_to/0", "conforms_to.stated", |r, _| claim("CF-1.11", r));
    passes(|r, f| {
        f.attributes[0].1 = "CF-1.11, ACDD-1.3".to_owned();
        r.conforms_to = vec!["CF-1.11".to_owned(), "ACDD-1.3".to_owned()];
    });
    // Nothing here can check others; they are the steward's word, and raise no score.
    passes(|r, _| claim("NXtomo", r));
    let mut plain = file();
    plain.attributes.clear();
    let mut claims = record();
    claim("NXtomo", &mut claims);
    let lost = |files: &[FileFacts]| {
        let metrics = fair::score(&claims, files, false).into_iter();
        metrics.filter(|m| m.earned < m.points).map(|m| m.name).collect::<Vec<_>>()
    };
    assert_eq!(lost(&[plain.clone()]), ["FsF-R1.3-01M"]);
    plain.attributes = vec![("NeXus_version".to_owned(), "4.3.0".to_owned())];
    assert_eq!(lost(&[plain]), [""; 0]);
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

#[test]
fn every_canonical_unit_is_a_unit() {
    for name in
        ["air_temperature", "latitude", "specific_humidity", "time", "toa_outgoing_longwave_flux"]
    {
        let unit = standard_names::canonical_unit(name).unwrap();
        assert!(crate::units::Unit::parse(unit).is_ok(), "{unit}");
    }
    assert_eq!(standard_names::canonical_unit("no_such_name"), None);
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

#[test]
fn the_fair_score_of_a_full_record_is_26_of_26() {
    let metrics = fair::score(&record(), &[file()], false);
    assert_eq!(metrics.len(), 17);
    let points: f64 = metrics.iter().map(|metric| metric.points).sum();
    assert!((points - fair::POINTS).abs() < 1e-9);
    assert!((fair::per_cent(&metrics) - 100.0).abs() < 1e-9, "{metrics:#?}");
}

#[test]
fn each_missing_field_lowers_its_own_fair_metric_and_says_how_to_mend_it() {
    let missing = |change: &dyn Fn(&mut Record, &mut FileFacts)| {
        let (mut record, mut file) = (record(), file());
        change(&mut record, &mut file);
        fair::score(&record, &[file], false)
            .into_iter()
            .filter(|metric| metric.earned < metric.points)
            .map(|metric| {
                assert!(!metric.fix.is_empty());
                (metric.name, metric.points - metric.earned)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(missing(&|r, _| r.keywords.clear()), [("FsF-F2-01M", 1.0)]);
    assert_eq!(missing(&|r, _| r.publisher = None), [("FsF-F2-01M", 1.0)]);
    assert_eq!(missing(&|r, _| r.tier = None), [("FsF-A1-01M", 1.0)]);
    assert_eq!(missing(&|r, _| r.license = None), [("FsF-R1.1-01M", 1.0)]);
    assert_eq!(missing(&|_, f| f.variables[0].standard_name = None), [("FsF-I2-01M", 2.0)]);
    assert_eq!(
        missing(&|r, _| {
            r.related.clear();
            r.provenance = None;
        }),
        [("FsF-I3-01M", 2.0), ("FsF-R1.2-01M", 1.0)]
    );
    assert_eq!(
        missing(&|r, f| {
            r.conforms_to.clear();
            f.attributes.clear();
        }),
        [("FsF-R1.3-01M", 1.0)]
    );
    assert_eq!(
        missing(&|_, f| f.media_type = "application/x-proprietary".to_owned()),
        [("FsF-R1.3-02D", 1.0)]
    );
    let without_data: Vec<_> = fair::score(&record(), &[], false)
        .into_iter()
        .filter(|metric| metric.earned < metric.points)
        .map(|metric| metric.name)
        .collect();
    assert_eq!(
        without_data,
        ["FsF-F3-01M", "FsF-A1-02MD", "FsF-I2-01M", "FsF-R1-01M", "FsF-R1.3-01M", "FsF-R1.3-02D"]
    );
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "[0-9X-]{0,22}",
        "[0-9a-z]{9}",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "[A-Za-z0-9.+() ]{0,30}",
        Just(String::new()),
    ]
}

fn optional() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(any_text())
}

proptest! {
    #[test]
    fn validation_and_score_never_panic(
        texts in proptest::collection::vec(any_text(), 12),
        options in proptest::collection::vec(optional(), 10),
        numbers in proptest::array::uniform8(proptest::num::f64::ANY),
    ) {
        let mut record = record();
        let mut file = file();
        record.title.clone_from(&texts[0]);
        record.description.clone_from(&texts[1]);
        record.creators[0].name.clone_from(&texts[2]);
        record.creators[0].orcid.clone_from(&options[0]);
        record.creators[1].ror.clone_from(&options[1]);
        record.contact.as_mut().unwrap().email.clone_from(&texts[3]);
        record.issued.clone_from(&options[2]);
        record.review.clone_from(&options[3]);
        record.license.clone_from(&options[4]);
        record.rights.clone_from(&options[5]);
        record.language.clone_from(&options[6]);
        record.resource_type.clone_from(&options[7]);
        record.embargo.as_mut().unwrap().until.clone_from(&texts[4]);
        record.markings = vec![texts[5].clone()];
        record.keywords = vec![texts[6].clone()];
        record.files = vec![texts[7].clone()];
        record.related[0].relation.clone_from(&texts[8]);
        file.location.clone_from(&texts[9]);
        file.sha256.clone_from(&texts[10]);
        file.variables[0].units.clone_from(&options[8]);
        file.variables[0].min = Some(numbers[0]);
        file.variables[0].max = Some(numbers[1]);
        file.extent.time = Some((numbers[2], numbers[3]));
        file.extent.bounding_box = Some([numbers[4], numbers[5], numbers[6], numbers[7]]);
        let violations = validate(&record, std::slice::from_ref(&file), &setting());
        for violation in violations {
            prop_assert!(violation.pointer.starts_with('/'));
            prop_assert!(!violation.fix.is_empty());
        }
        let metrics = fair::score(&record, &[file], false);
        prop_assert!((0.0..=100.0).contains(&fair::per_cent(&metrics)));
        let _ = license::from_words(&texts[11]);
    }
}
