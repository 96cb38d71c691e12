//! Agreements, data use, conditions, disclosure control.

use super::tiers::at;
use super::*;
use crate::record::{DataUse, UseModifier};
use serde_json::{Value, json};

/// What a record of a tier breaks with one value put in by its pointer.
#[track_caller]
fn put(tier: Tier, pointer: &str, value: Value, expected: &[(&str, &str)]) {
    let mut whole = record();
    at(tier, &mut whole);
    let mut json = json!(whole);
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let parent = json.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value,
        Value::Object(fields) => {
            fields.insert(last.to_owned(), value);
        }
        other => panic!("{other}"),
    }
    let changed: Record = serde_json::from_value(json).unwrap();
    let found: Vec<(String, String)> = validate(&changed, &[file()], &setting())
        .into_iter()
        .map(|violation| (violation.pointer, violation.rule))
        .collect();
    let expected: Vec<(String, String)> =
        expected.iter().map(|(p, r)| ((*p).to_owned(), (*r).to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn an_agreement_is_whole() {
    for (field, value) in [
        ("id", json!(" ")),
        ("sha256", json!("AB")),
        ("committee", json!("")),
        ("months", json!(0)),
        ("months", json!(61)),
        ("purposes", json!([])),
        ("purposes", json!([""])),
    ] {
        let pointer = format!("/agreement/{field}");
        put(Tier::Controlled, &pointer, value, &[(&pointer, &format!("agreement.{field}"))]);
    }
}

#[test]
fn conditions_are_known() {
    put(Tier::Restricted, "/conditions", json!({}), &[("/conditions", "conditions.required")]);
    put(
        Tier::Restricted,
        "/conditions/assurance",
        json!("sure"),
        &[("/conditions/assurance", "conditions.assurance")],
    );
    put(
        Tier::Restricted,
        "/conditions/countries",
        json!(["US", "usa"]),
        &[("/conditions/countries/1", "country.form")],
    );
    put(
        Tier::Restricted,
        "/conditions/training",
        json!([""]),
        &[("/conditions/training/0", "conditions.training")],
    );
}

#[test]
fn modifiers_of_data_use_are_complete() {
    let given =
        |code: &str| UseModifier { code: code.to_owned(), until: None, place: None, months: None };
    let check = |modifiers: Vec<UseModifier>, expected: &[(&str, &str)]| {
        let permission = "GRU".to_owned();
        let data_use = DataUse { permission, disease: None, modifiers };
        put(Tier::Controlled, "/data_use", json!(data_use), expected);
    };
    let first = "/data_use/modifiers/0";
    check(vec![given("NCU"), given("IRB")], &[]);
    check(vec![given("MOR")], &[(&format!("{first}/until"), "data_use.until")]);
    check(vec![UseModifier { until: Some("2027-01-01".to_owned()), ..given("MOR") }], &[]);
    check(
        vec![UseModifier { until: Some("soon".to_owned()), ..given("MOR") }],
        &[(&format!("{first}/until"), "data_use.until")],
    );
    check(vec![given("GS")], &[(&format!("{first}/place"), "data_use.place")]);
    check(vec![UseModifier { place: Some("US".to_owned()), ..given("GS") }], &[]);
    check(vec![given("TS")], &[(&format!("{first}/months"), "data_use.months")]);
    check(
        vec![UseModifier { months: Some(u32::MAX), ..given("TS") }],
        &[(&format!("{first}/months"), "data_use.months")],
    );
    check(vec![UseModifier { months: Some(24), ..given("TS") }], &[]);
    check(vec![given("ncu")], &[(&format!("{first}/code"), "data_use.modifier")]);
    check(vec![given("NCU"), given("NCU")], &[("/data_use/modifiers/1/code", "data_use.once")]);
    put(
        Tier::Controlled,
        "/data_use/permission",
        json!("ALL"),
        &[("/data_use/permission", "data_use.permission")],
    );
    put(
        Tier::Controlled,
        "/data_use/permission",
        json!("DS"),
        &[("/data_use/disease", "data_use.disease")],
    );
    let no_limit = json!({"permission": "NRES", "modifiers": [{"code": "NCU"}]});
    put(
        Tier::Controlled,
        "/data_use",
        no_limit,
        &[("/data_use/modifiers", "data_use.no_restriction")],
    );
}

#[test]
fn disclosure_control_keeps_the_labs_minimum() {
    for (field, value) in [
        ("unit", json!("")),
        ("minimum_cell", json!(10)),
        ("dominance_percent", json!(101.0)),
        ("rounding", json!(0.0)),
        ("functions", json!([])),
    ] {
        let pointer = format!("/disclosure/{field}");
        put(Tier::AggregatesOnly, &pointer, value, &[(&pointer, &format!("disclosure.{field}"))]);
    }
    put(
        Tier::AggregatesOnly,
        "/disclosure/functions",
        json!(["count", "array_agg"]),
        &[("/disclosure/functions/1", "disclosure.functions")],
    );
    for column in ["nothing", "person"] {
        put(
            Tier::AggregatesOnly,
            "/disclosure/group_by",
            json!([column]),
            &[("/disclosure/group_by/0", "disclosure.group_by")],
        );
    }
}

#[test]
fn noise_is_made_for_what_is_bounded() {
    let privacy = |changes: serde_json::Value| {
        let mut privacy =
            json!({"epsilon": 1.0, "cells": 2, "rows": 3, "bounds": {"sst": [-2.0, 40.0]}});
        for (key, value) in changes.as_object().unwrap() {
            privacy[key] = value.clone();
        }
        privacy
    };
    put(Tier::AggregatesOnly, "/disclosure/privacy", privacy(json!({})), &[]);
    let whole = json!({"delta": 1e-9, "budget": 4.0});
    put(Tier::AggregatesOnly, "/disclosure/privacy", privacy(whole), &[]);
    for (field, value) in [
        ("epsilon", json!(0.0)),
        ("delta", json!(0.5)),
        ("budget", json!(0.5)),
        ("cells", json!(0)),
        ("rows", json!(2_000_000)),
    ] {
        let found = (format!("/disclosure/privacy/{field}"), format!("disclosure.privacy.{field}"));
        let changed = privacy(json!({field: value}));
        put(Tier::AggregatesOnly, "/disclosure/privacy", changed, &[(&found.0, &found.1)]);
    }
    let turned = privacy(json!({"bounds": {"sst": [40.0, -2.0]}}));
    let found = ("/disclosure/privacy/bounds/sst", "disclosure.privacy.bounds/sst");
    put(Tier::AggregatesOnly, "/disclosure/privacy", turned, &[found]);
}

#[test]
fn a_review_of_the_text_is_signed_and_dated() {
    put(Tier::Restricted, "/reviewed/by", json!(""), &[("/reviewed/by", "reviewed.by")]);
    put(Tier::Restricted, "/reviewed/on", json!("2027-01-01"), &[("/reviewed/on", "reviewed.on")]);
}
