//! The description of the API.

use super::problem::PROBLEM;
use super::{
    access, audit, data, datasets, dois, drafts, exports, health, idempotency, login, oai, page,
    people, problem, queries, receipts, saved_queries, search, searches, sql, tokens, tombstone,
    visas,
};
use axum::Json;
use axum::http::Method;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, Ref, RefOr, Required};
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
        receipts::list,
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
        exports::linkset,
        page::dataset,
        page::resolve,
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
        people::invite,
        people::list,
        people::one,
        people::put,
        people::forget,
        tokens::list,
        tokens::make,
        tokens::revoke,
        drafts::list,
        drafts::one,
        drafts::save,
        drafts::delete,
        drafts::check,
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
    modifiers(&Forms, &Keys, &Callers, &Problems),
    components(schemas(
        problem::Problem,
        tombstone::Gone,
        sql::SqlRequest,
        sql::SqlLimits,
        queries::QueryProgress,
        queries::SqlEstimate,
        saved_queries::QueryToKeep,
        tokens::TokenToMake,
        access::Ask,
        access::Approval,
        access::Denial,
        access::Retraction,
        drafts::Approval,
        drafts::Reason,
        login::terminal::TerminalLogin,
        login::me::OneTime
    ))
)]
struct Api;

/// What every route has in common: whatever else it answers is a problem in words.
struct Problems;

impl Problems {
    fn content() -> Content {
        Content::new(Some(Ref::from_schema_name("Problem")))
    }

    fn answer(words: &str) -> Response {
        ResponseBuilder::new().description(words).content(PROBLEM, Self::content()).build()
    }
}

impl Modify for Problems {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
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
                        && let Some(content) = response.content.shift_remove("application/json")
                    {
                        response.content.insert(PROBLEM.to_owned(), content);
                    }
                }
                let known = &mut operation.responses.responses;
                known
                    .entry("default".to_owned())
                    .or_insert_with(|| RefOr::T(Self::answer("A problem, with what to do")));
            }
        }
    }
}

/// Routes that change something take a key, so that what is sent again is done once.
struct Keys;

impl Modify for Keys {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for (route, path) in &mut api.paths.paths {
            let operations = [
                (Method::POST, &mut path.post),
                (Method::PUT, &mut path.put),
                (Method::DELETE, &mut path.delete),
            ];
            for (method, operation) in operations {
                let takes = idempotency::takes_key(&method, route);
                let Some(operation) = operation.as_mut().filter(|_| takes) else { continue };
                let key = ParameterBuilder::new()
                    .name("Idempotency-Key")
                    .parameter_in(ParameterIn::Header)
                    .required(Required::False)
                    .description(Some(
                        "A text of the client's own. Sent again with the same key, a request is done once, and \
                         answered as before with `Idempotency-Replayed: true`",
                    ))
                    .schema(Some(ObjectBuilder::new().schema_type(Type::String).max_length(Some(255))))
                    .build();
                operation.parameters.get_or_insert_default().push(key);
                for (status, words) in [
                    ("400", "No key, or that of another request"),
                    ("403", "A key of nobody who is signed in"),
                    ("409", "The request with this key has not ended, or its answer is told once"),
                    ("413", "The body is too long"),
                ] {
                    let known = &mut operation.responses.responses;
                    known
                        .entry(status.to_owned())
                        .or_insert_with(|| RefOr::T(Problems::answer(words)));
                }
            }
        }
    }
}

/// Who may ask: nobody in particular, whoever has a token, and whoever logged in with a browser.
struct Callers;

impl Modify for Callers {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
            "tarn_session",
            "Of a login (`__Host-tarn_session` where the node is reached by TLS); whatever changes something has to come from a page of this node",
        ));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
        let none = SecurityRequirement::default();
        let nothing: [&str; 0] = [];
        let some = ["token", "session"].map(|name| SecurityRequirement::new(name, nothing));
        api.security = Some(std::iter::once(none).chain(some).collect());
    }
}

/// OAI-PMH has every argument in the query of a GET, or in the form of a POST.
struct Forms;

impl Modify for Forms {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let Some(path) = api.paths.paths.get_mut("/oai") else { return };
        let Some(mut posted) = path.get.clone() else { return };
        let mut form = ObjectBuilder::new();
        for parameter in posted.parameters.take().unwrap_or_default() {
            if let Some(schema) = parameter.schema {
                form = form.property(parameter.name, schema);
            }
        }
        let content = Content::new(Some(form));
        let body = RequestBodyBuilder::new().content("application/x-www-form-urlencoded", content);
        posted.request_body = Some(body.build());
        posted.operation_id = Some("answer_form".to_owned());
        path.post = Some(posted);
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
            "/api/v1/people/{name}",
            "/api/v1/tokens",
            "/ark:/{naan}/{name}",
            "/datasets/{lab}/{name}",
            "/datasets/{lab}/{name}/linkset",
        ] {
            assert!(json["paths"].get(path).is_some(), "{path}");
        }
        let form = &json["paths"]["/oai"]["post"]["requestBody"]["content"];
        let form = &form["application/x-www-form-urlencoded"]["schema"]["properties"];
        assert!(form["verb"].is_object(), "{form}");
        let has_key = |path: &str, method: &str| {
            let parameters = json["paths"][path][method]["parameters"].as_array();
            parameters.is_some_and(|all| all.iter().any(|one| one["name"] == "Idempotency-Key"))
        };
        assert!(has_key("/api/v1/tokens", "post") && has_key("/api/v1/drafts/{name}", "put"));
        assert!(!has_key("/api/v1/tokens", "get") && !has_key("/api/v1/sql", "post"));
    }
}
