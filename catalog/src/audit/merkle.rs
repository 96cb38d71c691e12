//! The Merkle tree of RFC 9162 (section 2.1) over SHA-256: roots, proofs, and how they are checked.

use sha2::{Digest, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash of a leaf (RFC 9162, 2.1.1).
pub fn leaf(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Largest power of two below a number of leaves greater than one.
fn split(leaves: usize) -> usize {
    let half = leaves.next_power_of_two() / 2;
    half.max(1)
}

/// The hash of a tree over leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::new().finalize().into(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The hashes that prove that a leaf is in a tree (2.1.3.1); none if it is not.
pub fn inclusion(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut path, sibling) = if index < at {
        (inclusion(left, index)?, root(right))
    } else {
        (inclusion(right, index.checked_sub(at)?)?, root(left))
    };
    path.push(sibling);
    Some(path)
}

/// The hashes that prove that a tree of the first `size` leaves is the beginning of this one
/// (2.1.4.1); none if it is larger or empty.
pub fn consistency(leaves: &[Hash], size: usize) -> Option<Vec<Hash>> {
    if size == 0 || size > leaves.len() {
        return None;
    }
    subproof(leaves, size, true)
}

fn subproof(leaves: &[Hash], size: usize, whole: bool) -> Option<Vec<Hash>> {
    if size == leaves.len() {
        return Some(if whole { Vec::new() } else { vec![root(leaves)] });
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut proof, sibling) = if size <= at {
        (subproof(left, size, whole)?, root(right))
    } else {
        (subproof(right, size.checked_sub(at)?, false)?, root(left))
    };
    proof.push(sibling);
    Some(proof)
}

/// Checks a proof of inclusion (2.1.3.2).
pub fn includes(leaf: &Hash, index: usize, size: usize, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if place % 2 == 1 || place == last {
            hash = node(sibling, &hash);
            while place.is_multiple_of(2) && place != 0 {
                place /= 2;
                last /= 2;
            }
        } else {
            hash = node(&hash, sibling);
        }
        place /= 2;
        last /= 2;
    }
    last == 0 && hash == *root
}

/// Checks a proof of consistency (2.1.4.2).
pub fn is_consistent(
    first: usize,
    first_root: &Hash,
    second: usize,
    second_root: &Hash,
    proof: &[Hash],
) -> bool {
    if first == 0 || first > second {
        return false;
    }
    if first == second {
        return proof.is_empty() && first_root == second_root;
    }
    let mut path = proof.to_vec();
    if first.is_power_of_two() {
        path.insert(0, *first_root);
    }
    let Some((start, rest)) = path.split_first() else { return false };
    let (mut place, mut last) = (first - 1, second - 1);
    while place % 2 == 1 {
        place /= 2;
        last /= 2;
    }
    let (mut of_first, mut of_second) = (*start, *start);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if place % 2 == 1 || place == last {
            of_first = node(sibling, &of_first);
            of_second = node(sibling, &of_second);
            while place.is_multiple_of(2) && place != 0 {
                place /= 2;
                last /= 2;
            }
        } else {
            of_second = node(&of_second, sibling);
        }
        place /= 2;
        last /= 2;
    }
    of_first == *first_root && of_second == *second_root && last == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    /// The eight entries and the roots of the test vectors of Certificate Transparency
    /// (github.com/google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc).
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let entries = [
            "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
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
        for (count, expected) in (1..).zip(roots) {
            assert_eq!(root(&leaves[..count]).to_vec(), hex(expected), "{count}");
        }
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(root(&[]).to_vec(), hex(empty));
    }

    #[test]
    fn every_proof_holds_and_no_other_does() {
        let leaves: Vec<Hash> = (0..40_u8).map(|number| leaf(&[number])).collect();
        for size in 1..=leaves.len() {
            let tree = &leaves[..size];
            let top = root(tree);
            for index in 0..size {
                let path = inclusion(tree, index).unwrap();
                assert!(includes(&tree[index], index, size, &path, &top));
                assert!(!includes(&leaf(b"other"), index, size, &path, &top));
                assert!(!includes(&tree[index], (index + 1) % size, size, &path, &top) || size == 1);
                for bad in 0..path.len() {
                    let mut path = path.clone();
                    path[bad][0] ^= 1;
                    assert!(!includes(&tree[index], index, size, &path, &top));
                }
                let mut longer = path.clone();
                longer.push(top);
                assert!(!includes(&tree[index], index, size, &longer, &top));
            }
            for first in 1..=size {
                let before = root(&leaves[..first]);
                let proof = consistency(tree, first).unwrap();
                assert!(is_consistent(first, &before, size, &top, &proof), "{first} {size}");
                let forged = leaf(b"forged");
                assert!(!is_consistent(first, &forged, size, &top, &proof));
                for bad in 0..proof.len() {
                    let mut proof = proof.clone();
                    proof[bad][0] ^= 1;
                    assert!(!is_consistent(first, &before, size, &top, &proof));
                }
            }
            assert!(inclusion(tree, size).is_none() && consistency(tree, size + 1).is_none());
        }
    }
}
