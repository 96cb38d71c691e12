//! Where a node is.

use crate::ClientError;
use std::fmt::{Display, Formatter};
use url::Url;

/// The Flight address of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    tls: bool,
}

/// Port of a node that names none.
const PORT: u16 = 8815;

impl Address {
    /// Reads `grpc://HOST:PORT`, or `grpc+tls://HOST:PORT`.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let wrong = |problem: String| ClientError::Address { address: text.to_owned(), problem };
        let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        let tls = match url.scheme() {
            "grpc" | "grpc+tcp" => false,
            "grpc+tls" => true,
            other => return Err(wrong(format!("{other} is no scheme of Flight"))),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || !url.username().is_empty() {
            return Err(wrong("there is more than a host and a port".to_owned()));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("there is no host".to_owned()))?.to_owned();
        Ok(Self { host, port: url.port().unwrap_or(PORT), tls })
    }

    /// Whether the connection is secret.
    pub fn is_secret(&self) -> bool {
        self.tls
    }

    /// The host, without the brackets of an address of IPv6.
    pub(crate) fn host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address for HTTP/2.
    pub(crate) fn http(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "grpc{}://{}:{}", if self.tls { "+tls" } else { "" }, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_flight_are_read_and_others_refused() {
        let plain = Address::parse("grpc://127.0.0.1:99").unwrap();
        assert_eq!((plain.host(), plain.port(), plain.is_secret()), ("127.0.0.1", 99, false));
        let secret = Address::parse("grpc+tls://[::1]").unwrap();
        assert_eq!((secret.host(), secret.http().as_str()), ("::1", "https://[::1]:8815"));
        assert_eq!(secret.to_string(), "grpc+tls://[::1]:8815");
        for wrong in ["http://a:1", "grpc://", "grpc://a/b", "grpc://me@a", "a", "grpc://a:b"] {
            assert!(matches!(Address::parse(wrong), Err(ClientError::Address { .. })), "{wrong}");
        }
    }
}
