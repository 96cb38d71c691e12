//! One entry.

use super::hexadecimal;
use super::merkle::{self, Hash};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was done or asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The catalog was made.
    Create,
    /// Something was asked for that may not be known of, or is shown in part.
    Discover,
    /// A record that is not for everyone was shown.
    Describe,
    /// Data were asked for: rows, a stream, the bytes of a file.
    Read,
    /// A record was registered.
    Register,
    /// A record was submitted, to be looked at by a second person.
    Submit,
    /// A submitted record was given back.
    Return,
    /// Tables joined a dataset or took the place of others.
    PutTables,
    /// A table that a query made was taken away.
    DropTable,
    /// A view was made.
    CreateView,
    /// A view was taken away.
    DropView,
    /// A dataset was withdrawn.
    Withdraw,
    /// Access was asked for.
    RequestAccess,
    /// A request was granted.
    ApproveAccess,
    /// A request was refused.
    DenyAccess,
    /// A grant was ended.
    RevokeAccess,
    /// What is known of a person changed.
    ChangePerson,
    /// What is known of a person was forgotten.
    RemovePerson,
    /// A token was made.
    CreateToken,
    /// A token was ended.
    RevokeToken,
    /// A peer was invited.
    InvitePeer,
    /// A peer joined or changed.
    ChangePeer,
    /// A peer was removed.
    RemovePeer,
    /// What records of the lab may leave out changed.
    ChangeDefaults,
    /// A submitted record was thrown away.
    DeleteDraft,
    /// A DOI was asked for.
    RequestDoi,
    /// A DOI was registered.
    RegisterDoi,
    /// The catalog was written to a file, with the secrets of peers.
    Backup,
    /// Somebody logged in at an issuer, or an issuer said something else of them than before.
    Login,
    /// Somebody logged out.
    Logout,
    /// A one-time token for an administrator was made.
    InviteAdministrator,
    /// Somebody asked to become an administrator.
    ClaimAdministrator,
    /// Somebody was given visas of their grants.
    IssueVisas,
    /// A query was kept under a citable identifier.
    SaveQuery,
    /// A query that was kept was deleted.
    DeleteQuery,
    /// Numbers with noise were made of a table, which costs a part of its privacy budget.
    ReleaseNumbers,
    /// The key that tickets are sealed with was replaced.
    ReplaceSealKey,
}

impl Act {
    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Discover => "discover",
            Self::Describe => "describe",
            Self::Read => "read",
            Self::Register => "register",
            Self::Submit => "submit",
            Self::Return => "return",
            Self::PutTables => "put-tables",
            Self::DropTable => "drop-table",
            Self::CreateView => "create-view",
            Self::DropView => "drop-view",
            Self::Withdraw => "withdraw",
            Self::RequestAccess => "request-access",
            Self::ApproveAccess => "approve-access",
            Self::DenyAccess => "deny-access",
            Self::RevokeAccess => "revoke-access",
            Self::ChangePerson => "change-person",
            Self::RemovePerson => "remove-person",
            Self::CreateToken => "create-token",
            Self::RevokeToken => "revoke-token",
            Self::InvitePeer => "invite-peer",
            Self::ChangePeer => "change-peer",
            Self::RemovePeer => "remove-peer",
            Self::ChangeDefaults => "change-defaults",
            Self::DeleteDraft => "delete-draft",
            Self::RequestDoi => "request-doi",
            Self::RegisterDoi => "register-doi",
            Self::Backup => "backup",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::InviteAdministrator => "invite-administrator",
            Self::ClaimAdministrator => "claim-administrator",
            Self::IssueVisas => "issue-visas",
            Self::SaveQuery => "save-query",
            Self::DeleteQuery => "delete-query",
            Self::ReleaseNumbers => "release-numbers",
            Self::ReplaceSealKey => "replace-seal-key",
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done, or may be done.
    Allowed,
    /// It was refused.
    Refused,
}

impl Outcome {
    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
        }
    }
}

/// One entry as it is stored: the fields in the order of their names, as RFC 8785 has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// What.
    pub act: Act,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// On what, `lab.name@version` or `lab.name`, where it was about a dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// What else is to be known of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// What became of it.
    pub outcome: Outcome,
    /// By whom: `owner`, `person:ann`, `visitor:anl:bob`, `anonymous`.
    pub person: String,
    /// Hash of the entry before, in hexadecimal; that of the empty tree for the first.
    pub previous: String,
    /// 128 random bits in hexadecimal: the hashes that proofs hold say nothing of what they are of.
    pub salt: String,
    /// Number of the entry, from 0 without gaps.
    pub sequence: u64,
}

impl AuditEntry {
    /// The canonical text: no spaces, fields by name, texts with the escapes of RFC 8785.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The dataset without its version.
    pub(super) fn about(&self) -> Option<&str> {
        let name = self.dataset.as_deref()?;
        Some(name.split_once('@').map_or(name, |(name, _)| name))
    }
}

/// The hash of an entry's text.
pub(crate) fn hash(text: &str) -> Hash {
    merkle::leaf(text.as_bytes())
}

/// What is to be said of an act, before it has its place in the log.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    act: Act,
    person: String,
    dataset: Option<String>,
    outcome: Outcome,
    details: BTreeMap<String, String>,
}

impl Said {
    pub(crate) fn new(act: Act, person: impl Into<String>) -> Self {
        Self {
            act,
            person: person.into(),
            dataset: None,
            outcome: Outcome::Allowed,
            details: BTreeMap::new(),
        }
    }

    pub(crate) fn on(mut self, dataset: impl Into<String>) -> Self {
        self.dataset = Some(dataset.into());
        self
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn refused(mut self) -> Self {
        self.outcome = Outcome::Refused;
        self
    }

    /// The entry at its place.
    pub(super) fn entry(self, sequence: u64, at: String, previous: &Hash) -> AuditEntry {
        let Self { act, person, dataset, outcome, details } = self;
        AuditEntry {
            act,
            at,
            dataset,
            details,
            outcome,
            person,
            previous: hexadecimal(previous),
            salt: uuid::Uuid::new_v4().simple().to_string(),
            sequence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8785: members by the order of their names, the shortest escapes, no spaces.
    #[test]
    fn an_entry_is_canonical_json() {
        let said = Said::new(Act::Read, "person:ann")
            .on("ornl.sst@2")
            .with("why", "a\"\\\n\u{1}é/<>")
            .with("door", "sql")
            .refused();
        let mut entry = said.entry(7, "2026-11-22T00:00:00Z".to_owned(), &[0xab; 32]);
        assert_eq!(entry.salt.len(), 32);
        entry.salt = "cd".repeat(16);
        let text = entry.text().unwrap();
        let expected = format!(
            "{{\"act\":\"read\",\"at\":\"2026-11-22T00:00:00Z\",\"dataset\":\"ornl.sst@2\",\
             \"details\":{{\"door\":\"sql\",\"why\":\"a\\\"\\\\\\n\\u0001é/<>\"}},\
             \"outcome\":\"refused\",\"person\":\"person:ann\",\"previous\":\"{}\",\
             \"salt\":\"{}\",\"sequence\":7}}",
            "ab".repeat(32),
            "cd".repeat(16)
        );
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<AuditEntry>(&text).unwrap(), entry);
        assert_eq!(entry.about(), Some("ornl.sst"));
        let put = serde_json::to_value(Act::PutTables).unwrap();
        assert_eq!(put, Act::PutTables.name());
    }
}
