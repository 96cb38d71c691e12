//! The pieces of a scan, handed out to its partitions as they ask: none waits while there is work.

use crate::provider::ahead::Ahead;
use crate::provider::work::{Piece, Work};
use datafusion::execution::TaskContext;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tarn_formats::table::Coordinates;

/// Pieces that are handed out in order, each once.
#[derive(Debug)]
pub(crate) struct Queue {
    pieces: Arc<[Piece]>,
    next: Mutex<usize>,
    ahead: Ahead,
    coordinates: Coordinates,
}

impl Queue {
    /// All of these pieces.
    pub(crate) fn new(pieces: Arc<[Piece]>) -> Self {
        let coordinates = Coordinates::default();
        Self { pieces, next: Mutex::new(0), ahead: Ahead::default(), coordinates }
    }

    /// The next piece, and those after it while all of them together have at most `rows` rows;
    /// none when all are taken.
    pub(crate) fn take(&self, rows: u64) -> Option<Range<usize>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *next;
        let mut taken = self.pieces.get(start)?.rows;
        *next = start.saturating_add(1);
        while let Some(piece) = self.pieces.get(*next) {
            taken = taken.saturating_add(piece.rows);
            if taken > rows {
                break;
            }
            *next = next.saturating_add(1);
        }
        Some(start..*next)
    }

    /// Asks stores for the pieces from `place` on before they are read.
    pub(crate) fn ask_ahead(&self, work: &Work, columns: &[usize], place: usize) {
        self.ahead.before(work, columns, &self.pieces, place);
    }

    /// Coordinates that the pieces share.
    pub(crate) fn coordinates(&self) -> &Coordinates {
        &self.coordinates
    }

    /// The pieces at these places.
    pub(crate) fn pieces(&self, places: Range<usize>) -> &[Piece] {
        self.pieces.get(places).unwrap_or_default()
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
        pieces: &Arc<[Piece]>,
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
        let queue = Arc::new(Queue::new(Arc::clone(pieces)));
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

    fn pieces(rows: &[u64]) -> Arc<[Piece]> {
        let piece = |rows: &u64| {
            let block = Block::whole(Region::whole(&[*rows]));
            Piece { part: 0, block, rows: *rows }
        };
        rows.iter().map(piece).collect()
    }

    #[test]
    fn every_piece_is_taken_once_and_small_ones_together() {
        let queue = Queue::new(pieces(&[5, 100, 1, 1, 1, 50, 2]));
        let mut taken = vec![];
        while let Some(places) = queue.take(10) {
            taken.push(places);
        }
        assert_eq!(taken, [0..1, 1..2, 2..5, 5..6, 6..7]);
        assert_eq!(queue.pieces(2..5).len(), 3);
        assert_eq!(Queue::new(pieces(&[])).take(10), None);
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
