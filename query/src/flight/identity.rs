//! Who calls: tokens, passwords and the secrets of peers.

use super::sessions;
use super::status::{refuse, to_status};
use crate::engine::{Engine, SessionOptions};
use crate::error::QueryError;
use arrow_flight::{BasicAuth, HandshakeRequest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use tarn_schemas::code::ErrorCode;
use tarn_schemas::{PartialMode, Principal};
use tonic::Status;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

/// Header by which a peer names the person it asks for.
pub const VISITOR_HEADER: &str = "x-tarn-visitor";
/// Header that allows answers without the labs that do not answer: `allow` or `error`.
pub const PARTIAL_HEADER: &str = "x-tarn-partial";
/// How the secrets of peers begin.
const PEER_PREFIX: &str = "tarn_p_";
/// Longest name of a visitor.
const MAX_VISITOR: usize = 256;

/// Who calls, and how they want to be answered.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) who: Principal,
    pub(crate) options: SessionOptions,
    /// The session that the call names; it may be another's, or gone.
    pub(crate) session: Option<Uuid>,
}

/// Finds out who calls. Without an `authorization` header it is nobody in particular; with a wrong
/// one the call fails.
pub(crate) async fn identify(engine: &Engine, metadata: &MetadataMap) -> Result<Caller, Status> {
    let partial = match text(metadata, PARTIAL_HEADER)? {
        None | Some("error") => PartialMode::Error,
        Some("allow") => PartialMode::Allow,
        Some(other) => {
            return Err(refuse(
                ErrorCode::InvalidArgument,
                format!("{PARTIAL_HEADER} is {other:?}; use allow or error"),
            ));
        }
    };
    let who = match token(metadata)? {
        None => Principal::Anonymous,
        Some(token) => authenticate(engine, &token, text(metadata, VISITOR_HEADER)?).await?,
    };
    let options = SessionOptions { partial, ..SessionOptions::default() };
    Ok(Caller { who, options, session: sessions::named(metadata) })
}

/// The principal behind a token or a peer's secret.
async fn authenticate(
    engine: &Engine,
    token: &str,
    visitor: Option<&str>,
) -> Result<Principal, Status> {
    let Some(catalog) = engine.catalog() else {
        return Err(unauthenticated("this node has no tokens"));
    };
    let failed = |error| to_status(&QueryError::Catalog(error));
    if !token.starts_with(PEER_PREFIX) {
        return catalog.authenticate(token).await.map_err(failed);
    }
    let peer = catalog.authenticate_peer(token).await.map_err(failed)?;
    let name = visitor.filter(|name| !name.is_empty());
    if name.is_some_and(|name| name.len() > MAX_VISITOR) {
        return Err(refuse(
            ErrorCode::InvalidArgument,
            format!("{VISITOR_HEADER} is longer than {MAX_VISITOR} bytes"),
        ));
    }
    Ok(Principal::Visitor { lab: peer.lab, name: name.map(str::to_owned) })
}

/// The token of a handshake, after checking it: from the header, or from the first message of
/// older clients.
pub(crate) async fn handshake(
    engine: &Engine,
    metadata: &MetadataMap,
    first: Option<HandshakeRequest>,
) -> Result<String, Status> {
    let token = match token(metadata)? {
        Some(token) => token,
        None => first
            .and_then(|request| BasicAuth::decode(request.payload).ok())
            .map(|basic| basic.password)
            .filter(|password| !password.is_empty())
            .ok_or_else(|| unauthenticated("the handshake has no token"))?,
    };
    authenticate(engine, &token, None).await?;
    Ok(token)
}

fn unauthenticated(problem: &str) -> Status {
    refuse(
        ErrorCode::Unauthenticated,
        format!(
            "{problem}; send `authorization: Bearer TOKEN`, or any user with the token as password"
        ),
    )
}

fn text<'a>(metadata: &'a MetadataMap, header: &'static str) -> Result<Option<&'a str>, Status> {
    let Some(value) = metadata.get(header) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| {
        refuse(ErrorCode::InvalidArgument, format!("the header {header} is not plain ASCII"))
    })
}

/// The token of the `authorization` header: a bearer token, or the password of basic credentials.
fn token(metadata: &MetadataMap) -> Result<Option<String>, Status> {
    let mut values = metadata.get_all("authorization").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(unauthenticated("there are several authorization headers"));
    }
    let malformed = || unauthenticated("the authorization header is malformed");
    let value = value.to_str().map_err(|_| malformed())?;
    let (scheme, credentials) = value.split_once(' ').ok_or_else(malformed)?;
    let credentials = credentials.trim();
    let token = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => credentials.to_owned(),
        "basic" => {
            let bytes = STANDARD.decode(credentials).map_err(|_| malformed())?;
            let text = String::from_utf8(bytes).map_err(|_| malformed())?;
            let (_, password) = text.split_once(':').ok_or_else(malformed)?;
            password.to_owned()
        }
        _ => return Err(malformed()),
    };
    if token.is_empty() { Err(malformed()) } else { Ok(Some(token)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", value.parse().unwrap());
        metadata
    }

    #[test]
    fn tokens_come_as_bearer_or_as_password() {
        assert_eq!(token(&MetadataMap::new()).unwrap(), None);
        assert_eq!(token(&with("Bearer abc")).unwrap().as_deref(), Some("abc"));
        assert_eq!(token(&with("bearer abc")).unwrap().as_deref(), Some("abc"));
        let basic = format!("Basic {}", STANDARD.encode("ada:abc:d"));
        assert_eq!(token(&with(&basic)).unwrap().as_deref(), Some("abc:d"));
    }

    #[test]
    fn a_malformed_header_is_refused_and_never_taken_for_nobody() {
        for value in ["", "abc", "Bearer ", "Basic !!", "Basic YWRh", "Digest abc"] {
            assert_eq!(token(&with(value)).unwrap_err().code(), tonic::Code::Unauthenticated);
        }
        let mut twice = with("Bearer a");
        twice.append("authorization", "Bearer b".parse().unwrap());
        assert!(token(&twice).is_err());
    }
}
