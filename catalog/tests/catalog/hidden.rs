//! What is hidden, against a catalog in which it is not.

use super::derived::put_made;
use super::policy::*;
use super::support::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use tarn_catalog::{Action, PersonAttributes, SearchRequest};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::record::{Embargo, Exposure};

#[tokio::test]
async fn a_redacted_record_shows_title_and_contact_and_is_found_by_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let mut record = tiered("a", Tier::Controlled, Exposure::Redacted);
    record.description.push_str(" It tells of plutonium.");
    record.keywords = vec!["actinide".to_owned()];
    put(folder.path(), &catalog, &Principal::Owner, record).await;
    catalog
        .put_tables(&Principal::Owner, &"a".parse().unwrap(), vec![delta("assay", 0)])
        .await
        .unwrap();
    let bob = named_person("bob", Scope::Read);
    grant(&catalog, "a", "person:ada", 1).await;
    let shown = catalog.dataset(&bob, &named("a")).await.unwrap();
    assert!(shown.redacted && shown.tables.is_empty() && shown.files.is_empty());
    assert_eq!(shown.record.title, "A study of a");
    assert!(shown.record.contact.is_some());
    let text = serde_json::to_string(&shown).unwrap();
    for hidden in ["plutonium", "actinide", "assay", "tos", "Curie", "x.nc", "person:"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert!(catalog.versions(&bob, &"a".parse().unwrap()).await.unwrap().is_empty());
    let facets: Vec<String> =
        ["keyword", "variable", "tier"].iter().map(|&key| key.to_owned()).collect();
    for (words, redacted, whole) in
        [("plutonium", 0, 1), ("actinide", 0, 1), ("assay", 0, 1), ("tos", 0, 1), ("study", 1, 1)]
    {
        let request = SearchRequest {
            text: words.to_owned(),
            facets: facets.clone(),
            ..SearchRequest::default()
        };
        let answer = catalog.search(&bob, &request).await.unwrap();
        assert_eq!((answer.total, answer.facets["keyword"].len()), (redacted, 0), "{words}");
        assert!(answer.hits.iter().all(|hit| hit.tables.is_empty() && hit.summary.is_empty()));
        assert_eq!(catalog.search(&person(Scope::Read), &request).await.unwrap().total, whole);
    }
}

#[tokio::test]
async fn what_is_hidden_cannot_be_written_over_or_added_to() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    put(folder.path(), &catalog, &Principal::Owner, tiered("a", Tier::Restricted, Exposure::None))
        .await;
    let writer = person(Scope::Write);
    let error = catalog.register(&writer, record("a"), data()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    let tables = vec![delta("t", 0)];
    let hidden = catalog.put_tables(&writer, &"a".parse().unwrap(), tables.clone()).await;
    let absent = catalog.put_tables(&writer, &"b".parse().unwrap(), tables).await;
    let (hidden, absent) = (hidden.unwrap_err().to_string(), absent.unwrap_err().to_string());
    assert_eq!(hidden.replace("\"a\"", "\"b\""), absent);
    // Whoever registered it may go on.
    let mine = tiered("mine", Tier::Restricted, Exposure::None);
    put(folder.path(), &catalog, &writer, mine.clone()).await;
    let again = Record { title: "Another title".to_owned(), ..mine };
    catalog.register(&writer, again, data()).await.unwrap();
    assert!(may(&catalog, &writer, Action::Read, "mine").await);
    assert!(!may(&catalog, &named_person("bob", Scope::Admin), Action::Discover, "mine").await);
}

/// Everything that somebody may ask of a catalog, as bytes.
async fn answers(catalog: &Catalog, who: &Principal) -> Vec<String> {
    let mut answers = Vec::new();
    let facets: Vec<String> = [
        "lab",
        "tier",
        "keyword",
        "standard_name",
        "variable",
        "units",
        "format",
        "creator",
        "license",
        "subject",
        "element",
    ]
    .iter()
    .map(|&key| key.to_owned())
    .collect();
    for text in
        ["", "study", "study of", "means", "hidden", "glacier", "tos", "sea_surface_temperature"]
    {
        for filters in [
            vec![],
            vec![("tier".to_owned(), "restricted".to_owned())],
            vec![("elements".to_owned(), "Pu".to_owned())],
        ] {
            let request = SearchRequest {
                text: text.to_owned(),
                filters,
                facets: facets.clone(),
                limit: 3,
                cursor: None,
            };
            answers.push(format!("{:?}", catalog.search(who, &request).await));
        }
    }
    answers.push(format!("{:?}", catalog.datasets(who).await));
    answers.push(format!("{:?}", catalog.subjects(None, 100).await));
    let names = ["hidden", "hidden@1", "hidden@2", "ornl.hidden", "ornl.hidden@7"];
    for name in names {
        answers.push(format!("{:?}", catalog.dataset(who, &named(name)).await));
        let table = "secret_table".parse().unwrap();
        answers.push(format!("{:?}", catalog.table(who, &named(name), &table).await));
    }
    answers.push(format!("{:?}", catalog.versions(who, &"hidden".parse().unwrap()).await));
    answers.push(format!("{:?}", catalog.dataset_by_ark(who, "ark:/99999/0123456789b").await));
    answers
}

#[tokio::test]
async fn a_hidden_record_changes_no_byte_of_any_answer() {
    // Two catalogs that are the same but for what is hidden; moments and ARKs are made the same.
    let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let catalogs = [catalog(with.path()).await, catalog(without.path()).await];
    for (number, catalog) in catalogs.iter().enumerate() {
        let place = [with.path(), without.path()][number];
        for name in ["a", "b", "c", "d", "e"] {
            if number == 0 && name == "c" {
                for (round, exposure) in
                    [Exposure::None, Exposure::Existence].into_iter().enumerate()
                {
                    let mut hidden = tiered("hidden", Tier::Restricted, exposure);
                    hidden.title = format!("A study of glaciers study study {round}");
                    hidden.keywords = vec!["hidden".to_owned(), "climate".to_owned()];
                    hidden.formulas = vec!["PuO2".to_owned()];
                    put(place, catalog, &Principal::Owner, hidden.clone()).await;
                    let mut other = hidden;
                    other.name = format!("hidden_too_{round}").parse().unwrap();
                    put(place, catalog, &Principal::Owner, other).await;
                }
                let tables = vec![delta("secret_table", 0)];
                catalog
                    .put_tables(&Principal::Owner, &"hidden".parse().unwrap(), tables)
                    .await
                    .unwrap();
            }
            put(place, catalog, &Principal::Owner, record(name)).await;
        }
    }
    for folder in [with.path(), without.path()] {
        super::tamper(
            folder,
            &[
                "UPDATE version SET created_at = '2026-11-22T00:00:00.000000Z'",
                "UPDATE change SET at = '2026-11-22T00:00:00.000000Z'",
            ],
        )
        .await;
    }
    let visitor =
        Principal::Visitor { lab: LabName::new("anl").unwrap(), name: Some("ada".to_owned()) };
    let plain = |text: String| -> String {
        // ARKs are random.
        let parts = text.split("ark:/99999/").enumerate();
        parts.map(|(place, part)| if place == 0 { part } else { &part[11..] }).collect()
    };
    for who in [
        Principal::Anonymous,
        person(Scope::Read),
        person(Scope::Write),
        person(Scope::Admin),
        visitor,
    ] {
        let mut both = Vec::new();
        for folder in [with.path(), without.path()] {
            let catalog = Catalog::open(folder).await.unwrap();
            let all = answers(&catalog, &who).await;
            both.push(all.into_iter().map(plain).collect::<Vec<_>>());
        }
        assert_eq!(both[0], both[1], "{who:?}");
        assert!(both[0][0].contains("total: 5"), "{}", both[0][0]);
    }
    let owner = SearchRequest { text: "glaciers".to_owned(), ..SearchRequest::default() };
    let found = catalogs[0].search(&Principal::Owner, &owner).await.unwrap();
    assert_eq!(found.total, 3);
}

/// Something of a record that decisions depend on.
fn any_record() -> impl Strategy<Value = (Record, bool)> {
    let tier = prop_oneof![
        Just(Tier::Public),
        Just(Tier::Registered),
        Just(Tier::Controlled),
        Just(Tier::Restricted),
        Just(Tier::AggregatesOnly)
    ];
    let exposure = prop_oneof![
        Just(None),
        Just(Some(Exposure::Full)),
        Just(Some(Exposure::Redacted)),
        Just(Some(Exposure::Existence)),
        Just(Some(Exposure::None))
    ];
    let until = prop_oneof![Just(None), Just(Some("2020-01-01")), Just(Some("2999-01-01"))];
    let markings = proptest::collection::btree_set(prop_oneof![Just("OUO"), Just("UNL")], 0..2);
    (tier, exposure, until, markings, 0..3_usize, any::<bool>()).prop_map(
        |(tier, exposure, until, markings, committee, by_writer)| {
            let mut record = tiered("x", tier, Exposure::Full);
            record.exposure = exposure;
            record.embargo =
                until.map(|until| Embargo { until: until.to_owned(), reason: "paper".to_owned() });
            record.markings = markings.into_iter().map(str::to_owned).collect();
            match COMMITTEES.get(committee) {
                Some(name) => record.agreement.as_mut().unwrap().committee = (*name).to_owned(),
                None => record.agreement = None,
            }
            (record, by_writer)
        },
    )
}

#[test]
fn a_search_finds_what_deciding_for_each_dataset_would() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 6, ..Config::default() });
    let cases = (
        proptest::collection::vec(any_record(), 12),
        proptest::collection::btree_set(0..12_usize, 0..6),
        proptest::collection::vec((0..12_usize, 0..12_usize), 0..5),
        proptest::collection::btree_set(0..12_usize, 0..4),
    );
    runner
        .run(&cases, |(records, granted, made, closed)| {
            runtime.block_on(async {
                let folder = tempfile::tempdir().unwrap();
                let catalog = catalog(folder.path()).await;
                let writer = named_person("wes", Scope::Write);
                for (number, (record, by_writer)) in records.iter().enumerate() {
                    let mut record = record.clone();
                    record.name = format!("set_{number:02}").parse().unwrap();
                    record.keywords = vec![format!("keyword {}", number % 3)];
                    let who = if *by_writer { &writer } else { &Principal::Owner };
                    put(folder.path(), &catalog, who, record).await;
                }
                for number in &granted {
                    grant(&catalog, &format!("set_{number:02}"), "person:ada", 1).await;
                }
                // Tables that queries made, and inputs that are closed after that.
                for (to, from) in &made {
                    let (to, from) = (format!("set_{to:02}"), format!("set_{from:02}"));
                    let made = put_made(&catalog, &Principal::Owner, &to, "made", &from).await;
                    drop(made);
                }
                for number in &closed {
                    let mut record = records[*number].0.clone();
                    record.name = format!("set_{number:02}").parse().unwrap();
                    record.keywords = vec![format!("keyword {}", number % 3)];
                    record.exposure = Some(Exposure::None);
                    record.title = "Closed by now".to_owned();
                    drop(catalog.register(&Principal::Owner, record, data()).await);
                }
                let of_committee = PersonAttributes {
                    groups: BTreeSet::from([COMMITTEES[1].to_owned()]),
                    ..PersonAttributes::default()
                };
                catalog.put_person(&Principal::Owner, "person:com", &of_committee).await.unwrap();
                for who in [
                    Principal::Anonymous,
                    person(Scope::Read),
                    writer.clone(),
                    named_person("com", Scope::Read),
                    named_person("bob", Scope::Admin),
                    Principal::Owner,
                ] {
                    let (mut known, mut keywords) = (BTreeSet::new(), BTreeMap::new());
                    for dataset in catalog.datasets(&Principal::Owner).await.unwrap() {
                        let decide = async |action| {
                            catalog.decide(&who, action, &dataset).await.unwrap().allowed
                        };
                        if decide(Action::Discover).await {
                            known.insert(dataset.name.to_string());
                            if decide(Action::Describe).await {
                                let keyword = dataset.record.keywords[0].clone();
                                *keywords.entry(keyword).or_insert(0_u64) += 1;
                            }
                        }
                    }
                    let request = SearchRequest {
                        facets: vec!["keyword".to_owned()],
                        limit: 100,
                        ..SearchRequest::default()
                    };
                    let answer = catalog.search(&who, &request).await.unwrap();
                    let found: BTreeSet<String> =
                        answer.hits.iter().map(|hit| hit.name.to_string()).collect();
                    prop_assert_eq!(&found, &known, "{:?}", who);
                    prop_assert_eq!(answer.total, known.len() as u64);
                    let counted: BTreeMap<String, u64> =
                        answer.facets["keyword"].iter().cloned().collect();
                    prop_assert_eq!(counted, keywords, "{:?}", who);
                    let listed: BTreeSet<String> = catalog
                        .datasets(&who)
                        .await
                        .unwrap()
                        .into_iter()
                        .map(|dataset| dataset.name.to_string())
                        .collect();
                    prop_assert_eq!(listed, known);
                }
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn what_an_input_is_marked_with_is_not_told_to_those_who_see_it_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let mut input = tiered("input", Tier::Controlled, Exposure::Redacted);
    input.markings = vec!["PROT".to_owned(), "OUO".to_owned()];
    put(folder.path(), &catalog, &Principal::Owner, input).await;
    let mut made = tiered("made", Tier::Controlled, Exposure::Redacted);
    made.provenance.as_mut().unwrap().derived_from = vec!["input".to_owned()];
    let writer = named_person("wes", Scope::Write);
    let told = async |who: &Principal| {
        let error = catalog.register(who, made.clone(), data()).await.unwrap_err();
        format!("{error:?}")
    };
    let whole = told(&Principal::Owner).await;
    assert!(whole.contains("marked OUO, PROT") && whole.contains("provenance.markings"), "{whole}");
    let part = told(&writer).await;
    assert!(part.contains("/provenance/derived_from/0"), "{part}");
    for hidden in ["PROT", "OUO", "marking", "marked"] {
        assert!(!part.contains(hidden), "{hidden} in {part}");
    }
    // Of one that is hidden altogether nothing is said but what is said of one that is not there.
    let closed = tiered("closed", Tier::Restricted, Exposure::None);
    let closed = Record { markings: vec!["PROT".to_owned()], ..closed };
    put(folder.path(), &catalog, &Principal::Owner, closed).await;
    let mut said = Vec::new();
    for name in ["closed", "absent"] {
        let mut other = made.clone();
        other.provenance.as_mut().unwrap().derived_from = vec![name.to_owned()];
        let error = catalog.register(&writer, other, data()).await.unwrap_err();
        said.push(format!("{error:?}").replace(name, "NAME"));
    }
    assert_eq!(said[0], said[1]);
}

/// A record that everyone saw is gone for harvesters from the moment it went, whatever is done to it later.
#[tokio::test]
async fn the_day_on_which_a_record_went_stays_when_it_is_worked_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    let ark = catalog.register(&owner, record("a"), data()).await.unwrap().dataset.ark;
    let at = async || {
        let found = catalog.harvest_one(&ark).await.unwrap().unwrap();
        (found.at, found.dataset.is_some())
    };
    let (published, there) = at().await;
    assert!(there);
    let closed = tiered("a", Tier::Restricted, Exposure::None);
    catalog.register(&owner, closed.clone(), data()).await.unwrap();
    let (went, there) = at().await;
    assert!(!there && went > published);
    let everything = async || catalog.harvest(None, (None, None), 100).await.unwrap();
    let before = everything().await;
    // New versions, tables, and in the end its withdrawal: nobody hears of them.
    let again = Record { title: "A study of a again".to_owned(), ..closed };
    catalog.register(&owner, again, data()).await.unwrap();
    catalog.put_tables(&owner, &"a".parse().unwrap(), vec![delta("t", 0)]).await.unwrap();
    catalog.withdraw(&owner, &"a".parse().unwrap(), "wrong", None).await.unwrap();
    assert_eq!(at().await, (went, false));
    assert_eq!(everything().await, before);
}
