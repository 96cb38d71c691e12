//! Records as a whole.

use super::*;

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
