//! Answers of registrars: short, and read with care.

use super::RegistrarError;
use reqwest::Response;
use serde_json::Value;

/// Longest answer.
const LONGEST: usize = 1 << 20;

/// The body of an answer, which is not longer than a mebibyte.
pub(super) async fn body(service: &str, mut answer: Response) -> Result<Vec<u8>, RegistrarError> {
    let mut body = Vec::new();
    let failed = |error: reqwest::Error| RegistrarError::unreachable(service, &error);
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > LONGEST {
            return Err(RegistrarError::unreadable(service, "its answer is longer than 1 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The same as JSON.
pub(super) async fn json(service: &str, answer: Response) -> Result<Value, RegistrarError> {
    let body = body(service, answer).await?;
    serde_json::from_slice(&body)
        .map_err(|_| RegistrarError::unreadable(service, "its answer is no JSON"))
}

/// A DOI as it may stand in pages, headers and addresses: `10.`, a number that may have parts, a slash,
/// and what names of Unix files and of the web have. Registrars give out no others.
pub(super) fn is_doi(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._;()/:".contains(c);
    text.len() <= 255
        && text.split_once('/').is_some_and(|(prefix, suffix)| {
            super::config::is_prefix(prefix) && !suffix.is_empty() && suffix.chars().all(plain)
        })
}

#[cfg(test)]
mod tests {
    use super::is_doi;

    #[test]
    fn a_doi_holds_nothing_that_others_read_as_markup() {
        for good in ["10.5072/8x1k", "10.11578/3000000", "10.1000.10/a(b);c:d_e-f.g/h"] {
            assert!(is_doi(good), "{good}");
        }
        let long = format!("10.5072/{}", "x".repeat(250));
        for bad in [
            "10.5072",
            "10.5072/",
            "10.1/x",
            "11.5072/x",
            "10.5072/x>; rel=\"evil\"",
            "10.5072/<script>",
            "10.5072/a b",
            "10.5072/a?b#c",
            "10.5072/\u{1b}[2J",
            &long,
        ] {
            assert!(!is_doi(bad), "{bad}");
        }
    }
}
