//! Claims that every token needs: from whom, for whom, when.

use super::{OidcError, SKEW};
use serde_json::{Map, Value};

/// Longest life of a token, in seconds. That a token counts once is remembered until it ends.
const LONGEST_LIFE: i64 = 366 * 86_400;
/// Longest subject of an issuer: OpenID Connect allows 255 characters.
const LONGEST_SUB: usize = 255;

/// The claims that were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) sub: String,
    pub(super) issued: i64,
    pub(super) expires: i64,
}

/// Checks issuer, audience, subject and times of claims whose signature was right. `audiences` is
/// none where a token has none (visas).
pub(super) fn check(
    claims: &Map<String, Value>,
    issuer: &str,
    audiences: Option<&[String]>,
    now: i64,
) -> Result<Checked, OidcError> {
    if text(claims, "iss") != Some(issuer) {
        return Err(OidcError::UnknownIssuer);
    }
    if let Some(accepted) = audiences
        && !texts(claims.get("aud")).iter().any(|aud| accepted.contains(aud))
    {
        let expected = match accepted {
            [] => "one that the operator has named in `audience`: there is none".to_owned(),
            some => some.join(" or "),
        };
        return Err(OidcError::Audience { expected });
    }
    let sub = text(claims, "sub")
        .filter(|sub| !sub.trim().is_empty() && sub.len() <= LONGEST_SUB)
        .filter(|sub| !sub.chars().any(char::is_control))
        .ok_or(OidcError::Claim("sub"))?;
    let expires = time(claims, "exp")?.ok_or(OidcError::Claim("exp"))?;
    let issued = time(claims, "iat")?.ok_or(OidcError::Claim("iat"))?;
    let begins = time(claims, "nbf")?.unwrap_or(issued);
    if now >= expires.saturating_add(SKEW) {
        return Err(OidcError::Expired);
    }
    let latest = now.saturating_add(SKEW);
    if issued > latest || begins > latest {
        return Err(OidcError::NotYet);
    }
    if expires <= issued {
        return Err(OidcError::Claim("exp"));
    }
    // Visas have no audience, and the operator says how long they count.
    if audiences.is_some() && expires > now.saturating_add(LONGEST_LIFE) {
        return Err(OidcError::TooLong);
    }
    Ok(Checked { sub: sub.to_owned(), issued, expires })
}

/// A claim that is a text.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// A claim that is one text or a list of them. What else is in the list does not count.
pub(super) fn texts(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => {
            many.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// A claim that is a time in seconds. One of another form is never taken for a missing one.
pub(super) fn time(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<i64>, OidcError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            // A NumericDate may have a fraction (RFC 7519, section 2): whole seconds are what counts here.
            let whole = value.as_i64().or_else(|| seconds(value.as_f64()?));
            whole.filter(|seconds| *seconds >= 0).map(Some).ok_or(OidcError::Claim(name))
        }
    }
}

/// The whole seconds of a number, where they are far below what a double holds exactly.
#[expect(clippy::cast_possible_truncation, reason = "it is in the range of whole numbers")]
fn seconds(number: f64) -> Option<i64> {
    (0.0..1e15).contains(&number).then(|| number.floor() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    fn checked(changes: Value) -> Result<Checked, OidcError> {
        let mut claims = json!({
            "iss": "https://sso.lab.gov", "sub": "alice", "aud": ["urn:other", "urn:tarn:api"],
            "iat": NOW - 10, "exp": NOW + 600,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims = claims.as_object().unwrap().clone();
        let claims = claims.into_iter().filter(|(_, value)| !value.is_null()).collect();
        check(&claims, "https://sso.lab.gov", Some(&["urn:tarn:api".to_owned()]), NOW)
    }

    #[test]
    fn clocks_may_differ_by_a_minute_and_no_more() {
        assert_eq!(checked(json!({})).unwrap().sub, "alice");
        assert!(checked(json!({"iat": NOW - 700, "exp": NOW - 59})).is_ok());
        assert_eq!(checked(json!({"iat": NOW - 700, "exp": NOW - 60})), Err(OidcError::Expired));
        assert!(checked(json!({"nbf": NOW + 60})).is_ok());
        assert_eq!(checked(json!({"nbf": NOW + 61})), Err(OidcError::NotYet));
        assert_eq!(checked(json!({"iat": NOW + 61})), Err(OidcError::NotYet));
    }

    #[test]
    fn nothing_counts_for_more_than_a_year() {
        assert!(checked(json!({"exp": NOW + LONGEST_LIFE})).is_ok());
        for exp in [NOW + LONGEST_LIFE + 1, 300_000_000_000, i64::MAX] {
            assert_eq!(checked(json!({ "exp": exp })), Err(OidcError::TooLong), "{exp}");
        }
    }

    #[test]
    fn what_is_missing_or_of_another_form_is_refused() {
        for (claim, value) in [
            ("exp", json!(null)),
            ("exp", json!("1900000000")),
            ("exp", json!(-1)),
            ("exp", json!(1.9e18)),
            ("iat", json!(null)),
            ("iat", json!([1])),
            ("nbf", json!("0")),
            ("sub", json!(null)),
            ("sub", json!(" ")),
            ("sub", json!(7)),
            ("sub", json!("a\u{0}b")),
            ("sub", json!("a".repeat(256))),
        ] {
            let refused = checked(json!({ claim: value }));
            assert!(matches!(refused, Err(OidcError::Claim(_))), "{claim} {refused:?}");
        }
    }

    #[test]
    fn another_audience_or_issuer_is_refused() {
        assert!(checked(json!({"aud": "urn:tarn:api"})).is_ok());
        for aud in [json!("urn:tarn"), json!("urn:tarn:api2"), json!([]), json!(null), json!({})] {
            let refused = checked(json!({ "aud": aud }));
            assert!(matches!(refused, Err(OidcError::Audience { .. })), "{refused:?}");
        }
        for iss in
            [json!("https://sso.lab.gov/"), json!("https://other"), json!(null), json!(["x"])]
        {
            assert_eq!(checked(json!({ "iss": iss })), Err(OidcError::UnknownIssuer));
        }
    }
}
