//! Who is asking over HTTP.

use super::Door;
use super::problem::Refusal;
use crate::failure::Failure;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use tarn_schemas::{ErrorCode, Principal};

/// The principal of a request: nobody without a header, never nobody with a wrong one.
#[derive(Debug)]
pub(crate) struct Caller(pub Principal);

impl FromRequestParts<Door> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Refusal> {
        let Some(header) = parts.headers.get(AUTHORIZATION) else {
            return Ok(Self(Principal::Anonymous));
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let Some(token) = token else {
            let problem = "write `Authorization: Bearer TOKEN`";
            return Err(Failure::new(ErrorCode::Unauthenticated, problem).into());
        };
        Ok(Self(door.catalog.authenticate(token).await?))
    }
}
