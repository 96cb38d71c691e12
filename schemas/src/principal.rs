//! Who is asking.

use crate::name::LabName;
use serde::{Deserialize, Serialize};

/// What a token may do. A wider scope contains the narrower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Search, SQL and streams over what the person may read.
    Read,
    /// Register records and ingest files as well.
    Write,
    /// Tokens, peers and everything else.
    Admin,
}

/// Someone, or something, that asks. Decisions take nothing else about the caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Principal {
    /// The owner of a home working on it directly, on the machine that holds it.
    Owner,
    /// A request without a token.
    Anonymous,
    /// A person or program with a token of this lab.
    Person {
        /// Name under which the token was made.
        name: String,
        /// The widest thing the token may do.
        scope: Scope,
    },
    /// A person of a peer lab. The peer vouches for who it is; this lab decides what it may read.
    Visitor {
        /// The lab that asks for them.
        lab: LabName,
        /// Their name there; `None` if they are not signed in there.
        name: Option<String>,
    },
}

impl Principal {
    /// Whether somebody stands behind this principal that a lab has signed in.
    pub fn is_signed_in(&self) -> bool {
        match self {
            Self::Owner | Self::Person { .. } => true,
            Self::Anonymous => false,
            Self::Visitor { name, .. } => name.is_some(),
        }
    }

    /// Whether this principal may do what needs `scope` at this lab.
    pub fn has_scope(&self, scope: Scope) -> bool {
        match self {
            Self::Owner => true,
            Self::Person { scope: own, .. } => *own >= scope,
            Self::Anonymous | Self::Visitor { .. } => scope == Scope::Read,
        }
    }

    /// A short text for logs and audit entries.
    pub fn label(&self) -> String {
        match self {
            Self::Owner => "owner".to_owned(),
            Self::Anonymous => "anonymous".to_owned(),
            Self::Person { name, .. } => name.clone(),
            Self::Visitor { lab, name } => {
                format!("{}@{lab}", name.as_deref().unwrap_or("anonymous"))
            }
        }
    }
}
