//! Record batches as text and files.

use crate::cli::SqlFormat;
use crate::failure::{Failure, io};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches_with_options;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tarn_schemas::ErrorCode;
use tarn_schemas::site::SiteReport;

/// Most rows that a table on a terminal holds; the rest is counted.
const TABLE_ROWS: usize = 10_000;

/// Writes an answer in one format. A file appears under its name only when it is complete.
pub struct BatchWriter {
    schema: SchemaRef,
    target: Target,
    kind: Kind,
    rows: usize,
}

struct Target {
    place: String,
    file: Option<(PathBuf, PathBuf)>,
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
    /// A writer to a file, or to standard output.
    pub fn new(
        format: SqlFormat,
        output: Option<&Path>,
        schema: &SchemaRef,
    ) -> Result<Self, Failure> {
        let Some(path) = output else {
            return Self::to(
                format,
                Box::new(BufWriter::new(std::io::stdout())),
                "standard output",
                schema,
            );
        };
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(|e| io(path.display(), &e))?;
        let place = path.display().to_string();
        let mut writer = Self::to(format, Box::new(BufWriter::new(file)), &place, schema)?;
        writer.target.file = Some((part, path.to_owned()));
        Ok(writer)
    }

    /// A writer to anything, named `place` in errors.
    pub fn to(
        format: SqlFormat,
        out: Box<dyn Write + Send>,
        place: &str,
        schema: &SchemaRef,
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(ErrorCode::Unavailable, format!("{place}: {error}"))
        };
        let kind = match format {
            SqlFormat::Table => Kind::Table { batches: Vec::new(), held: 0, out },
            SqlFormat::Csv => {
                // The header is written even when there are no rows.
                let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(out);
                writer.write(&RecordBatch::new_empty(schema.clone())).map_err(|e| failed(&e))?;
                Kind::Csv(writer)
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
        let target = Target { place: place.to_owned(), file: None };
        let mut writer = Self { schema: schema.clone(), target, kind, rows: 0 };
        writer.begin()?;
        Ok(writer)
    }

    fn begin(&mut self) -> Result<(), Failure> {
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
        if let Kind::Json { out, .. } = &mut self.kind {
            let text = serde_json::Value::Array(fields).to_string();
            write!(out, "{{\"schema\":{text},\"rows\":[")
                .map_err(|e| io(&self.target.place, &e))?;
        }
        Ok(())
    }

    /// Writes a batch.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
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
            Kind::Csv(writer) => writer.write(batch).map_err(|e| failed(&e)),
            Kind::Json { out, first } => write_json_rows(out, batch, first).map_err(|e| failed(&e)),
            Kind::Arrow(writer) => writer.write(batch).map_err(|e| failed(&e)),
            Kind::Parquet(writer) => writer.write(batch).map_err(|e| failed(&e)),
        }
    }

    /// Completes the answer and gives its number of rows.
    pub fn finish(self, sites: &[SiteReport]) -> Result<usize, Failure> {
        let place = self.target.place;
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
                writeln!(out, "],\"sites\":{sites}}}").map_err(|e| io(&place, &e))?;
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
        if let Some((part, path)) = self.target.file {
            std::fs::rename(&part, &path).map_err(|e| io(path.display(), &e))?;
        }
        Ok(self.rows)
    }
}

/// Writes rows as JSON objects, with a comma before each but the first. NULLs are explicit.
pub fn write_json_rows(
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
