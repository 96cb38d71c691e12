//! What labs say to each other about their records: texts that are signed, for one peer, as the answer to one
//! question, at one moment.
//!
//! The key is that of the audit log; peers keep its public part from the invitation. A signature covers the whole
//! text: every event in its place, the sequence before and behind them, and the number that the asking lab thought
//! of, so that no answer can be sent again as that to another question.

use crate::audit::is_signed;
use crate::model::Peer;
use crate::register::timestamp;
use crate::replica::FeedRefusal;
use crate::{Catalog, CatalogError};
use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tarn_schemas::{DatasetName, LabName};

/// Version of the statements.
pub(crate) const VERSION: u32 = 1;
/// What is put before a text that is signed: no signature of another kind of text fits.
const PURPOSE: &str = "tarn-feed-1\n";
/// How far apart the clocks of two labs may be, and how old a statement.
const CLOCKS: TimeDelta = TimeDelta::minutes(5);
/// Largest statement in bytes.
pub(crate) const LARGEST_STATEMENT: usize = 32 << 20;

/// A text and its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The statement as JSON.
    pub text: String,
    /// Ed25519 over a line that names the purpose and the text, 128 hexadecimal digits.
    pub signature: String,
}

/// What every statement says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Statement<T> {
    /// Version of the statements.
    pub(crate) version: u32,
    /// `page`, `tree` or `records`.
    pub(crate) what: String,
    /// Who says it.
    pub(crate) lab: LabName,
    /// To whom.
    pub(crate) to: LabName,
    /// The number that the asking lab thought of.
    pub(crate) nonce: String,
    /// When, RFC 3339 in UTC.
    pub(crate) at: String,
    /// Which feed this is: another one begins anew, as after a restored backup.
    pub(crate) feed: String,
    /// The last event that there is.
    pub(crate) last: u64,
    /// What it says.
    pub(crate) body: T,
}

/// What happened to a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// It is there, as told.
    Upsert,
    /// It was withdrawn: its page stays, and no search finds it.
    Retraction,
    /// The peer may know of it no more.
    Tombstone,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Retraction => "retraction",
            Self::Tombstone => "tombstone",
        }
    }

    pub(crate) fn of(text: &str) -> Option<Self> {
        [Self::Upsert, Self::Retraction, Self::Tombstone]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Its place.
    pub(crate) sequence: u64,
    /// What happened.
    pub(crate) kind: Kind,
    /// To which dataset.
    pub(crate) name: DatasetName,
    /// BLAKE3 of the content, in hexadecimal; empty for a tombstone.
    pub(crate) hash: String,
    /// The dataset as JSON; empty for a tombstone.
    pub(crate) content: String,
}

/// How far somebody has read a feed. What is taken back is ahead of what is told, so each has a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// The last upsert.
    pub upserts: u64,
    /// The last retraction or tombstone.
    pub retractions: u64,
}

/// Asks for what comes behind a place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PageRequest {
    /// A number that is thought of for this question.
    pub nonce: String,
    /// What is known already.
    pub after: Position,
}

/// A page of a feed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Page {
    /// Where it begins.
    pub(crate) after: Position,
    /// Where it ends.
    pub(crate) through: Position,
    /// Whether there is nothing behind it.
    pub(crate) complete: bool,
    /// For how long the records may be shown as they are while this lab is silent.
    pub(crate) grace_seconds: u64,
    /// Retractions and tombstones, then upserts, each in their order.
    pub(crate) events: Vec<Event>,
}

/// Asks for some records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordsRequest {
    /// A number that is thought of for this question.
    pub nonce: String,
    /// Which.
    pub names: Vec<DatasetName>,
}

/// BLAKE3 of a content, as events name it.
pub(crate) fn hash_of_content(content: &str) -> String {
    blake3::hash(content.as_bytes()).to_hex().to_string()
}

fn signed_bytes(text: &str) -> Vec<u8> {
    [PURPOSE.as_bytes(), text.as_bytes()].concat()
}

impl Catalog {
    /// The public key that this lab signs with, 64 hexadecimal digits.
    pub fn public_key(&self) -> Result<String, CatalogError> {
        self.audit_key()
    }

    /// Signs a statement.
    pub(crate) fn state<T: Serialize>(
        &self,
        (what, to, nonce): (&str, &LabName, &str),
        (feed, last): (String, u64),
        body: T,
    ) -> Result<Signed, CatalogError> {
        let statement = Statement {
            version: VERSION,
            what: what.to_owned(),
            lab: self.lab().clone(),
            to: to.clone(),
            nonce: nonce.to_owned(),
            at: timestamp(Utc::now()),
            feed,
            last,
            body,
        };
        let text = serde_json::to_string(&statement)
            .map_err(|error| self.inner.database.unreadable("what a peer is told", &error))?;
        let signature = self.inner.signer.sign(&signed_bytes(&text))?;
        Ok(Signed { text, signature })
    }
}

/// Reads a statement of a peer: it was signed by the peer's key, for this lab, now, as the answer to this question.
pub(crate) fn read<T: DeserializeOwned>(
    signed: &Signed,
    peer: &Peer,
    (what, to, nonce): (&str, &LabName, &str),
    now: DateTime<Utc>,
) -> Result<Statement<T>, FeedRefusal> {
    let Some(key) = &peer.key else { return Err(FeedRefusal::NoKey { lab: peer.lab.clone() }) };
    if signed.text.len() > LARGEST_STATEMENT {
        return Err(FeedRefusal::Oversized {
            what: "answer".to_owned(),
            bytes: signed.text.len(),
            most: LARGEST_STATEMENT,
        });
    }
    if !is_signed(key, &signed.signature, &signed_bytes(&signed.text)) {
        return Err(FeedRefusal::Signature { lab: peer.lab.clone() });
    }
    let unreadable = |problem: String| FeedRefusal::Unreadable { lab: peer.lab.clone(), problem };
    // The frame first: what another version says may have another form.
    let frame: Statement<serde::de::IgnoredAny> =
        serde_json::from_str(&signed.text).map_err(|error| unreadable(error.to_string()))?;
    if frame.version != VERSION {
        return Err(unreadable(format!(
            "it speaks version {} of the feed, this node version {VERSION}",
            frame.version
        )));
    }
    if frame.lab != peer.lab || frame.to != *to {
        return Err(FeedRefusal::Foreign { lab: frame.lab, to: frame.to });
    }
    if frame.what != what || frame.nonce != nonce {
        return Err(FeedRefusal::Replayed { lab: peer.lab.clone() });
    }
    let at: DateTime<Utc> =
        frame.at.parse().map_err(|_| unreadable(format!("{:?} is no moment", frame.at)))?;
    if (now - at).abs() > CLOCKS {
        let (apart, lab) = ((at - now).num_seconds(), peer.lab.clone());
        return Err(FeedRefusal::Clock { lab, apart, most: CLOCKS.num_seconds() });
    }
    serde_json::from_str(&signed.text).map_err(|error| unreadable(error.to_string()))
}
