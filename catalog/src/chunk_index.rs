//! The chunk index: metadata of registered files in Parquet beside the catalog, so that a query over
//! them is planned without opening one.
//!
//! A file of the index is named by what it is for, the content of the registered files, and by its
//! own checksum: what is damaged is not read, and what is stale is not found. It is made again
//! whenever it is missing.

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::io::{Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tarn_formats::saved::{Entry, Shelf, VERSION, to_batch};

/// Most bytes of the index on disk; what was written longest ago goes first.
const MOST_BYTES: u64 = 1 << 30;
/// Descriptions repeat over all files of a table: one dictionary holds them.
const DICTIONARY: usize = 64 << 20;

/// The chunk index of a home.
#[derive(Debug, Clone)]
pub struct ChunkIndex {
    folder: PathBuf,
    most_bytes: u64,
}

impl ChunkIndex {
    /// The index in a folder, which is made when something is written.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, most_bytes: MOST_BYTES }
    }

    /// What was stored for the files with these SHA-256 checksums, all of them together. What is damaged
    /// is removed. Blocks.
    pub fn load(&self, checksums: &[&str]) -> Option<Shelf> {
        let key = key(checksums);
        let names = std::fs::read_dir(&self.folder).ok()?;
        let found = names.filter_map(std::result::Result::ok).find_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (own, rest) = name.strip_suffix(".parquet")?.split_once('-')?;
            (own == key).then(|| (entry.path(), rest.to_owned()))
        });
        let (path, checksum) = found?;
        let shelf = std::fs::read(&path).ok().and_then(|bytes| {
            if blake3::hash(&bytes).to_hex().as_str() != checksum {
                return None;
            }
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).ok()?;
            let rows = usize::try_from(reader.metadata().file_metadata().num_rows()).ok()?;
            let batches = reader.with_batch_size(rows.max(1)).build().ok()?;
            let batches: Vec<RecordBatch> = batches.collect::<std::result::Result<_, _>>().ok()?;
            Shelf::new(&batches)
        });
        if shelf.is_none() {
            tracing::warn!(path = %path.display(), "a chunk index is damaged and is made again");
            let _ = std::fs::remove_file(&path);
        }
        shelf
    }

    /// Stores the metadata of the files with these checksums, each under its own; files that have
    /// none that can be stored are opened by who wants them. Blocks.
    ///
    /// # Errors
    /// Those of the file system. The index is not needed for an answer: callers say so and go on.
    pub fn store(&self, checksums: &[&str], files: &[(String, Vec<Entry>)]) -> Result<()> {
        let key = key(checksums);
        let bytes = parquet(files).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        let name = format!("{key}-{}.parquet", blake3::hash(&bytes).to_hex());
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(name);
        if path.exists() {
            return Ok(());
        }
        // Seen whole or not at all.
        let new = self.folder.join(format!(".{}", uuid::Uuid::new_v4().simple()));
        let written = write_private(&new, &bytes).and_then(|()| std::fs::rename(&new, &path));
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written?;
        self.make_room(&path, &key)
    }

    /// Removes what `kept` replaces, and the oldest files of too many bytes.
    fn make_room(&self, kept: &Path, key: &str) -> Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = vec![];
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let replaced = entry.file_name().to_string_lossy().starts_with(&format!("{key}-"));
            if entry.path() == kept || !metadata.is_file() {
                continue;
            }
            let age = if replaced { SystemTime::UNIX_EPOCH } else { metadata.modified()? };
            files.push((age, metadata.len(), entry.path()));
        }
        files.sort();
        let own = kept.metadata()?.len();
        let mut bytes =
            files.iter().fold(own, |bytes, (_, length, _)| bytes.saturating_add(*length));
        for (age, length, path) in files {
            if bytes <= self.most_bytes && age != SystemTime::UNIX_EPOCH {
                break;
            }
            let _ = std::fs::remove_file(path);
            bytes = bytes.saturating_sub(length);
        }
        Ok(())
    }
}

/// Writes a file that only its owner may read, as the catalog: it says what is in the lab's data.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

/// What an index of these files is called.
fn key(checksums: &[&str]) -> String {
    let mut sorted = checksums.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut hash = blake3::Hasher::new();
    hash.update(&VERSION.to_le_bytes());
    for checksum in sorted {
        hash.update(checksum.as_bytes());
        hash.update(b"\n");
    }
    hash.finalize().to_hex().to_string()
}

fn parquet(
    files: &[(String, Vec<Entry>)],
) -> std::result::Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut seen = std::collections::HashSet::new();
    let files: Vec<_> = files.iter().filter(|(key, _)| seen.insert(key)).cloned().collect();
    let batch = to_batch(&files)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_page_size_limit(DICTIONARY)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &str) -> Vec<(String, Vec<Entry>)> {
        let entry = |path: &str| Entry {
            path: path.to_owned(),
            description: of.to_owned(),
            offsets: vec![1, 2],
            sizes: vec![3, 4],
            ..Entry::default()
        };
        ["b", "a", "b"].map(|key| (key.to_owned(), vec![entry(""), entry("/x")])).to_vec()
    }

    fn names(folder: &Path) -> Vec<PathBuf> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_stored_is_found_by_content_and_what_is_damaged_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let index = ChunkIndex::new(folder.path().join("index"));
        assert!(index.load(&["a", "b"]).is_none());
        index.store(&["a", "b"], &files("one")).unwrap();
        assert!(index.load(&["a", "b"]).is_some());
        assert!(index.load(&["b", "a", "b"]).is_some());
        assert!(index.load(&["a"]).is_none());
        assert!(index.load(&["a", "b", "c"]).is_none());
        // Other rows for the same files take the place of those before.
        index.store(&["b", "a"], &files("two")).unwrap();
        let path = folder.path().join("index");
        let [file] = names(&path).try_into().unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let whole = std::fs::read(&file).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&file, damaged).unwrap();
            assert!(index.load(&["a", "b"]).is_none());
            assert!(!file.exists());
        }
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        assert!(index.load(&["a", "b"]).is_none() && !file.exists());
    }

    #[test]
    fn the_index_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = ChunkIndex::new(folder.path().to_owned());
        index.store(&["a", "b"], &files("one")).unwrap();
        let bytes = names(folder.path())[0].metadata().unwrap().len();
        index.most_bytes = 3 * bytes;
        for key in 0..9 {
            let mut own = files("one");
            own[0].0 = format!("{key}");
            let key = format!("{key}");
            index.store(&[&key, "a", "b"], &own).unwrap();
            let all = names(folder.path());
            assert!(
                all.iter().map(|path| path.metadata().unwrap().len()).sum::<u64>()
                    <= 3 * bytes + 64
            );
            assert!(index.load(&[&key, "a", "b"]).is_some());
        }
    }
}
