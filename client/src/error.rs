//! What goes wrong between a client and a node.

use arrow::error::ArrowError;
use tarn_schemas::ErrorCode;
use tarn_schemas::code::Coded;
use thiserror::Error;
use tonic::{Code, Status};

/// Why a node was not asked, or what it answered.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The address is none.
    #[error(
        "{address:?} is no Flight address: {problem}; write grpc://HOST:PORT, or grpc+tls://HOST:PORT"
    )]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A field of the request does not fit.
    #[error("the stream is not asked for: {0}")]
    Request(String),
    /// The node cannot be reached, or went away.
    #[error("{address}: {problem}")]
    Unreachable {
        /// Of the node.
        address: String,
        /// What the network said.
        problem: String,
    },
    /// The node refused.
    #[error("{message}")]
    Refused {
        /// Its code.
        code: ErrorCode,
        /// Its words, without the code in brackets.
        message: String,
    },
    /// What came is no stream of Tarn's.
    #[error("{address} sent what is no stream of Tarn: {problem}")]
    Malformed {
        /// Of the node.
        address: String,
        /// What is wrong.
        problem: String,
    },
    /// The stream is another one than it was.
    #[error(
        "the stream is no longer the one that was begun ({was} then, {is} now): its files, policy or versions differ; \
         begin a new one"
    )]
    PlanChanged {
        /// Plan that was begun.
        was: String,
        /// Plan that the node gives now.
        is: String,
    },
}

impl ClientError {
    /// What a node's status means.
    pub(crate) fn of(address: &str, status: &Status) -> Self {
        let (words, code) = match status.message().rsplit_once(" [") {
            Some((words, code)) => (words, code.strip_suffix(']')),
            None => (status.message(), None),
        };
        let told = ErrorCode::ALL.into_iter().find(|known| Some(known.as_str()) == code);
        match (told, status.code()) {
            (Some(code), _) => Self::Refused { code, message: words.to_owned() },
            // Not a word of a node of Tarn: of the connection, or of what stands between.
            (None, Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled) => {
                let mut problem = status.message().to_owned();
                let mut cause = std::error::Error::source(status);
                while let Some(next) = cause {
                    problem = next.to_string();
                    cause = next.source();
                }
                Self::Unreachable { address: address.to_owned(), problem }
            }
            (None, code) => Self::Refused {
                code: code_of(code),
                message: format!("{address}: {}", status.message()),
            },
        }
    }

    pub(crate) fn malformed(address: &str, problem: impl ToString) -> Self {
        Self::Malformed { address: address.to_owned(), problem: problem.to_string() }
    }

    pub(crate) fn unreadable(address: &str, error: &ArrowError) -> Self {
        Self::malformed(address, error)
    }

    /// Whether the same may succeed later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { code, .. } => {
                matches!(code, ErrorCode::Unavailable | ErrorCode::ResourceExhausted)
            }
            _ => false,
        }
    }
}

/// The code of a status that names none of its own.
fn code_of(code: Code) -> ErrorCode {
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => {
            ErrorCode::InvalidArgument
        }
        Code::NotFound => ErrorCode::NotFound,
        Code::Unauthenticated => ErrorCode::Unauthenticated,
        Code::PermissionDenied => ErrorCode::PermissionDenied,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => ErrorCode::Conflict,
        Code::ResourceExhausted => ErrorCode::ResourceExhausted,
        Code::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        Code::DataLoss => ErrorCode::DataLoss,
        _ => ErrorCode::Unavailable,
    }
}

impl Coded for ClientError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Address { .. } | Self::Request(_) => ErrorCode::InvalidArgument,
            Self::Unreachable { .. } => ErrorCode::Unavailable,
            Self::Refused { code, .. } => *code,
            Self::Malformed { .. } => ErrorCode::InvalidData,
            Self::PlanChanged { .. } => ErrorCode::Conflict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_a_node_keeps_its_code_and_one_of_the_network_may_pass() {
        let status = Status::new(Code::FailedPrecondition, "the plan has expired [conflict]");
        let error = ClientError::of("grpc://a", &status);
        assert!(!error.passes() && error.code() == ErrorCode::Conflict);
        assert_eq!(error.to_string(), "the plan has expired");
        let gone = ClientError::of("grpc://a", &Status::new(Code::Unavailable, "broken pipe"));
        assert!(gone.passes() && gone.to_string() == "grpc://a: broken pipe");
        let foreign = ClientError::of("grpc://a", &Status::new(Code::Unimplemented, "what?"));
        assert!(!foreign.passes() && foreign.code() == ErrorCode::InvalidArgument);
    }
}
