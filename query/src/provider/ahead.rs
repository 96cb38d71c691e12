//! Pieces of files in a store are asked for before their turn comes, many at once.
//!
//! A piece is mostly one chunk, and a request costs as much as a megabyte does. So the chunks of the
//! next pieces are asked for together, near ones in one request, while the ones before are decoded.

use crate::provider::work::{Piece, Pieces, Work};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Bytes that are asked for together; as many again are asked for when their reading begins.
const TOGETHER: u64 = 16 << 20;
/// Pieces that are asked for together, at most.
const MOST_PIECES: usize = 1024;

/// How far ahead the pieces of one run were asked for.
pub(crate) struct Ahead(Mutex<Asked>);

struct Asked {
    /// Pieces that were not asked for yet.
    rest: Box<dyn Iterator<Item = Piece> + Send>,
    /// How many pieces are no longer in the rest.
    until: usize,
    /// The first piece of those that were asked for last.
    last: usize,
    /// Whether the rest is empty.
    ended: bool,
}

impl Ahead {
    /// Nothing was asked for.
    pub(crate) fn new(pieces: &Pieces) -> Self {
        Self(Mutex::new(Asked { rest: pieces.iter(), until: 0, last: 0, ended: false }))
    }

    /// Asks for the pieces at and behind `place`, which is read next, unless that was done.
    /// What cannot be asked for now is asked for when it is read.
    pub(crate) fn before(&self, work: &Work, columns: &[usize], place: usize) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while place >= asked.last && !asked.ended {
            while asked.until < place && asked.rest.next().is_some() {
                asked.until = asked.until.saturating_add(1);
            }
            asked.last = asked.until;
            let count = announce(work, columns, &mut asked.rest);
            asked.until = asked.until.saturating_add(count);
            asked.ended = count == 0;
        }
    }
}

/// Asks for the next of these pieces; how many.
fn announce(work: &Work, columns: &[usize], pieces: &mut dyn Iterator<Item = Piece>) -> usize {
    let mut by_part: BTreeMap<usize, Vec<Range<u64>>> = BTreeMap::new();
    let (mut count, mut bytes) = (0_usize, 0_u64);
    for piece in pieces.take(MOST_PIECES) {
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
    count
}

/// Asks for all that one piece takes, together.
pub(crate) fn announce_one(work: &Work, columns: &[usize], piece: &Piece) {
    announce(work, columns, &mut std::iter::once(piece.clone()));
}
