//! The description of the API.

use super::problem::PROBLEM;
use super::{
    access, audit, data, datasets, dois, drafts, exports, health, login, oai, problem, queries,
    saved_queries, search, searches, sql, visas,
};
use axum::Json;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tarn",
        description = "A federated lake of scientific files and its catalog",
        license(name = "Apache-2.0")
    ),
    paths(
        sql::run,
        queries::progress,
        queries::cancel,
        queries::events,
        queries::estimate,
        saved_queries::list,
        saved_queries::save,
        saved_queries::one,
        saved_queries::delete,
        saved_queries::run,
        search::run,
        searches::list,
        searches::one,
        searches::save,
        searches::forget,
        searches::run,
        datasets::list,
        datasets::one,
        datasets::versions,
        dois::request,
        dois::list,
        exports::one,
        exports::profiles,
        exports::profile,
        data::table,
        data::file,
        access::retract,
        access::explain,
        access::list,
        access::ask,
        access::approve,
        access::deny,
        access::revoke,
        visas::mine,
        visas::keys,
        login::browser::begin,
        login::browser::finish,
        login::browser::end,
        login::terminal::doors,
        login::terminal::terminal,
        login::me::me,
        login::me::administrator,
        drafts::list,
        drafts::one,
        drafts::save,
        drafts::delete,
        drafts::submit,
        drafts::approve,
        drafts::give_back,
        oai::answer,
        audit::list,
        audit::head,
        audit::inclusion,
        audit::consistency,
        health::live,
        health::ready,
        health::metrics
    ),
    modifiers(&Problems),
    components(schemas(
        problem::Problem,
        sql::SqlRequest,
        sql::SqlLimits,
        queries::QueryProgress,
        queries::SqlEstimate,
        saved_queries::QueryToKeep,
        login::terminal::TerminalLogin,
        login::me::OneTime
    ))
)]
struct Api;

/// What every route has in common: whatever else it answers is a problem in words.
struct Problems;

impl Modify for Problems {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let content = || Content::new(Some(Ref::from_schema_name("Problem")));
        let other = || {
            ResponseBuilder::new()
                .description("A problem, with what to do")
                .content(PROBLEM, content())
                .build()
        };
        for path in api.paths.paths.values_mut() {
            let operations = [
                &mut path.get,
                &mut path.put,
                &mut path.post,
                &mut path.delete,
                &mut path.options,
                &mut path.head,
                &mut path.patch,
                &mut path.trace,
            ];
            for operation in operations.into_iter().flatten() {
                for (status, response) in &mut operation.responses.responses {
                    let RefOr::T(response) = response else { continue };
                    // What is no success is a problem.
                    if !status.starts_with(['2', '3'])
                        && response.content.shift_remove("application/json").is_some()
                    {
                        response.content.insert(PROBLEM.to_owned(), content());
                    }
                }
                let known = &mut operation.responses.responses;
                known.entry("default".to_owned()).or_insert_with(|| RefOr::T(other()));
            }
        }
    }
}

/// `GET /api/v1/openapi.json`
pub(crate) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_openapi_3_1_and_knows_every_route_of_the_api() {
        let json = serde_json::to_value(Api::openapi()).unwrap();
        assert!(json["openapi"].as_str().unwrap().starts_with("3.1"));
        for path in [
            "/api/v1/sql",
            "/api/v1/search",
            "/api/v1/datasets",
            "/healthz",
            "/login",
            "/api/v1/me",
        ] {
            assert!(json["paths"].get(path).is_some(), "{path}");
        }
    }
}
