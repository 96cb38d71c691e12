//! Why a login or a token is refused.

use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Why a login or a token is refused. No text repeats what is in a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OidcError {
    /// The configuration of an issuer.
    #[error("issuers: `{key}` of {issuer:?} {problem}")]
    Config {
        /// Name of the issuer, as configured.
        issuer: String,
        /// The key.
        key: &'static str,
        /// What is wrong and what to write.
        problem: String,
    },
    /// This is no signed token.
    #[error("it is neither a token of this lab nor a signed token of an issuer ({0})")]
    Malformed(&'static str),
    /// Its algorithm is not accepted.
    #[error(
        "its signing algorithm is not accepted: the issuer has to sign with RS256, RS384, RS512, \
         PS256, PS384, PS512, ES256, ES384 or EdDSA"
    )]
    Algorithm,
    /// Nobody here knows its issuer.
    #[error("its issuer is not one that this lab accepts; log in with `tarn login`")]
    UnknownIssuer,
    /// A name that no issuer has.
    #[error("no issuer is called {0:?} here; `GET /api/v1/login` lists them")]
    NoIssuer(String),
    /// None of the issuer's keys signed it.
    #[error("the issuer publishes no key that it is signed with; log in again")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong: it was changed, or signed by somebody else")]
    Signature,
    /// It is for somebody else.
    #[error("it was made for another audience; ask the issuer for one whose `aud` is {expected}")]
    Audience {
        /// What is accepted.
        expected: String,
    },
    /// It is over.
    #[error("it has expired; log in again")]
    Expired,
    /// It would count for years.
    #[error("it is good for more than a year; the issuer has to set an earlier `exp`")]
    TooLong,
    /// It is not valid yet.
    #[error(
        "it is not valid yet: compare the clocks of this machine and the issuer, which may differ \
         by a minute at most"
    )]
    NotYet,
    /// A claim is missing or has another form.
    #[error("its claim `{0}` is missing or of the wrong form; the issuer has to set it")]
    Claim(&'static str),
    /// It was used before.
    #[error("it was used before, and a login counts once; log in again")]
    Replayed,
    /// The lab locked its person out after it was issued.
    #[error(
        "its person was locked out here after it was issued; log in again, not before two minutes \
         after that, or ask the lab"
    )]
    LockedOut,
    /// The answer does not belong to a login that began here.
    #[error("this login {0}; begin again at /login")]
    State(&'static str),
    /// The issuer does not answer.
    #[error("the issuer {issuer} cannot be asked ({problem}); try again, or tell the operator")]
    Unreachable {
        /// Its URL.
        issuer: String,
        /// What happened.
        problem: String,
    },
    /// The issuer refuses.
    #[error("the issuer refuses the login: {0}")]
    Refused(String),
    /// The person took too long.
    #[error("the code has expired before it was confirmed; run `tarn login` again")]
    TooLate,
    /// The node refuses.
    #[error("{problem}")]
    Node {
        /// What kind of refusal.
        code: ErrorCode,
        /// What the node said.
        problem: String,
    },
}

impl OidcError {
    /// An answer that cannot be read. What is in it is not repeated: it may be a token.
    pub(super) fn unreadable(issuer: &str) -> Self {
        Self::unreachable(issuer, "its answer cannot be read")
    }

    /// The issuer does not answer, or not as it should.
    pub(super) fn unreachable(issuer: &str, problem: impl std::fmt::Display) -> Self {
        Self::Unreachable { issuer: issuer.to_owned(), problem: problem.to_string() }
    }
}

impl Coded for OidcError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Config { .. } => ErrorCode::InvalidArgument,
            Self::NoIssuer(_) => ErrorCode::NotFound,
            Self::Unreachable { .. } => ErrorCode::Unavailable,
            Self::TooLate => ErrorCode::DeadlineExceeded,
            Self::Node { code, .. } => *code,
            Self::Malformed(_)
            | Self::Algorithm
            | Self::UnknownIssuer
            | Self::UnknownKey
            | Self::Signature
            | Self::Audience { .. }
            | Self::Expired
            | Self::TooLong
            | Self::NotYet
            | Self::Claim(_)
            | Self::Replayed
            | Self::LockedOut
            | Self::State(_)
            | Self::Refused(_) => ErrorCode::Unauthenticated,
        }
    }
}
