//! Why a peer lab has no part in an answer.

use crate::error::QueryError;
use datafusion::error::DataFusionError;
use tarn_schemas::{LabName, SiteStatus};
use thiserror::Error;
use tonic::{Code, Status};

/// Longest part of a peer's own words that is repeated to the person.
const LONGEST_MESSAGE: usize = 500;

/// What kind of failure it is: decides whether a partial answer may go on without the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, or it broke.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The lab does not accept our secret, or refuses this person.
    Refused,
    /// The lab knows no such table (any more), or may not tell.
    NotFound,
    /// The lab does not accept the plan.
    Rejected,
    /// A limit of the lab was reached.
    Exhausted,
    /// The lab sent something other than what was asked for.
    Mismatch,
    /// The lab failed.
    Failed,
}

/// A failure of one peer lab. Travels through DataFusion as the [`QueryError`] it becomes.
#[derive(Debug, Clone, Error)]
#[error("lab {lab}: {problem}")]
pub(crate) struct PeerError {
    /// The lab.
    pub(crate) lab: LabName,
    /// What kind.
    pub(crate) failure: Failure,
    /// What happened, in words without secrets.
    pub(crate) problem: String,
}

impl PeerError {
    pub(crate) fn new(lab: &LabName, failure: Failure, problem: impl Into<String>) -> Self {
        Self { lab: lab.clone(), failure, problem: problem.into() }
    }

    /// What a gRPC status of a peer means.
    pub(crate) fn of_status(lab: &LabName, status: &Status) -> Self {
        let failure = match status.code() {
            // `Unknown` is what tonic makes of a transport that breaks or cannot be opened.
            Code::Unavailable | Code::Unknown | Code::Cancelled => Failure::Unreachable,
            Code::DeadlineExceeded => Failure::TimedOut,
            Code::Unauthenticated | Code::PermissionDenied => Failure::Refused,
            Code::NotFound => Failure::NotFound,
            Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented => {
                Failure::Rejected
            }
            Code::ResourceExhausted => Failure::Exhausted,
            _ => Failure::Failed,
        };
        let mut problem: String = status.message().chars().take(LONGEST_MESSAGE).collect();
        if problem.is_empty() {
            problem = status.code().description().to_owned();
        }
        if status.code() == Code::Unauthenticated {
            problem = format!(
                "it does not accept the secret of this lab ({problem}); remove the peer and accept a new invitation"
            );
        }
        Self::new(lab, failure, problem)
    }

    /// Whether a partial answer may leave the lab out.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self.failure, Failure::Unreachable | Failure::TimedOut | Failure::Refused)
    }

    /// How the lab is reported.
    pub(crate) fn site_status(&self) -> SiteStatus {
        match self.failure {
            Failure::TimedOut => SiteStatus::TimedOut,
            Failure::Refused => SiteStatus::Denied,
            _ => SiteStatus::Skipped,
        }
    }
}

impl From<PeerError> for QueryError {
    fn from(error: PeerError) -> Self {
        let text = error.to_string();
        match error.failure {
            Failure::Unreachable | Failure::TimedOut => {
                Self::SiteUnavailable { lab: error.lab.to_string(), problem: error.problem }
            }
            Failure::Refused => Self::Denied(text),
            Failure::NotFound => Self::NotFound(text),
            Failure::Rejected | Failure::Mismatch => Self::Invalid(text),
            Failure::Exhausted => Self::ResourceExhausted(text),
            Failure::Failed => Self::Internal(text),
        }
    }
}

impl From<PeerError> for DataFusionError {
    fn from(error: PeerError) -> Self {
        Self::External(Box::new(QueryError::from(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarn_schemas::code::{Coded, ErrorCode};

    #[test]
    fn a_status_keeps_its_meaning_and_names_the_lab() {
        let lab = LabName::new("ornl").unwrap();
        for (status, code) in [
            (Status::unavailable("x"), ErrorCode::Unavailable),
            (Status::deadline_exceeded("x"), ErrorCode::Unavailable),
            (Status::unauthenticated("x"), ErrorCode::PermissionDenied),
            (Status::permission_denied("x"), ErrorCode::PermissionDenied),
            (Status::not_found("x"), ErrorCode::NotFound),
            (Status::invalid_argument("x"), ErrorCode::InvalidArgument),
            (Status::resource_exhausted("x"), ErrorCode::ResourceExhausted),
            (Status::internal("x"), ErrorCode::Internal),
        ] {
            let error = QueryError::from(PeerError::of_status(&lab, &status));
            assert_eq!(error.code(), code, "{status:?}");
            assert!(error.to_string().contains("lab ornl"), "{error}");
        }
    }
}
