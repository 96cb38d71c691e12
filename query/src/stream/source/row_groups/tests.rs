use super::*;
use arrow::array::{ArrayRef, FixedSizeListArray, Int64Array, ListArray, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Int32Type};
use object_store::memory::InMemory;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

/// Numbers, texts with NULL, lists of any length, and tensors as Delta has them.
fn table(rows: usize) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..i64::try_from(rows).unwrap()));
    let texts = (0..rows).map(|row| (row % 5 > 0).then(|| "é".repeat(row % 40)));
    let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0_i32..).take(rows).map(|row| (row % 7 > 0).then(|| (0..row % 4).map(Some))),
    ));
    let tensors: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        (0..rows).map(|row| Some((0..6).map(move |n| Some((row * 6 + n) as f32)))),
        6,
    ));
    RecordBatch::try_from_iter([("n", numbers), ("t", texts), ("l", lists), ("x", tensors)])
        .unwrap()
}

fn written(batch: &RecordBatch, properties: WriterProperties) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

async fn stored(bytes: Vec<u8>) -> (Arc<dyn ObjectStore>, DataFile) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (path, size) = (Path::from("a.parquet"), bytes.len() as u64);
    store.put(&path, bytes.into()).await.unwrap();
    let metadata = footer(&store, &path, size).await.unwrap();
    (store, DataFile { path, size, metadata, names: HashMap::new(), constants: HashMap::new() })
}

proptest! {
    #[test]
    fn blocks_are_the_rows_of_the_table_in_their_order(
        rows in 0_usize..400,
        group in 1_usize..300,
        page in 1_usize..60,
        per_block in 1_u64..120,
        indexed in any::<bool>(),
        roots in prop::sample::subsequence(vec![0_usize, 1, 2, 3], 0..=4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let batch = table(rows);
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(group))
            .set_data_page_row_count_limit(page)
            .set_write_batch_size(page)
            .set_offset_index_disabled(!indexed);
        let properties = if indexed {
            properties
        } else {
            properties.set_statistics_enabled(parquet::file::properties::EnabledStatistics::Chunk)
        };
        runtime.block_on(async {
            let (store, file) = stored(written(&batch, properties.build())).await;
            let files = [file];
            let parts = parts(&files, BLOCK_BYTES / per_block).unwrap();
            let [file] = &files;
            prop_assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), rows as u64);
            let mut next = 0;
            let mut found = Vec::new();
            while next < parts.len() {
                let together = parts[next].together.clone();
                prop_assert_eq!(together.start, next);
                prop_assert!(parts[together.clone()].iter().all(|part| part.together == together));
                prop_assert!(!indexed || together.len() == 1);
                let own = parts[together.clone()].to_vec();
                let read = decode(Arc::clone(&store), file, &own, roots.clone()).await.unwrap();
                prop_assert_eq!(read.len(), own.len());
                for (batch, part) in read.iter().zip(&own) {
                    prop_assert_eq!(batch.num_rows() as u64, part.rows);
                    prop_assert!(part.rows <= per_block.max(1) * 2);
                }
                found.extend(read);
                next = together.end;
            }
            let expected = batch.project(&roots).unwrap();
            if let Some(first) = found.first() {
                let whole = concat_batches(&first.schema(), &found).unwrap();
                prop_assert_eq!(whole.num_rows(), rows);
                prop_assert_eq!(whole.columns(), expected.columns());
            } else {
                prop_assert_eq!(rows, 0);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_table_of_more_blocks_than_are_remembered_has_larger_ones() {
    let bytes = written(&table(300), WriterProperties::builder().build());
    let (_, file) = stored(bytes).await;
    let one = parts(std::slice::from_ref(&file), BLOCK_BYTES * 4).unwrap();
    assert_eq!((one.len(), one[0].rows), (300, 1));
    let many: Vec<DataFile> = (0..9000)
        .map(|_| DataFile {
            path: file.path.clone(),
            size: file.size,
            metadata: file.metadata.clone(),
            names: HashMap::new(),
            constants: HashMap::new(),
        })
        .collect();
    let parts = parts(&many, BLOCK_BYTES * 4).unwrap();
    assert!(parts.len() as u64 <= MOST_BLOCKS && parts.len() > 300_000, "{}", parts.len());
    assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), 2_700_000);
}
