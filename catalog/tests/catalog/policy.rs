//! Who may know and read what.

use super::support::*;
use std::collections::BTreeSet;
use tarn_catalog::{Action, Door, Grant, PersonAttributes, SearchRequest};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::record::{
    Agreement, Conditions, Embargo, ExportControl, Exposure, Provenance, Reviewed,
};

pub(super) const COMMITTEES: [&str; 2] = ["dac-sea", "dac-air"];

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
pub(super) async fn put(folder: &Path, catalog: &Catalog, who: &Principal, wanted: Record) {
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

pub(super) fn subject(name: &str) -> String {
    format!("person:{name}")
}

pub(super) fn named_person(name: &str, scope: Scope) -> Principal {
    Principal::person(name, scope)
}

pub(super) async fn grant(catalog: &Catalog, dataset: &str, subject: &str, hours: i64) {
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

pub(super) async fn may(catalog: &Catalog, who: &Principal, action: Action, name: &str) -> bool {
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
        identities: BTreeSet::new(),
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
        catalog.put_person(&Principal::Owner, &subject(&name), &attributes).await.unwrap();
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
async fn aggregates_only_owes_what_only_sql_can_meet() {
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
    for door in [Door::File, Door::Stream] {
        assert!(decision.refusal_at(door).unwrap().contains("only SQL can keep to"));
    }
    assert_eq!(decision.refusal_at(Door::Sql), None);
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
    second.put_person(&Principal::Owner, "person:ada", &sea).await.unwrap();
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
async fn attributes_of_people_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let good = PersonAttributes::default();
    for subject in ["", "ada", "person:", "owner", "visitor:anl", "visitor:ANL:x", "person:a\nb"] {
        let error = catalog.put_person(&Principal::Owner, subject, &good).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{subject}");
    }
    let country =
        PersonAttributes { countries: BTreeSet::from(["USA".to_owned()]), ..good.clone() };
    let level = PersonAttributes { assurance: Some("sure".to_owned()), ..good.clone() };
    let group = PersonAttributes { groups: BTreeSet::from([" ".to_owned()]), ..good.clone() };
    for wrong in [country, level, group] {
        assert!(catalog.put_person(&Principal::Owner, "person:ada", &wrong).await.is_err());
    }
    catalog.put_person(&Principal::Owner, "visitor:anl:ada", &good).await.unwrap();
    assert_eq!(catalog.people(&Principal::Owner).await.unwrap().len(), 1);
    assert!(catalog.remove_person(&Principal::Owner, "visitor:anl:ada").await.unwrap());
    assert!(!catalog.remove_person(&Principal::Owner, "visitor:anl:ada").await.unwrap());
}
