//! Tier, licence, embargo.

use super::*;

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
        r.conditions.get_or_insert_default().assurance = Some("low".to_owned());
    };
    passes(|r, _| registered(r));
    passes(|r, _| {
        registered(r);
        r.license = None;
        r.rights = Some("https://lab.gov/rights/1".to_owned());
    });
    breaks("/license", "license.required", |r, _| {
        registered(r);
        r.license = None;
    });
    breaks("/terms", "terms.required", |r, _| {
        registered(r);
        r.terms = None;
    });
    breaks("/conditions/assurance", "conditions.assurance", |r, _| {
        registered(r);
        r.conditions = None;
    });
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
