//! Settings of the registrar.

use super::{DataCite, Osti, Registrar, RegistrarError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use url::Url;

/// Who registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// DataCite's REST API.
    Datacite,
    /// OSTI's E-Link 2.
    Osti,
}

/// `[doi]` of `tarn.toml`. The secret is not in it: a password of DataCite's repository account, or a
/// token of E-Link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrarConfig {
    /// Who registers.
    pub service: Service,
    /// Where, such as `https://api.datacite.org` or `https://www.osti.gov/elink2api`.
    pub url: String,
    /// DataCite: the prefix of the lab's DOIs, such as `10.5072`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// DataCite: the repository's account, such as `ORNL.DATA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl RegistrarConfig {
    /// The registrar of this configuration.
    ///
    /// # Errors
    /// [`RegistrarError::Config`] for what is missing or cannot be read.
    pub fn registrar(&self, secret: String) -> Result<Arc<dyn Registrar>, RegistrarError> {
        let wrong = |problem: &str| RegistrarError::Config { problem: problem.to_owned() };
        let url = Url::parse(self.url.trim_end_matches('/'))
            .ok()
            .filter(|url| url.host().is_some() && ["http", "https"].contains(&url.scheme()))
            .ok_or_else(|| wrong("`url` is an address such as https://api.datacite.org"))?;
        let local = ["localhost", "127.0.0.1", "[::1]"].contains(&url.host_str().unwrap_or(""));
        if url.scheme() == "http" && !local {
            return Err(wrong("`url` has to begin with https://: the secret is sent to it"));
        }
        if secret.is_empty() {
            return Err(wrong("the secret is empty; set TARN_DOI_SECRET"));
        }
        match self.service {
            Service::Osti => Ok(Arc::new(Osti::new(url, secret)?)),
            Service::Datacite => {
                let prefix = self.prefix.clone().filter(|prefix| is_prefix(prefix));
                let prefix = prefix
                    .ok_or_else(|| wrong("`prefix` is that of the lab's DOIs, such as 10.5072"))?;
                let user = self.user.clone().filter(|user| !user.is_empty());
                let user =
                    user.ok_or_else(|| wrong("`user` is the repository's account, ORNL.DATA"))?;
                Ok(Arc::new(DataCite::new(url, prefix, user, secret)?))
            }
        }
    }
}

/// `10.` and a number of four digits or more, which may have parts.
pub(super) fn is_prefix(text: &str) -> bool {
    text.strip_prefix("10.").is_some_and(|rest| {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        rest.len() >= 4 && rest.split('.').all(digits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named() {
        let good = RegistrarConfig {
            service: Service::Datacite,
            url: "https://api.test.datacite.org/".to_owned(),
            prefix: Some("10.5072".to_owned()),
            user: Some("ORNL.DATA".to_owned()),
        };
        let registrar = good.registrar("secret".to_owned()).unwrap();
        assert_eq!(registrar.doi_for("8x1k").as_deref(), Some("10.5072/8x1k"));
        for (config, secret, word) in [
            (RegistrarConfig { url: "api.datacite.org".to_owned(), ..good.clone() }, "s", "url"),
            (RegistrarConfig { url: "http://a.org".to_owned(), ..good.clone() }, "s", "https"),
            (RegistrarConfig { prefix: None, ..good.clone() }, "s", "prefix"),
            (RegistrarConfig { prefix: Some("10.x".to_owned()), ..good.clone() }, "s", "prefix"),
            (RegistrarConfig { user: None, ..good.clone() }, "s", "user"),
            (good.clone(), "", "TARN_DOI_SECRET"),
        ] {
            let error = config.registrar(secret.to_owned()).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let osti = RegistrarConfig { service: Service::Osti, prefix: None, user: None, ..good };
        assert_eq!(osti.registrar("token".to_owned()).unwrap().doi_for("8x1k"), None);
    }
}
