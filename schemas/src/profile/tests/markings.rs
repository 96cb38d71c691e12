//! Markings, CUI and export control.

use super::tiers::at;
use super::*;
use crate::record::{Cui, ExportControl, MarkingDetails};

/// Rules that markings break at a tier, by code in front.
fn marked(
    tier: Tier,
    markings: &[&str],
    change: impl FnOnce(&mut Record),
) -> Vec<(String, String)> {
    broken(|r, _| {
        at(tier, r);
        r.markings = markings.iter().map(|&code| code.to_owned()).collect();
        change(r);
    })
}

fn one(pointer: &str, rule: &str) -> Vec<(String, String)> {
    vec![(pointer.to_owned(), rule.to_owned())]
}

fn cui() -> Cui {
    Cui {
        banner: "CUI//SP-EXPT//NOFORN".to_owned(),
        categories: vec!["SP-EXPT".to_owned()],
        dissemination: vec!["NOFORN".to_owned()],
        designation: "Controlled by: DOE, cui@lab.gov".to_owned(),
        decontrol: None,
    }
}

#[test]
fn codes_are_those_of_e_link() {
    for unknown in ["unl", "", "SECRET"] {
        assert_eq!(marked(Tier::Public, &[unknown], |_| ()), one("/markings/0", "markings.list"));
    }
    assert_eq!(marked(Tier::Public, &["UNL", "UNL"], |_| ()), one("/markings/1", "markings.once"));
    assert_eq!(marked(Tier::Public, &[], |_| ()), []);
    assert_eq!(marked(Tier::Public, &["UNL", "OPN", "CPY"], |_| ()), []);
}

#[test]
fn unlimited_goes_with_no_limit_and_cui_with_nothing() {
    assert_eq!(
        marked(Tier::Controlled, &["UNL", "OUO"], |_| ()),
        one("/markings/1", "markings.unlimited")
    );
    assert_eq!(
        marked(Tier::Restricted, &["CUI", "OUO"], |r| r.cui = Some(cui())),
        one("/markings/1", "markings.cui_alone")
    );
    assert_eq!(marked(Tier::Restricted, &["CUI"], |r| r.cui = Some(cui())), []);
    assert_eq!(marked(Tier::Controlled, &["OUO", "LRD"], |_| ()), []);
}

#[test]
fn limits_need_a_tier_that_keeps_them() {
    for (tier, code) in [
        (Tier::Public, "OUO"),
        (Tier::Registered, "PDSH"),
        (Tier::Public, "LRD"),
        (Tier::Controlled, "SSI"),
        (Tier::Controlled, "NNPI"),
    ] {
        assert_eq!(marked(tier, &[code], |_| ()), one("/markings/0", "markings.tier"), "{code}");
    }
    assert_eq!(marked(Tier::Restricted, &["SSI"], |_| ()), []);
}

#[test]
fn some_codes_need_more() {
    let date = |text: &str| MarkingDetails {
        release_date: Some(text.to_owned()),
        ..MarkingDetails::default()
    };
    let pointer = "/marking_details/release_date";
    for code in ["PROT", "SBIR", "STTR"] {
        assert_eq!(
            marked(Tier::Controlled, &[code], |_| ()),
            one(pointer, "markings.release_date")
        );
        assert_eq!(
            marked(Tier::Controlled, &[code], |r| r.marking_details = Some(date("2030-01-01"))),
            []
        );
        for bad in ["2020-01-01", "soon"] {
            assert_eq!(
                marked(Tier::Controlled, &[code], |r| r.marking_details = Some(date(bad))),
                one(pointer, "markings.release_date")
            );
        }
    }
    let pointer = "/marking_details/exemption";
    assert_eq!(marked(Tier::Controlled, &["PDOUO"], |_| ()), one(pointer, "markings.exemption"));
    for (number, expected) in [(3, vec![]), (10, one(pointer, "markings.exemption"))] {
        let details = MarkingDetails { exemption: Some(number), ..MarkingDetails::default() };
        assert_eq!(
            marked(Tier::Controlled, &["PDOUO"], |r| r.marking_details = Some(details)),
            expected
        );
    }
    assert_eq!(
        marked(Tier::Controlled, &["OTHR"], |_| ()),
        one("/marking_details/other", "markings.other")
    );
}

#[test]
fn controlled_unclassified_information_says_what_it_is() {
    assert_eq!(marked(Tier::Restricted, &["CUI"], |_| ()), one("/cui", "cui.required"));
    assert_eq!(
        marked(Tier::Restricted, &["OUO"], |r| r.cui = Some(cui())),
        one("/markings", "cui.marking")
    );
    for (banner, rule) in [("CUI", "cui.banner"), ("CUI//NOFORN", "cui.banner"), ("", "cui.banner")]
    {
        assert_eq!(
            marked(Tier::Restricted, &["CUI"], |r| {
                r.cui = Some(Cui { banner: banner.to_owned(), ..cui() });
            }),
            one("/cui/banner", rule)
        );
    }
    assert_eq!(
        marked(Tier::Restricted, &["CUI"], |r| {
            r.cui = Some(Cui { designation: " ".to_owned(), ..cui() });
        }),
        one("/cui/designation", "cui.designation")
    );
    let control = Cui {
        dissemination: vec!["EVERYBODY".to_owned()],
        banner: "CUI//SP-EXPT//EVERYBODY".to_owned(),
        ..cui()
    };
    assert_eq!(
        marked(Tier::Restricted, &["CUI"], |r| r.cui = Some(control)),
        one("/cui/dissemination/0", "cui.dissemination")
    );
    let public = marked(Tier::Public, &["CUI"], |r| r.cui = Some(cui()));
    assert_eq!(public, [one("/markings/0", "markings.tier"), one("/cui", "cui.tier")].concat());
}

#[test]
fn export_control_forces_the_tier_restricted() {
    let control = |classification: &str| ExportControl {
        regime: "EAR".to_owned(),
        classification: classification.to_owned(),
        countries: vec!["US".to_owned(), "GB".to_owned()],
        us_persons: false,
    };
    assert_eq!(
        marked(Tier::Restricted, &["ECI"], |_| ()),
        one("/export_control", "export_control.required")
    );
    assert_eq!(
        marked(Tier::Restricted, &["ECI"], |r| r.export_control = Some(control("3A001"))),
        []
    );
    for tier in [Tier::Public, Tier::Registered, Tier::Controlled] {
        assert_eq!(
            marked(tier, &[], |r| r.export_control = Some(control("3A001"))),
            one("/export_control", "export_control.tier"),
            "{tier}"
        );
    }
    assert_eq!(marked(Tier::Controlled, &[], |r| r.export_control = Some(control("EAR99"))), []);
    assert_eq!(
        marked(Tier::Public, &[], |r| r.export_control = Some(control("EAR99"))),
        one("/export_control", "export_control.tier")
    );
    for (bad, pointer, rule) in [
        (
            ExportControl { regime: "X".to_owned(), ..control("3A001") },
            "/export_control/regime",
            "export_control.regime",
        ),
        (control(" "), "/export_control/classification", "export_control.classification"),
        (
            ExportControl { countries: vec!["usa".to_owned()], ..control("3A001") },
            "/export_control/countries/0",
            "country.form",
        ),
        (
            ExportControl { countries: Vec::new(), ..control("3A001") },
            "/export_control/countries",
            "export_control.countries",
        ),
    ] {
        assert_eq!(
            marked(Tier::Restricted, &["ECI"], |r| r.export_control = Some(bad)),
            one(pointer, rule)
        );
    }
}
