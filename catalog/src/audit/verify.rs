//! Whether a log is whole, and which entry is the first that is not as it was written.

use super::entry::hash;
use super::merkle::{self, Hash, Node};
use super::{AuditEntry, SignedHead, hash_of, hexadecimal};
use crate::{Catalog, CatalogError};
use sqlx::{Any, Transaction};
use std::collections::BTreeMap;
use tarn_schemas::Principal;
use thiserror::Error;

/// Rows that are looked at together.
const TOGETHER: u64 = 4096;

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuditFault {
    /// This entry is the first that is not as it was written.
    #[error("entry {sequence} of the audit log {problem}")]
    Entry {
        /// Its number.
        sequence: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The entries fit together, and are not those that were signed.
    #[error(
        "the first {size} entries of the audit log are not those that were signed at {at}: {problem}"
    )]
    Head {
        /// Number of entries that were signed.
        size: u64,
        /// When.
        at: String,
        /// What is wrong.
        problem: String,
    },
    /// A head that this node kept is not as it was written.
    #[error("the signed head that is kept of {size} entries of the audit log {problem}")]
    Kept {
        /// The size by which it is found.
        size: i64,
        /// What is wrong with it.
        problem: String,
    },
}

/// A log that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Number of entries.
    pub entries: u64,
    /// Root of their Merkle tree, in hexadecimal.
    pub root: String,
    /// Signed heads that agree with it.
    pub heads: u64,
}

/// A walk along a log.
struct Chain {
    count: u64,
    previous: Hash,
    peaks: Vec<Hash>,
    heads: std::iter::Peekable<std::vec::IntoIter<SignedHead>>,
    agreed: u64,
}

fn fault(sequence: u64, problem: impl Into<String>) -> AuditFault {
    AuditFault::Entry { sequence, problem: problem.into() }
}

impl Chain {
    fn new(mut heads: Vec<SignedHead>) -> Result<Self, AuditFault> {
        heads.sort_by_key(|head| head.size);
        let heads = heads.into_iter().peekable();
        let mut chain =
            Self { count: 0, previous: merkle::empty(), peaks: Vec::new(), heads, agreed: 0 };
        chain.compare()?;
        Ok(chain)
    }

    /// Goes on by one entry. `next` is the text of the one after it. Returns the subtrees that it
    /// fills.
    fn push(&mut self, text: &str, next: Option<&str>) -> Result<Vec<(Node, Hash)>, AuditFault> {
        let sequence = self.count;
        let entry: AuditEntry = serde_json::from_str(text)
            .map_err(|error| fault(sequence, format!("cannot be read: {error}")))?;
        if entry.text().ok().as_deref() != Some(text) {
            return Err(fault(sequence, "is not written as it was"));
        }
        if entry.sequence != sequence {
            let found = entry.sequence;
            return Err(fault(sequence, format!("is missing: number {found} stands in its place")));
        }
        let own = hash(text);
        if entry.previous != hexadecimal(&self.previous) {
            // One of two entries was changed. The one after them knows the hash of the second.
            let next: Option<AuditEntry> = next.and_then(|text| serde_json::from_str(text).ok());
            let second = next.is_some_and(|next| next.previous != hexadecimal(&own));
            return Err(match sequence.checked_sub(1).filter(|_| !second) {
                Some(before) => fault(
                    before,
                    format!("was changed: entry {sequence} holds the hash that it had"),
                ),
                None => fault(sequence, "was changed: it does not follow the entry before it"),
            });
        }
        self.previous = own;
        let filled = merkle::append(&mut self.peaks, sequence, own);
        self.count = self.count.saturating_add(1);
        self.compare()?;
        Ok(filled)
    }

    /// Compares the tree with the heads that were signed of a log of this size.
    fn compare(&mut self) -> Result<(), AuditFault> {
        while let Some(head) = self.heads.next_if(|head| head.size <= self.count) {
            let root = hexadecimal(&merkle::root(&self.peaks));
            let wrong = |problem: &str| AuditFault::Head {
                size: head.size,
                at: head.at.clone(),
                problem: problem.to_owned(),
            };
            if !head.is_signed() {
                return Err(wrong("the signature is not that of the key"));
            }
            if head.root != root {
                return Err(wrong("the root of their tree is another"));
            }
            self.agreed = self.agreed.saturating_add(1);
        }
        Ok(())
    }

    /// As [`Chain::end`], of a log that has so many rows of entries and of subtrees.
    fn end_of(self, (entries, nodes): (u64, u64)) -> Result<Verified, AuditFault> {
        // Each entry fills its leaf, and a tree of so many leaves has one full subtree less for each of its peaks.
        let peaks = u64::from(self.count.count_ones());
        let filled = self.count.saturating_mul(2).saturating_sub(peaks);
        let count = self.count;
        let verified = self.end()?;
        if entries != count || nodes != filled {
            return Err(fault(count, "is missing: rows of it stand where no entry does"));
        }
        Ok(verified)
    }

    fn end(mut self) -> Result<Verified, AuditFault> {
        if let Some(head) = self.heads.next() {
            let SignedHead { size, at, .. } = head;
            return Err(fault(
                self.count,
                format!("is missing: {size} entries were signed at {at}"),
            ));
        }
        let root = hexadecimal(&merkle::root(&self.peaks));
        Ok(Verified { entries: self.count, root, heads: self.agreed })
    }
}

/// Verifies a log by its entries alone, as they were given out: canonical JSON, an entry a text. Every
/// head, which somebody kept, has to be one of a beginning of this log.
///
/// # Errors
/// [`AuditFault`] for the first entry that is not as it was written.
pub fn verify_text(entries: &[String], heads: Vec<SignedHead>) -> Result<Verified, AuditFault> {
    let mut chain = Chain::new(heads)?;
    for (place, text) in entries.iter().enumerate() {
        let next = place.checked_add(1).and_then(|place| entries.get(place));
        chain.push(text, next.map(String::as_str))?;
    }
    chain.end()
}

/// A subtree as it is stored.
struct StoredNode {
    filled_by: u64,
    hash: String,
}

/// A row of the log.
struct StoredEntry {
    sequence: u64,
    text: String,
    columns: [Option<String>; 4],
}

impl Catalog {
    /// Verifies the log of this node: its entries, the tree and the columns beside them, the signed
    /// heads that it kept, and those that somebody else did.
    ///
    /// # Errors
    /// The outer one if the log cannot be read, the inner one for what is wrong with it.
    pub async fn audit_verify(
        &self,
        who: &Principal,
        kept: Vec<SignedHead>,
    ) -> Result<Result<Verified, AuditFault>, CatalogError> {
        Self::may_audit(who)?;
        let mut read = self.inner.database.read().await?;
        let mut heads = Vec::new();
        for row in self.kept_heads(&mut read).await? {
            match row.head() {
                Ok(head) => heads.push(head),
                Err(problem) => return Ok(Err(AuditFault::Kept { size: row.size, problem })),
            }
        }
        let own = self.audit_key()?;
        if let Some(foreign) = heads.iter().find(|head| head.key != own) {
            return Ok(Err(AuditFault::Head {
                size: foreign.size,
                at: foreign.at.clone(),
                problem: format!(
                    "the key {} is not this node's (`audit.key` in the home)",
                    foreign.key
                ),
            }));
        }
        heads.extend(kept);
        if let Some(head) = heads.iter().find(|head| head.lab != *self.lab()) {
            return Err(CatalogError::Argument(format!(
                "this is the log of {}, and a head is of that of {}",
                self.lab(),
                head.lab
            )));
        }
        let mut chain = match Chain::new(heads) {
            Ok(chain) => chain,
            Err(fault) => return Ok(Err(fault)),
        };
        loop {
            let from = chain.count;
            // One more than is looked at: the last one's next.
            let rows = self.stored_entries(&mut read, from).await?;
            let mut nodes = self.stored_nodes(&mut read, from).await?;
            let whole = u64::try_from(rows.len()).unwrap_or(u64::MAX) <= TOGETHER;
            let most = usize::try_from(TOGETHER).unwrap_or(usize::MAX);
            for (place, row) in rows.iter().enumerate().take(most) {
                let next = place.checked_add(1).and_then(|place| rows.get(place));
                if let Err(fault) = step(&mut chain, row, next, &mut nodes) {
                    return Ok(Err(fault));
                }
            }
            // What no entry filled has no place in the tree.
            if let Some((Node { level, position }, stored)) = nodes.first_key_value() {
                let place = format!("subtree {position} of level {level}");
                return Ok(Err(if stored.filled_by < chain.count {
                    let problem = format!("has more of a tree than it fills: {place}");
                    fault(stored.filled_by, problem)
                } else {
                    fault(chain.count, format!("is missing: the tree has what it filled, {place}"))
                }));
            }
            if whole {
                let rows = self.stored_rows(&mut read).await?;
                return Ok(chain.end_of(rows));
            }
        }
    }

    /// How many entries and subtrees are stored, wherever they stand.
    async fn stored_rows(
        &self,
        read: &mut Transaction<'static, Any>,
    ) -> Result<(u64, u64), CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM audit) AS entries,
                    (SELECT count(*) FROM audit_node) AS nodes",
        )
        .fetch_one(&mut **read)
        .await
        .map_err(|error| database.error(&error))?;
        Ok((database.number(&row, "entries")?, database.number(&row, "nodes")?))
    }

    async fn stored_entries(
        &self,
        read: &mut Transaction<'static, Any>,
        from: u64,
    ) -> Result<Vec<StoredEntry>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query(
            "SELECT sequence, at, person, act, dataset, entry FROM audit
             WHERE sequence >= $1 ORDER BY sequence LIMIT $2",
        )
        .bind(i64::try_from(from).unwrap_or(i64::MAX))
        .bind(i64::try_from(TOGETHER.saturating_add(1)).unwrap_or(i64::MAX))
        .fetch_all(&mut **read)
        .await
        .map_err(|error| database.error(&error))?;
        rows.iter()
            .map(|row| {
                Ok(StoredEntry {
                    sequence: database.number(row, "sequence")?,
                    text: database.text(row, "entry")?,
                    columns: [
                        database.optional_text(row, "at")?,
                        database.optional_text(row, "person")?,
                        database.optional_text(row, "act")?,
                        database.optional_text(row, "dataset")?,
                    ],
                })
            })
            .collect()
    }

    /// The subtrees that the entries of a page fill.
    async fn stored_nodes(
        &self,
        read: &mut Transaction<'static, Any>,
        from: u64,
    ) -> Result<BTreeMap<Node, StoredNode>, CatalogError> {
        let database = &self.inner.database;
        let bound = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let rows = sqlx::query(
            "SELECT level, position, filled_by, hash FROM audit_node
             WHERE filled_by >= $1 AND filled_by < $2",
        )
        .bind(bound(from))
        .bind(bound(from.saturating_add(TOGETHER)))
        .fetch_all(&mut **read)
        .await
        .map_err(|error| database.error(&error))?;
        rows.iter()
            .map(|row| {
                let level = database.number(row, "level")?;
                let position = database.number(row, "position")?;
                let filled_by = database.number(row, "filled_by")?;
                let node = StoredNode { filled_by, hash: database.text(row, "hash")? };
                Ok((Node { level, position }, node))
            })
            .collect()
    }
}

/// One row, with the tree and the columns that are kept beside it.
fn step(
    chain: &mut Chain,
    row: &StoredEntry,
    next: Option<&StoredEntry>,
    nodes: &mut BTreeMap<Node, StoredNode>,
) -> Result<(), AuditFault> {
    let sequence = chain.count;
    if row.sequence != sequence {
        return Err(fault(sequence, format!("is missing: the next has number {}", row.sequence)));
    }
    let leaf = nodes.get(&Node { level: 0, position: sequence });
    if leaf.and_then(|leaf| hash_of(&leaf.hash)) != Some(hash(&row.text)) {
        return Err(fault(sequence, "was changed: its hash is another in the tree"));
    }
    for (node, hash) in chain.push(&row.text, next.map(|next| next.text.as_str()))? {
        let stored = nodes.remove(&node).filter(|stored| stored.filled_by == sequence);
        if stored.and_then(|stored| hash_of(&stored.hash)) != Some(hash) {
            let Node { level, position } = node;
            return Err(fault(
                sequence,
                format!(
                    "fills subtree {position} of level {level}, which has another hash, or is \
                     another entry's"
                ),
            ));
        }
    }
    // It reads: `push` has read it.
    let Ok(entry) = serde_json::from_str::<AuditEntry>(&row.text) else { return Ok(()) };
    let said = [
        Some(entry.at.as_str()),
        Some(entry.person.as_str()),
        Some(entry.act.name()),
        entry.about(),
    ];
    if row.columns.iter().map(Option::as_deref).ne(said) {
        return Err(fault(sequence, "is found by other values than it holds"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Act, Said};

    /// A log of so many entries.
    fn log(entries: u64) -> Vec<String> {
        let mut previous = merkle::empty();
        (0..entries)
            .map(|sequence| {
                let said = Said::new(Act::Read, format!("person:{sequence}")).on("ornl.sst@1");
                let at = format!("2026-11-22T00:00:{sequence:02}.000000Z");
                let text = said.entry(sequence, at, &previous).text().unwrap();
                previous = hash(&text);
                text
            })
            .collect()
    }

    fn first_bad(log: &[String]) -> u64 {
        match verify_text(log, Vec::new()).unwrap_err() {
            AuditFault::Entry { sequence, .. } => sequence,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_log_that_was_not_changed_is_whole() {
        for entries in [0, 1, 2, 7, 20] {
            let found = verify_text(&log(entries), Vec::new()).unwrap();
            assert_eq!((found.entries, found.heads), (entries, 0));
        }
    }

    #[test]
    fn every_changed_byte_is_found_at_its_entry() {
        let whole = log(8);
        for (entry, text) in whole.iter().enumerate() {
            for byte in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[byte] ^= 1;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                let mut log = whole.clone();
                log[entry] = changed;
                // Nothing follows the last one that would know its hash: what it holds of the one
                // before it shows, the rest shows by a head.
                if entry + 1 < log.len() {
                    assert_eq!(first_bad(&log), entry as u64, "byte {byte} of {}", log[entry]);
                }
            }
        }
    }

    #[test]
    fn entries_taken_out_put_in_or_exchanged_are_found() {
        let whole = log(8);
        for place in 0..7 {
            let mut log = whole.clone();
            log.remove(place);
            assert_eq!(first_bad(&log), place as u64);
            let mut log = whole.clone();
            log.insert(place, whole[place].clone());
            assert_eq!(first_bad(&log), place as u64 + 1);
            let mut log = whole.clone();
            log.swap(place, place + 1);
            assert_eq!(first_bad(&log), place as u64);
        }
    }
}
