//! What a registrar is told: one at a time, by one at a time, as it is then.

use super::support::*;
use tarn_catalog::{DoiState, DoiTask, Pick, Taken};
use tarn_schemas::DatasetName;

fn name(text: &str) -> DatasetName {
    text.parse().unwrap()
}

async fn with_doi(folder: &Path, datasets: &[&str]) -> Catalog {
    let catalog = catalog(folder).await;
    for dataset in datasets {
        catalog.register(&Principal::Owner, record(dataset), data()).await.unwrap();
        let choose = |blade: &str| Some(format!("10.5072/{blade}"));
        catalog.request_doi(&Principal::Owner, &name(dataset), choose).await.unwrap();
    }
    catalog
}

async fn take(catalog: &Catalog, pick: Pick<'_>) -> Option<DoiTask> {
    match catalog.take_doi_task(pick).await.unwrap() {
        Taken::Task(task) => Some(*task),
        Taken::Busy | Taken::Nothing => None,
    }
}

async fn state(catalog: &Catalog, dataset: &str) -> tarn_catalog::Doi {
    let all = catalog.dois(&Principal::Owner).await.unwrap();
    all.into_iter().find(|doi| doi.dataset == name(dataset)).unwrap()
}

#[tokio::test]
async fn a_task_is_somebodys_until_it_is_done_or_its_lease_ends() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = with_doi(folder.path(), &["a", "b"]).await;
    let a = take(&catalog, Pick::Due).await.unwrap();
    let b = take(&catalog, Pick::Due).await.unwrap();
    assert_ne!(a.dataset.name, b.dataset.name);
    assert!(take(&catalog, Pick::Due).await.is_none());
    // Nobody else gets it, whatever they ask for.
    let taken = catalog.take_doi_task(Pick::Of(&a.dataset.name)).await.unwrap();
    assert!(matches!(taken, Taken::Busy), "{taken:?}");
    let renewed = catalog.renew_doi_task(&a).await.unwrap().unwrap();
    assert!(catalog.renew_doi_task(&a).await.unwrap().is_none(), "the older lease is over");
    catalog.doi_done(&renewed, renewed.doi.as_deref(), None).await.unwrap();
    let gone = "UPDATE doi SET leased_until = '2020-01-01T00:00:00.000000Z' WHERE leased_until IS NOT NULL";
    super::tamper(folder.path(), &[gone]).await;
    assert!(catalog.renew_doi_task(&b).await.unwrap().is_none());
    let again = take(&catalog, Pick::Due).await.unwrap();
    assert_eq!(again.dataset.name, b.dataset.name);
    catalog.doi_failed(&again, "no", None).await.unwrap();
    assert_eq!(state(&catalog, b.dataset.name.as_str()).await.state, DoiState::Refused);
    assert!(take(&catalog, Pick::Due).await.is_none());
    assert!(take(&catalog, Pick::Of(&b.dataset.name)).await.is_some());
}

#[tokio::test]
async fn what_is_closed_meanwhile_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = with_doi(folder.path(), &["a"]).await;
    let task = take(&catalog, Pick::Due).await.unwrap();
    assert!(task.shown);
    catalog.withdraw(&Principal::Owner, &name("a"), "wrong", None).await.unwrap();
    let now = catalog.renew_doi_task(&task).await.unwrap().unwrap();
    assert!(!now.shown && now.dataset.withdrawn.is_some());
    catalog.doi_done(&now, now.doi.as_deref(), None).await.unwrap();
    let doi = state(&catalog, "a").await;
    assert_eq!((doi.state, doi.registered_at), (DoiState::Hidden, None));
}

#[tokio::test]
async fn a_change_while_the_registrar_is_told_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = with_doi(folder.path(), &["a"]).await;
    let task = take(&catalog, Pick::Due).await.unwrap();
    catalog.withdraw(&Principal::Owner, &name("a"), "wrong", None).await.unwrap();
    catalog.doi_done(&task, task.doi.as_deref(), None).await.unwrap();
    assert!(!take(&catalog, Pick::Due).await.unwrap().shown);
}

#[tokio::test]
async fn a_doi_that_comes_later_is_asked_for_less_and_less_often() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = with_doi(folder.path(), &["a"]).await;
    for attempts in 1..4 {
        let task = take(&catalog, Pick::Of(&name("a"))).await.unwrap();
        let before = chrono::Utc::now();
        catalog.doi_done(&task, None, Some("7")).await.unwrap();
        let doi = state(&catalog, "a").await;
        assert_eq!((doi.state, doi.attempts), (DoiState::Waiting, attempts));
        let next = chrono::DateTime::parse_from_rfc3339(&doi.next_at.unwrap()).unwrap().to_utc();
        assert!((next - before).num_seconds() >= 10 << (attempts - 1), "{attempts}");
        assert!(take(&catalog, Pick::Due).await.is_none());
    }
}

#[tokio::test]
async fn a_refusal_to_hide_is_asked_again_and_one_to_publish_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = with_doi(folder.path(), &["a"]).await;
    let task = take(&catalog, Pick::Due).await.unwrap();
    catalog.doi_failed(&task, "no such prefix", None).await.unwrap();
    assert_eq!(catalog.compare_dois().await.unwrap(), 0);
    let task = take(&catalog, Pick::Of(&name("a"))).await.unwrap();
    catalog.doi_done(&task, task.doi.as_deref(), None).await.unwrap();
    catalog.withdraw(&Principal::Owner, &name("a"), "wrong", None).await.unwrap();
    for _ in 0..2 {
        let task = take(&catalog, Pick::Due).await.unwrap();
        assert!(!task.shown);
        catalog.doi_failed(&task, "password rotated", None).await.unwrap();
        assert_eq!(state(&catalog, "a").await.state, DoiState::Refused);
        assert!(take(&catalog, Pick::Due).await.is_none());
        assert_eq!(catalog.compare_dois().await.unwrap(), 1);
    }
    let task = take(&catalog, Pick::Due).await.unwrap();
    catalog.doi_done(&task, task.doi.as_deref(), None).await.unwrap();
    assert_eq!(state(&catalog, "a").await.state, DoiState::Hidden);
    assert_eq!(catalog.compare_dois().await.unwrap(), 0);
}

#[tokio::test]
async fn a_policy_of_the_lab_that_closes_a_dataset_reaches_the_registrar() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = with_doi(folder.path(), &["a", "b"]).await;
    while let Some(task) = take(&catalog, Pick::Due).await {
        catalog.doi_done(&task, task.doi.as_deref(), None).await.unwrap();
    }
    assert_eq!(catalog.compare_dois().await.unwrap(), 0);
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let close = r#"@id("closed") forbid (principal, action in [Action::"discover", Action::"describe"], resource)
        when { resource == Dataset::"ornl.a" } unless { principal.kind == "owner" };"#;
    std::fs::write(policies.join("close.cedar"), close).unwrap();
    let reopened = Catalog::open(folder.path()).await.unwrap();
    assert_eq!(reopened.compare_dois().await.unwrap(), 1);
    let task = take(&reopened, Pick::Due).await.unwrap();
    assert!(task.dataset.name == name("a") && !task.shown);
    // Who refuses to hide it shows it still: it is asked again, until it is hidden.
    reopened.doi_failed(&task, "write to them", None).await.unwrap();
    assert_eq!(reopened.compare_dois().await.unwrap(), 1);
    let again = take(&reopened, Pick::Due).await.unwrap();
    assert!(again.dataset.name == name("a") && !again.shown);
    reopened.doi_failed(&again, "write to them", None).await.unwrap();
    // The policy goes, and the dataset is shown again.
    std::fs::remove_file(policies.join("close.cedar")).unwrap();
    let reopened = Catalog::open(folder.path()).await.unwrap();
    assert_eq!(reopened.compare_dois().await.unwrap(), 1);
    assert!(take(&reopened, Pick::Due).await.unwrap().shown);
}
