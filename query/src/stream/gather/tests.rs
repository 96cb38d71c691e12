use super::super::samples::batch;
use super::*;
use arrow::compute::interleave_record_batch;
use proptest::prelude::*;

fn checked(blocks: &[RecordBatch], indices: &[(usize, usize)]) {
    let pool = Pool::new(1 << 30);
    let _promise = pool.promise(&tarn_schemas::Principal::Anonymous, 1 << 20).unwrap();
    let found = rows(&blocks[0].schema(), blocks, indices, &pool).unwrap();
    let blocks: Vec<&RecordBatch> = blocks.iter().collect();
    let expected = interleave_record_batch(&blocks, indices).unwrap();
    assert_eq!(found, expected);
    assert_eq!(found.schema(), expected.schema());
}

proptest! {
    #[test]
    fn rows_of_any_order_are_what_arrow_picks(
        picks in prop::collection::vec((0_usize..3, 0_usize..20), 1..60),
    ) {
        // The last block is a slice of something larger, as those of tables may be.
        let blocks = [batch(0, 20), batch(100, 20), batch(200, 50).slice(13, 20)];
        checked(&blocks, &picks);
    }
}

#[test]
fn rows_that_follow_each_other_are_a_slice_of_their_block_and_across_blocks_are_copied() {
    let blocks = [batch(0, 20), batch(20, 20)];
    let within: Vec<_> = (3..17).map(|row| (1, row)).collect();
    let pool = Pool::new(1 << 30);
    let found = rows(&blocks[0].schema(), &blocks, &within, &pool).unwrap();
    assert_eq!(found, blocks[1].slice(3, 14));
    let place = |batch: &RecordBatch| batch.column(0).to_data().buffers()[0].as_ptr() as usize;
    assert_eq!(place(&found), place(&blocks[1]) + 3 * 8);
    let across: Vec<_> = (10..20).map(|row| (0, row)).chain((0..5).map(|row| (1, row))).collect();
    checked(&blocks, &across);
    checked(&blocks, &[(0, 7)]);
}

#[test]
fn no_rows_are_an_empty_batch_and_rows_that_are_not_there_are_refused() {
    let blocks = [batch(0, 20)];
    let schema = blocks[0].schema();
    let pool = Pool::new(1 << 30);
    assert_eq!(
        rows(&schema, &[], &[], &pool).unwrap(),
        RecordBatch::new_empty(Arc::clone(&schema))
    );
    assert!(rows(&schema, &blocks, &[(0, 20)], &pool).is_err());
    let tensors = [blocks[0].project(&[1]).unwrap()];
    assert!(rows(&tensors[0].schema(), &tensors, &[(0, 3), (0, 20)], &pool).is_err());
    assert!(rows(&tensors[0].schema(), &tensors, &[(0, 3), (1, 0)], &pool).is_err());
}
