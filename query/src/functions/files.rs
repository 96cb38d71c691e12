//! `read_netcdf(path [, grid [, options]])` and its like: tables that are files.
//!
//! DataFusion plans table functions without waiting, so every call in a statement is opened before
//! the statement is planned, and the plan finds what was opened by function and arguments.

use crate::engine::Call;
use crate::error::QueryError;
use crate::functions::inside;
use crate::provider::{GridTable, OpenFile, Opener, open_grid, say_left_out};
use datafusion::catalog::{MemTable, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::Result;
use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;
use datafusion::logical_expr::Expr;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tarn_formats::{Format, Reader};
use tarn_schemas::TableOptions;

/// Functions whose rows are those of a grid, and the formats they take; `None` takes all.
const READERS: [(&str, Option<&[Format]>); 5] = [
    ("read_any", None),
    ("read_netcdf", Some(&[Format::NetCdf4, Format::NetCdf3, Format::Hdf5])),
    ("read_hdf5", Some(&[Format::Hdf5, Format::NetCdf4])),
    ("read_spec", Some(&[Format::Spec])),
    ("read_zarr", Some(&[Format::Zarr2, Format::Zarr3])),
];

/// Functions that list what is inside.
const LISTINGS: [&str; 3] = ["grids", "variables", "attributes"];

/// How similar a name must be to be suggested.
const CLOSE: f64 = 0.5;

type Arguments = Vec<Option<String>>;

/// The files that a statement reads by path, open.
#[derive(Debug, Default)]
pub(crate) struct FileTables {
    open: HashMap<(String, Arguments), Arc<dyn TableProvider>>,
}

impl FileTables {
    /// Names of all functions over files.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        READERS.iter().map(|(name, _)| *name).chain(LISTINGS)
    }

    /// Opens what the calls of a statement name. Calls of other table functions are left alone.
    ///
    /// # Errors
    /// [`QueryError::Denied`] where files may not be opened.
    pub(crate) async fn open(
        opener: &Opener,
        calls: &[Call],
        allowed: bool,
    ) -> Result<Self, QueryError> {
        let mut open = HashMap::new();
        for call in calls {
            let Some(name) = Self::names().find(|name| *name == call.function) else { continue };
            if !allowed {
                return Err(QueryError::Denied(format!(
                    "{name}(…) opens files of the node itself, which only its owner may do there; \
                     ask for a table of the catalog instead (SHOW TABLES lists them)"
                )));
            }
            let arguments = call.arguments.clone().map_err(|argument| {
                QueryError::Invalid(format!(
                    "{name}: {argument} is no constant text; write {name}('path', 'grid', '{{…}}')"
                ))
            })?;
            let key = (name.to_owned(), arguments);
            if let Entry::Vacant(place) = open.entry(key) {
                let table = open_call(opener, name, &place.key().1).await?;
                place.insert(table);
            }
        }
        Ok(Self { open })
    }
}

async fn open_call(
    opener: &Opener,
    name: &'static str,
    arguments: &[Option<String>],
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let path = match arguments.first() {
        Some(Some(path)) => path,
        _ => {
            return Err(QueryError::Invalid(format!(
                "{name} needs a path: write {name}('file.nc'), a URL, a glob or a folder"
            )));
        }
    };
    let rest = arguments.get(1..).unwrap_or_default();
    let Some((_, formats)) = READERS.iter().find(|(reader, _)| *reader == name) else {
        if !rest.is_empty() {
            return Err(QueryError::Invalid(format!("{name} takes a path and nothing else")));
        }
        let readers = all(opener.files(path).await?);
        let batch = match name {
            "grids" => inside::grids(&readers)?,
            "variables" => inside::variables(&readers)?,
            _ => inside::attributes(&readers)?,
        };
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        return Ok(Arc::new(table));
    };
    let options = options(name, rest)?;
    let files = opener.files(path).await?;
    let readers = match formats {
        Some(formats) => of_formats(name, path, files, formats)?,
        None => all(files),
    };
    let table = open_grid(readers, options).await?;
    Ok(Arc::new(GridTable::new(format!("{name}({path})"), table)))
}

/// Grid and options of a call: `(grid)`, `(options)` or `(grid, options)`; the grid may be NULL.
fn options(name: &str, rest: &[Option<String>]) -> Result<TableOptions, QueryError> {
    let is_json = |text: &str| text.trim_start().starts_with('{');
    let (grid, json) = match rest {
        [] => (None, None),
        [Some(text)] if is_json(text) => (None, Some(text)),
        [grid] => (grid.as_ref(), None),
        [grid, json] => (grid.as_ref(), json.as_ref()),
        _ => {
            return Err(QueryError::Invalid(format!(
                "{name} takes at most three arguments: {name}('path', 'grid', '{{…}}')"
            )));
        }
    };
    let mut options: TableOptions = match json {
        Some(json) => serde_json::from_str(json).map_err(|error| {
            QueryError::Invalid(format!("{name}: the options are not understood: {error}"))
        })?,
        None => TableOptions::default(),
    };
    match (grid, &options.grid) {
        (Some(grid), Some(other)) if grid != other => Err(QueryError::Invalid(format!(
            "{name}: the grid is {grid:?} in the argument and {other:?} in the options; give one"
        ))),
        (Some(grid), _) => {
            options.grid = Some(grid.clone());
            Ok(options)
        }
        (None, _) => Ok(options),
    }
}

fn all(files: Vec<OpenFile>) -> Vec<Arc<dyn Reader>> {
    files.into_iter().map(|file| file.reader).collect()
}

/// The files of these formats. Another format is refused where the file was named, and left out
/// where its folder was.
fn of_formats(
    name: &str,
    path: &str,
    files: Vec<OpenFile>,
    formats: &[Format],
) -> Result<Vec<Arc<dyn Reader>>, QueryError> {
    let count = files.len();
    let (mut readers, mut left) = (Vec::with_capacity(count), Vec::new());
    for OpenFile { reader, named } in files {
        if formats.contains(&reader.contents().format) {
            readers.push(reader);
        } else if named {
            return Err(QueryError::Invalid(format!(
                "{name}: {} is a {} file; read_any('…') opens every format",
                reader.location(),
                reader.contents().format
            )));
        } else {
            left.push(reader.location().to_owned());
        }
    }
    say_left_out(path, count, &left, &format!("of no format that {name} reads"))?;
    Ok(readers)
}

/// The failure of a table function that is none of Tarn's.
pub(crate) fn unknown(name: &str) -> QueryError {
    let names: Vec<&str> = FileTables::names().chain(["generate_series", "range"]).collect();
    let closest = names
        .iter()
        .map(|known| (normalized_levenshtein(name, known), *known))
        .filter(|(score, _)| *score >= CLOSE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let near = closest.map_or_else(String::new, |(_, known)| format!(" (did you mean {known}?)"));
    QueryError::Invalid(format!(
        "there is no table function {name}{near}; there are {}",
        names.join(", ")
    ))
}

/// A function over files, as DataFusion calls it.
#[derive(Debug)]
pub(crate) struct FileFunction {
    name: &'static str,
    tables: Arc<FileTables>,
}

impl FileFunction {
    /// The function of this name over what is open.
    pub(crate) fn new(name: &'static str, tables: Arc<FileTables>) -> Self {
        Self { name, tables }
    }
}

impl TableFunctionImpl for FileFunction {
    fn call_with_args(&self, arguments: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let constants: Option<Arguments> = arguments
            .exprs()
            .iter()
            .map(|expr| match expr {
                Expr::Literal(value, _) if value.is_null() => Some(None),
                Expr::Literal(value, _) => value.try_as_str().flatten().map(|t| Some(t.to_owned())),
                _ => None,
            })
            .collect();
        let open = constants.and_then(|constants| {
            self.tables.open.get(&(self.name.to_owned(), constants)).map(Arc::clone)
        });
        open.ok_or_else(|| {
            QueryError::Invalid(format!("{0} takes constant text: {0}('path', 'grid')", self.name))
                .into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &[Option<&str>]) -> Result<TableOptions, QueryError> {
        let rest: Vec<_> = rest.iter().map(|text| text.map(str::to_owned)).collect();
        options("read_netcdf", &rest)
    }

    #[test]
    fn the_grid_may_be_left_out_be_null_or_stand_in_the_options() {
        assert_eq!(parse(&[]).unwrap().grid, None);
        assert_eq!(parse(&[None]).unwrap().grid, None);
        assert_eq!(parse(&[Some("lat_lon")]).unwrap().grid.as_deref(), Some("lat_lon"));
        let json = r#"{"file_column": true, "grid": "lat_lon"}"#;
        for rest in [&[Some(json)][..], &[None, Some(json)], &[Some("lat_lon"), Some(json)]] {
            let options = parse(rest).unwrap();
            assert_eq!(options.grid.as_deref(), Some("lat_lon"));
            assert!(options.file_column);
        }
    }

    #[test]
    fn options_that_contradict_or_are_unknown_are_refused() {
        for rest in [
            &[Some("lat"), Some(r#"{"grid": "lon"}"#)][..],
            &[Some(r#"{"gird": "lon"}"#)],
            &[None, Some("no json")],
            &[None, None, None],
        ] {
            assert!(matches!(parse(rest), Err(QueryError::Invalid(_))), "{rest:?}");
        }
    }
}
