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

/// What a person came by who logged in at an issuer: a session, or an access token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credential {
    /// What it is known again by here; no secret.
    pub id: String,
    /// The widest thing that it may be used for, where it says so itself (`tarn:read`, …).
    pub limit: Option<Scope>,
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
        /// The login that they came by, where it was one at an issuer. Who they are does not depend on
        /// it, so tickets that were sealed for them open after a new login too.
        #[serde(skip)]
        by: Option<Credential>,
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
    /// A person or program with an API token, or one of whom nobody says how they came.
    pub fn person(name: impl Into<String>, scope: Scope) -> Self {
        Self::Person { name: name.into(), scope, by: None }
    }

    /// The same caller, whatever they came by and whatever that may do: what is counted for people and
    /// kept for them is by this.
    #[must_use]
    pub fn whoever(&self) -> Self {
        match self {
            Self::Person { name, .. } => Self::person(name.clone(), Scope::Read),
            other => other.clone(),
        }
    }

    /// The login that they came by.
    pub fn credential(&self) -> Option<&Credential> {
        match self {
            Self::Person { by, .. } => by.as_ref(),
            _ => None,
        }
    }

    /// Whether what they came by says itself that it may not be used for what needs `scope`.
    pub fn is_limited_below(&self, scope: Scope) -> bool {
        let limit = self.credential().and_then(|credential| credential.limit);
        limit.is_some_and(|limit| limit < scope)
    }

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
