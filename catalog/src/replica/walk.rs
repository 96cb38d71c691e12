//! Finding where the copy of a lab's records differs from the lab: two hash trees are compared, and only branches
//! that differ are asked for.

use crate::feed::{Signed, Tree, TreeAnswer, TreeRequest, read};
use crate::model::Peer;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tarn_schemas::{DatasetName, LabName};

/// The level of the leaves.
const LEAVES: u8 = 3;
/// Nodes that are asked about at once, and leaves.
const NODES: usize = 256;
const SOME_LEAVES: usize = 64;

/// The records in which a copy differs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Drift {
    /// Those that the lab tells of and that are not here.
    pub missing: BTreeSet<DatasetName>,
    /// Those that are here and that the lab does not tell of.
    pub extra: BTreeSet<DatasetName>,
    /// Those that are others here.
    pub differing: BTreeSet<DatasetName>,
}

impl Drift {
    /// All of them.
    pub fn names(&self) -> BTreeSet<DatasetName> {
        self.missing.iter().chain(&self.extra).chain(&self.differing).cloned().collect()
    }
}

/// A comparison on its way.
#[derive(Debug)]
pub struct TreeWalk {
    lab: LabName,
    own: Tree,
    /// The sequence and the feed that the copy here is of.
    of: (u64, String),
    root: Option<String>,
    /// Nodes that differ, by level, with the hashes that the lab said.
    open: Vec<(u8, u32, String)>,
    drift: Drift,
    questions: u64,
}

impl Catalog {
    /// Begins to compare the copy of a lab's records with the lab.
    pub async fn begin_walk_of(&self, lab: &LabName) -> Result<TreeWalk, CatalogError> {
        let database = &self.inner.database;
        let state = self.replica_state(lab).await?;
        let rows =
            sqlx::query("SELECT dataset, hash FROM replica WHERE lab = $1 AND kind <> 'tombstone'")
                .bind(lab.as_str())
                .fetch_all(database.pool())
                .await
                .map_err(|error| database.error(&error))?;
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            records.push((database.text(row, "dataset")?, database.text(row, "hash")?));
        }
        let of = (state.position.upserts.max(state.position.retractions), state.feed);
        Ok(TreeWalk::new(lab.clone(), Tree::new(lab, records), of))
    }
}

impl Tree {
    /// The records in which this tree differs from another of the same lab, as if that were far away.
    ///
    /// # Errors
    /// [`CatalogError::Feed`] for records whose names are none.
    pub fn drift_from(self, lab: &LabName, theirs: &Self) -> Result<Drift, CatalogError> {
        TreeWalk::between(lab, self, theirs)
    }
}

impl TreeWalk {
    fn new(lab: LabName, own: Tree, of: (u64, String)) -> Self {
        Self {
            lab,
            own,
            of,
            root: None,
            open: vec![(0, 0, String::new())],
            drift: Drift::default(),
            questions: 0,
        }
    }

    /// The hash of the root here.
    pub fn own_root(&self) -> String {
        self.own.root()
    }

    /// The hash of the root at the lab, once it was told.
    pub fn root(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// How many records are here.
    pub fn records(&self) -> usize {
        self.own.records()
    }

    /// How many questions it took so far.
    pub fn questions(&self) -> u64 {
        self.questions
    }

    /// The next question; none when it is done.
    pub fn next_request(&self) -> Option<TreeRequest> {
        let (level, ..) = *self.open.first()?;
        let most = if level == LEAVES { SOME_LEAVES } else { NODES };
        let nodes = self.open.iter().filter(|(at, ..)| *at == level).take(most);
        let nodes = nodes.map(|(_, node, _)| *node).collect();
        Some(TreeRequest { nonce: uuid::Uuid::new_v4().simple().to_string(), level, nodes })
    }

    /// Goes on by the answer to the last question.
    ///
    /// # Errors
    /// [`CatalogError::Feed`] for what cannot be believed; [`CatalogError::Conflict`] where the lab tells more than
    /// the copy here was read up to: read on, and begin again.
    pub fn absorb(
        &mut self,
        catalog: &Catalog,
        peer: &Peer,
        (request, signed): (&TreeRequest, &Signed),
    ) -> Result<(), CatalogError> {
        let question = ("tree", catalog.lab(), request.nonce.as_str());
        let statement = read::<TreeAnswer>(signed, peer, question, Utc::now())?;
        if (statement.last, &statement.feed) != (self.of.0, &self.of.1) {
            return Err(CatalogError::Conflict(format!(
                "lab {} tells of changes that were not read yet; read them (`tarn peer sync {0}`), then compare again",
                self.lab
            )));
        }
        self.take(request, statement.body)
    }

    fn take(&mut self, request: &TreeRequest, answer: TreeAnswer) -> Result<(), CatalogError> {
        self.questions = self.questions.saturating_add(1);
        let answered =
            if request.level == LEAVES { answer.records.len() } else { answer.children.len() };
        if answered != request.nodes.len() {
            let problem = "its hash tree is none: nodes are missing".to_owned();
            return Err(crate::FeedRefusal::Content { sequence: 0, problem }.into());
        }
        let asked: Vec<(u8, u32, String)> = {
            let end = request.nodes.len().min(self.open.len());
            self.open.drain(..end).collect()
        };
        if self.root.is_none() {
            self.root = Some(answer.root.clone());
            if answer.root == self.own.root() {
                return Ok(());
            }
        }
        if request.level == LEAVES {
            for ((_, leaf, hash), records) in asked.iter().zip(&answer.records) {
                let own = self.own.records_of((*leaf, hash), records)?.to_vec();
                self.compare(&own, records)?;
            }
            return Ok(());
        }
        for ((level, node, hash), children) in asked.into_iter().zip(&answer.children) {
            let hash = if level == 0 { answer.root.clone() } else { hash };
            let below = level.saturating_add(1);
            let differing = self.own.differing((level, node, &hash), children)?;
            self.open.extend(differing.into_iter().map(|(child, hash)| (below, child, hash)));
        }
        Ok(())
    }

    /// What differs between two trees of one lab's records that are both here.
    fn between(lab: &LabName, own: Tree, theirs: &Tree) -> Result<Drift, CatalogError> {
        let mut walk = Self::new(lab.clone(), own, (0, String::new()));
        while let Some(request) = walk.next_request() {
            walk.take(&request, theirs.answer(&request)?)?;
        }
        Ok(walk.drift)
    }

    fn compare(
        &mut self,
        own: &[(String, String)],
        theirs: &[(String, String)],
    ) -> Result<(), CatalogError> {
        let own: BTreeMap<&str, &str> = own.iter().map(|(name, hash)| (&**name, &**hash)).collect();
        let mut left = own.clone();
        for (name, hash) in theirs {
            let dataset = DatasetName::new(name.as_str()).map_err(|error| {
                let problem = format!("{name:?} is no name of a dataset ({error})");
                crate::FeedRefusal::Content { sequence: 0, problem }
            })?;
            match left.remove(name.as_str()) {
                Some(found) if found == hash => {}
                Some(_) => drop(self.drift.differing.insert(dataset)),
                None => drop(self.drift.missing.insert(dataset)),
            }
        }
        for name in left.into_keys() {
            // Names here were read as such when they came.
            self.drift.extra.extend(DatasetName::new(name).ok());
        }
        Ok(())
    }

    /// What was found.
    pub fn drift(&self) -> &Drift {
        &self.drift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_found_wherever_it_is() {
        let lab = LabName::new("ornl").unwrap();
        let records = |count: u32| -> Vec<(String, String)> {
            (0..count).map(|at| (format!("d{at}"), format!("{at:064x}"))).collect()
        };
        let own = || Tree::new(&lab, records(20_000));
        assert_eq!(own().drift_from(&lab, &own()).unwrap(), Drift::default());
        let mut changed = records(20_001);
        changed[5].1 = "x".to_owned();
        changed.remove(7);
        let found = own().drift_from(&lab, &Tree::new(&lab, changed)).unwrap();
        let named = |name: &str| BTreeSet::from([name.parse::<DatasetName>().unwrap()]);
        let expected =
            Drift { missing: named("d20000"), extra: named("d7"), differing: named("d5") };
        assert_eq!(found, expected);
        // A lab that has nothing, or of which nothing is here, is not asked for more than there are leaves.
        let nothing = || Tree::new(&lab, Vec::new());
        assert_eq!(own().drift_from(&lab, &nothing()).unwrap().extra.len(), 20_000);
        assert_eq!(nothing().drift_from(&lab, &own()).unwrap().missing.len(), 20_000);
    }
}
