//! Texts of Parquet files, read as texts where a writer says that they are views of texts.
//!
//! A file holds one kind of text; what Arrow is to make of it stands in the schema that its writer left in the footer.
//! Columns would be read as views, and each batch copied into the texts that tables here have, which takes longer than
//! to read texts at once: a quarter of the time of a query that compares short ones.

use super::sources::with_sources;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataBuilder};
use std::ops::Range;
use std::sync::Arc;

/// The scan with texts read as texts.
pub(crate) fn as_texts(scan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    with_sources(scan, |parquet| {
        let readers = Arc::clone(parquet.parquet_file_reader_factory()?);
        let readers = Arc::new(TextReaders { readers });
        Some(parquet.clone().with_parquet_file_reader_factory(readers))
    })
}

/// Makes readers whose footers say texts where they say views.
#[derive(Debug)]
struct TextReaders {
    readers: Arc<dyn ParquetFileReaderFactory>,
}

impl ParquetFileReaderFactory for TextReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let reader =
            self.readers.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(TextReader { reader }))
    }
}

struct TextReader {
    reader: Box<dyn AsyncFileReader + Send>,
}

impl AsyncFileReader for TextReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.reader.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.reader.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let footer = self.reader.get_metadata(options).await?;
            Ok(of_texts(&footer).map_or(footer, Arc::new))
        }
        .boxed()
    }
}

/// The footer with texts; none where it has no views.
pub(super) fn of_texts(footer: &ParquetMetaData) -> Option<ParquetMetaData> {
    let file = footer.file_metadata();
    let said = file.key_value_metadata()?;
    let schema = parquet_to_arrow_schema(file.schema_descr(), Some(said)).ok()?;
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain).collect();
    if fields.iter().zip(schema.fields()).all(|(plain, field)| plain == field) {
        return None;
    }
    let encoded =
        encode_arrow_schema(&Schema::new_with_metadata(fields, schema.metadata().clone()));
    let others = said.iter().filter(|pair| pair.key != ARROW_SCHEMA_META_KEY).cloned();
    let schema = KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encoded);
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        Some(others.chain([schema]).collect()),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    Some(
        ParquetMetaDataBuilder::new(file)
            .set_row_groups(footer.row_groups().to_vec())
            .set_column_index(footer.column_index().cloned())
            .set_offset_index(footer.offset_index().cloned())
            .build(),
    )
}

/// A column of texts or bytes in place of one of views.
fn plain(field: &FieldRef) -> FieldRef {
    let with = |data_type| Arc::new(Field::clone(field).with_data_type(data_type));
    match field.data_type() {
        DataType::Utf8View => with(DataType::Utf8),
        DataType::BinaryView => with(DataType::Binary),
        DataType::List(item) => with(DataType::List(plain(item))),
        DataType::LargeList(item) => with(DataType::LargeList(plain(item))),
        DataType::FixedSizeList(item, size) => with(DataType::FixedSizeList(plain(item), *size)),
        DataType::Map(entries, sorted) => with(DataType::Map(plain(entries), *sorted)),
        DataType::Struct(fields) => with(DataType::Struct(fields.iter().map(plain).collect())),
        _ => Arc::clone(field),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use arrow::array::{ArrayRef, RecordBatch, StringArray, StringViewArray, StructArray};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};

    pub(crate) fn file() -> (Bytes, RecordBatch) {
        let views: ArrayRef =
            Arc::new(StringViewArray::from(vec![Some("a"), None, Some("much longer than twelve")]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
        let inner = StructArray::try_from(vec![("v", Arc::clone(&views)), ("t", texts)]).unwrap();
        let batch =
            RecordBatch::try_from_iter([("v", views), ("s", Arc::new(inner) as ArrayRef)]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        (bytes.into(), batch)
    }

    pub(crate) fn footer(bytes: &Bytes) -> Arc<ParquetMetaData> {
        let options = ArrowReaderOptions::new();
        Arc::clone(ArrowReaderMetadata::load(bytes, options).unwrap().metadata())
    }

    #[test]
    fn views_are_read_as_texts_of_the_same_values() {
        let (bytes, batch) = file();
        let texts = of_texts(&footer(&bytes)).unwrap();
        assert!(of_texts(&texts).is_none(), "there are none left");
        let known =
            ArrowReaderMetadata::try_new(Arc::new(texts), ArrowReaderOptions::new()).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, known);
        let found: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(found.column(0).data_type(), &DataType::Utf8);
        for (found, expected) in found.columns().iter().zip(batch.columns()) {
            let expected = arrow::compute::cast(expected, found.data_type()).unwrap();
            assert_eq!(found, &expected);
        }
    }
}
