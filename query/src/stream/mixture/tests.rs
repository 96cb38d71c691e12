use super::super::plan::Plan;
use super::super::request::Tail;
use super::super::rows::Rows;
use super::super::source::memory::Memory;
use super::super::sources::Share;
use super::pattern::PERIOD;
use super::*;
use crate::stream::OrderHash;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use std::collections::HashSet;

/// A plan of a table of so many rows in blocks of 7.
async fn table(name: &str, rows: i64, filter: Option<&str>) -> Arc<TablePlan> {
    let ids: Vec<i64> = (0..rows).collect();
    let block = |ids: &[i64]| {
        let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
        RecordBatch::try_from_iter([("id", ids)]).unwrap()
    };
    let batches = ids.chunks(7).map(block).collect();
    let state = SessionContext::new().state();
    let filter = filter.map(str::to_owned);
    let request = StreamRequest { filter, ..StreamRequest::new("x") };
    let source = Arc::new(Memory::new(batches));
    let name = name.parse().unwrap();
    Arc::new(TablePlan::over([7; 32], name, source, &state, &request).await.unwrap())
}

fn source(weight: f64, repeat: bool) -> MixedSource {
    let json = serde_json::json!({"dataset": "a.b", "weight": weight, "repeat": repeat});
    serde_json::from_value(json).unwrap()
}

fn request(sources: &[(f64, bool)]) -> StreamRequest {
    let sources = sources.iter().map(|(weight, repeat)| source(*weight, *repeat)).collect();
    StreamRequest { sources: Some(sources), dataset: String::new(), ..StreamRequest::new("") }
}

fn plan(tables: &[Arc<TablePlan>], request: &StreamRequest) -> Plan {
    Plan::over([1; 32], tables.to_vec(), request).unwrap()
}

/// Block and row at the positions of an epoch from one on.
fn rows(plan: &Plan, request: &StreamRequest, from: u64) -> Vec<(usize, u64)> {
    let (rows, _) = plan.rows(request, from).read(from, 1 << 20);
    rows.into_iter().map(|row| (row.block, row.row)).collect()
}

fn pattern_of(quotas: Vec<u32>, key: Option<u64>) -> Pattern {
    match key {
        Some(key) => Pattern::drawn(quotas, key),
        None => Pattern::stratified(quotas),
    }
}

#[test]
fn quotas_are_the_weights_by_the_largest_remainder_and_one_at_least() {
    assert_eq!(quotas(&[1.0]), [65536]);
    assert_eq!(quotas(&[0.5, 0.5]), [32768, 32768]);
    assert_eq!(quotas(&[7.0, 3.0]), [45875, 19661]);
    assert_eq!(quotas(&[0.7, 0.3]), [45875, 19661]);
    // 21845.33 each: the first of equal remainders has the one that is left.
    assert_eq!(quotas(&[1.0, 1.0, 1.0]), [21846, 21845, 21845]);
    assert_eq!(quotas(&[1e-9, 1.0, 1e-300]), [1, 65534, 1]);
    assert_eq!(quotas(&[f64::MAX, f64::MAX]), [32768, 32768]);
}

#[test]
fn a_stratified_pattern_never_strays_from_the_weights() {
    for weights in [vec![1.0, 1.0], vec![0.7, 0.3], vec![1.0, 2.0, 3.0, 0.01], vec![1.0; 64]] {
        let quotas = quotas(&weights);
        let pattern = Pattern::stratified(quotas.clone());
        let mut counts = vec![0.0_f64; quotas.len()];
        for (position, source) in (1_u32..).zip(pattern.period(0).iter()) {
            counts[usize::from(*source)] += 1.0;
            for (count, quota) in counts.iter().zip(&quotas) {
                let exact = f64::from(position) * f64::from(*quota) / f64::from(PERIOD);
                assert!((count - exact).abs() < 1.5, "{weights:?} at {position}");
            }
        }
        assert_eq!(pattern.period(0), pattern.period(5));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_period_has_the_quotas_and_counts_are_those_of_a_walk(
        weights in prop::collection::vec(1e-6_f64..1e6, 1..64),
        key in prop::option::of(any::<u64>()),
        period in 0_u64..1 << 40,
        offset in 0_u64..u64::from(PERIOD),
    ) {
        let quotas = quotas(&weights);
        prop_assert_eq!(quotas.iter().sum::<u32>(), PERIOD);
        let sum: f64 = weights.iter().sum();
        for (quota, weight) in quotas.iter().zip(&weights) {
            let exact = weight / sum * f64::from(PERIOD);
            prop_assert!(*quota >= 1);
            // Sources that get one though less is theirs take it from the largest.
            prop_assert!((f64::from(*quota) - exact).abs() < 1.0 + weights.len() as f64);
        }
        let pattern = pattern_of(quotas.clone(), key);
        let sources = pattern.period(period);
        let mut counts = vec![0_u64; quotas.len()];
        for source in sources.iter() {
            counts[usize::from(*source)] += 1;
        }
        prop_assert_eq!(&counts, &quotas.iter().map(|quota| u64::from(*quota)).collect::<Vec<_>>());
        let before = pattern.before(period * u64::from(PERIOD) + offset);
        for (source, before) in before.into_iter().enumerate() {
            let within = sources.iter().take(usize::try_from(offset).unwrap());
            let within = within.filter(|own| usize::from(**own) == source).count() as u64;
            prop_assert_eq!(before, period * u64::from(quotas[source]) + within);
        }
    }

    #[test]
    fn an_epoch_ends_where_a_source_has_no_row_left(
        weights in prop::collection::vec(1e-2_f64..1e2, 1..6),
        rows in prop::collection::vec(prop::option::of(1_u64..200_000), 6),
        key in prop::option::of(any::<u64>()),
    ) {
        let pattern = pattern_of(quotas(&weights), key);
        let rows = &rows[..weights.len()];
        let Some(end) = pattern.end(rows) else {
            prop_assert!(rows.iter().all(Option::is_none));
            return Ok(());
        };
        for (before, rows) in pattern.before(end).iter().zip(rows) {
            prop_assert!(rows.is_none_or(|rows| *before <= rows));
        }
        let after = pattern.before(end + 1);
        prop_assert!(after.iter().zip(rows).any(|(after, rows)| rows.is_some_and(|rows| *after == rows + 1)));
    }

    #[test]
    fn a_walk_may_start_anywhere_and_ranks_share_the_same_rows(
        sizes in prop::collection::vec(1_i64..60, 1..4),
        weights in prop::collection::vec(0.05_f64..3.0, 4),
        repeat in prop::collection::vec(any::<bool>(), 4),
        (seed, epoch) in (any::<u64>(), any::<u32>()),
        (shuffle, stratified) in (any::<bool>(), any::<bool>()),
        start in 0_u64..200,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tables: Vec<_> = (0_u8..).zip(&sizes).map(|(number, size)| {
            runtime.block_on(table(&format!("lab.a.t{number}"), *size, None))
        }).collect();
        let said: Vec<_> = (0..sizes.len())
            // One of them ends.
            .map(|source| (weights[source], source > 0 && repeat[source]))
            .collect();
        let request = StreamRequest { seed, epoch, shuffle, stratified, ..request(&said) };
        let plan = plan(&tables, &request);
        let whole = rows(&plan, &request, 0);
        let selected = plan.selected(&request);
        prop_assert_eq!(whole.len() as u64, selected);
        prop_assert_eq!(plan.whole(&request), selected);
        let from = start.min(selected);
        let skipped = usize::try_from(from).unwrap();
        prop_assert_eq!(rows(&plan, &request, from), whole[skipped..].to_vec());
        // Two ranks of 5 rows each.
        let mut ranks: Vec<Rows> =
            [0, 5].iter().map(|before| plan.rows(&request, from + before)).collect();
        let mut shared = Vec::new();
        while shared.len() < whole.len() - skipped {
            let first = from + shared.len() as u64;
            for rank in &mut ranks {
                shared.extend(rank.read(first, 5).0.into_iter().map(|row| (row.block, row.row)));
                rank.advance(5);
            }
        }
        prop_assert_eq!(&shared, &whole[skipped..]);
        // No row comes twice in a pass, and in the order of the tables rows follow each other.
        let mut first = 0;
        for ((_, repeat), table) in said.iter().zip(&tables) {
            let end = first + table.blocks();
            let own: Vec<_> = whole.iter().filter(|(block, _)| (first..end).contains(block)).collect();
            let all = usize::try_from(table.selected()).unwrap();
            prop_assert!(*repeat || own.len() <= all);
            for (pass, rows) in own.chunks(all).enumerate() {
                prop_assert_eq!(rows.iter().collect::<HashSet<_>>().len(), rows.len(), "pass {}", pass);
                if !shuffle {
                    prop_assert!(rows.is_sorted());
                }
            }
            first = end;
        }
    }

    #[test]
    fn shares_are_what_a_mixture_is_made_of(
        sizes in (1_i64..80, 1_i64..80),
        weights in (0.05_f64..3.0, 0.05_f64..3.0),
        repeat in any::<bool>(),
        seed in any::<u64>(),
        start in 0_u64..100,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tables = [sizes.0, sizes.1].map(|size| runtime.block_on(table("lab.a.t", size, None)));
        let request = StreamRequest { seed, ..request(&[(weights.0, false), (weights.1, repeat)]) };
        let mixed = plan(&tables, &request);
        let end = mixed.selected(&request);
        let start = start.min(end);
        let (rows, hash) = mixed.rows(&request, start).read(start, 1 << 20);
        let mut found = Vec::new();
        let mut sum = OrderHash::default();
        let mut ends = Vec::new();
        let mut whole = 0;
        for (index, table) in tables.iter().enumerate() {
            let share = |end| StreamRequest {
                share: Some(Share {
                    weights: vec![weights.0, weights.1],
                    index,
                    repeat: vec![false, repeat],
                    end,
                }),
                seed,
                ..StreamRequest::new("a.b")
            };
            let own = plan(std::slice::from_ref(table), &share(None));
            ends.push(own.selected(&share(None)));
            let bounded = share(Some(end));
            prop_assert_eq!(own.id(), plan(std::slice::from_ref(table), &bounded).id());
            prop_assert_eq!(own.selected(&bounded), end);
            prop_assert_eq!(bounded.tail(), Tail::Keep);
            whole += own.whole(&bounded);
            let mut walk = own.rows(&bounded, start);
            let first = if index == 0 { 0 } else { tables[0].blocks() };
            for position in start..end {
                let (rows, hash) = walk.read(position, 1);
                sum.merge(hash);
                found.extend(rows.into_iter().map(|row| (position, first + row.block, row.row)));
            }
        }
        prop_assert_eq!(*ends.iter().min().unwrap(), end);
        prop_assert_eq!(repeat, ends[1] == ENDLESS);
        prop_assert_eq!(whole, end);
        found.sort_unstable();
        let expected: Vec<_> =
            (start..).zip(&rows).map(|(position, row)| (position, row.block, row.row)).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(sum, hash);
    }
}

#[tokio::test]
async fn many_positions_are_left_out_at_once() {
    let tables = [table("lab.a.t", 50, None).await, table("lab.a.u", 50, None).await];
    let request = request(&[(1.0, true), (1e-4, false)]);
    let plan = plan(&tables, &request);
    let whole = rows(&plan, &request, 0);
    assert!(whole.len() > 400_000, "{}", whole.len());
    for (from, count) in [(0_usize, 65_537_u64), (70_000, 200_000), (65_536, 131_072), (5, 1 << 60)]
    {
        let mut walk = plan.rows(&request, from as u64);
        walk.advance(count);
        let from = from.saturating_add(usize::try_from(count).unwrap()).min(whole.len());
        let (rest, _) = walk.read(from as u64, 1 << 20);
        let rest: Vec<_> = rest.into_iter().map(|row| (row.block, row.row)).collect();
        assert_eq!(rest, whole[from..]);
    }
    // A world of many ranks over a source that never ends: a step is found as fast.
    let share = StreamRequest {
        share: Some(Share {
            weights: vec![1.0, 1.0],
            index: 1,
            repeat: vec![false, true],
            end: None,
        }),
        ..StreamRequest::new("a.b")
    };
    let plan = self::plan(&tables[..1], &share);
    let mut walk = plan.rows(&share, 0);
    for _ in 0..4 {
        walk.advance(1 << 36);
        assert!(walk.read(0, 100).0.len() > 20);
    }
}

#[tokio::test]
async fn two_sources_of_one_table_and_two_passes_have_orders_of_their_own() {
    let one = table("lab.a.t", 50, None).await;
    let request = request(&[(1.0, true), (1.0, false)]);
    let tables = [Arc::clone(&one), one];
    let rows = rows(&plan(&tables, &request), &request, 0);
    let blocks = tables[0].blocks();
    let (first, second): (Vec<_>, Vec<_>) = rows.iter().partition(|(block, _)| *block < blocks);
    let second: Vec<_> = second.into_iter().map(|(block, row)| (block - blocks, row)).collect();
    assert_eq!(second.len(), 50);
    assert_ne!(first[..10], second[..10]);
    let again = StreamRequest { sources: request.sources.clone(), ..StreamRequest::new("") };
    let repeats =
        StreamRequest { sources: Some(vec![source(9.0, true), source(1.0, false)]), ..again };
    let rows = self::rows(&plan(&tables, &repeats), &repeats, 0);
    let first: Vec<_> = rows.iter().filter(|(block, _)| *block < blocks).collect();
    assert!(first.len() > 100);
    assert_ne!(first[..50], first[50..100]);
}

#[tokio::test]
async fn what_decides_the_rows_decides_the_plan() {
    let tables = [table("lab.a.t", 50, None).await, table("lab.a.u", 50, None).await];
    let id = |request: &StreamRequest| plan(&tables, request).id();
    let base = request(&[(1.0, false), (1.0, false)]);
    assert_eq!(id(&base), id(&request(&[(3.0, false), (3.0, false)])));
    assert_ne!(id(&base), id(&request(&[(1.0, false), (2.0, false)])));
    assert_ne!(id(&base), id(&request(&[(1.0, false), (1.0, true)])));
    assert_ne!(id(&base), id(&StreamRequest { stratified: true, ..base.clone() }));
    let other = Plan::over([1; 32], tables.iter().rev().cloned().collect(), &base).unwrap();
    // Memory has no identity of its own: the two tables are one here.
    assert_eq!(id(&base), other.id());
}

#[tokio::test]
async fn a_source_without_rows_is_named() {
    let tables = [table("lab.a.t", 50, None).await, table("lab.a.u", 50, Some("id < 0")).await];
    let request = request(&[(1.0, false), (1.0, true)]);
    let error = Plan::over([1; 32], tables.to_vec(), &request).unwrap_err().to_string();
    assert!(error.contains("sources[1]") && error.contains("lab.a.u"), "{error}");
}
