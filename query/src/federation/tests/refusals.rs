//! Labs that are down, refuse or fail, and fragments that are refused.

use super::super::codec::encode;
use super::super::wire::{FragmentTicket, Payload, bytes_to_text};
use super::*;
use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use tarn_schemas::SiteStatus;
use tarn_schemas::code::{Coded, ErrorCode};

const UNION: &str = "(SELECT * FROM ornl.d.ta UNION ALL SELECT * FROM llnl.d.ta)";

/// A session that knows both labs, of which ornl has gone since.
async fn without_ornl(partial: PartialMode) -> (Lab, SessionContext, Sites) {
    let (ornl, llnl) = two_labs().await;
    let known = vec![ornl.known().await, llnl.known().await];
    ornl.server.abort();
    // The connection that is open must go too.
    let mut known = known;
    let listing = ask(&connect(&llnl.peer, SECRET), &llnl.peer.lab).await;
    assert!(listing.is_ok());
    let gone = Peer { flight: "http://127.0.0.1:1".into(), ..ornl.peer.clone() };
    let away = KnownLab::new(
        &gone,
        None,
        connect(&gone, SECRET),
        known.remove(0).listing().cloned(),
        None,
    );
    known.push(away);
    let (context, sites) = asker(known, partial);
    (llnl, context, sites)
}

#[tokio::test]
async fn a_lab_that_is_down_fails_the_query_with_its_name() {
    let (_llnl, context, sites) = without_ornl(PartialMode::Error).await;
    let error = rows(&context, &format!("SELECT count(*) FROM {UNION}"), false).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.to_string().contains("lab ornl did not answer"), "{error}");
    assert_eq!(report(&sites, "ornl").status, SiteStatus::Skipped);
    // A query that does not need it is answered.
    rows(&context, "SELECT count(*) FROM llnl.d.ta", false).await.unwrap();
}

#[tokio::test]
async fn a_partial_answer_is_that_of_the_other_labs_and_says_so() {
    let (_llnl, context, sites) = without_ornl(PartialMode::Allow).await;
    for (over_both, over_one) in [
        (
            format!("SELECT count(*), avg(ta), min(n) FROM {UNION}"),
            "SELECT count(*), avg(ta), min(n) FROM llnl.d.ta",
        ),
        (
            format!("SELECT model, count(*) FROM {UNION} GROUP BY model"),
            "SELECT model, count(*) FROM llnl.d.ta GROUP BY model",
        ),
        (format!("SELECT model, ta FROM {UNION}"), "SELECT model, ta FROM llnl.d.ta"),
    ] {
        let partial = rows(&context, &over_both, false).await.unwrap();
        assert_eq!(
            partial,
            rows(&everything_here(), over_one, false).await.unwrap(),
            "{over_both}"
        );
    }
    let ornl = report(&sites, "ornl");
    assert_eq!((ornl.status, ornl.rows), (SiteStatus::Skipped, 0));
    assert!(ornl.error.unwrap().to_lowercase().contains("refused"));
    assert_eq!(report(&sites, "llnl").status, SiteStatus::Ok);
    let nothing = rows(
        &context,
        "SELECT count(*) FROM (SELECT * FROM ornl.d.ta UNION ALL SELECT * FROM ornl.d.ta WHERE ok)",
        false,
    )
    .await;
    assert!(nothing.unwrap().is_empty());
}

#[tokio::test]
async fn a_lab_that_was_never_heard_of_is_named_when_its_table_is() {
    let gone = Peer {
        lab: lab("ornl"),
        flight: "http://127.0.0.1:1".into(),
        http: String::new(),
        secret: SECRET.into(),
        since: String::new(),
        key: None,
    };
    let connection = connect(&gone, SECRET);
    let problem = ask(&connection, &gone.lab).await.unwrap_err();
    let known = KnownLab::new(&gone, None, connection, None, Some(problem));
    let (context, _) = asker(vec![known], PartialMode::Allow);
    let error = rows(&context, "SELECT * FROM ornl.d.ta", false).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert!(error.to_string().contains("lab ornl"), "{error}");
    rows(&context, "SELECT * FROM anl.d.ta", false).await.unwrap();
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let (ornl, _llnl) = two_labs().await;
    let error = ask(&connect(&ornl.peer, "tarn_p_wrong"), &ornl.peer.lab).await.unwrap_err();
    assert!(error.problem.contains("does not accept the secret"), "{error}");
    assert!(!error.to_string().contains("tarn_p_wrong"));
    assert_eq!(QueryError::from(error).code(), ErrorCode::PermissionDenied);
}

#[tokio::test]
async fn a_visitor_who_may_not_read_is_denied_and_a_partial_answer_says_denied() {
    let (ornl, llnl) = two_labs().await;
    for partial in [PartialMode::Error, PartialMode::Allow] {
        let patience = Duration::from_secs(5);
        let connection = Connection::new(
            &ornl.peer.lab,
            &ornl.peer.flight,
            Some(SECRET),
            Some("denied"),
            patience,
        );
        let listing = ornl.known().await.listing().cloned();
        let known = KnownLab::new(&ornl.peer, Some("denied"), connection.unwrap(), listing, None);
        let (context, sites) = asker(vec![known, llnl.known().await], partial);
        let answer = rows(&context, &format!("SELECT count(*) FROM {UNION}"), false).await;
        match partial {
            PartialMode::Error => {
                assert_eq!(answer.unwrap_err().code(), ErrorCode::PermissionDenied);
            }
            PartialMode::Allow => assert_eq!(answer.unwrap(), ["4"]),
        }
        assert_eq!(report(&sites, "ornl").status, SiteStatus::Denied);
    }
}

#[tokio::test]
async fn a_failure_after_the_first_rows_fails_the_query_even_if_partial_answers_are_allowed() {
    let text = |values: Vec<&str>| {
        RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(values)) as ArrayRef)])
            .unwrap()
    };
    let batches = vec![text(vec!["1"; 9000]), text(vec!["2", "x"])];
    let ornl = Lab::start("ornl", &[("ta", batches)]).await;
    let (context, sites) = asker(vec![ornl.known().await], PartialMode::Allow);
    let answer = rows(&context, "SELECT CAST(t AS INT) FROM ornl.d.ta", false).await;
    assert!(answer.unwrap_err().to_string().contains("lab ornl"));
    assert_eq!(report(&sites, "ornl").status, SiteStatus::Skipped);
}

#[tokio::test]
async fn a_table_that_changed_since_it_was_listed_is_an_error_that_says_so() {
    let ornl = Lab::start("ornl", &[("ta", vec![models()])]).await;
    let old = Lab::start("ornl", &[("ta", vec![ornl_rows()])]).await;
    let known = KnownLab::new(
        &ornl.peer,
        None,
        connect(&ornl.peer, SECRET),
        old.known().await.listing().cloned(),
        None,
    );
    let (context, _) = asker(vec![known], PartialMode::Allow);
    let error = rows(&context, "SELECT model, ta FROM ornl.d.ta", false).await.unwrap_err();
    assert!(error.to_string().contains("lab ornl"), "{error}");
}

fn ticket(payload: Payload) -> Vec<u8> {
    serde_json::to_vec(&FragmentTicket { version: VERSION, payload }).unwrap()
}

async fn served(ticket: &[u8]) -> Result<(), QueryError> {
    let context = SessionContext::new_with_state(template().build());
    context.register_catalog("ornl", catalog(&[("ta", vec![ornl_rows()])]));
    context.register_catalog("llnl", catalog(&[("ta", vec![llnl_rows()])]));
    Fragment::read(ticket, &lab("ornl"))?.plan(&context.state()).await.map(|_| ())
}

#[tokio::test]
async fn plans_that_are_too_large_too_deep_foreign_or_no_plans_are_refused() {
    let (ornl, llnl) = two_labs().await;
    let (context, _) = asker(vec![ornl.known().await, llnl.known().await], PartialMode::Error);
    let scan = |name: &str| {
        let context = context.clone();
        let name = name.to_owned();
        async move { context.table(name.as_str()).await.unwrap().into_unoptimized_plan() }
    };
    let state = context.state();
    let all = |_: &str| true;
    let plain = scan("ornl.d.ta").await;
    let payload = encode(&plain, &state, &all).unwrap();
    served(&ticket(payload)).await.unwrap();

    let foreign = encode(&scan("llnl.d.ta").await, &state, &all).unwrap();
    let error = served(&ticket(foreign)).await.unwrap_err();
    assert!(error.to_string().contains("no table of lab ornl"), "{error}");

    let mut deep = LogicalPlanBuilder::from(plain.clone());
    for year in 0..80 {
        deep = deep.filter(col("year").gt(lit(year))).unwrap();
    }
    let deep = deep.build().unwrap();
    assert!(encode(&deep, &state, &all).is_err());
    let message =
        datafusion_substrait::logical_plan::producer::to_substrait_plan(&deep, &state).unwrap();
    let bytes = prost::Message::encode_to_vec(message.as_ref());
    let error = served(&ticket(Payload::Plan(bytes_to_text(&bytes)))).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");

    let large = Payload::Plan(bytes_to_text(&vec![0; (1 << 20) + 1]));
    let error = served(&ticket(large)).await.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
    for bytes in [&b"\xff\xff\xff"[..], b"", b"\x1a\x02\x12\x00"] {
        assert!(served(&ticket(Payload::Plan(bytes_to_text(bytes)))).await.is_err());
    }
    assert!(served(b"{\"tarn.fragment\": 99, \"plan\": \"\"}").await.is_err());
    assert!(served(&vec![b' '; 3 << 20]).await.is_err());
}
