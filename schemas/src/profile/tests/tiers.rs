//! What each tier asks for, natively and by the published JSON Schema.

use super::*;
use crate::record::{Agreement, Conditions, DataUse, Disclosure, Exposure, Reviewed, Terms};
use serde_json::{Value, json};

/// Makes a record complete for a tier.
pub(super) fn at(tier: Tier, record: &mut Record) {
    record.tier = Some(tier);
    record.markings.clear();
    if tier == Tier::Public {
        return;
    }
    record.terms = Some(Terms { id: "terms".to_owned(), sha256: "ab".repeat(32) });
    record.conditions =
        Some(Conditions { assurance: Some("low".to_owned()), ..Conditions::default() });
    if tier == Tier::Registered {
        return;
    }
    record.license = None;
    record.rights = Some("https://lab.gov/dua".to_owned());
    record.agreement = Some(Agreement {
        id: "DUA 7".to_owned(),
        sha256: "cd".repeat(32),
        committee: "DAC".to_owned(),
        months: 12,
        purposes: vec!["research".to_owned()],
    });
    record.human_data = Some(true);
    record.data_use =
        Some(DataUse { permission: "GRU".to_owned(), disease: None, modifiers: Vec::new() });
    record.exposure = Some(Exposure::Redacted);
    if tier == Tier::Restricted {
        record.reviewed = Some(Reviewed { by: "Ann".to_owned(), on: "2026-11-20".to_owned() });
        record.review = Some("2027-11-01".to_owned());
    }
    if tier == Tier::AggregatesOnly {
        record.disclosure = Some(Disclosure {
            unit: "person".to_owned(),
            minimum_cell: 11,
            dominance_percent: None,
            rounding: None,
            privacy: None,
            functions: vec!["count".to_owned()],
            group_by: vec!["sst".to_owned()],
        });
    }
}

/// Fields that a tier asks for, by the table of the profile.
fn required(tier: Tier) -> Vec<&'static str> {
    let mut fields = vec![
        "title",
        "description",
        "creators",
        "publisher",
        "contact",
        "issued",
        "resource_type",
        "steward",
        "review",
    ];
    fields.extend(match tier {
        Tier::Public => vec!["license", "keywords"],
        Tier::Registered => vec!["keywords", "terms", "conditions"],
        Tier::Controlled => {
            vec!["keywords", "terms", "rights", "agreement", "exposure", "data_use"]
        }
        Tier::Restricted => vec![
            "terms",
            "agreement",
            "conditions",
            "exposure",
            "provenance",
            "reviewed",
            "data_use",
        ],
        Tier::AggregatesOnly => vec![
            "keywords",
            "terms",
            "agreement",
            "conditions",
            "exposure",
            "provenance",
            "disclosure",
            "rights",
        ],
    });
    fields
}

#[test]
fn a_record_of_each_tier_breaks_no_rule_and_each_field_it_lacks_is_named() {
    let schema = jsonschema::validator_for(&serde_json::from_str(LAB_CORE).unwrap()).unwrap();
    for tier in Tier::ALL {
        assert_eq!(broken(|r, _| at(tier, r)), [], "{tier}");
        let mut whole = record();
        at(tier, &mut whole);
        let value = json!(whole);
        let errors: Vec<String> =
            schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{tier}");
        for field in required(tier) {
            let mut value = json!(whole);
            value.as_object_mut().unwrap().remove(field);
            assert!(!schema.is_valid(&value), "{tier} without {field}: the schema is silent");
            let partly: Record = serde_json::from_value(value).unwrap();
            let found = validate(&partly, &[file()], &setting());
            let named = found.iter().any(|violation| {
                let pointer = violation.pointer.trim_start_matches('/');
                // A licence or a rights statement: the rule names the licence.
                pointer.split('/').next() == Some(field)
                    || (field == "rights" && pointer == "license")
            });
            assert!(named, "{tier} without {field}: {found:?}");
        }
    }
}

#[test]
fn the_schema_and_the_rules_refuse_the_same_wrong_values() {
    let schema = jsonschema::validator_for(&serde_json::from_str(LAB_CORE).unwrap()).unwrap();
    let wrong: [(Tier, &str, Value); 9] = [
        (Tier::Public, "title", json!("short")),
        (Tier::Public, "description", json!("short")),
        (Tier::Public, "markings", json!(["OUO"])),
        (Tier::Public, "exposure", json!("none")),
        (Tier::Controlled, "exposure", json!("none")),
        (Tier::Restricted, "exposure", json!("full")),
        (Tier::Controlled, "markings", json!(["SSI"])),
        (Tier::Restricted, "markings", json!(["CUI", "OUO"])),
        (Tier::Restricted, "markings", json!(["ECI"])),
    ];
    for (tier, field, value) in wrong {
        let mut whole = record();
        at(tier, &mut whole);
        let mut json = json!(whole);
        json[field] = value.clone();
        assert!(!schema.is_valid(&json), "{tier} {field} {value}");
        let partly: Record = serde_json::from_value(json).unwrap();
        let found = validate(&partly, &[file()], &setting());
        assert_ne!(found, [], "{tier} {field} {value}");
    }
}

#[test]
fn what_the_tiers_ask_for_beyond_presence() {
    let with = |tier: Tier, change: &dyn Fn(&mut Record)| {
        broken(|r, _| {
            at(tier, r);
            change(r);
        })
    };
    let one = |pointer: &str, rule: &str| vec![(pointer.to_owned(), rule.to_owned())];
    // An open licence on data that nearly nobody may have.
    assert_eq!(
        with(Tier::Restricted, &|r| r.license = Some("CC-BY-4.0".to_owned())),
        one("/license", "license.tier")
    );
    // Restricted records are looked at every year.
    assert_eq!(
        with(Tier::Restricted, &|r| r.review = Some("2028-11-01".to_owned())),
        one("/review", "review.date")
    );
    assert_eq!(with(Tier::Restricted, &|r| r.keywords.clear()), []);
    assert_eq!(
        with(Tier::Controlled, &|r| r.keywords.clear()),
        one("/keywords", "keywords.required")
    );
    // Data that are not about people need no terms of data use.
    for tier in [Tier::Controlled, Tier::AggregatesOnly] {
        assert_eq!(
            with(tier, &|r| {
                r.human_data = Some(false);
                r.data_use = None;
            }),
            []
        );
    }
    assert_eq!(
        with(Tier::AggregatesOnly, &|r| {
            r.human_data = None;
            r.data_use = None;
        }),
        one("/data_use", "data_use.required")
    );
}
