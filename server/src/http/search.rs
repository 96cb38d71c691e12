//! `GET /api/v1/search`

use super::Door;
use super::auth::Caller;
use super::problem::{Problem, Refusal};
use crate::failure::Failure;
use axum::Json;
use axum::extract::{RawQuery, State};
use tarn_catalog::{SearchAnswer, SearchRequest};
use tarn_query::federation;
use tarn_schemas::{ErrorCode, Principal, SiteReport};

/// Most hits of one answer.
const MOST: usize = 1000;

/// Finds datasets in this lab and its peers. Parameters: `q`, `limit`, `facet` (repeatable) and any
/// filter key, such as `standard_name=air_temperature`.
#[utoipa::path(get, path = "/api/v1/search",
    params(
        ("q" = Option<String>, Query, description = "Words"),
        ("limit" = Option<usize>, Query, description = "Most hits, 1 to 1000; 20 without"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before, of the same search by the same person"),
        ("facet" = Option<Vec<String>>, Query, description = "Keys to count values of"),
        ("standard_name" = Option<String>, Query, description = "Filter; so are lab, tier, keyword, subject, element, variable, units, format, creator, license and identifier, with an exact value"),
        ("elements" = Option<String>, Query, description = "Elements that all occur in one formula, such as Fe,O; elements_only: these and no other"),
        ("time" = Option<String>, Query, description = "FIRST/LAST that the data share a part of; within_time: that they lie inside"),
        ("bbox" = Option<String>, Query, description = "west,south,east,north that the data share a part of; within_bbox: that they lie inside"),
    ),
    responses((status = 200, description = "Hits, total, facets, sites"),
        (status = 400, description = "An unknown key, a value that cannot be read, or the cursor of another search", body = Problem)))]
pub(crate) async fn run(
    State(door): State<Door>,
    Caller(who): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<serde_json::Value>, Refusal> {
    let request = request(query.as_deref())?.opened(&who)?;
    let (answer, sites) = federation::search(&door.engine, &who, &request).await?;
    Ok(Json(shown(&who, &request, &answer, &sites)))
}

/// An answer to a request as it is sent: its cursor is for this request of this person.
pub(super) fn shown(
    who: &Principal,
    request: &SearchRequest,
    answer: &SearchAnswer,
    sites: &[SiteReport],
) -> serde_json::Value {
    let mut json = serde_json::json!(answer);
    if let Some(next) = &answer.next {
        json["next"] = serde_json::json!(request.seal(who, next));
    }
    json["sites"] = serde_json::json!(sites);
    json
}

/// What the parameters of an address ask for.
pub(super) fn request(query: Option<&str>) -> Result<SearchRequest, Refusal> {
    let mut request = SearchRequest::default();
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match key.as_ref() {
            "q" => request.text = value.into_owned(),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                request.limit = limit.ok_or_else(|| {
                    let problem = format!("limit={value:?}: write a number from 1 to {MOST}");
                    Failure::new(ErrorCode::InvalidArgument, problem)
                })?;
            }
            "cursor" => request.cursor = Some(value.into_owned()),
            "facet" => request.facets.push(value.into_owned()),
            _ => request.filters.push((key.into_owned(), value.into_owned())),
        }
    }
    Ok(request)
}
