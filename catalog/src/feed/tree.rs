//! A hash tree over the records that a peer was told of, by which two labs find where their copies differ.
//!
//! Records are spread over 4096 leaves by the hash of their names. A leaf is the hash of its records in the order of
//! their names, a node that of its 16 children. Two labs with the same root have the same records; otherwise only
//! branches that differ are walked, three levels down to the leaves.

use crate::CatalogError;
use crate::replica::FeedRefusal;
use serde::{Deserialize, Serialize};
use tarn_schemas::LabName;

/// Children of a node.
const CHILDREN: usize = 16;
/// Nodes of the last level.
const LEAF_NODES: usize = 4096;
/// The level of the leaves.
pub(crate) const LEAVES: u8 = 3;
/// Most nodes of one question, and most leaves.
pub(crate) const MOST_NODES: usize = 256;
/// Most leaves of one question.
pub(crate) const MOST_LEAVES: usize = 64;

type Hash = [u8; 32];

/// Asks for what is below some nodes of one level: the hashes of their children, or the records of leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TreeRequest {
    /// A number that is thought of for this question.
    pub nonce: String,
    /// The level, 0 for the root.
    pub level: u8,
    /// Nodes by their place on the level.
    pub nodes: Vec<u32>,
}

/// What is below some nodes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TreeAnswer {
    /// Hash of the root.
    pub(crate) root: String,
    /// The hashes below each node, one after the other; empty for leaves.
    pub(crate) children: Vec<Vec<String>>,
    /// Name and hash of the records of each leaf, by name.
    pub(crate) records: Vec<Vec<(String, String)>>,
}

/// The tree of one lab's records.
#[derive(Debug, Clone)]
pub struct Tree {
    levels: [Vec<Hash>; 4],
    /// Names and hashes of contents, by leaf and name.
    leaves: Vec<Vec<(String, String)>>,
}

fn hexadecimal(hash: &Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

/// The hash of a leaf that holds these records.
fn hash_of_leaf(records: &[(String, String)]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for (name, hash) in records {
        hasher.update(name.as_bytes());
        hasher.update(b"\n");
        hasher.update(hash.as_bytes());
        hasher.update(b"\n");
    }
    *hasher.finalize().as_bytes()
}

/// The leaf of a record.
fn leaf_of(lab: &LabName, name: &str) -> usize {
    let hash = blake3::hash(format!("{lab}.{name}").as_bytes());
    let [high, low, ..] = *hash.as_bytes();
    usize::from(high) << 4 | usize::from(low >> 4)
}

impl Tree {
    /// The tree over names and hashes of contents of a lab's records.
    pub fn new(lab: &LabName, records: Vec<(String, String)>) -> Self {
        let mut leaves: Vec<Vec<(String, String)>> = vec![Vec::new(); LEAF_NODES];
        for record in records {
            if let Some(leaf) = leaves.get_mut(leaf_of(lab, &record.0)) {
                leaf.push(record);
            }
        }
        for leaf in &mut leaves {
            leaf.sort_unstable();
        }
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| hash_of_leaf(leaf)).collect();
        let above = |below: &[Hash]| -> Vec<Hash> {
            below
                .chunks(CHILDREN)
                .map(|children| *blake3::hash(children.as_flattened()).as_bytes())
                .collect()
        };
        let second = above(&hashes);
        let first = above(&second);
        let root = above(&first);
        Self { levels: [root, first, second, hashes], leaves }
    }

    /// The hash of the root, in hexadecimal.
    pub fn root(&self) -> String {
        self.hash(0, 0).map(|hash| hexadecimal(&hash)).unwrap_or_default()
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.leaves.iter().map(Vec::len).sum()
    }

    fn hash(&self, level: u8, node: u32) -> Option<Hash> {
        let node = usize::try_from(node).ok()?;
        self.levels.get(usize::from(level))?.get(node).copied()
    }

    /// What is below some nodes.
    pub(crate) fn answer(&self, request: &TreeRequest) -> Result<TreeAnswer, CatalogError> {
        let most = if request.level == LEAVES { MOST_LEAVES } else { MOST_NODES };
        let wrong = || {
            CatalogError::Argument(format!(
                "a hash tree has the levels 0 to {LEAVES}, and {most} nodes of level {} are asked for at most",
                request.level
            ))
        };
        if request.nodes.len() > most {
            return Err(wrong());
        }
        let (mut children, mut records) = (Vec::new(), Vec::new());
        for node in &request.nodes {
            let at = usize::try_from(*node).map_err(|_| wrong())?;
            if request.level == LEAVES {
                records.push(self.leaves.get(at).ok_or_else(wrong)?.clone());
            } else {
                let below = usize::from(request.level).saturating_add(1);
                let level = self.levels.get(below).ok_or_else(wrong)?;
                let of = level.chunks(CHILDREN).nth(at).ok_or_else(wrong)?;
                children.push(of.iter().map(hexadecimal).collect());
            }
        }
        Ok(TreeAnswer { root: self.root(), children, records })
    }

    /// Those children of a node that are others than here. `hash` is what the other lab said of the node.
    pub(crate) fn differing(
        &self,
        (level, node, hash): (u8, u32, &str),
        children: &[String],
    ) -> Result<Vec<(u32, String)>, FeedRefusal> {
        let broken = || FeedRefusal::Content {
            sequence: 0,
            problem: "its hash tree is none: what is below a node does not have its hash"
                .to_owned(),
        };
        let hashes: Option<Vec<Hash>> =
            children.iter().map(|child| crate::audit::hash_of(child)).collect();
        let hashes = hashes.filter(|hashes| hashes.len() == CHILDREN).ok_or_else(broken)?;
        let found = blake3::hash(hashes.as_flattened()).to_hex();
        if found.as_str() != hash {
            return Err(broken());
        }
        let first = node.saturating_mul(16);
        let mut differing = Vec::new();
        for (child, (hash, text)) in (first..).zip(hashes.iter().zip(children)) {
            if self.hash(level.saturating_add(1), child) != Some(*hash) {
                differing.push((child, text.clone()));
            }
        }
        Ok(differing)
    }

    /// The records of a leaf here, if the other lab's have the hash that it said.
    pub(crate) fn records_of(
        &self,
        (leaf, hash): (u32, &str),
        records: &[(String, String)],
    ) -> Result<&[(String, String)], FeedRefusal> {
        if hexadecimal(&hash_of_leaf(records)) != hash {
            return Err(FeedRefusal::Content {
                sequence: 0,
                problem: "its hash tree is none: the records of a leaf do not have its hash"
                    .to_owned(),
            });
        }
        let own = usize::try_from(leaf).ok().and_then(|leaf| self.leaves.get(leaf));
        Ok(own.map_or(&[], Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab() -> LabName {
        LabName::new("ornl").unwrap()
    }

    fn records(count: u32) -> Vec<(String, String)> {
        (0..count).map(|at| (format!("d{at}"), format!("{at:064x}"))).collect()
    }

    #[test]
    fn the_root_depends_on_records_and_not_on_their_order() {
        let tree = Tree::new(&lab(), records(5000));
        let mut turned = records(5000);
        turned.reverse();
        assert_eq!(Tree::new(&lab(), turned.clone()).root(), tree.root());
        turned[17].1 = "x".to_owned();
        assert_ne!(Tree::new(&lab(), turned.clone()).root(), tree.root());
        turned.remove(17);
        assert_ne!(Tree::new(&lab(), turned).root(), tree.root());
        assert_eq!(tree.records(), 5000);
        assert!(tree.levels.iter().map(Vec::len).eq([1, 16, 256, 4096]));
    }

    #[test]
    fn children_that_are_not_those_of_the_node_are_refused() {
        let (one, other) = (Tree::new(&lab(), records(10)), Tree::new(&lab(), records(11)));
        let ask = TreeRequest { nonce: String::new(), level: 0, nodes: vec![0] };
        let answer = other.answer(&ask).unwrap();
        let differing = one.differing((0, 0, &answer.root), &answer.children[0]).unwrap();
        assert_eq!(differing.len(), 1);
        assert!(one.differing((0, 0, &one.root()), &answer.children[0]).is_err());
        assert!(one.differing((0, 0, &answer.root), &answer.children[0][1..]).is_err());
        let too_many = TreeRequest { nodes: vec![0; 1000], ..ask };
        assert!(other.answer(&too_many).is_err());
    }
}
