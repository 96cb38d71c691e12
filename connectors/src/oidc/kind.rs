//! Of which kind a token is, by its claims. An issuer signs ID tokens, access tokens, logout and refresh
//! tokens with the same keys, and some give all of them the same audience.

use super::OidcError;
use super::claims::text;
use serde_json::{Map, Value};

const EVENT: OidcError = OidcError::Malformed("it tells of an event, such as a logout");
const OTHER: OidcError = OidcError::Malformed("it is for another end");

/// Whether the claim `typ`, where there is one, has this value.
fn is_called(claims: &Map<String, Value>, kind: &str) -> bool {
    claims
        .get("typ")
        .is_none_or(|typ| typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case(kind)))
}

/// Refuses what is no access token, and access tokens that count only with a proof of their holder.
pub(super) fn check_access(claims: &Map<String, Value>) -> Result<(), OidcError> {
    // What a login began with, and hashes of what it came with, stand in ID tokens alone: they say who
    // logged in and let nobody in.
    if ["nonce", "at_hash", "c_hash"].iter().any(|claim| claims.contains_key(*claim)) {
        return Err(OidcError::Malformed("it is an ID token; send the access token"));
    }
    if claims.contains_key("events") {
        return Err(EVENT);
    }
    if !is_called(claims, "Bearer") {
        return Err(OTHER);
    }
    if claims.contains_key("cnf") {
        return Err(OidcError::Malformed(
            "it is bound to a key of its holder (DPoP, mutual TLS), of which nothing is known here",
        ));
    }
    Ok(())
}

/// Refuses what is no ID token for this client.
pub(super) fn check_id(claims: &Map<String, Value>, client: &str) -> Result<(), OidcError> {
    if claims.contains_key("events") {
        return Err(EVENT);
    }
    if !is_called(claims, "ID") {
        return Err(OTHER);
    }
    if claims.contains_key("scope") || claims.contains_key("scp") {
        return Err(OidcError::Malformed("it is an access token; send the ID token"));
    }
    if claims.contains_key("client_id") && text(claims, "client_id") != Some(client) {
        return Err(OidcError::Audience { expected: client.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdicts(claims: &Value) -> (bool, bool) {
        let claims = claims.as_object().unwrap();
        (check_access(claims).is_ok(), check_id(claims, "cli").is_ok())
    }

    #[test]
    fn each_kind_is_taken_for_itself_alone() {
        for (claims, access, id) in [
            (json!({}), true, true),
            (json!({"typ": "Bearer", "scope": "openid"}), true, false),
            (json!({"scp": ["tarn:read"], "client_id": "other"}), true, false),
            (json!({"typ": "ID", "nonce": "n", "at_hash": "x"}), false, true),
            (json!({"nonce": "n"}), false, true),
            (json!({"c_hash": "x"}), false, true),
            (json!({"client_id": "cli"}), true, true),
            (json!({"client_id": "other"}), true, false),
            (json!({"cnf": {"jkt": "x"}}), false, true),
            (json!({"events": {}}), false, false),
            (json!({"typ": "Logout"}), false, false),
            (json!({"typ": "Refresh"}), false, false),
            (json!({"typ": ["ID", "Bearer"]}), false, false),
        ] {
            assert_eq!(verdicts(&claims), (access, id), "{claims}");
        }
    }
}
