//! `GET /api/v1/search`

use super::Door;
use super::auth::Caller;
use super::problem::Refusal;
use crate::failure::Failure;
use axum::Json;
use axum::extract::{RawQuery, State};
use tarn_catalog::SearchRequest;
use tarn_query::federation;
use tarn_schemas::ErrorCode;

/// Most hits of one answer.
const MOST: usize = 1000;

/// Finds datasets in this lab and its peers. Parameters: `q`, `limit`, `facet` (repeatable) and any
/// filter key, such as `standard_name=air_temperature`.
#[utoipa::path(get, path = "/api/v1/search",
    params(
        ("q" = Option<String>, Query, description = "Words"),
        ("limit" = Option<usize>, Query, description = "Most hits, 1 to 1000"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("facet" = Option<Vec<String>>, Query, description = "Keys to count values of"),
        ("standard_name" = Option<String>, Query, description = "Filter; so are lab, tier, keyword, variable, units, format, creator and license"),
    ),
    responses((status = 200, description = "Hits, total, facets, sites")))]
pub(crate) async fn run(
    State(door): State<Door>,
    Caller(who): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<serde_json::Value>, Refusal> {
    let mut request = SearchRequest::default();
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match key.as_ref() {
            "q" => request.text = value.into_owned(),
            "limit" => {
                request.limit = value.parse().map_err(|_| {
                    let problem = format!("limit={value:?}: write a number from 1 to {MOST}");
                    Failure::new(ErrorCode::InvalidArgument, problem)
                })?;
            }
            "cursor" => request.cursor = Some(value.into_owned()),
            "facet" => request.facets.push(value.into_owned()),
            _ => request.filters.push((key.into_owned(), value.into_owned())),
        }
    }
    request.limit = request.limit.min(MOST);
    let (answer, sites) = federation::search(&door.engine, &who, &request).await?;
    let mut json = serde_json::json!(answer);
    json["sites"] = serde_json::json!(sites);
    Ok(Json(json))
}
