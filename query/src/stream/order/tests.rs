use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

fn order(rows: &[u64], window: usize, seed: u64, epoch: u32) -> Arc<Order> {
    let blocks = rows.iter().map(|rows| Block::whole(*rows)).collect();
    Arc::new(Order::new(Arc::new(blocks), window, Some(epoch_key(seed, epoch))))
}

fn pairs(order: &Arc<Order>) -> Vec<(usize, u64)> {
    order.walk(0).map(|row| (row.block, row.row)).collect()
}

#[test]
fn a_permutation_hits_every_index_once() {
    for length in [1, 2, 3, 5, 17, 1000, 65_537] {
        let permutation = Permutation::new(length, 7);
        let seen: HashSet<_> = (0..length).map(|index| permutation.apply(index)).collect();
        assert_eq!(seen.len() as u64, length);
        assert!(seen.into_iter().all(|index| index < length));
    }
}

#[test]
fn the_order_is_the_one_of_the_reference_program() {
    // From `Plan([3, 5, 2, 4], hidden, 7, 1, 2).read(0, n)` of peers/streams/order_check.py.
    let expected = vec![
        (0, 0),
        (1, 3),
        (1, 1),
        (0, 2),
        (1, 0),
        (1, 2),
        (1, 4),
        (0, 1),
        (3, 3),
        (2, 1),
        (3, 0),
        (2, 0),
        (3, 2),
        (3, 1),
    ];
    assert_eq!(pairs(&order(&[3, 5, 2, 4], 2, 7, 1)), expected);
    let masks =
        [vec![true, false, true], vec![true; 5], vec![false; 2], vec![true, true, false, true]];
    let blocks = masks.into_iter().map(|mask| Block::masked(mask.into())).collect();
    let hidden = Arc::new(Order::new(Arc::new(blocks), 2, Some(epoch_key(7, 1))));
    let expected =
        vec![(0, 0), (1, 3), (1, 1), (0, 2), (1, 0), (1, 2), (1, 4), (3, 3), (3, 0), (3, 1)];
    assert_eq!(pairs(&hidden), expected);
}

#[test]
fn seed_and_epoch_are_not_interchangeable() {
    let rows = [50; 20];
    let first = pairs(&order(&rows, 4, 1, 1));
    assert_ne!(first, pairs(&order(&rows, 4, 2, 0)));
    assert_ne!(first, pairs(&order(&rows, 4, 1, 0)));
    assert_eq!(first, pairs(&order(&rows, 4, 1, 1)));
}

#[test]
fn an_empty_order_has_no_rows() {
    assert_eq!(order(&[], 4, 1, 0).walk(0).count(), 0);
    assert_eq!(order(&[0, 0], 4, 1, 0).walk(0).count(), 0);
    assert_eq!(order(&[3], 4, 1, 0).walk(9).count(), 0);
}

proptest! {
    #[test]
    fn every_selected_row_comes_once_and_a_walk_may_start_anywhere(
        masks in prop::collection::vec(prop::collection::vec(any::<bool>(), 0..20), 0..12),
        window in 1_usize..6,
        shuffle in prop::option::of(any::<u64>()),
        start in 0_u64..250,
    ) {
        let expected: HashSet<(usize, u64)> = masks
            .iter()
            .enumerate()
            .flat_map(|(block, mask)| {
                mask.iter().enumerate().filter(|(_, shown)| **shown).map(move |(row, _)| (block, row as u64))
            })
            .collect();
        let whole: Vec<Block> = masks.iter().map(|mask| Block::whole(mask.len() as u64)).collect();
        let blocks: Vec<Block> = masks.into_iter().map(|mask| Block::masked(mask.into())).collect();
        let shown = Arc::new(Order::new(Arc::new(blocks), window, shuffle));
        let all = pairs(&shown);
        prop_assert_eq!(all.len() as u64, shown.selected());
        prop_assert_eq!(&all.iter().copied().collect::<HashSet<_>>(), &expected);
        let rest: Vec<_> = shown.walk(start).map(|row| (row.block, row.row)).collect();
        prop_assert_eq!(rest, all.iter().copied().skip(usize::try_from(start).unwrap()).collect::<Vec<_>>());
        let unfiltered = pairs(&Arc::new(Order::new(Arc::new(whole), window, shuffle)));
        prop_assert_eq!(all, unfiltered.into_iter().filter(|row| expected.contains(row)).collect::<Vec<_>>());
    }
}
