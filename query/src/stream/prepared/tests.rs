use super::super::samples::batch;
use super::*;
use std::os::unix::fs::{FileExt, PermissionsExt};
use tempfile::TempDir;

fn set(name: &str) -> Set {
    Set(blake3::hash(name.as_bytes()))
}

fn store(folder: &TempDir, bytes: u64) -> Arc<Prepared> {
    let folder = folder.path().join("prepared");
    Arc::new(Prepared::new(PreparedConfig { folder, bytes }))
}

/// Blocks of as many rows as this one, each in a file of its own.
fn alone(like: &RecordBatch) -> Arc<Layout> {
    Arc::new(Layout::new(&[like.num_rows() as u64; 8], 1 << 40))
}

async fn keep_in(
    store: &Arc<Prepared>,
    set: Set,
    layout: &Arc<Layout>,
    block: usize,
    batch: &RecordBatch,
) {
    store.keep(set, layout, block, batch.clone(), || {}).await;
    while store.writers.available_permits() < WRITERS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Keeps a block and waits until that is done or was given up.
async fn keep(store: &Arc<Prepared>, set: Set, block: usize, batch: &RecordBatch) {
    keep_in(store, set, &alone(batch), block, batch).await;
}

/// The rows of a block, wherever they are.
fn rows_of(layout: &Layout, block: usize, found: &Mapped) -> RecordBatch {
    found.batch.slice(found.first, usize::try_from(layout.rows(Name::Block(block))).unwrap())
}

fn mapped(store: &Prepared, set: Set, block: usize, like: &RecordBatch) -> Option<RecordBatch> {
    let layout = alone(like);
    let found = store.map(set, &layout, block, like.schema_ref())?;
    Some(rows_of(&layout, block, &found))
}

fn still_mapped(
    store: &Prepared,
    set: Set,
    block: usize,
    like: &RecordBatch,
) -> Option<RecordBatch> {
    let layout = alone(like);
    Some(rows_of(&layout, block, &store.mapped(set, &layout, block)?))
}

fn has(store: &Prepared, set: Set, block: usize) -> bool {
    store.has(set, &alone(&batch(0, 1)), block)
}

#[tokio::test]
async fn a_block_is_mapped_as_it_was_kept_and_lies_at_multiples_of_64() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, 1 << 30);
    let blocks = [batch(0, 100), batch(7, 1), batch(0, 0), batch(0, 100).slice(17, 30)];
    for (block, batch) in blocks.iter().enumerate() {
        assert_eq!(mapped(&store, set("a"), block, batch), None);
        keep(&store, set("a"), block, batch).await;
        let found = mapped(&store, set("a"), block, batch).unwrap();
        assert_eq!(&found, batch);
        assert_eq!(found.schema(), batch.schema());
        assert_eq!(still_mapped(&store, set("a"), block, batch), Some(found.clone()));
        for buffer in found.column(1).to_data().child_data()[0].buffers() {
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
        }
        // No values are NULL in it: there is no bitmap.
        assert!(found.column(1).to_data().nulls().is_none());
    }
    let file = folder.path().join("prepared").join(set("a").0.to_hex().as_str()).join("0.arrow");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o400);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn blocks_outlive_the_process_and_are_not_taken_for_those_of_another_table() {
    let folder = tempfile::tempdir().unwrap();
    let block = batch(0, 100);
    keep(&store(&folder, 1 << 30), set("a"), 3, &block).await;
    let again = store(&folder, 1 << 30);
    assert_eq!(mapped(&again, set("b"), 3, &block), None);
    assert_eq!(mapped(&again, set("a"), 2, &block), None);
    assert_eq!(mapped(&again, set("a"), 3, &block), Some(block.clone()));
    let others = store(&folder, 1 << 30);
    let part = block.project(&[0, 1]).unwrap();
    assert_eq!(mapped(&others, set("a"), 3, &part), None);
}

#[tokio::test]
async fn every_damaged_byte_is_noticed_and_the_block_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let block = batch(0, 100).project(&[0, 1, 9]).unwrap();
    keep(&store(&folder, 1 << 30), set("a"), 0, &block).await;
    let file = store(&folder, 1 << 30).path((set("a"), Name::Block(0)));
    let whole = fs::read(&file).unwrap();
    // Its end byte by byte: there is the footer, which says what all else is.
    let end = whole.len() - 1500;
    for at in (0..end).step_by(37).chain(end..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
        let store = store(&folder, 1 << 30);
        match mapped(&store, set("a"), 0, &block) {
            // What nobody reads: the end of the messages.
            Some(found) => assert_eq!(found, block, "byte {at}"),
            None => assert!(!file.exists()),
        }
        fs::write(&file, &whole).unwrap();
    }
    for length in [0, 5, 10, 100, whole.len() - 1] {
        fs::remove_file(&file).unwrap();
        fs::write(&file, &whole[..length]).unwrap();
        let store = store(&folder, 1 << 30);
        assert_eq!(mapped(&store, set("a"), 0, &block), None);
        keep(&store, set("a"), 0, &block).await;
        assert_eq!(mapped(&store, set("a"), 0, &block), Some(block.clone()));
    }
}

#[tokio::test]
async fn a_changed_value_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let block = batch(0, 100).project(&[0]).unwrap();
    keep(&store(&folder, 1 << 30), set("a"), 0, &block).await;
    let path = store(&folder, 1 << 30).path((set("a"), Name::Block(0)));
    let bytes = fs::read(&path).unwrap();
    let value = 77_i64.to_le_bytes();
    let at = bytes.windows(8).position(|bytes| bytes == value).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&78_i64.to_le_bytes(), at as u64).unwrap();
    assert_eq!(mapped(&store(&folder, 1 << 30), set("a"), 0, &block), None);
}

#[tokio::test]
async fn all_may_be_removed_while_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, 1 << 30);
    let blocks = [batch(0, 100), batch(100, 100)];
    keep(&store, set("a"), 0, &blocks[0]).await;
    keep(&store, set("a"), 1, &blocks[1]).await;
    let open = mapped(&store, set("a"), 0, &blocks[0]).unwrap();
    fs::remove_dir_all(folder.path().join("prepared")).unwrap();
    assert_eq!(open, blocks[0]);
    assert_eq!(still_mapped(&store, set("a"), 0, &blocks[0]), Some(blocks[0].clone()));
    let schema = blocks[0].schema();
    let layout = |rows: &[u64]| Arc::new(Layout::new(rows, 1 << 40));
    assert_eq!(store.whole(set("a"), &layout(&[100]), &schema), None);
    assert_eq!(still_mapped(&store, set("a"), 0, &blocks[0]), None);
    keep(&store, set("a"), 0, &blocks[0]).await;
    let folder_of = store.folder(set("a"));
    assert_eq!(store.whole(set("a"), &layout(&[100]), &schema), Some(folder_of));
    assert_eq!(store.whole(set("a"), &layout(&[100, 100]), &schema), None);
    assert_eq!(mapped(&store, set("a"), 1, &blocks[1]), None);
    keep(&store, set("a"), 1, &blocks[1]).await;
    assert_eq!(mapped(&store, set("a"), 1, &blocks[1]), Some(blocks[1].clone()));
}

#[tokio::test]
async fn the_block_not_used_for_longest_leaves_but_none_of_the_table_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let block = batch(0, 1000).project(&[0, 1]).unwrap();
    let unbounded = store(&folder, 1 << 30);
    keep(&unbounded, set("a"), 0, &block).await;
    let bytes = unbounded.state().bytes;
    let room = bytes * 2 + bytes / 2;
    drop(unbounded);
    let store = store(&folder, room);
    keep(&store, set("b"), 0, &block).await;
    assert!(mapped(&store, set("a"), 0, &block).is_some());
    // There is no room for a third: that of `b` was not used for longest.
    keep(&store, set("c"), 0, &block).await;
    assert!(has(&store, set("a"), 0) && !has(&store, set("b"), 0) && has(&store, set("c"), 0));
    keep(&store, set("c"), 1, &block).await;
    keep(&store, set("c"), 2, &block).await;
    assert!(has(&store, set("c"), 0) && has(&store, set("c"), 1) && !has(&store, set("c"), 2));
    assert!(store.state().bytes <= room);
    let left: Vec<_> = entries(&folder.path().join("prepared")).collect();
    assert_eq!(left, vec![store.folder(set("c"))]);
    assert!(store.folder(set("c")).join("1.arrow").exists());
}

/// Five blocks of 3, 5, 0, 4 and 2 rows, three in a file.
fn packed() -> (Arc<Layout>, Vec<RecordBatch>) {
    let rows = [3_u64, 5, 0, 4, 2];
    let layout = Layout::new(&rows, (64 << 20) / 3 / 2 - 1);
    assert_eq!(layout.per_pack(), 3);
    let mut first = 0;
    let blocks = rows.iter().map(|rows| {
        let rows = i64::try_from(*rows).unwrap();
        let block = batch(first, rows);
        first += rows;
        block
    });
    (Arc::new(layout), blocks.collect())
}

#[tokio::test]
async fn blocks_are_joined_once_all_of_a_file_are_there_and_their_rows_lie_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let (layout, blocks) = packed();
    let schema = blocks[0].schema();
    let store = store(&folder, 1 << 30);
    for block in [4, 1, 0] {
        keep_in(&store, set("a"), &layout, block, &blocks[block]).await;
    }
    assert_eq!(store.whole(set("a"), &layout, &schema), None);
    // The block without rows is one that nobody decodes.
    keep_in(&store, set("a"), &layout, 3, &blocks[3]).await;
    let names: HashSet<_> = store.state().entries.keys().map(|(_, name)| *name).collect();
    assert_eq!(names, HashSet::from([Name::Pack(0), Name::Pack(1)]));
    let folder_of = store.folder(set("a"));
    let files = entries(&folder_of);
    let files: HashSet<_> = files.map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(files, HashSet::from(["pack-0.arrow".into(), "pack-1.arrow".into()]));
    assert_eq!(store.state().bytes, files_bytes(&store.folder(set("a"))));
    for again in [Arc::clone(&store), self::store(&folder, 1 << 30)] {
        let whole = again.whole(set("a"), &layout, &schema);
        assert_eq!(whole, Some(again.folder(set("a"))));
        for (block, expected) in blocks.iter().enumerate() {
            let found = again.map(set("a"), &layout, block, &schema).unwrap();
            assert_eq!(rows_of(&layout, block, &found), *expected);
            assert_eq!(found.pack, Some(block / 3 * 3));
            assert!(again.mapped(set("a"), &layout, block).is_some());
        }
        // What is joined is not written again.
        keep_in(&again, set("a"), &layout, 1, &blocks[1]).await;
        assert_eq!(again.state().entries.len(), 2);
    }
}

fn files_bytes(folder: &Path) -> u64 {
    entries(folder).map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[tokio::test]
async fn a_joined_file_that_is_damaged_or_gone_is_made_of_its_blocks_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (layout, blocks) = packed();
    let schema = blocks[0].schema();
    let first = store(&folder, 1 << 30);
    for (block, batch) in blocks.iter().enumerate() {
        keep_in(&first, set("a"), &layout, block, batch).await;
    }
    let path = first.folder(set("a")).join("pack-0.arrow");
    for damage in [true, false] {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        if damage {
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        }
        let store = store(&folder, 1 << 30);
        assert_eq!(store.whole(set("a"), &layout, &schema), None);
        for (block, rows) in blocks.iter().enumerate().take(2) {
            assert!(store.map(set("a"), &layout, block, &schema).is_none());
            keep_in(&store, set("a"), &layout, block, rows).await;
        }
        assert!(store.whole(set("a"), &layout, &schema).is_some());
        let found = store.map(set("a"), &layout, 1, &schema).unwrap();
        assert_eq!(rows_of(&layout, 1, &found), blocks[1]);
    }
}

#[tokio::test]
async fn blocks_that_were_there_before_a_restart_are_joined_when_somebody_wants_to_map_them() {
    let folder = tempfile::tempdir().unwrap();
    let (layout, blocks) = packed();
    let schema = blocks[0].schema();
    let before = store(&folder, 1 << 30);
    let apart = Arc::new(Layout::new(&[3, 5, 0, 4, 2], 1 << 40));
    for (block, batch) in blocks.iter().enumerate() {
        keep_in(&before, set("a"), &apart, block, batch).await;
    }
    let after = store(&folder, 1 << 30);
    assert_eq!(after.whole(set("a"), &layout, &schema), None);
    assert!(after.whole(set("a"), &layout, &schema).is_some());
    assert_eq!(after.state().entries.len(), 2);
}

#[tokio::test]
async fn where_nothing_can_be_written_nothing_is_kept_and_nobody_fails() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prepared"), b"no folder").unwrap();
    let store = store(&folder, 1 << 30);
    let block = batch(0, 100);
    keep(&store, set("a"), 0, &block).await;
    assert!(store.state().paused());
    keep(&store, set("a"), 1, &block).await;
    assert!(!has(&store, set("a"), 0) && !has(&store, set("a"), 1));
    let tiny =
        Arc::new(Prepared::new(PreparedConfig { folder: folder.path().join("other"), bytes: 10 }));
    keep(&tiny, set("a"), 0, &block).await;
    assert!(!has(&tiny, set("a"), 0) && !folder.path().join("other").exists());
}

#[test]
fn what_was_never_finished_is_removed_once_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("prepared").join(set("a").0.to_hex().as_str());
    fs::create_dir_all(&inside).unwrap();
    for name in ["1-1.writing", "1-2.writing"] {
        fs::write(inside.join(name), b"half").unwrap();
    }
    let old = SystemTime::now() - ABANDONED * 2;
    fs::File::options()
        .write(true)
        .open(inside.join("1-1.writing"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    let store = store(&folder, 1 << 30);
    assert_eq!(store.state().entries.len(), 0);
    assert!(!inside.join("1-1.writing").exists() && inside.join("1-2.writing").exists());
}
