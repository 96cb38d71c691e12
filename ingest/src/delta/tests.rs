//! Tables of real and made-up files, through everything but the catalog.

use super::*;
use crate::plan;
use arrow::array::{ArrayRef, AsArray, Float32Array, Int32Array, UInt8Array};
use arrow::datatypes::{DataType, Float32Type};
use object_store::ObjectStore;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use tarn_connectors::{FileStat, Location};
use tarn_formats::{
    Attribute, AttributeValue, Contents, Dimension, Format, FormatError, Grid, Reader, Region,
    Variable,
};

fn quiet() -> Arc<dyn Fn(Progress) + Send + Sync> {
    Arc::new(|_| {})
}

fn target_in(folder: &Path) -> Target {
    let location = Location::from_path(folder).unwrap().child("weather/cells");
    let (store, folder) = Stores::default().object_store(&location).unwrap();
    Target { table: "cells".to_owned(), location, store, folder }
}

/// The Parquet files in the table's folder.
fn parquet_files(target: &Target) -> Vec<PathBuf> {
    let folder = target.location.local_path().unwrap();
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect()
}

/// A file of one grid over `x` with variables of one dimension each.
#[derive(Debug)]
struct Made {
    location: String,
    contents: Contents,
    values: Vec<ArrayRef>,
}

fn made(location: &str, length: u64, variables: &[(&str, ArrayRef, &[(&str, &str)])]) -> Made {
    let x = Dimension { name: "x".to_owned(), length, unlimited: false, coordinate: None };
    let described = variables.iter().map(|(name, values, attributes)| Variable {
        path: format!("/{name}"),
        name: (*name).to_owned(),
        dimensions: vec![x.clone()],
        data_type: values.data_type().clone(),
        chunk_shape: Some(vec![3]),
        filters: vec![],
        fallback: false,
        stored_bytes: None,
        attributes: attributes
            .iter()
            .map(|(name, text)| Attribute {
                name: (*name).to_owned(),
                value: AttributeValue::Text(vec![(*text).to_owned()]),
            })
            .collect(),
        default_fill: false,
    });
    Made {
        location: location.to_owned(),
        contents: Contents {
            format: Format::NetCdf4,
            attributes: vec![],
            groups: vec![],
            variables: described.collect(),
            grids: vec![Grid {
                name: "x".to_owned(),
                group: "/".to_owned(),
                dimensions: vec![x.clone()],
                variables: variables.iter().map(|(name, ..)| format!("/{name}")).collect(),
            }],
            unreadable: vec![],
        },
        values: variables.iter().map(|(_, values, _)| Arc::clone(values)).collect(),
    }
}

impl Reader for Made {
    fn location(&self) -> &str {
        &self.location
    }

    fn contents(&self) -> &Contents {
        &self.contents
    }

    fn read(&self, path: &str, region: &Region) -> Result<ArrayRef, FormatError> {
        let index = self.contents.variables.iter().position(|v| v.path == path).unwrap();
        let range = &region.ranges()[0];
        let (start, end) =
            (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        Ok(self.values[index].slice(start, end - start))
    }
}

/// A made file as a source; its bytes on disk only tell its content apart.
fn source(folder: &Path, made: Made) -> SourceFile {
    let path = folder.join(&made.location);
    std::fs::write(&path, format!("{:?}", made.values)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let stat = FileStat::of_local(&path).unwrap();
    SourceFile { stat, sha256, reader: Arc::new(made) }
}

fn floats(values: &[f32]) -> ArrayRef {
    Arc::new(Float32Array::from(values.to_vec()))
}

async fn add(target: &Target, files: &[SourceFile]) -> Result<Outcome, IngestError> {
    ingest_table(target, files, &TableOptions::default()).await
}

async fn ingest_table(
    target: &Target,
    files: &[SourceFile],
    options: &TableOptions,
) -> Result<Outcome, IngestError> {
    let (stores, cancel) = (Stores::default(), Cancel::new());
    prepare(&stores, target, files, options, &quiet(), &cancel).await?.commit().await
}

/// Rows of the table in the order of its files, read by DataFusion through deltalake.
async fn rows(target: &Target) -> Vec<arrow::array::RecordBatch> {
    let url = target.location.url().clone();
    let table = deltalake::DeltaTableBuilder::from_url(url.clone())
        .unwrap()
        .with_storage_backend(Arc::clone(&target.store), url)
        .load()
        .await
        .unwrap();
    let provider = table.table_provider().await.unwrap();
    let context = datafusion::prelude::SessionContext::new();
    context.read_table(provider).unwrap().collect().await.unwrap()
}

async fn count(target: &Target) -> usize {
    rows(target).await.iter().map(arrow::array::RecordBatch::num_rows).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_ingest_adds_nothing_under_any_file_name() {
    let folder = tempfile::tempdir().unwrap();
    let target = target_in(folder.path());
    let file = || made("a.nc", 4, &[("ta", floats(&[1.0, 2.0, 3.0, 4.0]), &[("units", "K")])]);
    let first = add(&target, &[source(folder.path(), file())]).await.unwrap();
    assert_eq!((first.added, first.rows, first.log.version()), (1, 4, 0));

    let moved = Made { location: "b.nc".to_owned(), ..file() };
    for again in [file(), moved] {
        let outcome = add(&target, &[source(folder.path(), again)]).await.unwrap();
        assert_eq!((outcome.added, outcome.rows), (0, 0));
        assert_eq!(outcome.log.version(), 0);
    }
    assert_eq!(count(&target).await, 4);
    assert_eq!(parquet_files(&target).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_is_other_rows_where_a_column_tells_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let target = target_in(folder.path());
    let options: TableOptions =
        serde_json::from_str(r#"{"columns": {"station": "path:(.)\\.nc"}}"#).unwrap();
    let file = |name: &str| source(folder.path(), made(name, 1, &[("ta", floats(&[1.0]), &[])]));
    let files = [file("a.nc"), file("b.nc")];
    let outcome = ingest_table(&target, &files, &options).await.unwrap();
    assert_eq!((outcome.added, outcome.rows), (2, 2));
    let again = ingest_table(&target, &files, &options).await.unwrap();
    assert_eq!((again.added, again.rows), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_with_other_content_or_read_in_another_way_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = target_in(folder.path());
    let file =
        |value: f32| source(folder.path(), made("a.nc", 2, &[("ta", floats(&[value, 2.0]), &[])]));
    add(&target, &[file(1.0)]).await.unwrap();
    let other = source(folder.path(), made("b.nc", 1, &[("ta", floats(&[3.0]), &[])]));
    add(&target, std::slice::from_ref(&other)).await.unwrap();

    let changed = file(9.0);
    for files in [&[changed.clone()][..], &[other.clone(), changed.clone()]] {
        let error = add(&target, files).await.unwrap_err();
        assert!(matches!(error, IngestError::Conflict { .. }), "{error:?}");
        assert!(error.to_string().contains("a.nc"), "{error}");
    }
    let select: TableOptions = serde_json::from_str(r#"{"select": ["ta"]}"#).unwrap();
    let again = [file(1.0)];
    let copy = [source(folder.path(), made("copy.nc", 2, &[("ta", floats(&[1.0, 2.0]), &[])]))];
    for files in [&again, &copy] {
        let error = ingest_table(&target, files, &select).await.unwrap_err();
        assert!(matches!(error, IngestError::Conflict { .. }), "{error:?}");
        assert!(error.to_string().contains("other options"), "{error}");
        assert!(error.to_string().contains(&files[0].stat.location), "{error}");
    }
    assert_eq!((count(&target).await, parquet_files(&target).len()), (3, 2));
    assert_eq!(Log::load(&target).await.unwrap().unwrap().version(), 1);

    // Back to what it was: nothing to do and nothing to refuse.
    assert_eq!(add(&target, &again).await.unwrap().added, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_ingests_of_one_place_with_other_contents_one_counts() {
    let folder = tempfile::tempdir().unwrap();
    let target = target_in(folder.path());
    let first = source(folder.path(), made("first.nc", 1, &[("ta", floats(&[0.5]), &[])]));
    add(&target, &[first]).await.unwrap();
    let tasks = (0_u8..4).map(|number| {
        // Each in a folder of its own, so that none changes the file of another.
        let place = folder.path().join(number.to_string());
        std::fs::create_dir(&place).unwrap();
        let values = [f32::from(number) + 1.0; 2];
        let mut file = source(&place, made("a.nc", 2, &[("ta", floats(&values), &[])]));
        let real = file.stat.clone();
        let target = target.clone();
        tokio::spawn(async move {
            file.stat.location = "/data/a.nc".to_owned();
            let options = TableOptions::default();
            let table = Table::open(&[Arc::clone(&file.reader)], &options).unwrap();
            let columns = Arc::new(types::delta_schema("cells", table.schema()).unwrap());
            let part = table.parts()[0].clone();
            let claim = identity::place(&file, &part).unwrap();
            file.stat = real;
            let app_id = app_id(&file, &part, &table, &options).unwrap();
            let missing = vec![(&file, part, app_id)];
            let (progress, cancel) = (quiet(), Cancel::new());
            let written = write_all(&target, missing, &columns, &progress, &cancel);
            let pending = written.await.unwrap();
            log::commit(&target, &columns, &[claim], pending).await.is_ok()
        })
    });
    let outcomes = futures::future::join_all(tasks.collect::<Vec<_>>()).await;
    let taken = outcomes.iter().filter(|outcome| *outcome.as_ref().unwrap()).count();
    assert_eq!((taken, count(&target).await), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_ingests_of_the_same_files_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = target_in(folder.path());
    let file = |name: &str, value: f32| {
        source(folder.path(), made(name, 3, &[("ta", floats(&[value; 3]), &[])]))
    };
    let shared = file("shared.nc", 1.0);
    let tasks = (0_u8..6).map(|number| {
        let files = [shared.clone(), file(&format!("{number}.nc"), f32::from(number) + 2.0)];
        let target = target.clone();
        tokio::spawn(async move { add(&target, &files).await.unwrap() })
    });
    let outcomes = futures::future::join_all(tasks.collect::<Vec<_>>()).await;
    let added: u64 = outcomes.iter().map(|outcome| outcome.as_ref().unwrap().added).sum();
    let rows_added: u64 = outcomes.iter().map(|outcome| outcome.as_ref().unwrap().rows).sum();
    assert_eq!((added, rows_added), (7, 21));
    assert_eq!(count(&target).await, 21);
    assert_eq!(parquet_files(&target).len(), 7, "files of lost commits are taken away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_is_merged_and_a_type_that_does_not_fit_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = target_in(folder.path());
    let ta = [("ta", floats(&[1.0, 2.0]), &[("units", "K")] as &[_])];
    add(&target, &[source(folder.path(), made("a.nc", 2, &ta))]).await.unwrap();
    let counts: ArrayRef = Arc::new(UInt8Array::from(vec![200_u8]));
    let wider = [("ta", floats(&[3.0]), &[("units", "K")] as &[_]), ("n", counts, &[])];
    let outcome = add(&target, &[source(folder.path(), made("b.nc", 1, &wider))]).await.unwrap();
    let schema = outcome.log.schema(&target).unwrap();
    assert_eq!(schema.field_with_name("n").unwrap().data_type(), &DataType::Int16);
    assert_eq!(schema.field_with_name("ta").unwrap().metadata()["units"], "K");

    let text: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["warm"]));
    let error = add(&target, &[source(folder.path(), made("c.nc", 1, &[("ta", text, &[])]))]).await;
    let error = error.unwrap_err().to_string();
    for word in ["column ta", "Float32", "Utf8"] {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(count(&target).await, 3);
    assert_eq!(Log::load(&target).await.unwrap().unwrap().version(), 1);
    assert_eq!(parquet_files(&target).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_delta_cannot_hold_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let target = target_in(folder.path());
    let large: ArrayRef = Arc::new(arrow::array::UInt64Array::from(vec![1, u64::MAX]));
    let error = add(&target, &[source(folder.path(), made("a.nc", 2, &[("n", large, &[])]))]).await;
    assert!(error.unwrap_err().to_string().contains("column n"));
    assert!(Log::load(&target).await.unwrap().is_none());
    assert_eq!(parquet_files(&target), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_while_it_is_read_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let target = target_in(folder.path());
    let file = source(folder.path(), made("a.nc", 1, &[("ta", floats(&[1.0]), &[])]));
    std::fs::write(&file.stat.location, "other bytes").unwrap();
    let error = add(&target, &[file]).await.unwrap_err();
    assert!(matches!(error, IngestError::Store(tarn_connectors::StoreError::Changed { .. })));
    assert!(Log::load(&target).await.unwrap().is_none());
    assert_eq!(parquet_files(&target), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("weather"), "a file where the folder should be").unwrap();
    let target = target_in(folder.path());
    let file = source(folder.path(), made("a.nc", 1, &[("ta", floats(&[1.0]), &[])]));
    let error = add(&target, &[file]).await.unwrap_err();
    assert!(matches!(error, IngestError::Store(_)), "{error:?}");
    assert!(error.to_string().contains("weather/cells"), "{error}");
}

/// A store that fails or lies at one kind of write.
#[derive(Debug)]
struct Broken {
    inner: Arc<dyn ObjectStore>,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Data files cannot be written: the store is full.
    Data,
    /// The commit cannot be written.
    Commit,
    /// The commit is written and the answer gets lost.
    CommitAnswer,
    /// One byte of every data file that is read back differs.
    Bytes,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken {}", self.inner)
    }
}

fn full() -> object_store::Error {
    object_store::Error::Generic {
        store: "broken",
        source: Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull)),
    }
}

type Objects<T> = futures::stream::BoxStream<'static, object_store::Result<T>>;

#[async_trait::async_trait]
impl ObjectStore for Broken {
    async fn put_opts(
        &self,
        location: &object_store::path::Path,
        payload: object_store::PutPayload,
        options: object_store::PutOptions,
    ) -> object_store::Result<object_store::PutResult> {
        let log = location.as_ref().contains("_delta_log");
        match self.fault {
            Fault::Data if !log => Err(full()),
            Fault::Commit if log => Err(full()),
            Fault::CommitAnswer if log => {
                self.inner.put_opts(location, payload, options).await?;
                Err(object_store::Error::Generic { store: "broken", source: "timed out".into() })
            }
            _ => self.inner.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &object_store::path::Path,
        options: object_store::PutMultipartOptions,
    ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &object_store::path::Path,
        options: object_store::GetOptions,
    ) -> object_store::Result<object_store::GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &object_store::path::Path,
        ranges: &[std::ops::Range<u64>],
    ) -> object_store::Result<Vec<bytes::Bytes>> {
        let mut all = self.inner.get_ranges(location, ranges).await?;
        if self.fault == Fault::Bytes && location.as_ref().ends_with(".parquet") {
            for bytes in &mut all {
                let mut changed = bytes.to_vec();
                if let Some(byte) = changed.last_mut() {
                    *byte ^= 1;
                }
                *bytes = changed.into();
            }
        }
        Ok(all)
    }

    fn delete_stream(
        &self,
        locations: Objects<object_store::path::Path>,
    ) -> Objects<object_store::path::Path> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&object_store::path::Path>) -> Objects<object_store::ObjectMeta> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(
        &self,
        prefix: Option<&object_store::path::Path>,
    ) -> object_store::Result<object_store::ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &object_store::path::Path,
        to: &object_store::path::Path,
        options: object_store::CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_fails_the_log_holds_all_rows_or_none_and_a_repeat_finishes() {
    for fault in [Fault::Data, Fault::Commit, Fault::CommitAnswer, Fault::Bytes] {
        let folder = tempfile::tempdir().unwrap();
        let target = target_in(folder.path());
        let broken: Arc<dyn ObjectStore> =
            Arc::new(Broken { inner: Arc::clone(&target.store), fault });
        let broken = Target { store: broken, ..target.clone() };
        let first = source(folder.path(), made("a.nc", 2, &[("ta", floats(&[1.0, 2.0]), &[])]));
        let second = source(folder.path(), made("b.nc", 1, &[("ta", floats(&[3.0]), &[])]));

        let outcome = add(&broken, std::slice::from_ref(&first)).await;
        if fault == Fault::CommitAnswer {
            assert_eq!(outcome.unwrap().added, 1, "the commit was taken");
        } else {
            let error = outcome.unwrap_err();
            assert!(Log::load(&target).await.unwrap().is_none(), "{fault:?}: {error}");
            assert_eq!(parquet_files(&target), Vec::<PathBuf>::new(), "{fault:?}");
            if fault != Fault::Bytes {
                assert!(error.to_string().contains("the disk is full"), "{error}");
            }
        }
        add(&target, std::slice::from_ref(&first)).await.unwrap();
        assert_eq!(count(&target).await, 2, "{fault:?}");

        // The same at a table that exists.
        let outcome = add(&broken, std::slice::from_ref(&second)).await;
        assert_eq!(outcome.is_ok(), fault == Fault::CommitAnswer, "{fault:?}");
        add(&target, &[first, second]).await.unwrap();
        assert_eq!(count(&target).await, 3, "{fault:?}");
        assert_eq!(parquet_files(&target).len(), 2, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_become_lists_with_their_shape_in_the_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let target = target_in(folder.path());
    let mut file = made("a.nc", 4, &[("ta", floats(&[1.0, 2.0, 3.0, 4.0]), &[])]);
    // Four values over x become two rows of two.
    let y = Dimension { name: "y".to_owned(), length: 2, unlimited: false, coordinate: None };
    let x = Dimension { name: "x".to_owned(), length: 2, unlimited: false, coordinate: None };
    file.contents.grids[0].dimensions = vec![y.clone(), x.clone()];
    file.contents.variables[0].dimensions = vec![y, x];
    file.contents.variables[0].chunk_shape = None;
    let file = Shaped(file);
    let source = SourceFile {
        reader: Arc::new(file),
        ..source(folder.path(), made("a.nc", 4, &[("ta", floats(&[1.0, 2.0, 3.0, 4.0]), &[])]))
    };
    let options: TableOptions = serde_json::from_str(r#"{"layout": "tensors"}"#).unwrap();
    let outcome = ingest_table(&target, &[source], &options).await.unwrap();
    assert_eq!(outcome.rows, 2);
    let schema = outcome.log.schema(&target).unwrap();
    let field = schema.field_with_name("ta").unwrap();
    assert!(field.metadata()[types::TENSOR].contains("[2]"), "{field:?}");
    let batch = &rows(&target).await[0];
    let lists = batch.column_by_name("ta").unwrap();
    let values = lists.as_list::<i32>().value(1);
    assert_eq!(values.as_primitive::<Float32Type>().values(), &[3.0, 4.0]);
}

/// A made file whose one variable has two dimensions of length two.
#[derive(Debug)]
struct Shaped(Made);

impl Reader for Shaped {
    fn location(&self) -> &str {
        &self.0.location
    }

    fn contents(&self) -> &Contents {
        &self.0.contents
    }

    fn read(&self, _: &str, region: &Region) -> Result<ArrayRef, FormatError> {
        let rows = &region.ranges()[0];
        assert_eq!(region.ranges()[1], 0..2);
        Ok(self.0.values[0].slice(
            usize::try_from(rows.start).unwrap() * 2,
            usize::try_from(rows.end - rows.start).unwrap() * 2,
        ))
    }
}

#[test]
fn several_grids_become_several_tables() {
    let folder = tempfile::tempdir().unwrap();
    let whole: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let file = source(folder.path(), made("a.nc", 1, &[("n", whole, &[])]));
    let request = |grid: Option<&str>| crate::IngestRequest {
        sources: vec![],
        dataset: tarn_schemas::DatasetName::new("weather").unwrap(),
        table: None,
        options: TableOptions { grid: grid.map(str::to_owned), ..TableOptions::default() },
        in_place: false,
    };
    let jobs = plan::tables(&request(None), vec![file.clone()]).unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].name.as_str(), "x");
    let error = plan::tables(&request(Some("y")), vec![file]).unwrap_err().to_string();
    assert!(error.contains("\"y\""), "{error}");
}
