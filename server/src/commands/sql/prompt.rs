//! The prompt of `tarn sql`: a history, names by Tab, commands that begin with a backslash.

use super::answer::{answer, say_missing};
use super::complete::{Known, Names, Table, spelled};
use super::meta::{HELP, Meta};
use super::{Context, Outcome, by_extension, is_binary};
use crate::cli::SqlFormat;
use crate::failure::Failure;
use crate::home::folder;
use crate::output::BatchWriter;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tarn_query::{Session, Statements};
use tarn_schemas::{ErrorCode, TableRef};

/// Reads and answers lines until the last.
pub(super) async fn run(
    context: &Context,
    session: &Session,
    format: SqlFormat,
) -> Result<(), Outcome> {
    let failed = |error: ReadlineError| {
        Failure::new(ErrorCode::Internal, format!("the prompt failed: {error}"))
    };
    let config = Config::builder().completion_type(CompletionType::List).build();
    let mut editor: Editor<Names, FileHistory> = Editor::with_config(config).map_err(failed)?;
    let names = Names::default();
    editor.set_helper(Some(names.clone()));
    let history = folder(context.home.as_deref()).ok().map(|(folder, _)| folder.join("history"));
    if let Some(history) = &history {
        // No history yet is no failure.
        let _ = editor.load_history(history);
    }
    context.note(
        "End a statement with ; and leave with Ctrl-D. \\d lists tables, \\? what else there is.",
    );
    let mut shell = Shell { context, session, format, output: None, timing: true };
    loop {
        tokio::spawn(learn(session.clone(), names.clone()));
        let line = match tokio::task::block_in_place(|| editor.readline("tarn> ")) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error).into()),
        };
        if line.trim().is_empty() {
            continue;
        }
        let _ = editor.add_history_entry(line.trim());
        match shell.take(&line).await {
            Ok(Next::Line) => {}
            Ok(Next::Leave) => break,
            Err(failure) => {
                failure.report(context.json);
            }
        }
    }
    if let Some(history) = history.filter(|history| history.parent().is_some_and(Path::exists)) {
        let _ = editor.save_history(&history);
    }
    Ok(())
}

/// What there is by now, for Tab. Where it cannot be asked, what was known stays.
async fn learn(session: Session, names: Names) {
    let Ok(tables) = session.tables().await else { return };
    let own = session.lab().map(ToString::to_string);
    let (functions, table_functions) = session.functions();
    let table = |(name, schema): (TableRef, SchemaRef)| Table {
        names: written(&name, own.as_deref()),
        columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
    };
    let tables = tables.into_iter().map(table).collect();
    names.set(Known { tables, functions, table_functions });
}

/// How a table may be written, shortest first.
fn written(name: &TableRef, own: Option<&str>) -> Vec<String> {
    let short = format!("{}.{}", spelled(name.dataset.as_str()), spelled(name.table.as_str()));
    let long = format!("{}.{short}", spelled(name.lab.as_str()));
    if own == Some(name.lab.as_str()) { vec![short, long] } else { vec![long] }
}

/// What comes after a line.
enum Next {
    Line,
    Leave,
}

/// How lines are answered.
struct Shell<'a> {
    context: &'a Context,
    session: &'a Session,
    format: SqlFormat,
    /// Where the next answer goes.
    output: Option<PathBuf>,
    timing: bool,
}

impl Shell<'_> {
    async fn take(&mut self, line: &str) -> Result<Next, Failure> {
        match Meta::of(line).transpose()? {
            Some(Meta::Quit) => return Ok(Next::Leave),
            Some(meta) => Box::pin(self.obey(meta)).await?,
            None => {
                let Statements { complete, .. } = Statements::of(line);
                for statement in complete {
                    self.answer(&statement).await?;
                }
            }
        }
        Ok(Next::Line)
    }

    async fn answer(&mut self, sql: &str) -> Result<(), Failure> {
        let output = self.output.take();
        let named = output.as_deref().and_then(by_extension);
        let format = named.unwrap_or(self.format);
        if is_binary(format) && output.is_none() {
            let problem = "this format is not text; say \\o FILE first, or \\format table";
            return Err(Failure::new(ErrorCode::InvalidArgument, problem));
        }
        let done = answer(self.context, self.session, sql, format, output.as_deref()).await?;
        done.note(self.context, format == SqlFormat::Table || output.is_some(), self.timing);
        say_missing(self.context, &done.sites);
        Ok(())
    }

    async fn obey(&mut self, meta: Meta) -> Result<(), Failure> {
        match meta {
            Meta::Tables => self.tables(|_| true).await?,
            Meta::Describe(name) => self.describe(&name).await?,
            Meta::Functions(word) => {
                let (values, tables) = self.session.functions();
                let of = |names: Vec<String>, kind: &str| -> Vec<[String; 2]> {
                    let like = names.into_iter().filter(|name| name.contains(&word));
                    like.map(|name| [name, kind.to_owned()]).collect()
                };
                let mut rows = of(tables, "table");
                rows.extend(of(values, "value"));
                self.list(["function", "gives a"], rows)?;
            }
            Meta::Format(format) => self.format = format,
            Meta::Output(path) => self.output = Some(path),
            Meta::Timing(on) => {
                self.timing = on.unwrap_or(!self.timing);
                let word = if self.timing { "on" } else { "off" };
                self.context.note(format_args!("timing is {word}"));
            }
            Meta::Help => self.context.note(HELP),
            Meta::Quit => {}
        }
        Ok(())
    }

    /// Lists tables.
    async fn tables(&self, wanted: impl Fn(&TableRef) -> bool) -> Result<(), Failure> {
        let own = self.session.lab().map(ToString::to_string);
        let tables = self.session.tables().await?;
        let views = self.session.views().await?;
        let row = |(name, schema): &(TableRef, SchemaRef)| {
            let shortest = written(name, own.as_deref()).swap_remove(0);
            let kind = if views.contains(name) { "view" } else { "table" };
            [shortest, kind.to_owned(), name.lab.to_string(), schema.fields().len().to_string()]
        };
        let wanted = tables.iter().filter(|(name, _)| wanted(name));
        self.list(["table", "kind", "lab", "columns"], wanted.map(row).collect())
    }

    /// Columns of a table, or the tables of a dataset or lab.
    async fn describe(&mut self, name: &str) -> Result<(), Failure> {
        let own = self.session.lab().map(ToString::to_string);
        let tables = self.session.tables().await?;
        let called = |(table, _): &&(TableRef, SchemaRef)| {
            written(table, own.as_deref()).iter().any(|written| written == name)
        };
        if let Some((_, schema)) = tables.iter().find(called) {
            let word = |field: &arrow::datatypes::Field, key: &str| {
                field.metadata().get(key).cloned().unwrap_or_default()
            };
            let row = |field: &Arc<arrow::datatypes::Field>| {
                let long = word(field, "long_name");
                let named = Some(word(field, "standard_name")).filter(|name| !name.is_empty());
                [
                    spelled(field.name()),
                    field.data_type().to_string(),
                    if field.is_nullable() { "yes" } else { "no" }.to_owned(),
                    word(field, "units"),
                    named.unwrap_or(long),
                ]
            };
            let rows = schema.fields().iter().map(row).collect();
            return self.list(["column", "type", "null", "units", "what"], rows);
        }
        let within = |table: &TableRef| {
            let dataset = format!("{}.{}", table.lab, table.dataset);
            let own = own.as_deref() == Some(table.lab.as_str());
            table.lab.as_str() == name || dataset == name || (own && table.dataset.as_str() == name)
        };
        if tables.iter().any(|(table, _)| within(table)) {
            return self.tables(within).await;
        }
        self.answer(&format!("DESCRIBE {name}")).await
    }

    fn list<const N: usize>(
        &self,
        header: [&str; N],
        rows: Vec<[String; N]>,
    ) -> Result<(), Failure> {
        let columns = header.into_iter().enumerate().map(|(place, name)| {
            let values = rows.iter().map(|row| row.get(place).map(String::as_str));
            (name, Arc::new(values.collect::<StringArray>()) as ArrayRef)
        });
        let batch = RecordBatch::try_from_iter(columns)
            .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))?;
        let format = if is_binary(self.format) { SqlFormat::Table } else { self.format };
        let mut writer = BatchWriter::new(format, None, &batch.schema())?;
        writer.write(&batch)?;
        writer.finish(&[])?;
        Ok(())
    }
}
