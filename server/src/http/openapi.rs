//! The description of the API.

use super::{
    access, audit, data, datasets, dois, drafts, exports, health, login, oai, problem, search, sql,
    visas,
};
use axum::Json;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tarn",
        description = "A federated lake of scientific files and its catalog",
        license(name = "Apache-2.0")
    ),
    paths(
        sql::run,
        search::run,
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
    components(schemas(
        problem::Problem,
        sql::SqlRequest,
        login::terminal::TerminalLogin,
        login::me::OneTime
    ))
)]
struct Api;

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
