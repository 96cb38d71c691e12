//! What is left of a withdrawn dataset: 410, who it was, why it is gone and what takes its place.
//!
//! Whoever may know of the dataset hears it from its record, exports, tables and files alike; whoever may not
//! hears the 404 of what does not exist. The page for people stays as it is, with the same words on it.

use super::problem::PROBLEM;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tarn_catalog::{Dataset, Withdrawal};
use utoipa::ToSchema;

/// A withdrawn dataset, as a problem.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gone {
    /// `gone`.
    code: String,
    /// Short text for the code.
    title: String,
    /// 410.
    status: u16,
    /// Why it was withdrawn, and what to use instead.
    detail: String,
    /// `lab`, `name`, `version`, `ark`, `doi`, `title`, `creators`, `registered_at`, `withdrawn_at`, `reason`,
    /// `replaced_by`: what a citation needs that was made before.
    tombstone: serde_json::Value,
}

/// The answer, if a dataset was withdrawn.
pub(super) fn of(dataset: &Dataset) -> Option<Response> {
    dataset.withdrawn.as_ref().map(|withdrawal| answer(dataset, withdrawal))
}

fn answer(dataset: &Dataset, withdrawal: &Withdrawal) -> Response {
    let Withdrawal { reason, replaced_by, at, .. } = withdrawal;
    let status = StatusCode::GONE;
    let instead = replaced_by.as_deref();
    let instead = instead.map_or_else(String::new, |name| format!("; use {name}"));
    let creators: Vec<&str> =
        dataset.record.creators.iter().map(|creator| creator.name.as_str()).collect();
    let gone = Gone {
        code: "gone".to_owned(),
        title: "gone".to_owned(),
        status: status.as_u16(),
        detail: format!("{}.{} was withdrawn ({reason}){instead}", dataset.lab, dataset.name),
        tombstone: json!({
            "lab": dataset.lab, "name": dataset.name, "version": dataset.version, "ark": dataset.ark,
            "doi": dataset.doi, "title": dataset.record.title, "creators": creators,
            "registered_at": dataset.registered_at, "withdrawn_at": at, "reason": reason,
            "replaced_by": replaced_by,
        }),
    };
    (status, [(header::CONTENT_TYPE, PROBLEM)], Json(gone)).into_response()
}
