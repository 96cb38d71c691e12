//! Logins at OpenID providers: which issuers a lab accepts, and what their tokens say.
//!
//! | piece | does |
//! |---|---|
//! | [`IssuerConfig`] | what an operator says of an issuer |
//! | `jws`, `keys` | signatures, by the keys that the issuer publishes |
//! | `claims`, `kind` | who it is for, from whom and when; whether it is what it is shown as |
//! | `assertion` | what of it the lab makes use of |
//! | `visa` | GA4GH visas within a login |
//! | `provider` | the issuer over HTTP: its metadata and its keys, kept for a while |
//! | [`code`] | login in a browser: authorisation code with PKCE |
//! | [`device`] | login in a terminal: device code |
//! | [`node`] | the login of a node, as its clients see it |
//!
//! Tokens are checked against what was configured alone: the keys are those of the configured issuer,
//! whatever `jku`, `x5u` or `jwk` a token names, and only asymmetric algorithms are known here.

mod assertion;
mod claims;
pub mod code;
mod config;
pub mod device;
mod error;
mod issuers;
mod jws;
mod keys;
mod kind;
pub mod node;
mod provider;
#[cfg(test)]
mod tests;
mod transport;
mod visa;

pub use assertion::{Assertion, mail, orcid, subject_name};
pub use code::{Flow, Pkce, Tokens};
pub use config::{ClaimNames, IssuerConfig, VisaIssuerConfig};
pub use error::OidcError;
pub use issuers::{Issuer, Issuers, fingerprint_of};
pub use visa::VisaGrants;

/// How far the clocks of a lab and an issuer may differ, in seconds.
pub const SKEW: i64 = 60;
