//! The pieces of a scan, handed out to its partitions as they ask: none waits while there is work.

use crate::provider::ahead::Ahead;
use crate::provider::work::{Piece, Pieces, Work};
use datafusion::execution::TaskContext;
use std::collections::BTreeSet;
use std::fmt;
use std::iter::Peekable;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tarn_formats::table::Coordinates;

/// Pieces that nobody has taken yet.
struct Rest {
    pieces: Peekable<Box<dyn Iterator<Item = Piece> + Send>>,
    /// How many were taken.
    taken: usize,
}

/// Pieces that one partition reads now.
pub(crate) struct Taken {
    /// How many pieces come before these.
    pub(crate) place: usize,
    pub(crate) pieces: Vec<Piece>,
}

/// Pieces that are handed out in order, each once.
pub(crate) struct Queue {
    rest: Mutex<Rest>,
    ahead: Ahead,
    coordinates: Coordinates,
}

impl Queue {
    /// All of these pieces.
    pub(crate) fn new(pieces: &Pieces) -> Self {
        let rest = Rest { pieces: pieces.iter().peekable(), taken: 0 };
        let ahead = Ahead::new(pieces);
        Self { rest: Mutex::new(rest), ahead, coordinates: Coordinates::default() }
    }

    /// The next piece, and those after it while all of them together have at most `rows` rows;
    /// none when all are taken.
    pub(crate) fn take(&self, rows: u64) -> Option<Taken> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let place = rest.taken;
        let first = rest.pieces.next()?;
        let mut total = first.rows;
        let mut pieces = vec![first];
        let fits = |total: u64, piece: &Piece| total.saturating_add(piece.rows) <= rows;
        while let Some(piece) = rest.pieces.next_if(|piece| fits(total, piece)) {
            total = total.saturating_add(piece.rows);
            pieces.push(piece);
        }
        rest.taken = place.saturating_add(pieces.len());
        Some(Taken { place, pieces })
    }

    /// Asks stores for the pieces from `place` on before they are read.
    pub(crate) fn ask_ahead(&self, work: &Work, columns: &[usize], place: usize) {
        self.ahead.before(work, columns, place);
    }

    /// Coordinates that the pieces share.
    pub(crate) fn coordinates(&self) -> &Coordinates {
        &self.coordinates
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// The queues of the runs of one plan. The partitions of one run share one; a plan that runs again
/// starts anew.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<Vec<Run>>);

#[derive(Debug)]
struct Run {
    context: Weak<TaskContext>,
    /// Partitions that have started.
    started: BTreeSet<usize>,
    queue: Arc<Queue>,
}

impl Runs {
    /// The queue for a partition that starts, of `partitions` in all.
    pub(crate) fn queue(
        &self,
        context: &Arc<TaskContext>,
        partition: usize,
        partitions: usize,
        pieces: &Pieces,
    ) -> Arc<Queue> {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|run| run.context.strong_count() > 0 && run.started.len() < partitions);
        let own = Arc::downgrade(context);
        let found = runs
            .iter_mut()
            .find(|run| run.context.ptr_eq(&own) && !run.started.contains(&partition));
        if let Some(run) = found {
            run.started.insert(partition);
            return Arc::clone(&run.queue);
        }
        let queue = Arc::new(Queue::new(pieces));
        let started = BTreeSet::from([partition]);
        runs.push(Run { context: own, started, queue: Arc::clone(&queue) });
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarn_formats::Region;
    use tarn_formats::table::Block;

    fn pieces(rows: &[u64]) -> Pieces {
        let piece = |rows: &u64| {
            let block = Block::whole(Region::whole(&[*rows]));
            Piece { part: 0, block, rows: *rows }
        };
        rows.iter().map(piece).collect()
    }

    #[test]
    fn every_piece_is_taken_once_and_small_ones_together() {
        let queue = Queue::new(&pieces(&[5, 100, 1, 1, 1, 50, 2]));
        let mut taken: Vec<Vec<u64>> = vec![];
        let mut places = vec![];
        while let Some(Taken { place, pieces }) = queue.take(10) {
            places.push(place);
            taken.push(pieces.iter().map(|piece| piece.rows).collect());
        }
        assert_eq!(places, [0, 1, 2, 5, 6]);
        assert_eq!(taken, [vec![5], vec![100], vec![1, 1, 1], vec![50], vec![2]]);
        assert!(Queue::new(&pieces(&[])).take(10).is_none());
    }

    #[test]
    fn partitions_of_one_run_share_a_queue_and_a_second_run_starts_anew() {
        let (runs, pieces) = (Runs::default(), pieces(&[1, 1]));
        let (one, other) = (Arc::new(TaskContext::default()), Arc::new(TaskContext::default()));
        let first = runs.queue(&one, 0, 2, &pieces);
        let foreign = runs.queue(&other, 0, 2, &pieces);
        let second = runs.queue(&one, 1, 2, &pieces);
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &foreign));
        assert!(Arc::ptr_eq(&foreign, &runs.queue(&other, 1, 2, &pieces)));
        let again = runs.queue(&one, 0, 2, &pieces);
        assert!(!Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&again, &runs.queue(&one, 0, 2, &pieces)));
    }
}
