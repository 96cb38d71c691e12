//! Pieces of files in a store are asked for before their turn comes, many at once.
//!
//! A piece is mostly one chunk, and a request costs as much as a megabyte does. So the chunks of the
//! next pieces are asked for together, near ones in one request, while the ones before are decoded.

use crate::provider::work::{Piece, Work};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Bytes that are asked for together; as many again are asked for when their reading begins.
const TOGETHER: u64 = 16 << 20;
/// Pieces that are asked for together, at most.
const MOST_PIECES: usize = 1024;

/// How far ahead the pieces of one run were asked for.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    /// Pieces before this one were asked for.
    until: usize,
    /// The first piece of those that were asked for last.
    last: usize,
}

impl Ahead {
    /// Asks for the pieces at and behind `place`, which is read next, unless that was done.
    /// What cannot be asked for now is asked for when it is read.
    pub(crate) fn before(&self, work: &Work, columns: &[usize], pieces: &[Piece], place: usize) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while place >= asked.last && asked.until < pieces.len() {
            let from = asked.until.max(place);
            asked.last = from;
            asked.until = from.saturating_add(announce(work, columns, pieces, from));
        }
    }
}

/// Asks for pieces from `from` on; how many.
fn announce(work: &Work, columns: &[usize], pieces: &[Piece], from: usize) -> usize {
    let mut by_part: BTreeMap<usize, Vec<Range<u64>>> = BTreeMap::new();
    let (mut count, mut bytes) = (0_usize, 0_u64);
    for piece in pieces.iter().skip(from).take(MOST_PIECES) {
        count = count.saturating_add(1);
        let Some(part) = work.table.parts().get(piece.part) else { continue };
        let ranges = part.ranges(&piece.block, columns);
        let own = ranges.iter().map(|range| range.end.saturating_sub(range.start));
        bytes = own.fold(bytes, u64::saturating_add);
        by_part.entry(piece.part).or_default().extend(ranges);
        if bytes >= TOGETHER {
            break;
        }
    }
    for (part, ranges) in by_part {
        let ahead = work.table.parts().get(part).and_then(|part| part.ahead());
        if let Some(ahead) = ahead.filter(|_| !ranges.is_empty()) {
            ahead.announce(&ranges);
        }
    }
    count.max(1)
}

/// Asks for all that one piece takes, together.
pub(crate) fn announce_one(work: &Work, columns: &[usize], piece: &Piece) {
    announce(work, columns, std::slice::from_ref(piece), 0);
}
