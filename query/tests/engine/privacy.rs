//! Tables whose numbers leave with noise.

use crate::disclosure::{Visit, lab};
use crate::support::{Lab, person, rows};
use deltalake::DeltaTable;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tarn_query::QueryError;
use tarn_schemas::Principal;
use url::Url;

/// Persons 0 to 59 in two regions each, with three rows in each of them, and one person alone in a region.
fn visits() -> Vec<Visit> {
    let mut visits = vec![];
    for who in 0..60 {
        for region in ["north", "south"] {
            for time in 0..3 {
                let income = if time == 2 { None } else { Some((who * 10 + time) as f64) };
                visits.push((Some(who), 2020, region, income));
            }
        }
    }
    visits.push((Some(100), 2020, "alone", Some(5.0)));
    visits.extend((0..40).map(|_| (None, 2020, "north", Some(3.0))));
    visits
}

fn disclosure(privacy: Value) -> Value {
    let mut whole =
        json!({"epsilon": 1.0, "cells": 2, "rows": 3, "bounds": {"income": [0.0, 600.0]}});
    for (key, value) in privacy.as_object().unwrap() {
        whole[key] = value.clone();
    }
    json!({"unit": "person", "minimum_cell": 11, "functions": ["count", "sum", "avg"],
        "group_by": ["year", "region"], "privacy": whole})
}

const BY_REGION: &str = "SELECT region, count(*), count(income), sum(income) FROM survey.visits
    GROUP BY region ORDER BY region";

async fn numbers(lab: &Lab, sql: &str) -> Vec<Vec<f64>> {
    let answer = rows(&lab.session(person()).await, sql).await.unwrap();
    let numbers = |row: &Vec<String>| row.iter().filter_map(|cell| cell.parse().ok()).collect();
    answer.iter().map(numbers).collect()
}

/// With so large an ε there is no noise to speak of (its scale is below 10⁻⁵ of one row), and what is left is
/// what units are cut down to.
#[tokio::test(flavor = "multi_thread")]
async fn units_are_counted_within_their_bounds() {
    let loud = |more: Value| {
        let mut privacy = json!({"epsilon": 1e7, "delta": 0.01});
        for (key, value) in more.as_object().unwrap() {
            privacy[key] = value.clone();
        }
        disclosure(privacy)
    };
    let close = |found: &[f64], expected: &[f64]| {
        // Sums lie on a grid of 2^20 steps of the largest share of each of 60 units.
        found.len() == expected.len()
            && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.2)
    };
    // Whole: both cells, all rows. Who is alone is not shown, and who has no name not counted.
    let whole = lab(&visits(), loud(json!({}))).await;
    let incomes: f64 = (0..60).map(|who| f64::from(who * 20 + 1)).sum();
    let answer = numbers(&whole, BY_REGION).await;
    assert_eq!(answer.len(), 2);
    for region in &answer {
        assert!(close(region, &[180.0, 120.0, incomes]), "{answer:?}");
    }
    // Two rows of each, and values up to 300: so a share of a unit in a sum is 600 at most.
    let cut = lab(&visits(), loud(json!({"rows": 2, "bounds": {"income": [0.0, 300.0]}}))).await;
    let moved = |value: i32| f64::from(value.min(300));
    let incomes: f64 = (0..60).map(|who| moved(who * 10) + moved(who * 10 + 1)).sum();
    for region in numbers(&cut, BY_REGION).await {
        assert!(close(&region, &[120.0, 120.0, incomes]), "{region:?}");
    }
    // Each person in one of their regions: some in each, and all of them together.
    let one = lab(&visits(), loud(json!({"cells": 1}))).await;
    let answer = numbers(&one, BY_REGION).await;
    let total: f64 = answer.iter().map(|region| region[0]).sum();
    assert!(
        close(&[total], &[180.0]) && answer.iter().all(|region| region[0] >= 33.0),
        "{answer:?}"
    );
    // Means, and conditions on groups.
    let mean =
        numbers(&whole, "SELECT avg(income) FROM survey.visits WHERE region = 'north'").await;
    assert!((mean[0][0] - 295.5).abs() < 0.01, "{mean:?}");
}

/// Noise is drawn once: whoever asks, however often, also after a restart, has the same numbers.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_has_the_same_answer() {
    let (one, other) = (
        lab(&visits(), disclosure(json!({"epsilon": 4.0}))).await,
        lab(&visits(), disclosure(json!({"epsilon": 4.0}))).await,
    );
    let first = numbers(&one, BY_REGION).await;
    assert_eq!(numbers(&one, BY_REGION).await, first);
    let again = one.restarted();
    let session = again.session(person(), tarn_query::SessionOptions::default()).await.unwrap();
    let total = rows(&session, "SELECT sum(income) FROM survey.visits").await.unwrap();
    let added: f64 = first.iter().map(|region| region[2]).sum();
    let total: f64 = total[0][0].parse().unwrap();
    assert!((total - added).abs() < 1e-6 * added.abs().max(1.0), "{total} {added}");
    // Of the same data another release has other noise, and each is near: kinds have ε/4, so rows have the
    // scale 6, beyond 20 times which no draw of 2 in 10⁹ lies.
    let second = numbers(&other, BY_REGION).await;
    assert_ne!(first, second);
    for region in first.iter().chain(&second) {
        assert!((region[0] - 180.0).abs() < 120.0, "{region:?}");
    }
    let released = one.acts("release-numbers").await;
    assert_eq!(released.len(), 1, "{released:?}");
    assert_eq!(released[0]["details"]["epsilon"], "4");
    assert_eq!(released[0]["details"]["spent"], "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_data_cost_until_the_budget_is_spent() {
    for (budget, releases) in [(1.0, 1), (2.5, 2), (3.0, 3)] {
        let lab = lab(&visits(), disclosure(json!({"budget": budget}))).await;
        let url = Url::from_directory_path(lab.folder.path().join("visits")).unwrap();
        let mut told = BTreeMap::new();
        for version in 0..4_u64 {
            if version > 0 {
                let table = DeltaTable::try_from_url(url.clone()).await.unwrap();
                let batch = crate::disclosure::batch(&visits()[..6]);
                let schema = batch.schema();
                table.write(vec![batch]).await.unwrap();
                lab.put_delta("survey", "visits", &schema, url.as_str(), version).await;
            }
            let session = lab.session(person()).await;
            let answer = rows(&session, "SELECT count(*) FROM survey.visits").await;
            match answer {
                Ok(answer) => drop(told.insert(version, answer)),
                Err(QueryError::Denied(text)) => assert!(text.contains("budget"), "{text}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(told.len(), releases, "{budget}: {told:?}");
        assert_eq!(lab.acts("release-numbers").await.len(), releases);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_bounds_is_not_told() {
    let lab = lab(&visits(), disclosure(json!({"bounds": {}}))).await;
    let session = lab.session(person()).await;
    for sql in [
        "SELECT sum(income) FROM survey.visits",
        "SELECT count(income) FROM survey.visits",
        "SELECT max(income) FROM survey.visits",
        "SELECT count(*) FROM survey.visits WHERE income > 3",
        "SELECT count(DISTINCT person) FROM survey.visits",
        "SELECT * FROM survey.visits",
    ] {
        let refused = rows(&session, sql).await;
        assert!(matches!(refused, Err(QueryError::Denied(_))), "{sql}: {refused:?}");
    }
    assert!(lab.acts("release-numbers").await.is_empty());
    rows(&session, "SELECT count(*) FROM survey.visits").await.unwrap();
    // The owner sees the rows: nothing is owed by them.
    let owner = lab.session(Principal::Owner).await;
    assert_eq!(rows(&owner, "SELECT count(*) FROM survey.visits").await.unwrap(), [["401"]]);
}

/// Another obligation would make numbers of each person's own, each at the price of a release.
#[tokio::test(flavor = "multi_thread")]
async fn other_obligations_do_not_stand_beside_it() {
    const ROWS: &str = r#"
@id("numbers")
@obligation("aggregates; rows: region = 'north'")
permit (principal, action == Action::"read", resource == Dataset::"ornl.survey")
when { principal.id == "person:ada" };
"#;
    let lab = lab(&visits(), disclosure(json!({}))).await.under(ROWS).await;
    let session = lab.session(person()).await;
    let refused = rows(&session, "SELECT count(*) FROM survey.visits").await;
    assert!(matches!(refused, Err(QueryError::Denied(_))), "{refused:?}");
}
