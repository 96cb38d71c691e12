//! Search by the elements of formulas, and the subjects that harvesters hear of.

use super::policy::{put, tiered};
use super::support::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;
use tarn_catalog::SearchRequest;
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::facts::FORMULA;
use tarn_schemas::formula;
use tarn_schemas::record::{Exposure, Subject};

async fn found(catalog: &Catalog, key: &str, value: &str) -> Vec<String> {
    let filters = vec![(key.to_owned(), value.to_owned())];
    let request = SearchRequest { filters, limit: 1000, ..SearchRequest::default() };
    let answer = catalog.search(&Principal::Anonymous, &request).await.unwrap();
    let mut names: Vec<String> = answer.hits.iter().map(|hit| hit.name.to_string()).collect();
    names.sort();
    names
}

fn with(name: &str, formulas: &[&str]) -> Record {
    Record { formulas: formulas.iter().map(|&text| text.to_owned()).collect(), ..record(name) }
}

#[tokio::test]
async fn samples_are_found_by_their_elements() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    for (name, formulas) in [
        ("rust", &["Fe2O3"][..]),
        ("blue", &["Fe4[Fe(CN)6]3·14H2O"]),
        ("two", &["Fe", "SiO2"]),
        ("none", &[]),
    ] {
        catalog.register(&owner, with(name, formulas), data()).await.unwrap();
    }
    // What a file says counts, and what is no formula there harms nothing.
    let mut nexus = data();
    nexus[0].attributes =
        vec![(FORMULA.to_owned(), "La2CuO4".to_owned()), (FORMULA.to_owned(), "foil".to_owned())];
    catalog.register(&owner, record("nexus"), nexus).await.unwrap();
    for (key, value, names) in [
        ("elements", "Fe", &["blue", "rust", "two"][..]),
        ("elements", "Fe,O", &["blue", "rust"]),
        ("elements", " O , Fe ", &["blue", "rust"]),
        ("elements", "O", &["blue", "nexus", "rust", "two"]),
        ("elements", "Fe,Si", &[]),
        ("elements", "D", &["blue"]),
        ("elements_only", "O,Fe", &["rust"]),
        ("elements_only", "Fe", &["two"]),
        ("elements_only", "La,Cu,O", &["nexus"]),
        ("element", "Si", &["two"]),
    ] {
        assert_eq!(found(&catalog, key, value).await, names, "{key}={value}");
    }
    let counted = SearchRequest { facets: vec!["element".to_owned()], ..SearchRequest::default() };
    let answer = catalog.search(&owner, &counted).await.unwrap();
    assert_eq!(answer.facets["element"][..2], [("O".to_owned(), 4), ("Fe".to_owned(), 3)]);
    for wrong in ["", "iron", "Fe,,Xx", ".*", "Fe|O"] {
        let filters = vec![("elements".to_owned(), wrong.to_owned())];
        let request = SearchRequest { filters, ..SearchRequest::default() };
        let error = catalog.search(&owner, &request).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{wrong}");
    }
    let bad = catalog.register(&owner, with("bad", &["Fe2O3", "rust"]), data()).await.unwrap_err();
    assert!(format!("{bad:?}").contains("/formulas/1"), "{bad:?}");
}

#[test]
fn elements_find_what_reading_each_formula_would() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 4, ..Config::default() });
    let symbol = prop::sample::select(vec!["H", "He", "O", "Os", "S", "Si", "N", "Na", "C", "Co"]);
    let set = prop::collection::btree_set(symbol, 1..5);
    let cases = (
        prop::collection::vec(prop::collection::vec(set.clone(), 0..3), 10),
        prop::collection::vec(set, 8),
    );
    runner
        .run(&cases, |(datasets, questions)| {
            runtime.block_on(async {
                let folder = tempfile::tempdir().unwrap();
                let catalog = catalog(folder.path()).await;
                for (number, formulas) in datasets.iter().enumerate() {
                    let formulas: Vec<String> = formulas
                        .iter()
                        .map(|set| set.iter().rev().map(|one| format!("{one}2")).collect())
                        .collect();
                    let record = Record { formulas, ..record(&format!("set_{number}")) };
                    catalog.register(&Principal::Owner, record, data()).await.unwrap();
                }
                for wanted in &questions {
                    let value = wanted.iter().copied().collect::<Vec<_>>().join(",");
                    for key in ["elements", "elements_only"] {
                        let fits = |set: &BTreeSet<&str>| {
                            if key == "elements" { wanted.is_subset(set) } else { wanted == set }
                        };
                        let mut expected: Vec<String> = datasets
                            .iter()
                            .enumerate()
                            .filter(|(_, formulas)| formulas.iter().any(fits))
                            .map(|(number, _)| format!("set_{number}"))
                            .collect();
                        expected.sort();
                        prop_assert_eq!(found(&catalog, key, &value).await, expected, "{}", value);
                    }
                }
                Ok(())
            })
        })
        .unwrap();
    assert_eq!(formula::ELEMENTS.len(), 118);
}

#[tokio::test]
async fn subjects_are_those_of_records_that_everyone_may_see() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    let mut shown = record("a");
    shown.keywords = vec!["sea ice".to_owned(), " buoys ".to_owned()];
    shown.subjects =
        vec![Subject { term: "Cryosphere".to_owned(), scheme: "GCMD".to_owned(), uri: None }];
    catalog.register(&owner, shown, data()).await.unwrap();
    let before = catalog.subjects(None, 100).await.unwrap();
    assert_eq!(before, ["Cryosphere", "buoys", "sea ice"]);
    for exposure in [Exposure::None, Exposure::Existence, Exposure::Redacted] {
        let mut hidden =
            tiered(&format!("h_{exposure:?}").to_lowercase(), Tier::Restricted, exposure);
        hidden.keywords = vec!["plutonium".to_owned(), "sea ice".to_owned()];
        hidden.formulas = vec!["PuO2".to_owned()];
        put(folder.path(), &catalog, &owner, hidden).await;
    }
    assert_eq!(catalog.subjects(None, 100).await.unwrap(), before);
    assert_eq!(found(&catalog, "elements", "Pu").await, Vec::<String>::new());
    // A page at a time.
    assert_eq!(catalog.subjects(None, 2).await.unwrap(), before[..2]);
    assert_eq!(catalog.subjects(Some("buoys"), 2).await.unwrap(), before[2..]);
    catalog.withdraw(&owner, &"a".parse().unwrap(), "wrong", None).await.unwrap();
    assert_eq!(catalog.subjects(None, 100).await.unwrap(), Vec::<String>::new());
}
