//! The Merkle tree of RFC 9162 (section 2.1) over SHA-256: roots, proofs, and how they are checked.
//!
//! A tree over `n` leaves is put together from its perfect subtrees, which never change once they are
//! full. They are kept as they fill up, so that a root or a proof reads some hundred hashes of a log of
//! any length.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A SHA-256.
pub type Hash = [u8; 32];

/// A perfect subtree: the `2^level` leaves from `position * 2^level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// 0 for a leaf.
    pub level: u32,
    /// Place among the subtrees of its level.
    pub position: u64,
}

/// The hash of a leaf (RFC 9162, 2.1.1).
pub fn leaf(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The hash of the tree without leaves.
pub fn empty() -> Hash {
    Sha256::new().finalize().into()
}

/// Adds leaf number `count` to a tree whose full subtrees, the largest first, have the hashes `peaks`.
/// Returns the subtrees that became full by it, the leaf first.
pub fn append(peaks: &mut Vec<Hash>, count: u64, leaf: Hash) -> Vec<(Node, Hash)> {
    let (mut hash, mut at) = (leaf, Node { level: 0, position: count });
    let mut full = vec![(at, hash)];
    while at.position % 2 == 1
        && let Some(left) = peaks.pop()
    {
        hash = node(&left, &hash);
        at = Node { level: at.level.saturating_add(1), position: at.position / 2 };
        full.push((at, hash));
    }
    peaks.push(hash);
    full
}

/// The root of a tree by its full subtrees, the largest first.
pub fn root(peaks: &[Hash]) -> Hash {
    let mut smallest_first = peaks.iter().rev();
    let Some(last) = smallest_first.next() else { return empty() };
    smallest_first.fold(*last, |right, left| node(left, &right))
}

/// The full subtrees that the tree over the leaves `from..to` is made of, the largest first. `from` is
/// where such a tree begins inside a larger one, a multiple of the largest of them.
pub fn peaks(from: u64, to: u64) -> Vec<Node> {
    let (mut nodes, mut at) = (Vec::new(), from);
    while let Some(level) = to.checked_sub(at).and_then(u64::checked_ilog2) {
        nodes.push(Node { level, position: at >> level });
        at = at.saturating_add(1_u64 << level);
    }
    nodes
}

/// A run of leaves whose tree's hash stands in a proof.
pub type Run = (u64, u64);

/// Where the tree over `from..to`, of more than one leaf, is divided: the left part is the largest
/// power of two that leaves something for the right.
fn divide(from: u64, to: u64) -> u64 {
    let most = to.saturating_sub(from).saturating_sub(1);
    from.saturating_add(1_u64 << most.checked_ilog2().unwrap_or(0))
}

/// The runs that prove that leaf `index` is in the tree over `size` leaves (2.1.3.1); none if it is
/// not.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Run>> {
    if index >= size {
        return None;
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to.saturating_sub(from) > 1 {
        let middle = divide(from, to);
        if index < middle {
            path.push((middle, to));
            to = middle;
        } else {
            path.push((from, middle));
            from = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// The runs that prove that the tree of the first `first` leaves is the beginning of that of `size`
/// leaves (2.1.4.1); none if it is empty or larger.
pub fn consistency(first: u64, size: u64) -> Option<Vec<Run>> {
    if first == 0 || first > size {
        return None;
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while first != to {
        let middle = divide(from, to);
        if first <= middle {
            path.push((middle, to));
            to = middle;
        } else {
            path.push((from, middle));
            from = middle;
        }
    }
    // Whoever asks has the root of the first tree: it is not sent where it is a part of the second.
    if from != 0 {
        path.push((from, to));
    }
    path.reverse();
    Some(path)
}

/// The hashes of runs, by those of the perfect subtrees that they are made of; none if one is missing.
pub fn hashes(runs: &[Run], nodes: &BTreeMap<Node, Hash>) -> Option<Vec<Hash>> {
    runs.iter()
        .map(|&(from, to)| {
            let peaks: Option<Vec<Hash>> =
                peaks(from, to).iter().map(|node| nodes.get(node).copied()).collect();
            peaks.map(|peaks| root(&peaks))
        })
        .collect()
}

/// Checks a proof of inclusion (2.1.3.2).
pub fn includes(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let mut walk = Walk { place: index, last: size.saturating_sub(1) };
    let mut hash = *leaf;
    for sibling in path {
        match walk.step() {
            Some(Side::Left) => hash = node(sibling, &hash),
            Some(Side::Right) => hash = node(&hash, sibling),
            None => return false,
        }
    }
    walk.last == 0 && hash == *root
}

/// Checks a proof of consistency (2.1.4.2).
pub fn is_consistent(
    (first, first_root): (u64, &Hash),
    (second, second_root): (u64, &Hash),
    proof: &[Hash],
) -> bool {
    if first == 0 || first > second {
        return false;
    }
    if first == second {
        return proof.is_empty() && first_root == second_root;
    }
    let whole = first.is_power_of_two().then_some(first_root);
    let mut path = whole.into_iter().chain(proof);
    let Some(start) = path.next() else { return false };
    let mut walk = Walk { place: first.saturating_sub(1), last: second.saturating_sub(1) };
    while walk.place % 2 == 1 {
        walk.up();
    }
    let (mut of_first, mut of_second) = (*start, *start);
    for sibling in path {
        match walk.step() {
            Some(Side::Left) => {
                of_first = node(sibling, &of_first);
                of_second = node(sibling, &of_second);
            }
            Some(Side::Right) => of_second = node(&of_second, sibling),
            None => return false,
        }
    }
    walk.last == 0 && of_first == *first_root && of_second == *second_root
}

/// The way from a leaf to the root, as both checks go it.
struct Walk {
    place: u64,
    last: u64,
}

enum Side {
    Left,
    Right,
}

impl Walk {
    fn up(&mut self) {
        self.place /= 2;
        self.last /= 2;
    }

    /// On which side the next sibling is; none above the root.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let left = self.place % 2 == 1 || self.place == self.last;
        if left {
            while self.place.is_multiple_of(2) && self.place != 0 {
                self.up();
            }
        }
        self.up();
        Some(if left { Side::Left } else { Side::Right })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    /// A tree with its subtrees and the root at each size.
    fn tree(leaves: &[Hash]) -> (BTreeMap<Node, Hash>, Vec<Hash>) {
        let (mut nodes, mut peaks, mut roots) = (BTreeMap::new(), Vec::new(), vec![empty()]);
        for (count, leaf) in (0..).zip(leaves) {
            nodes.extend(append(&mut peaks, count, *leaf));
            roots.push(root(&peaks));
        }
        (nodes, roots)
    }

    /// The definition of RFC 9162, 2.1.1, word by word.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            _ => {
                let k = (1..leaves.len()).rev().find(|k| k.is_power_of_two()).unwrap();
                node(&defined(&leaves[..k]), &defined(&leaves[k..]))
            }
        }
    }

    /// Entries and roots of the test vectors of Certificate Transparency
    /// (github.com/google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc).
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let entries = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let expected = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf(&hex(entry))).collect();
        let (_, roots) = tree(&leaves);
        let found: Vec<Vec<u8>> = roots.iter().map(|root| root.to_vec()).collect();
        assert_eq!(found, expected.map(hex));
    }

    #[test]
    fn every_proof_holds_and_no_other_does() {
        let leaves: Vec<Hash> = (0..40_u8).map(|number| leaf(&[number])).collect();
        let (nodes, roots) = tree(&leaves);
        for size in 1..=leaves.len() {
            let top = roots[size];
            assert_eq!(top, defined(&leaves[..size]), "{size}");
            let wide = size as u64;
            for (at, own) in (0_u64..).zip(&leaves[..size]) {
                let path = hashes(&inclusion(at, wide).unwrap(), &nodes).unwrap();
                assert!(includes(own, at, wide, &path, &top), "{at} {size}");
                assert!(!includes(&leaf(b"other"), at, wide, &path, &top));
                assert!(!includes(own, (at + 1) % wide, wide, &path, &top) || size == 1);
                for bad in 0..path.len() {
                    let mut path = path.clone();
                    path[bad][0] ^= 1;
                    assert!(!includes(own, at, wide, &path, &top));
                }
                let mut longer = path.clone();
                longer.push(top);
                assert!(!includes(own, at, wide, &longer, &top));
            }
            for (small, before) in (1_u64..).zip(&roots[1..=size]) {
                let proof = hashes(&consistency(small, wide).unwrap(), &nodes).unwrap();
                assert!(is_consistent((small, before), (wide, &top), &proof), "{small} {size}");
                assert!(!is_consistent((small, &leaf(b"forged")), (wide, &top), &proof));
                for bad in 0..proof.len() {
                    let mut proof = proof.clone();
                    proof[bad][0] ^= 1;
                    assert!(!is_consistent((small, before), (wide, &top), &proof));
                }
            }
            assert!(inclusion(wide, wide).is_none() && consistency(wide + 1, wide).is_none());
        }
        assert!(inclusion(0, 0).is_none() && consistency(0, 1).is_none());
    }
}
