//! Records, versions, identifiers.

use super::policy::tiered;
use super::support::*;
use tarn_catalog::audit::AuditFilter;
use tarn_catalog::{Action, CatalogError, SearchRequest};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::record::{Embargo, Exposure};

#[tokio::test]
async fn a_registered_record_is_filled_in_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let files = vec![file("/data/sst.nc", "ab")];
    let done = catalog.register(&Principal::Owner, record("sst"), files.clone()).await.unwrap();
    assert!(done.created);
    assert_eq!(done.dataset.version, 1);
    assert_eq!(done.dataset.record.publisher.as_ref().unwrap().name, "Oak Ridge");
    assert!(done.dataset.fair_score > 50.0 && done.dataset.fair_score < 100.0);
    assert!(done.missing.iter().any(|point| point.metric == "FsF-R1.2-01M"));

    for text in ["sst", "ornl.sst", "sst@1", "ornl.sst@1"] {
        let found = catalog.dataset(&Principal::Anonymous, &named(text)).await.unwrap();
        assert_eq!(found, done.dataset, "{text}");
    }
    let by_ark = catalog.dataset_by_ark(&Principal::Anonymous, &done.dataset.ark).await.unwrap();
    assert_eq!(by_ark, done.dataset);
    assert_eq!(catalog.datasets(&Principal::Anonymous).await.unwrap(), [done.dataset]);

    // Another handle, as another process has it, sees the same.
    let other = Catalog::open(folder.path()).await.unwrap();
    assert_eq!(other.lab().as_str(), "ornl");
    assert_eq!(other.datasets(&Principal::Owner).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    catalog.register(&Principal::Owner, record("sst"), data()).await.unwrap();
    for text in ["no_such", "anl.sst", "sst@2", "sst@0"] {
        let error = catalog.dataset(&Principal::Owner, &named(text)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound, "{text}");
        assert!(error.to_string().contains(';'), "{error}");
    }
    for ark in ["ark:/99999/0123456789b", "x", ""] {
        assert!(catalog.dataset_by_ark(&Principal::Owner, ark).await.is_err(), "{ark}");
    }
    let table = "t".parse().unwrap();
    let error = catalog.table(&Principal::Owner, &named("sst"), &table).await.unwrap_err();
    assert!(error.to_string().contains("no tables yet"), "{error}");
}

#[tokio::test]
async fn the_same_record_again_changes_nothing_and_a_change_makes_the_next_version() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    let files = vec![file("/data/sst.nc", "ab")];
    let first = catalog.register(&owner, record("sst"), files.clone()).await.unwrap();
    let again = catalog.register(&owner, record("sst"), files.clone()).await.unwrap();
    assert!(!again.created);
    assert_eq!(again.dataset, first.dataset);
    // The notes alone are no change.
    let noted = Record { version_notes: Some("again".to_owned()), ..record("sst") };
    assert!(!catalog.register(&owner, noted, files.clone()).await.unwrap().created);

    let mut retitled = record("sst");
    retitled.title.push_str(", revised");
    let second = catalog.register(&owner, retitled.clone(), files).await.unwrap();
    assert!(second.created);
    assert_eq!(second.dataset.version, 2);
    assert_eq!(second.dataset.ark, first.dataset.ark);
    let changed = vec![file("/data/sst.nc", "cd")];
    let noted = Record { version_notes: Some("new buoys".to_owned()), ..retitled };
    let third = catalog.register(&person(Scope::Write), noted, changed).await.unwrap();
    assert_eq!(third.dataset.version, 3);

    let versions = catalog.versions(&Principal::Anonymous, &"sst".parse().unwrap()).await.unwrap();
    let notes: Vec<_> =
        versions.iter().map(|v| (v.version, v.notes.as_str(), v.created_by.as_str())).collect();
    assert_eq!(
        notes,
        [(1, "registered", "owner"), (2, "changed: title", "owner"), (3, "new buoys", "ada")]
    );
    let hashes: std::collections::HashSet<_> =
        versions.iter().map(|v| v.content_hash.clone()).collect();
    assert_eq!(hashes.len(), 3);
    // Old versions stay as they were.
    let old = catalog.dataset(&Principal::Anonymous, &named("sst@1")).await.unwrap();
    assert_eq!(serde_json::json!(old), serde_json::json!(first.dataset));
}

#[tokio::test]
async fn a_record_that_breaks_rules_is_refused_with_all_of_them_and_nothing_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let bad = Record { title: String::new(), license: None, tier: None, ..record("sst") };
    let error = catalog.register(&Principal::Owner, bad.clone(), data()).await.unwrap_err();
    let CatalogError::Invalid { dataset, violations } = &error else { panic!("{error}") };
    assert_eq!(error.code().exit_code(), 5);
    assert_eq!(dataset, "ornl.sst");
    let rules: Vec<_> = violations.iter().map(|v| v.rule.as_str()).collect();
    assert_eq!(rules, ["license.required", "tier.required", "title.required"]);
    assert!(catalog.datasets(&Principal::Owner).await.unwrap().is_empty());

    let assessed = catalog.assess(&bad, &data()).await.unwrap();
    assert_eq!(assessed.violations.len(), 3);
    assert_eq!(assessed.record.contact.unwrap().email, "desk@lab.gov");
}

#[tokio::test]
async fn a_dry_run_says_what_registration_would_and_stores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    // Without files the data are what is missing.
    let assessed = catalog.assess(&record("sst"), &[]).await.unwrap();
    let rules: Vec<_> = assessed.violations.iter().map(|v| v.rule.as_str()).collect();
    assert_eq!(rules, ["files.required"]);
    assert!(assessed.missing.iter().any(|point| point.metric == "FsF-F3-01M"));
    let assessed = catalog.assess(&record("sst"), &data()).await.unwrap();
    assert_eq!(assessed.violations, []);
    assert!(catalog.datasets(&Principal::Owner).await.unwrap().is_empty());
    let done = catalog.register(&Principal::Owner, record("sst"), data()).await.unwrap();
    assert_eq!(done.missing, assessed.missing);
    assert!((done.dataset.fair_score - assessed.fair_score).abs() < 1e-12);
}

#[tokio::test]
async fn registering_needs_scope_write() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let visitor =
        Principal::Visitor { lab: LabName::new("anl").unwrap(), name: Some("bob".to_owned()) };
    for who in [Principal::Anonymous, person(Scope::Read), visitor] {
        let error = catalog.register(&who, record("sst"), data()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PermissionDenied);
        assert!(error.to_string().contains("--scope write"), "{error}");
        let name = "sst".parse().unwrap();
        let error = catalog.put_tables(&who, &name, vec![]).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PermissionDenied);
    }
    for scope in [Scope::Write, Scope::Admin] {
        catalog.register(&person(scope), record("sst"), data()).await.unwrap();
    }
}

#[tokio::test]
async fn changed_defaults_of_the_lab_count_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let mut defaults = defaults();
    defaults.naan = Some("13030".to_owned());
    catalog.set_defaults(&defaults).await.unwrap();
    let other = Catalog::open(folder.path()).await.unwrap();
    let done = other.register(&Principal::Owner, record("sst"), data()).await.unwrap();
    assert!(done.dataset.ark.starts_with("ark:/13030/"));
    defaults.naan = Some("my lab".to_owned());
    assert_eq!(
        catalog.set_defaults(&defaults).await.unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_registrations_at_once_over_two_handles_all_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let handles = [catalog(folder.path()).await, Catalog::open(folder.path()).await.unwrap()];
    let work: Vec<_> = (0..16)
        .map(|number| {
            let catalog = handles[number % 2].clone();
            tokio::spawn(async move {
                catalog.register(&Principal::Owner, record(&format!("set_{number}")), data()).await
            })
        })
        .collect();
    let mut arks = std::collections::HashSet::new();
    for work in work {
        let done = work.await.unwrap().unwrap();
        assert!(done.created);
        arks.insert(done.dataset.ark);
    }
    assert_eq!(arks.len(), 16);
    for catalog in &handles {
        assert_eq!(catalog.datasets(&Principal::Owner).await.unwrap().len(), 16);
        let answer =
            catalog.search(&Principal::Anonymous, &SearchRequest::default()).await.unwrap();
        assert_eq!(answer.total, 16);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_record_registered_twice_at_once_is_one_version() {
    let folder = tempfile::tempdir().unwrap();
    let handles = [catalog(folder.path()).await, Catalog::open(folder.path()).await.unwrap()];
    let work: Vec<_> = (0..8)
        .map(|number| {
            let catalog = handles[number % 2].clone();
            tokio::spawn(async move {
                catalog.register(&Principal::Owner, record("sst"), data()).await.unwrap()
            })
        })
        .collect();
    let mut created = 0;
    for work in work {
        let done = work.await.unwrap();
        assert_eq!(done.dataset.version, 1);
        created += u32::from(done.created);
    }
    assert_eq!(created, 1);
}

#[tokio::test]
async fn closing_a_dataset_closes_its_older_versions_and_opening_it_opens_none() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let (owner, nobody) = (Principal::Owner, Principal::Anonymous);
    let reads = async |who: &Principal, name: &str| {
        let dataset = catalog.dataset(who, &named(name)).await.unwrap();
        catalog.decide(who, Action::Read, &dataset).await.unwrap().allowed
    };
    catalog.register(&owner, record("a"), vec![file("/a.nc", "ab")]).await.unwrap();
    assert!(reads(&nobody, "a@1").await);
    catalog.register(&owner, registered("a"), vec![file("/a.nc", "ab")]).await.unwrap();
    assert!(!reads(&nobody, "a").await && !reads(&nobody, "a@1").await);
    assert!(reads(&person(Scope::Read), "a@1").await);
    catalog.register(&owner, record("a"), vec![file("/a.nc", "ab")]).await.unwrap();
    assert!(reads(&nobody, "a").await && reads(&nobody, "a@1").await);
    assert!(!reads(&nobody, "a@2").await);

    catalog.register(&owner, record("b"), vec![file("/b.nc", "ab")]).await.unwrap();
    let until = (chrono::Utc::now() + chrono::Days::new(30)).format("%Y-%m-%d").to_string();
    let embargo = Some(Embargo { until, reason: "in review".to_owned() });
    let held = Record { embargo, ..record("b") };
    catalog.register(&owner, held, vec![file("/b.nc", "ab")]).await.unwrap();
    assert!(!reads(&nobody, "b").await && !reads(&nobody, "b@1").await);
    assert!(reads(&owner, "b@1").await);
}

/// A record made from these inputs.
fn derived(name: &str, tier: Tier, inputs: &[&str]) -> Record {
    let mut record = if tier == Tier::Registered { registered(name) } else { record(name) };
    let inputs: Vec<String> = inputs.iter().map(|&input| input.to_owned()).collect();
    record.provenance = Some(tarn_schemas::record::Provenance {
        derived_from: inputs,
        activity: Some("averaged".to_owned()),
        ..Default::default()
    });
    record
}

#[tokio::test]
async fn inputs_exist_and_are_not_stricter_than_what_is_made_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    catalog.register(&owner, record("open"), data()).await.unwrap();
    let ark = catalog.register(&owner, registered("sec"), data()).await.unwrap().dataset.ark;
    let peer = tarn_catalog::Peer {
        lab: LabName::new("anl").unwrap(),
        flight: "http://127.0.0.1:1".to_owned(),
        http: "http://127.0.0.1:2".to_owned(),
        secret: "0123456789abcdefghij".to_owned(),
        since: "2026-11-22T00:00:00Z".to_owned(),
        key: None,
    };
    catalog.put_peer(peer).await.unwrap();

    for (input, rule) in [
        ("sec", "provenance.tier"),
        ("ornl.sec", "provenance.tier"),
        ("ornl.sec@1", "provenance.tier"),
        (ark.as_str(), "provenance.tier"),
        ("ornl.nonexistent", "provenance.inputs"),
        ("nonexistent", "provenance.inputs"),
        ("open@2", "provenance.inputs"),
        ("llnl.cmip6", "provenance.inputs"),
        ("made", "provenance.inputs"),
        ("ship and buoy reports", "provenance.inputs"),
    ] {
        let made = derived("made", Tier::Public, &["open", input]);
        let error = catalog.register(&owner, made.clone(), data()).await.unwrap_err();
        let CatalogError::Invalid { violations, .. } = error else { panic!("{error}") };
        let assessed = catalog.assess(&made, &data()).await.unwrap();
        assert_eq!(assessed.violations, violations, "{input}");
        let found: Vec<_> = violations.iter().map(|v| (&*v.pointer, &*v.rule)).collect();
        assert_eq!(found, [("/provenance/derived_from/1", rule)], "{input}");
        assert!(violations[0].found.contains(input) && !violations[0].fix.is_empty());
    }
    let inputs =
        ["ornl.open@1", "anl.usaxs", "doi:10.5281/zenodo.1", "10.5281/zenodo.1", "https://x.org/y"];
    catalog.register(&owner, derived("made", Tier::Public, &inputs), data()).await.unwrap();
    let stricter = derived("kept", Tier::Registered, &["open", "sec", &ark]);
    catalog.register(&owner, stricter, data()).await.unwrap();
}

#[tokio::test]
async fn a_tier_that_opens_is_noticed_and_the_longest_embargo_is_the_lab_s() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    let first = catalog.register(&owner, registered("sst"), data()).await.unwrap();
    assert_eq!(first.notices, Vec::<String>::new());
    let assessed = catalog.assess(&record("sst"), &data()).await.unwrap();
    let opened = catalog.register(&owner, record("sst"), data()).await.unwrap();
    assert_eq!(opened.notices, assessed.notices);
    assert!(opened.notices[0].contains("was registered and is public"), "{:?}", opened.notices);
    let closed = catalog.register(&owner, registered("sst"), data()).await.unwrap();
    assert_eq!(closed.notices, Vec::<String>::new());

    let until = |months: u32| {
        let day = chrono::Utc::now().date_naive() + chrono::Months::new(months);
        let embargo =
            tarn_schemas::record::Embargo { until: day.to_string(), reason: "paper".to_owned() };
        Record { embargo: Some(embargo), ..record("held") }
    };
    let longest = |assessed: tarn_catalog::Assessment| {
        assessed.violations.iter().any(|violation| violation.rule == "embargo.longest")
    };
    assert!(!longest(catalog.assess(&until(24), &data()).await.unwrap()));
    assert!(longest(catalog.assess(&until(25), &data()).await.unwrap()));
    let limits = LabDefaults { longest_embargo_months: Some(6), ..defaults() };
    catalog.set_defaults(&limits).await.unwrap();
    assert!(longest(catalog.assess(&until(7), &data()).await.unwrap()));
    assert!(!longest(catalog.assess(&until(6), &data()).await.unwrap()));
}

#[tokio::test]
async fn of_two_who_register_what_they_saw_alike_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    catalog.register(&Principal::Owner, record("old"), data()).await.unwrap();
    let (old, new) = (record("old"), record("new"));
    let seen = catalog.newest_versions(&[&old.name, &new.name]).await.unwrap();
    assert_eq!((seen.version(&old.name), seen.version(&new.name)), (1, 0));
    let titled = |name: &str, title: &str| {
        let record = Record { title: title.to_owned(), ..record(name) };
        (record, data())
    };
    let first = vec![titled("old", "First of two titles"), titled("new", "First of two titles")];
    let second = vec![
        titled("old", "Second of two titles"),
        titled("new", "Second of two titles"),
        titled("third", "Second of two titles"),
    ];
    let owner = Principal::Owner;
    for answer in catalog.register_many_from(&owner, first.clone(), Some(&seen)).await.unwrap() {
        assert!(answer.unwrap().created);
    }
    let late = catalog.register_many_from(&owner, second, Some(&seen)).await.unwrap();
    for (answer, newest) in late.iter().zip(["version 2", "version 1"]) {
        let Err(CatalogError::Conflict(told)) = answer else { panic!("{answer:?}") };
        assert!(told.contains(newest) && told.contains("nothing was stored"), "{told}");
    }
    assert!(late[2].as_ref().unwrap().created);
    // What is there already is no conflict, and the second of a name in one batch is no other person's.
    for answer in catalog.register_many_from(&owner, first, Some(&seen)).await.unwrap() {
        assert!(!answer.unwrap().created);
    }
    let twice =
        vec![titled("fourth", "First of two titles"), titled("fourth", "Second of two titles")];
    for answer in catalog.register_many_from(&owner, twice, Some(&seen)).await.unwrap() {
        assert!(answer.unwrap().created);
    }
}

#[tokio::test]
async fn many_records_at_once_are_what_they_are_one_by_one() {
    let many_folder = tempfile::tempdir().unwrap();
    let single_folder = tempfile::tempdir().unwrap();
    let (many, single) = (catalog(many_folder.path()).await, catalog(single_folder.path()).await);
    for catalog in [&many, &single] {
        catalog.register(&Principal::Owner, record("known"), data()).await.unwrap();
    }
    let derived = |name: &str, from: &str| {
        let mut record = record(name);
        let origin = serde_json::json!({"activity": "regridding", "derived_from": [from]});
        record.provenance = Some(serde_json::from_value(origin).unwrap());
        record
    };
    let mut broken = record("broken");
    broken.license = None;
    let mut again = record("twice");
    again.title = "Another title of it".to_owned();
    let given = vec![
        (record("first"), vec![file("/data/a.nc", "ab"), file("/data/b.nc", "ab")]),
        (broken, data()),
        (record("known"), data()),
        (record("twice"), data()),
        (again, data()),
        (derived("made", "ornl.first"), data()),
        (derived("lost", "ornl.no_such"), data()),
        (registered("inside"), data()),
    ];
    let mut one_by_one = Vec::new();
    for (record, files) in given.clone() {
        one_by_one.push(single.register(&Principal::Owner, record, files).await);
    }
    let at_once = many.register_many(&Principal::Owner, given).await.unwrap();
    // ARKs and times are drawn anew.
    let plain = |answer: &Result<tarn_catalog::Registered, CatalogError>| match answer {
        Ok(done) => {
            let mut dataset = done.dataset.clone();
            dataset.ark.clear();
            dataset.registered_at.clear();
            Ok((dataset, done.created, format!("{:?}", done.notices)))
        }
        Err(error) => Err(error.to_string()),
    };
    for (one, other) in at_once.iter().zip(&one_by_one) {
        assert_eq!(plain(one), plain(other));
    }
    let done: Vec<bool> = at_once.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, false, true, true, true, true, false, true]);

    for (found, expected) in many
        .datasets(&Principal::Owner)
        .await
        .unwrap()
        .into_iter()
        .zip(single.datasets(&Principal::Owner).await.unwrap())
    {
        let of = |mut dataset: tarn_catalog::Dataset| {
            dataset.ark.clear();
            dataset.registered_at.clear();
            dataset
        };
        assert_eq!(of(found), of(expected));
    }
    let search = SearchRequest { text: "means".to_owned(), ..SearchRequest::default() };
    for catalog in [&many, &single] {
        // Who is shown a record that is not for everyone is in the log, of both.
        assert_eq!(catalog.search(&Principal::Anonymous, &search).await.unwrap().total, 5);
    }
    let entries = many.audit(&Principal::Owner, &AuditFilter::default()).await.unwrap();
    let expected = single.audit(&Principal::Owner, &AuditFilter::default()).await.unwrap();
    assert_eq!(entries.len(), expected.len());
    many.audit_verify(&Principal::Owner, Vec::new()).await.unwrap().unwrap();
    // What everyone may see is harvested.
    let (page, _) = many.harvest(None, (None, None), 100).await.unwrap();
    let (expected, _) = single.harvest(None, (None, None), 100).await.unwrap();
    assert_eq!(page.len(), expected.len());
    assert!(page.iter().all(|harvested| harvested.dataset.is_some()));
    // What a record was made from is known of those too.
    let closed = tiered("first", Tier::Restricted, Exposure::None);
    let tightened = Record { markings: vec!["OUO".to_owned()], ..closed };
    many.register(&Principal::Owner, tightened, data()).await.unwrap();
    let made = many.dataset(&Principal::Owner, &named("made")).await.unwrap();
    assert_eq!(made.tier, Tier::Restricted);
    let (page, _) = many.harvest(None, (None, None), 100).await.unwrap();
    assert_eq!(page.iter().filter(|harvested| harvested.dataset.is_none()).count(), 2);
}
