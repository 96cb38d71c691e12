//! Record batches as text and files.

use super::streams::{Stdout, text};
use crate::cli::SqlFormat;
use crate::failure::{Failure, io};
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches_with_options;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tarn_schemas::ErrorCode;
use tarn_schemas::site::SiteReport;
use uuid::Uuid;

/// Most rows that a table on a terminal holds; the rest is counted.
const TABLE_ROWS: usize = 10_000;

/// Writes an answer in one format. A file appears under its name only when it is complete.
pub(crate) struct BatchWriter {
    schema: SchemaRef,
    target: Target,
    kind: Kind,
    begun: bool,
    rows: usize,
    query: Option<Uuid>,
}

struct Target {
    place: String,
    /// Where a file grows, and the name it gets when it is complete.
    file: Option<(PathBuf, PathBuf)>,
}

impl Drop for Target {
    /// An answer that was not completed leaves no file.
    fn drop(&mut self) {
        if let Some((part, _)) = self.file.take() {
            // It may be gone already, and nobody is left to tell.
            let _ = std::fs::remove_file(part);
        }
    }
}

enum Kind {
    Table { batches: Vec<RecordBatch>, held: usize, out: Box<dyn Write + Send> },
    Csv(arrow::csv::Writer<Box<dyn Write + Send>>),
    Json { out: Box<dyn Write + Send>, first: bool },
    Arrow(arrow::ipc::writer::StreamWriter<Box<dyn Write + Send>>),
    Parquet(parquet::arrow::ArrowWriter<Box<dyn Write + Send>>),
}

impl std::fmt::Debug for BatchWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchWriter").field("place", &self.target.place).finish_non_exhaustive()
    }
}

impl BatchWriter {
    /// A writer to a file, or to standard output, which is also called `-`.
    pub(crate) fn new(
        format: SqlFormat,
        output: Option<&Path>,
        schema: &SchemaRef,
    ) -> Result<Self, Failure> {
        let Some(path) = output.filter(|path| *path != Path::new("-")) else {
            let out: Box<dyn Write + Send> = match format {
                SqlFormat::Table | SqlFormat::Csv | SqlFormat::Json => text(),
                SqlFormat::Arrow | SqlFormat::Parquet => Box::new(Stdout),
            };
            let out = Box::new(BufWriter::new(out));
            return Self::to(format, out, "standard output", schema);
        };
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(|e| io(path.display(), &e))?;
        let target =
            Target { place: path.display().to_string(), file: Some((part, path.to_owned())) };
        Self::over(format, Box::new(BufWriter::new(file)), target, schema)
    }

    /// A writer to anything, named `place` in errors.
    pub(crate) fn to(
        format: SqlFormat,
        out: Box<dyn Write + Send>,
        place: &str,
        schema: &SchemaRef,
    ) -> Result<Self, Failure> {
        Self::over(format, out, Target { place: place.to_owned(), file: None }, schema)
    }

    fn over(
        format: SqlFormat,
        out: Box<dyn Write + Send>,
        target: Target,
        schema: &SchemaRef,
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(ErrorCode::Unavailable, format!("{}: {error}", target.place))
        };
        let kind = match format {
            SqlFormat::Table => Kind::Table { batches: Vec::new(), held: 0, out },
            SqlFormat::Csv => {
                Kind::Csv(arrow::csv::WriterBuilder::new().with_header(true).build(out))
            }
            SqlFormat::Json => Kind::Json { out, first: true },
            SqlFormat::Arrow => Kind::Arrow(
                arrow::ipc::writer::StreamWriter::try_new(out, schema).map_err(|e| failed(&e))?,
            ),
            SqlFormat::Parquet => {
                let properties = parquet::file::properties::WriterProperties::builder()
                    .set_compression(parquet::basic::Compression::ZSTD(
                        parquet::basic::ZstdLevel::default(),
                    ))
                    .build();
                let writer =
                    parquet::arrow::ArrowWriter::try_new(out, schema.clone(), Some(properties));
                Kind::Parquet(writer.map_err(|e| failed(&e))?)
            }
        };
        let schema = match kind {
            Kind::Json { .. } => distinct(schema),
            _ => schema.clone(),
        };
        Ok(Self { schema, target, kind, begun: false, rows: 0, query: None })
    }

    /// Names the query in the formats that have a place for it.
    pub(crate) fn of_query(mut self, id: Uuid) -> Self {
        self.query = Some(id);
        self
    }

    /// Writes what stands before the first row. Not earlier, so that a query that fails at its
    /// first row prints nothing, and not never, so that an answer without rows has its columns.
    fn begin(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        match &mut self.kind {
            Kind::Json { out, .. } => {
                let fields: Vec<serde_json::Value> = self
                    .schema
                    .fields()
                    .iter()
                    .map(|field| {
                        serde_json::json!({
                            "name": field.name(),
                            "type": field.data_type().to_string(),
                            "nullable": field.is_nullable(),
                            "metadata": field.metadata(),
                        })
                    })
                    .collect();
                let text = serde_json::Value::Array(fields).to_string();
                write!(out, "{{\"schema\":{text},\"rows\":[")
                    .map_err(|e| io(&self.target.place, &e))
            }
            Kind::Csv(writer) => {
                let empty = flat(&RecordBatch::new_empty(self.schema.clone()));
                empty.and_then(|empty| writer.write(&empty)).map_err(|e| {
                    let problem = format!("{}: {e}", self.target.place);
                    Failure::new(ErrorCode::Unavailable, problem)
                })
            }
            Kind::Table { .. } | Kind::Arrow(_) | Kind::Parquet(_) => Ok(()),
        }
    }

    /// Writes a batch.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        self.begin()?;
        let place = self.target.place.clone();
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(ErrorCode::Unavailable, format!("{place}: {error}"))
        };
        self.rows += batch.num_rows();
        match &mut self.kind {
            Kind::Table { batches, held, .. } => {
                let take = batch.num_rows().min(TABLE_ROWS - *held);
                if take > 0 {
                    batches.push(batch.slice(0, take));
                    *held += take;
                }
                Ok(())
            }
            Kind::Csv(writer) => {
                flat(batch).and_then(|batch| writer.write(&batch)).map_err(|e| failed(&e))
            }
            Kind::Json { out, first } => {
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                let columns = batch.columns().to_vec();
                RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
                    .and_then(|batch| write_json_rows(out, &batch, first))
                    .map_err(|e| failed(&e))
            }
            Kind::Arrow(writer) => writer.write(batch).map_err(|e| failed(&e)),
            Kind::Parquet(writer) => writer.write(batch).map_err(|e| failed(&e)),
        }
    }

    /// Completes the answer and gives its number of rows.
    pub(crate) fn finish(mut self, sites: &[SiteReport]) -> Result<usize, Failure> {
        self.begin()?;
        let place = self.target.place.clone();
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(ErrorCode::Unavailable, format!("{place}: {error}"))
        };
        let mut out = match self.kind {
            Kind::Table { batches, held, mut out } => {
                let options = arrow::util::display::FormatOptions::default()
                    .with_null("NULL")
                    .with_display_error(true);
                let batches = if batches.is_empty() {
                    vec![RecordBatch::new_empty(self.schema)]
                } else {
                    batches
                };
                let text = pretty_format_batches_with_options(&batches, &options)
                    .map_err(|e| failed(&e))?;
                writeln!(out, "{text}").map_err(|e| io(&place, &e))?;
                if self.rows > held {
                    let rest = self.rows - held;
                    writeln!(
                        out,
                        "… and {rest} more rows; use --format csv or --output FILE for all"
                    )
                    .map_err(|e| io(&place, &e))?;
                }
                out
            }
            Kind::Csv(writer) => writer.into_inner(),
            Kind::Json { mut out, .. } => {
                let sites = serde_json::to_string(sites).map_err(|e| failed(&e))?;
                let query =
                    self.query.map_or_else(String::new, |id| format!(",\"query\":\"{id}\""));
                writeln!(out, "],\"sites\":{sites}{query}}}").map_err(|e| io(&place, &e))?;
                out
            }
            Kind::Arrow(mut writer) => {
                writer.finish().map_err(|e| failed(&e))?;
                writer.into_inner().map_err(|e| failed(&e))?
            }
            Kind::Parquet(writer) => writer.into_inner().map_err(|e| failed(&e))?,
        };
        out.flush().map_err(|e| io(&place, &e))?;
        drop(out);
        if let Some((part, path)) = self.target.file.take() {
            std::fs::rename(&part, &path).map_err(|e| io(path.display(), &e))?;
        }
        Ok(self.rows)
    }
}

/// The schema with a name of its own for every column, because an object of JSON has each key once:
/// the second `n` is `n_2`, the third `n_3`, unless a column is called that.
fn distinct(schema: &SchemaRef) -> SchemaRef {
    let all: HashSet<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let mut taken: HashSet<String> = HashSet::new();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut name = field.name().clone();
            let mut number = 2_u64;
            while taken.contains(&name) || (number > 2 && all.contains(&name)) {
                name = format!("{}_{number}", field.name());
                number = number.saturating_add(1);
            }
            taken.insert(name.clone());
            field.as_ref().clone().with_name(name)
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Writes rows as JSON objects, with a comma before each but the first. NULLs are explicit.
pub(crate) fn write_json_rows(
    out: &mut (impl Write + ?Sized),
    batch: &RecordBatch,
    first: &mut bool,
) -> Result<(), arrow::error::ArrowError> {
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    let lines = writer.into_inner();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if !*first {
            out.write_all(b",")?;
        }
        *first = false;
        out.write_all(b"\n")?;
        out.write_all(line)?;
    }
    Ok(())
}

/// The batch with lists, structures and maps as the text of their JSON, which a cell of CSV can hold.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let options = arrow::json::writer::EncoderOptions::default().with_explicit_nulls(true);
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }
        let mut encoder = arrow::json::writer::make_encoder(field, column.as_ref(), &options)?;
        let texts = (0..column.len()).map(|row| {
            let mut text = Vec::new();
            if !encoder.is_null(row) {
                encoder.encode(row, &mut text);
                return Some(String::from_utf8_lossy(&text).into_owned());
            }
            None
        });
        columns.push(Arc::new(texts.collect::<StringArray>()) as ArrayRef);
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_one_name_stay_columns() {
        let fields = ["n", "n", "n_2", "n", "m"].map(|name| Field::new(name, DataType::Int8, true));
        let schema = distinct(&Arc::new(Schema::new(fields.to_vec())));
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["n", "n_3", "n_2", "n_4", "m"]);
    }
}
