//! Who may know and read what, against a catalog in which the hidden is not.

use super::support::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use tarn_catalog::{Action, Grant, PersonAttributes, SearchRequest};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::record::{
    Agreement, Conditions, Embargo, ExportControl, Exposure, Provenance, Reviewed,
};

const COMMITTEES: [&str; 2] = ["dac-sea", "dac-air"];

/// A record of a tier, with what that tier asks for.
pub(super) fn tiered(name: &str, tier: Tier, exposure: Exposure) -> Record {
    Record {
        tier: Some(tier),
        exposure: Some(exposure),
        rights: Some("https://lab.gov/agreement".to_owned()),
        license: if tier == Tier::Restricted { None } else { Some("CC-BY-4.0".to_owned()) },
        agreement: Some(Agreement {
            id: "https://lab.gov/agreement".to_owned(),
            sha256: "cd".repeat(32),
            committee: COMMITTEES[0].to_owned(),
            months: 12,
            purposes: vec!["research".to_owned()],
        }),
        conditions: Some(Conditions { assurance: Some("low".to_owned()), ..Conditions::default() }),
        provenance: Some(Provenance {
            activity: Some("a survey".to_owned()),
            ..Provenance::default()
        }),
        human_data: Some(false),
        reviewed: Some(Reviewed { by: "rev".to_owned(), on: "2026-11-01".to_owned() }),
        review: Some((chrono::Utc::now() + chrono::Days::new(180)).date_naive().to_string()),
        ..registered(name)
    }
}

/// Stores a record, whatever the profile thinks of it: this suite is about who sees it. Something
/// harmless is registered, and changed in the database.
async fn put(folder: &Path, catalog: &Catalog, who: &Principal, wanted: Record) {
    let harmless = Record { keywords: wanted.keywords.clone(), ..record(wanted.name.as_str()) };
    let harmless = Record { title: wanted.title.clone(), ..harmless };
    catalog.register(who, harmless, vec![file("/data/x.nc", "ab")]).await.unwrap();
    let mut stored =
        Box::pin(catalog.dataset(&Principal::Owner, &named(wanted.name.as_str()))).await.unwrap();
    stored.record.tier = wanted.tier;
    let filled = Record {
        contact: stored.record.contact.clone(),
        publisher: stored.record.publisher.clone(),
        ..wanted
    };
    let (name, version) = (stored.name.as_str(), stored.version);
    let json = serde_json::to_string(&filled).unwrap().replace('\'', "''");
    let tier = filled.tier.unwrap();
    super::tamper(
        folder,
        &[
            &format!(
                "UPDATE version SET record = '{json}', tier = '{tier}'
                 WHERE dataset = '{name}' AND version = {version}"
            ),
            &format!(
                "INSERT INTO change (dataset, version, kind, at)
                 VALUES ('{name}', {version}, 'tampered', '2026-11-22T00:00:00.000000Z')"
            ),
        ],
    )
    .await;
}

fn subject(name: &str) -> String {
    format!("person:{name}")
}

fn named_person(name: &str, scope: Scope) -> Principal {
    Principal::Person { name: name.to_owned(), scope }
}

async fn grant(catalog: &Catalog, dataset: &str, subject: &str, hours: i64) {
    let now = chrono::Utc::now();
    let text =
        |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let grant = Grant {
        id: uuid::Uuid::new_v4().to_string(),
        dataset: dataset.parse().unwrap(),
        subject: subject.to_owned(),
        purpose: "research".to_owned(),
        agreement: "cd".repeat(32),
        granted_by: "owner".to_owned(),
        granted_at: text(now),
        expires_at: text(now + chrono::TimeDelta::hours(hours)),
        revoked_at: None,
    };
    catalog.put_grant(&grant).await.unwrap();
}

async fn may(catalog: &Catalog, who: &Principal, action: Action, name: &str) -> bool {
    let dataset = catalog.dataset(&Principal::Owner, &super::support::named(name)).await.unwrap();
    catalog.decide(who, action, &dataset).await.unwrap().allowed
}

#[tokio::test]
async fn a_grant_opens_one_dataset_for_one_person_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    for name in ["a", "b"] {
        put(folder.path(), &catalog, &owner, tiered(name, Tier::Controlled, Exposure::Redacted))
            .await;
    }
    grant(&catalog, "a", "person:ada", 1).await;
    grant(&catalog, "b", "person:ada", -1).await;
    let visitor =
        Principal::Visitor { lab: LabName::new("anl").unwrap(), name: Some("ada".to_owned()) };
    // A token with the name of a visitor is not that visitor.
    let impostor = named_person("anl:ada", Scope::Read);
    grant(&catalog, "b", "visitor:anl:ada", 1).await;
    for (who, expected) in [
        (person(Scope::Read), [true, false]),
        (visitor, [false, true]),
        (impostor, [false, false]),
        (named_person("bob", Scope::Admin), [false, false]),
        (Principal::Anonymous, [false, false]),
        (owner, [true, true]),
    ] {
        for (name, expected) in ["a", "b"].into_iter().zip(expected) {
            assert_eq!(may(&catalog, &who, Action::Read, name).await, expected, "{who:?} {name}");
        }
    }
}

#[tokio::test]
async fn conditions_hold_for_those_with_a_grant_too() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let restricted = |name: &str| tiered(name, Tier::Restricted, Exposure::Redacted);
    let conditions = |conditions: Conditions, name: &str| Record {
        conditions: Some(conditions),
        ..restricted(name)
    };
    let records = [
        Record { markings: vec!["OUO".to_owned(), "PROT".to_owned()], ..restricted("marked") },
        conditions(
            Conditions { assurance: Some("medium".to_owned()), ..Default::default() },
            "assured",
        ),
        conditions(
            Conditions { training: vec!["cui-2026".to_owned()], ..Default::default() },
            "trained",
        ),
        conditions(
            Conditions { affiliations: vec!["ornl.gov".to_owned()], ..Default::default() },
            "affiliated",
        ),
        conditions(
            Conditions { countries: vec!["US".to_owned(), "CA".to_owned()], ..Default::default() },
            "country",
        ),
        Record {
            export_control: Some(ExportControl {
                regime: "EAR".to_owned(),
                classification: "3A001".to_owned(),
                countries: vec!["US".to_owned(), "GB".to_owned()],
                us_persons: true,
            }),
            ..conditions(
                Conditions { countries: vec!["US".to_owned()], ..Default::default() },
                "exported",
            )
        },
        Record {
            embargo: Some(Embargo { until: "2999-01-01".to_owned(), reason: "paper".to_owned() }),
            ..restricted("embargoed")
        },
        Record {
            conditions: Some(Conditions {
                assurance: Some("highest".to_owned()),
                ..Default::default()
            }),
            ..restricted("unknown_level")
        },
    ];
    let names: Vec<String> = records.iter().map(|record| record.name.to_string()).collect();
    for record in records {
        put(folder.path(), &catalog, &Principal::Owner, record).await;
    }
    let set = |values: &[&str]| values.iter().map(|&v| v.to_owned()).collect::<BTreeSet<_>>();
    let nothing = PersonAttributes::default();
    let everything = PersonAttributes {
        groups: BTreeSet::new(),
        assurance: Some("high".to_owned()),
        clearances: set(&["OUO", "PROT", "SBIR"]),
        training: set(&["cui-2026", "radiation"]),
        affiliations: set(&["ornl.gov"]),
        countries: set(&["US"]),
        us_person: true,
        terms: BTreeSet::new(),
    };
    let without = |change: fn(&mut PersonAttributes)| {
        let mut attributes = everything.clone();
        change(&mut attributes);
        attributes
    };
    let cases = [
        (nothing, vec![]),
        (
            everything.clone(),
            vec!["marked", "assured", "trained", "affiliated", "country", "exported"],
        ),
        (
            without(|p| p.clearances.retain(|code| code != "PROT")),
            vec!["assured", "trained", "affiliated", "country", "exported"],
        ),
        (
            without(|p| p.assurance = Some("low".to_owned())),
            vec!["marked", "trained", "affiliated", "country", "exported"],
        ),
        (
            without(|p| p.affiliations = BTreeSet::from(["anl.gov".to_owned()])),
            vec!["marked", "assured", "trained", "country", "exported"],
        ),
        // All citizenships count, and so does knowing none.
        (
            without(|p| p.countries.extend(["CN".to_owned()])),
            vec!["marked", "assured", "trained", "affiliated"],
        ),
        (without(|p| p.countries.clear()), vec!["marked", "assured", "trained", "affiliated"]),
        (
            without(|p| p.countries.extend(["CA".to_owned()])),
            vec!["marked", "assured", "trained", "affiliated", "country"],
        ),
        (
            without(|p| p.us_person = false),
            vec!["marked", "assured", "trained", "affiliated", "country"],
        ),
    ];
    for (number, (attributes, expected)) in cases.into_iter().enumerate() {
        let name = format!("person_{number}");
        catalog.put_person(&subject(&name), &attributes).await.unwrap();
        let who = named_person(&name, Scope::Read);
        let mut read = Vec::new();
        for dataset in &names {
            assert!(!may(&catalog, &who, Action::Read, dataset).await, "without a grant");
            grant(&catalog, dataset, &subject(&name), 1).await;
            if may(&catalog, &who, Action::Read, dataset).await {
                read.push(dataset.as_str());
            }
        }
        assert_eq!(read, expected, "{attributes:?}");
    }
}

#[tokio::test]
async fn aggregates_only_owes_what_no_door_can_meet_yet() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    put(
        folder.path(),
        &catalog,
        &Principal::Owner,
        tiered("a", Tier::AggregatesOnly, Exposure::Full),
    )
    .await;
    grant(&catalog, "a", "person:ada", 1).await;
    let dataset = catalog.dataset(&person(Scope::Read), &named("a")).await.unwrap();
    let decision = catalog.decide(&person(Scope::Read), Action::Read, &dataset).await.unwrap();
    assert!(decision.allowed && decision.obligations.len() == 1);
    assert!(decision.refusal_of_rows().unwrap().contains("no data leave"));
    let other = catalog.decide(&named_person("bob", Scope::Read), Action::Read, &dataset).await;
    assert!(!other.unwrap().allowed);
}

#[tokio::test]
async fn the_policies_of_a_lab_count_everywhere_and_wrong_ones_stop_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let first = catalog(folder.path()).await;
    for name in ["a", "b"] {
        first.register(&Principal::Owner, record(name), data()).await.unwrap();
    }
    let everything = SearchRequest::default();
    let nobody = Principal::Anonymous;
    assert_eq!(first.search(&nobody, &everything).await.unwrap().total, 2);
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let own = policies.join("own.cedar");
    let text = r#"@id("a-is-ours") forbid (principal, action, resource == Dataset::"ornl.a")
        unless { principal.kind == "owner" || principal.groups.contains("sea") };"#;
    std::fs::write(&own, text).unwrap();
    let second = Catalog::open(folder.path()).await.unwrap();
    let ada = person(Scope::Read);
    let sea = PersonAttributes {
        groups: BTreeSet::from(["sea".to_owned()]),
        ..PersonAttributes::default()
    };
    second.put_person("person:ada", &sea).await.unwrap();
    for (who, total) in [(&nobody, 1), (&ada, 2), (&Principal::Owner, 2)] {
        assert_eq!(second.search(who, &everything).await.unwrap().total, total);
        assert_eq!(second.datasets(who).await.unwrap().len() as u64, total);
    }
    assert!(second.dataset(&nobody, &named("a")).await.is_err());
    // Without the file it is as before.
    std::fs::remove_file(&own).unwrap();
    let third = Catalog::open(folder.path()).await.unwrap();
    assert_eq!(third.search(&nobody, &everything).await.unwrap().total, 2);

    for wrong in [
        "permit (principal, action, resource",
        "permit (principal, action, resource) when { resource.colour == \"red\" };",
        "permit (principal, action == Action::\"destroy\", resource);",
        "permit (principal, action, resource) when { principal.scope == \"admin\" };",
        "@obligation(\"hope\") permit (principal, action, resource);",
        "permit (principal == ?principal, action, resource);",
    ] {
        std::fs::write(&own, wrong).unwrap();
        let error = Catalog::open(folder.path()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Internal, "{wrong}");
        assert!(error.to_string().contains("policies"), "{error}");
    }
}

#[tokio::test]
async fn a_policy_that_fails_while_it_is_asked_allows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    drop(catalog(folder.path()).await);
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    // An overflow passes validation, and Cedar leaves out a policy that fails: a forbid as well.
    let text =
        "forbid (principal, action, resource) when { principal.scope + 9223372036854775807 > 0 };";
    std::fs::write(policies.join("own.cedar"), text).unwrap();
    let catalog = Catalog::open(folder.path()).await.unwrap();
    let registered = catalog.register(&Principal::Owner, record("a"), data()).await;
    // The first registration asks nothing of a dataset that is there.
    let dataset = registered.unwrap().dataset;
    let asked = catalog.decide(&Principal::Anonymous, Action::Read, &dataset).await;
    assert!(asked.is_err());
    assert!(catalog.datasets(&Principal::Anonymous).await.is_err());
    assert!(catalog.search(&Principal::Anonymous, &SearchRequest::default()).await.is_err());
}

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
async fn markings_and_tiers_reach_what_was_made_from_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    let derived = |name: &str, input: &str| Record {
        provenance: Some(Provenance {
            derived_from: vec![input.to_owned()],
            activity: Some("averaged".to_owned()),
            ..Provenance::default()
        }),
        ..record(name)
    };
    let register = async |record: Record| {
        catalog.register(&owner, record, data()).await.map(|done| done.dataset)
    };
    register(record("a")).await.unwrap();
    register(derived("b", "a")).await.unwrap();
    register(derived("c", "ornl.b@1")).await.unwrap();
    register(record("apart")).await.unwrap();
    let nobody = Principal::Anonymous;
    assert!(may(&catalog, &nobody, Action::Read, "c").await);
    // The source is tightened: all that was made from it is, at once and in search too.
    let tightened = Record {
        markings: vec!["OUO".to_owned()],
        ..tiered("a", Tier::Restricted, Exposure::None)
    };
    catalog.register(&owner, tightened, data()).await.unwrap();
    for name in ["a", "b", "c"] {
        assert!(!may(&catalog, &nobody, Action::Discover, name).await, "{name}");
        assert!(catalog.dataset(&nobody, &named(name)).await.is_err());
        let dataset = catalog.dataset(&owner, &named(name)).await.unwrap();
        assert_eq!(dataset.tier, Tier::Restricted);
    }
    let c = catalog.dataset(&owner, &named("c")).await.unwrap().inherited.unwrap();
    assert_eq!(c.markings, BTreeSet::from(["OUO".to_owned()]));
    let found = catalog.search(&nobody, &SearchRequest::default()).await.unwrap();
    assert_eq!((found.total, found.hits[0].name.as_str()), (1, "apart"));
    // What is made from it from now on has to say so itself.
    let error = register(derived("d", "c")).await.unwrap_err();
    let tarn_catalog::CatalogError::Invalid { violations, .. } = error else { panic!("{error}") };
    let rules: Vec<_> = violations.iter().map(|violation| violation.rule.as_str()).collect();
    assert_eq!(rules, ["provenance.tier", "provenance.markings"]);
    // A writer who may not know of it hears what they hear of what does not exist.
    let writer = person(Scope::Write);
    let told = async |input: &str| {
        let error = catalog.register(&writer, derived("e", input), data()).await.unwrap_err();
        let tarn_catalog::CatalogError::Invalid { violations, .. } = error else { panic!() };
        let quoted = format!("{input:?}");
        violations
            .into_iter()
            .map(|v| (v.pointer, v.rule, v.found == quoted, v.fix))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("c").await, told("nonexistent").await);
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
    ]
    .iter()
    .map(|&key| key.to_owned())
    .collect();
    for text in
        ["", "study", "study of", "means", "hidden", "glacier", "tos", "sea_surface_temperature"]
    {
        for filters in [vec![], vec![("tier".to_owned(), "restricted".to_owned())]] {
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
    );
    runner
        .run(&cases, |(records, granted)| {
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
                let of_committee = PersonAttributes {
                    groups: BTreeSet::from([COMMITTEES[1].to_owned()]),
                    ..PersonAttributes::default()
                };
                catalog.put_person("person:com", &of_committee).await.unwrap();
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
async fn attributes_of_people_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let good = PersonAttributes::default();
    for subject in ["", "ada", "person:", "owner", "visitor:anl", "visitor:ANL:x", "person:a\nb"] {
        let error = catalog.put_person(subject, &good).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{subject}");
    }
    let country =
        PersonAttributes { countries: BTreeSet::from(["USA".to_owned()]), ..good.clone() };
    let level = PersonAttributes { assurance: Some("sure".to_owned()), ..good.clone() };
    let group = PersonAttributes { groups: BTreeSet::from([" ".to_owned()]), ..good.clone() };
    for wrong in [country, level, group] {
        assert!(catalog.put_person("person:ada", &wrong).await.is_err());
    }
    catalog.put_person("visitor:anl:ada", &good).await.unwrap();
    assert_eq!(catalog.people().await.unwrap().len(), 1);
    assert!(catalog.remove_person("visitor:anl:ada").await.unwrap());
    assert!(!catalog.remove_person("visitor:anl:ada").await.unwrap());
}
