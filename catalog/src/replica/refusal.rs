//! Why what a peer says of its records is refused. Whatever is refused changes nothing.

use tarn_schemas::LabName;
use thiserror::Error;

/// Why what a peer says of its records is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FeedRefusal {
    /// The labs became peers before labs had keys.
    #[error(
        "no key of lab {lab} is known, so nothing that it says of its records can be checked; become peers anew: \
         `tarn peer remove {lab}`, then invite or accept"
    )]
    NoKey {
        /// The peer.
        lab: LabName,
    },
    /// It was not signed with the key of the invitation.
    #[error(
        "the signature is not that of the key that lab {lab} gave with its invitation; ask its operator whether the \
         key was changed (audit.key in its home), and become peers anew if so"
    )]
    Signature {
        /// The peer.
        lab: LabName,
    },
    /// It is of another lab, or for another.
    #[error("it was said by lab {lab} to lab {to}, neither of which was asked or asks here")]
    Foreign {
        /// Who says it.
        lab: LabName,
        /// To whom.
        to: LabName,
    },
    /// It is the answer to another question.
    #[error(
        "it is no answer to what lab {lab} was asked: an older answer was sent again, or answers were mixed up"
    )]
    Replayed {
        /// The peer.
        lab: LabName,
    },
    /// The clocks differ.
    #[error(
        "the clock of lab {lab} is {apart} s from the one here, and {most} s are allowed; set the wrong one of them \
         (NTP)"
    )]
    Clock {
        /// The peer.
        lab: LabName,
        /// Seconds that it is ahead.
        apart: i64,
        /// Seconds that are allowed.
        most: i64,
    },
    /// It does not begin where this lab stands.
    #[error(
        "events are missing: it begins behind {found}, and this lab has read up to {expected}; it is asked for again"
    )]
    Gap {
        /// Where this lab stands.
        expected: u64,
        /// Where the page begins.
        found: u64,
    },
    /// Events are not in their order.
    #[error("event {sequence} stands where it may not: {problem}")]
    Order {
        /// Its place.
        sequence: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// Something is larger than is taken.
    #[error("its {what} has {bytes} bytes, and {most} are taken")]
    Oversized {
        /// What.
        what: String,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// The content of an event is not what the event says.
    #[error("event {sequence} does not hold what it says: {problem}")]
    Content {
        /// Its place.
        sequence: u64,
        /// What is wrong.
        problem: String,
    },
    /// It cannot be read.
    #[error("what lab {lab} says cannot be read: {problem}; does it run a much newer Tarn?")]
    Unreadable {
        /// The peer.
        lab: LabName,
        /// What is wrong.
        problem: String,
    },
}
