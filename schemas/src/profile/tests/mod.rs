//! Each rule once as it passes and once as it fails, a concept a file.

mod access;
mod agents;
mod contents;
mod description;
mod documents;
mod fair_score;
mod links;
mod markings;
mod rights;
mod stated;
mod tiers;
mod whole;

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
funding: [{funder: DOE, award: DE-SC0012704}]
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
    Setting { today: today(), has_tables: false, longest_embargo_months: 24, smallest_cell: 11 }
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
