//! Certificate authorities that this machine trusts, beside the public ones that are built in: those of the
//! system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`, as a lab has them for its own names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Certificate, ClientBuilder};
use std::sync::OnceLock;

/// A certificate in DER.
type Der = Vec<u8>;

fn known() -> &'static [Der] {
    static KNOWN: OnceLock<Vec<Der>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!(%error, "an authority of this machine cannot be read, and is not trusted");
        }
        found.certs.iter().map(|certificate| certificate.as_ref().to_vec()).collect()
    })
}

/// All of them in PEM; empty if there are none.
pub fn pem() -> String {
    let text = |der: &Der| {
        let body = STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    };
    known().iter().map(text).collect()
}

/// An HTTP client that trusts them, too.
pub(crate) fn trusted(builder: ClientBuilder) -> ClientBuilder {
    // What is no certificate is passed over: others may still do.
    let certificates = known().iter().filter_map(|der| Certificate::from_der(der).ok());
    certificates.fold(builder, ClientBuilder::add_root_certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_trusted_is_pem_that_is_read_back() {
        let count = known().len();
        assert_eq!(Certificate::from_pem_bundle(pem().as_bytes()).unwrap().len(), count);
        assert!(trusted(reqwest::Client::builder()).build().is_ok());
    }
}
