//! What a registrar may answer instead.

use super::answer::body;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::time::Duration;
use tarn_schemas::shown::harmless;

/// Longest text of a registrar that is shown.
const LONGEST: usize = 500;

/// A registrar did not do it.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// It cannot be reached, or has no time. Asking again helps.
    #[error("{service} cannot be reached now ({problem}); it is asked again by itself")]
    Unavailable {
        /// Whom.
        service: String,
        /// What happened.
        problem: String,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// It refuses. Asking again without a change does not help.
    #[error("{service} refuses ({problem}): {fix}")]
    Refused {
        /// Whom.
        service: String,
        /// What it says.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// The configuration cannot work.
    #[error("[doi] of tarn.toml: {problem}")]
    Config {
        /// What is wrong, and how to write it.
        problem: String,
    },
}

impl RegistrarError {
    /// What an answer says that is no success. It is kept and shown, so that `secrets` are taken out of
    /// it, in every form in which they were sent: something on the way may repeat a request.
    pub(super) async fn of(service: &str, answer: reqwest::Response, secrets: &[&str]) -> Self {
        let status = answer.status();
        let wait = answer
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        // One that cannot be read is none the less an answer of this status.
        let text = body(service, answer).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let said = errors_in(&text).unwrap_or(text);
        let said = without(&said, secrets).split_whitespace().collect::<Vec<_>>().join(" ");
        // Once more, for what became one of them by being made harmless.
        let said = without(&harmless(&said), secrets);
        let said: String = said.chars().take(LONGEST).collect();
        let problem = format!("{status}: {said}");
        let service = service.to_owned();
        match status.as_u16() {
            408 | 425 | 429 | 500..=599 => Self::Unavailable { service, problem, wait },
            401 | 403 => {
                let fix = "check `user` of [doi] in tarn.toml, its secret (TARN_DOI_SECRET), and that \
                           the prefix is its own; then run `tarn doi sync`";
                Self::Refused { service, problem, fix: fix.to_owned() }
            }
            _ => {
                let fix = "change what it names in the record and register it again, or run \
                           `tarn doi sync` if the reason is gone";
                Self::Refused { service, problem, fix: fix.to_owned() }
            }
        }
    }

    /// An answer that is of no use.
    pub(super) fn unreadable(service: &str, problem: &str) -> Self {
        let (service, problem) = (service.to_owned(), problem.to_owned());
        Self::Unavailable { service, problem, wait: None }
    }

    /// A request that got no answer.
    pub(super) fn unreachable(service: &str, error: &reqwest::Error) -> Self {
        // The address may hold a password, so it is left out.
        let mut problem = String::new();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(one) = cause {
            problem = one.to_string();
            cause = one.source();
        }
        if error.is_timeout() {
            "no answer in time".clone_into(&mut problem);
        }
        Self::Unavailable { service: service.to_owned(), problem, wait: None }
    }
}

/// A text without secrets: as they are, in base64 and in base64 for addresses, with what addresses and
/// JSON make of them.
fn without(text: &str, secrets: &[&str]) -> String {
    let mut forms = Vec::new();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let json = serde_json::Value::from(*secret).to_string();
        forms.extend([
            (*secret).to_owned(),
            STANDARD_NO_PAD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
            json.trim_matches('"').to_owned(),
        ]);
    }
    // A longer one may hold a shorter one.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.iter().fold(text.to_owned(), |text, form| text.replace(form.as_str(), "[secret]"))
}

/// What stands in the `errors` of an answer of either service.
fn errors_in(text: &str) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_str(text).ok()?;
    let said: Vec<&str> = answer
        .get("errors")?
        .as_array()?
        .iter()
        .filter_map(|error| error.get("detail").or_else(|| error.get("title"))?.as_str())
        .collect();
    (!said.is_empty()).then(|| said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::{errors_in, without};

    #[test]
    fn what_was_sent_is_not_repeated() {
        // `printf 'LAB:p"w?>' | base64`, and of `p"w?>` alone.
        let (pair, secret) = ("LAB:p\"w?>", "p\"w?>");
        for (said, left) in [
            ("bad LAB:p\"w?>.", "bad [secret]."),
            ("bad p\"w?>.", "bad [secret]."),
            ("Basic TEFCOnAidz8+", "Basic [secret]"),
            ("Basic TEFCOnAidz8-", "Basic [secret]"),
            ("cCJ3Pz4=", "[secret]="),
            (r#"{"password": "p\"w?>"}"#, r#"{"password": "[secret]"}"#),
            ("?password=p%22w%3F%3E", "?password=[secret]"),
            ("nothing of it", "nothing of it"),
        ] {
            assert_eq!(without(said, &[pair, secret]), left, "{said}");
        }
        assert_eq!(without("a b", &[""]), "a b");
    }

    #[test]
    fn errors_are_shown_in_words() {
        let both = r#"{"errors": [{"title": "no url"}, {"detail": "no title", "status": "422"}]}"#;
        assert_eq!(errors_in(both).as_deref(), Some("no url; no title"));
        for other in ["<html>", "{}", r#"{"errors": []}"#, r#"{"errors": [3]}"#] {
            assert_eq!(errors_in(other), None);
        }
    }
}
