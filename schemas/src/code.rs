//! One table of error codes: each failure has one stable code, one HTTP status, one gRPC status and
//! one exit code, whichever door it leaves by.

use serde::{Deserialize, Serialize};

/// What went wrong, as a machine reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The call is malformed: unknown flag, bad JSON, bad SQL, unknown column.
    InvalidArgument,
    /// A name does not exist, or may not be known to exist.
    NotFound,
    /// No token, or a token that is unknown, expired or revoked.
    Unauthenticated,
    /// Policy refuses.
    PermissionDenied,
    /// A file or a record is invalid.
    InvalidData,
    /// The name, version or port is taken, or the state changed meanwhile.
    Conflict,
    /// A limit of size, memory, time or number was reached.
    ResourceExhausted,
    /// A site, store or port cannot be reached.
    Unavailable,
    /// The answer lacks a site and the query allowed that.
    Partial,
    /// The call took longer than its deadline.
    DeadlineExceeded,
    /// The caller cancelled.
    Cancelled,
    /// Bytes are gone or do not match their checksum.
    DataLoss,
    /// The plan that a ticket of a stream names cannot be made again, or the ticket is too old.
    PlanExpired,
    /// Policy no longer allows a stream that is running.
    PolicyChanged,
    /// The dataset of a running stream was withdrawn.
    Retracted,
    /// A sample of a stream cannot be given as it was asked for.
    BadSample,
    /// A state is of another stream.
    ResumeMismatch,
    /// A stream was not read for too long.
    Idle,
    /// A defect of Tarn itself.
    Internal,
}

impl ErrorCode {
    /// Every code, for tables in documentation and tests.
    pub const ALL: [Self; 19] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::InvalidData,
        Self::Conflict,
        Self::ResourceExhausted,
        Self::Unavailable,
        Self::Partial,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::DataLoss,
        Self::PlanExpired,
        Self::PolicyChanged,
        Self::Retracted,
        Self::BadSample,
        Self::ResumeMismatch,
        Self::Idle,
        Self::Internal,
    ];

    /// The stable text, as in `application/problem+json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::InvalidData => "invalid_data",
            Self::Conflict => "conflict",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Unavailable => "unavailable",
            Self::Partial => "partial",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::DataLoss => "data_loss",
            Self::PlanExpired => "plan_expired",
            Self::PolicyChanged => "policy_changed",
            Self::Retracted => "retracted",
            Self::BadSample => "bad_sample",
            Self::ResumeMismatch => "resume_mismatch",
            Self::Idle => "idle",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status of an answer that fails with this code.
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument | Self::ResumeMismatch => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied | Self::PolicyChanged => 403,
            Self::NotFound => 404,
            Self::Idle => 408,
            Self::Conflict | Self::PlanExpired => 409,
            Self::Retracted => 410,
            Self::InvalidData | Self::BadSample => 422,
            Self::ResourceExhausted => 429,
            Self::Cancelled => 499,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
            Self::Partial => 206,
            Self::DataLoss | Self::Internal => 500,
        }
    }

    /// The gRPC status number (see the gRPC specification, "Status codes").
    pub fn grpc_status(self) -> i32 {
        match self {
            Self::Partial => 0,
            Self::Cancelled => 1,
            Self::InvalidArgument | Self::InvalidData | Self::ResumeMismatch => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::Conflict
            | Self::PlanExpired
            | Self::PolicyChanged
            | Self::Retracted
            | Self::Idle => 9,
            Self::BadSample => 10,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::DataLoss => 15,
            Self::Unauthenticated => 16,
        }
    }

    /// The exit code of the command line: 1 failed, 2 usage, 3 refused by policy, 4 not found,
    /// 5 invalid data or record, 6 partial result.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::InvalidArgument | Self::ResumeMismatch => 2,
            Self::PermissionDenied
            | Self::Unauthenticated
            | Self::PolicyChanged
            | Self::Retracted => 3,
            Self::NotFound => 4,
            Self::InvalidData | Self::DataLoss | Self::BadSample => 5,
            Self::Partial => 6,
            Self::Conflict
            | Self::PlanExpired
            | Self::Idle
            | Self::ResourceExhausted
            | Self::Unavailable
            | Self::DeadlineExceeded
            | Self::Cancelled
            | Self::Internal => 1,
        }
    }
}

/// Errors that know their code. Every public error type of every crate implements it.
pub trait Coded {
    /// The code of this failure.
    fn code(&self) -> ErrorCode;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_and_keep_the_contract_of_exit_codes() {
        let texts: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert!((1..=6).contains(&code.exit_code()), "{code:?}");
            let json = serde_json::to_value(code).unwrap();
            assert_eq!(json, code.as_str());
        }
    }
}
