//! Why a stream cannot begin, or go on, that are faults of streams alone.

use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Why a stream cannot begin or go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StreamFault {
    /// A ticket names a plan that is not made any more of its request.
    #[error(
        "the plan of this stream cannot be made again, because the table changed within its version: ask for the stream \
         anew, with `start` at your position"
    )]
    PlanExpired,
    /// A running stream is no longer allowed.
    #[error("policy ends this stream: {reason}")]
    PolicyChanged {
        /// What policy says.
        reason: String,
    },
    /// The dataset was withdrawn.
    #[error("the dataset was withdrawn: {reason}")]
    Retracted {
        /// Why, as its keeper said.
        reason: String,
    },
    /// A sample cannot be given as it was asked for.
    #[error("{problem}")]
    BadSample {
        /// Which one, what is wrong, and what to ask for instead.
        problem: String,
    },
    /// Rows of the table are gone from its store, or damaged there.
    #[error("{problem}")]
    DataLoss {
        /// Which ones, and what to do.
        problem: String,
    },
    /// A state is of another stream.
    #[error("the state is of another stream and differs in {}: {}", names(fields), told(fields))]
    ResumeMismatch {
        /// Each field that differs: its name, what it is and what it was.
        fields: Vec<(&'static str, String, String)>,
    },
}

fn names(fields: &[(&'static str, String, String)]) -> String {
    fields.iter().map(|(name, _, _)| *name).collect::<Vec<_>>().join(", ")
}

fn told(fields: &[(&'static str, String, String)]) -> String {
    let each = fields.iter().map(|(name, is, was)| format!("{name} is {is} and was {was}"));
    each.collect::<Vec<_>>().join("; ")
}

impl Coded for StreamFault {
    fn code(&self) -> ErrorCode {
        match self {
            Self::PlanExpired => ErrorCode::PlanExpired,
            Self::PolicyChanged { .. } => ErrorCode::PolicyChanged,
            Self::Retracted { .. } => ErrorCode::Retracted,
            Self::BadSample { .. } => ErrorCode::BadSample,
            Self::DataLoss { .. } => ErrorCode::DataLoss,
            Self::ResumeMismatch { .. } => ErrorCode::ResumeMismatch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_another_stream_says_in_which_fields() {
        let field = |name, is: &str, was: &str| (name, is.to_owned(), was.to_owned());
        let fields = vec![field("seed", "2", "1"), field("global_batch", "8", "4")];
        let text = StreamFault::ResumeMismatch { fields }.to_string();
        assert!(text.contains("differs in seed, global_batch: seed is 2 and was 1; "), "{text}");
    }
}
