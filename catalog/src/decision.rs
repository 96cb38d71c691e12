//! One decision for everything.

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Know that it exists, see its record.
    Discover,
    /// Read its data: SQL, streams, previews, files.
    Read,
    /// Change its record or its data.
    Write,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No, with a reason that may be shown to the caller.
    Deny {
        /// Why, and what to do.
        reason: String,
    },
}
