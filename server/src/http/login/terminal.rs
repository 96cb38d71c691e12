//! Login in a terminal: the terminal goes to the issuer by itself and brings what it was given.

use super::refused;
use crate::http::problem::{Problem, Refusal};
use crate::http::{ClientAddress, Door};
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Deserialize;
use tarn_connectors::oidc::node::{Doors, IssuerDoor, Session};
use tarn_connectors::oidc::{OidcError, Tokens};
use utoipa::ToSchema;

/// What an issuer gave to a terminal.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TerminalLogin {
    /// Name of the issuer here.
    issuer: String,
    /// Who logged in, for the issuer's client of terminals. It counts once.
    #[serde(default)]
    id_token: Option<String>,
    /// Without an ID token: one whose only `aud` is the address of this node; it counts once. With one:
    /// for the userinfo endpoint, where the node asks it.
    #[serde(default)]
    access_token: Option<String>,
}

/// How to log in.
#[utoipa::path(get, path = "/api/v1/login",
    responses((status = 200, description = "The lab, its Flight address, and its issuers with what a terminal needs")))]
pub(in crate::http) async fn doors(State(door): State<Door>) -> Json<Doors> {
    let issuers = door.catalog.issuers();
    let issuers = issuers.all().iter().map(|issuer| IssuerDoor {
        name: issuer.config().name.clone(),
        url: issuer.config().url.clone(),
        device_client_id: issuer.device_client().to_owned(),
        scopes: issuer.config().scopes.clone(),
    });
    Json(Doors {
        lab: door.catalog.lab().clone(),
        flight: door.logins.flight.clone(),
        issuers: issuers.collect(),
    })
}

/// Gives an ID token, or an access token for this node alone, for the token of a session.
#[utoipa::path(post, path = "/api/v1/login", request_body = TerminalLogin,
    responses((status = 200, description = "The token of a session, until when, and whose"), (status = 400, description = "No JSON", body = Problem),
        (status = 401, description = "The token is not accepted, or was used before, or there is none", body = Problem), (status = 404, description = "No such issuer", body = Problem),
        (status = 415, description = "No JSON by its header", body = Problem), (status = 422, description = "Fields are missing or unknown", body = Problem),
        (status = 503, description = "The issuer does not answer", body = Problem)))]
pub(in crate::http) async fn terminal(
    State(door): State<Door>,
    Extension(client): Extension<ClientAddress>,
    Json(TerminalLogin { issuer, id_token, access_token }): Json<TerminalLogin>,
) -> Result<impl IntoResponse, Refusal> {
    let issuers = door.catalog.issuers();
    let issuer = issuers.named(Some(&issuer))?;
    let tokens = Tokens { id_token, access_token };
    let told = match &tokens {
        // Of a token that counts no more nothing is asked.
        Tokens { id_token: Some(token), .. } if door.catalog.logged_in_with(token).await? => {
            Err(OidcError::Replayed)
        }
        Tokens { id_token: Some(_), access_token: Some(_) } if issuer.config().userinfo => {
            let _turn = door.logins.pace.turn(&issuer.config().name, client).await?;
            issuer.terminal(&tokens, &door.logins.base).await
        }
        _ => issuer.terminal(&tokens, &door.logins.base).await,
    };
    let assertion = match told {
        Ok(assertion) => assertion,
        Err(error) => return Err(refused(&door, issuer, &tokens, "terminal", error).await),
    };
    let session = door.catalog.begin_session(&assertion, "terminal", door.logins.hours).await?;
    let session = Session {
        token: session.token,
        expires_at: session.expires_at,
        name: session.person.name,
        called: session.person.called,
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(session)))
}
