//! What a table's log remembers of the files whose rows it holds.
//!
//! Everything is an application transaction of Delta (an id with a number), written by the commit
//! that adds the rows:
//!
//! | id | stands for | number |
//! |---|---|---|
//! | `tarn:<sha256>:<options>` | these rows: a content, how it is read, what its path adds | 1 |
//! | `tarn:source:<hash>` | a place and its grid | the content that was there |
//! | `tarn:content:<hash>` | a content and its grid | the options that it was read with |
//!
//! The first makes a repeated ingest add nothing. The others refuse what would count rows twice.

use crate::IngestError;
use crate::plan::SourceFile;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use sha2::{Digest, Sha256};
use tarn_formats::table::{Dependence, Part};
use tarn_formats::{FormatError, Table};
use tarn_schemas::{ColumnSource, TableOptions};

/// Something that holds for all rows of a table: the log must not have it with another number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Application transaction.
    pub app_id: String,
    /// Its number.
    pub number: i64,
    /// What to say where the log has another number.
    pub refusal: String,
}

/// The application transaction that stands for the rows that a file gives: its content, how it is
/// read, and what its path adds to the rows. The same content elsewhere is the same rows unless a
/// column tells where.
pub(crate) fn app_id(
    file: &SourceFile,
    part: &Part,
    table: &Table,
    options: &TableOptions,
) -> Result<String, IngestError> {
    let mut hash = Sha256::new();
    hash.update(text(part.grid(), options)?);
    let of_path = options
        .columns
        .iter()
        .filter(|(_, source)| matches!(source, ColumnSource::Path(_)))
        .map(|(name, _)| name.as_str())
        .chain(options.file_column.then_some("_file"));
    for name in of_path {
        let Some((column, _)) = table.schema().fields().find(name) else { continue };
        if part.dependence(column) != Dependence::Constant {
            continue;
        }
        let values = part.axis_values(column)?;
        let format = FormatOptions::default();
        let text = ArrayFormatter::try_new(values.as_ref(), &format)
            .and_then(|formatter| formatter.value(0).try_to_string())
            .map_err(FormatError::from)?;
        hash.update(format!("\n{name}={text}"));
    }
    Ok(format!("tarn:{}:{}", file.sha256, hexadecimal(&hash.finalize(), 8)))
}

/// The claim that a place still holds what its rows in the table were made of.
pub(crate) fn place(file: &SourceFile, part: &Part) -> Result<Claim, IngestError> {
    let location = &file.stat.location;
    Ok(Claim {
        app_id: format!("tarn:source:{}", key(location, part)),
        number: number(&file.sha256)?,
        refusal: format!(
            "{location} was ingested into it before with other content, whose rows are still \
             there, so nothing was added; ingest the changed file into another table (--table \
             NAME), or put the old file back"
        ),
    })
}

/// The claim that a content is read in one way only: its rows in two shapes would count twice.
pub(crate) fn reading(
    file: &SourceFile,
    part: &Part,
    options: &TableOptions,
) -> Result<Claim, IngestError> {
    let options = Sha256::digest(text(part.grid(), options)?);
    Ok(Claim {
        app_id: format!("tarn:content:{}", key(&file.sha256, part)),
        number: number(&hexadecimal(&options, 8))?,
        refusal: format!(
            "the content of {} was ingested into it before with other options, so its rows are \
             there already and nothing was added; use the same --column, --select and --layout, \
             or another table (--table NAME)",
            file.stat.location
        ),
    })
}

/// Options as text, with the grid that they mean.
fn text(grid: &str, options: &TableOptions) -> Result<String, IngestError> {
    let options = TableOptions { grid: Some(grid.to_owned()), ..options.clone() };
    serde_json::to_string(&options).map_err(|error| IngestError::Delta {
        table: String::new(),
        problem: format!("its options cannot be written: {error}"),
    })
}

fn key(what: &str, part: &Part) -> String {
    hexadecimal(&Sha256::digest(format!("{what}\n{}", part.grid())), 16)
}

/// Sixty bits of a hash in hexadecimal: always a positive number.
fn number(hash: &str) -> Result<i64, IngestError> {
    hash.get(..15).and_then(|digits| i64::from_str_radix(digits, 16).ok()).ok_or_else(|| {
        IngestError::Delta {
            table: String::new(),
            problem: format!("{hash:?} is no checksum of a file"),
        }
    })
}

fn hexadecimal(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|byte| format!("{byte:02x}")).collect()
}
