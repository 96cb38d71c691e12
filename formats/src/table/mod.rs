//! Grids of one file or many as one table: cells or tensors, with extra columns.

mod block;
mod broadcast;
mod column;
mod extra;
mod grid;
mod part;
mod regions;
mod tensor;
mod union;

pub use block::Block;
pub use broadcast::Coordinates;
pub use part::Part;
pub use regions::Blocks;

use crate::contents::Grid;
use crate::error::FormatError;
use crate::reader::Reader;
use arrow::array::StringArray;
use arrow::datatypes::{Schema, SchemaRef};
use column::{Candidate, Column};
use grid::{View, list};
use std::collections::HashSet;
use std::sync::Arc;
use tarn_schemas::TableOptions;
use tarn_schemas::table::ColumnSource;

/// The column that names each row's file.
const FILE: &str = "_file";

/// One grid over one or more files as rows.
///
/// Columns are in this order unless `select` says otherwise: `_file` if asked for, extra columns,
/// coordinates (or dimension indices), variables. All parts have the table's schema.
#[derive(Debug, Clone)]
pub struct Table {
    schema: SchemaRef,
    parts: Vec<Part>,
}

/// What a column of one part depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dependence {
    /// On nothing: the same value in every row of the part (attributes, path captures, `_file`).
    Constant,
    /// On one dimension alone: a coordinate, a dimension index, a calendar part of a coordinate.
    Dimension(usize),
    /// On all dimensions: a variable.
    Cells,
}

/// A column of the table to be made.
enum Wanted<'a> {
    File,
    Extra(&'a str, &'a ColumnSource),
    Own(String),
}

impl Table {
    /// The table that `options` make of these files.
    ///
    /// `options.grid` names a grid, or gives the path of a group (its grid with most cells) or of
    /// a variable of the grid. Columns are matched by name:
    /// - a file without a column gives NULL; one that has it as a single value repeats that;
    /// - types are widened where every value stays exact, and refused otherwise;
    /// - units must be the same text; times become timestamps, or numbers on the first file's
    ///   axis where their calendar is no civil one; calendars must not differ;
    /// - attributes stay in the field's metadata where all files agree.
    ///
    /// # Errors
    /// [`FormatError::NotFound`] for a grid or column, [`FormatError::Union`] where files do not fit
    /// together (types that differ, calendars or units that differ and cannot be converted exactly),
    /// [`FormatError::Options`] for options that make no sense for these files.
    pub fn open(files: &[Arc<dyn Reader>], options: &TableOptions) -> Result<Self, FormatError> {
        let views = views(files, options)?;
        let wanted = wanted(&views, options)?;
        let mut fields = Vec::with_capacity(wanted.len());
        let mut columns: Vec<Vec<Column>> = views.iter().map(|_| Vec::new()).collect();
        for column in &wanted {
            let (name, candidates) = candidates(&views, column)?;
            let (field, of_parts) = union::join(name, &views, &candidates)?;
            fields.push(field);
            for (part, column) in columns.iter_mut().zip(of_parts) {
                part.push(column);
            }
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let parts = views
            .iter()
            .zip(columns)
            .map(|(view, columns)| Part {
                reader: Arc::clone(view.reader),
                grid: view.grid.name.clone(),
                schema: Arc::clone(&schema),
                shape: view.running().iter().map(|dimension| dimension.length).collect(),
                chunk: view.chunk(),
                cells_of_row: view
                    .inner()
                    .iter()
                    .fold(1, |cells, dimension| cells.saturating_mul(dimension.length)),
                columns,
            })
            .collect();
        Ok(Self { schema, parts })
    }

    /// Schema with field metadata.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// One part per file.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Rows of all parts; `None` on overflow.
    pub fn rows(&self) -> Option<u64> {
        self.parts.iter().try_fold(0_u64, |rows, part| rows.checked_add(part.rows()?))
    }
}

/// The grid of each file.
fn views<'a>(
    files: &'a [Arc<dyn Reader>],
    options: &TableOptions,
) -> Result<Vec<View<'a>>, FormatError> {
    let Some(first) = files.first() else {
        return Err(FormatError::Options {
            location: "table".to_owned(),
            problem: "no file to make a table of".to_owned(),
        });
    };
    let name = options.grid.as_deref();
    let model = grid::choose(first.as_ref(), name)?;
    let names = |grid: &Grid| grid.dimensions.iter().map(|d| d.name.clone()).collect::<Vec<_>>();
    files
        .iter()
        .map(|file| {
            let contents = file.contents();
            let found = match name {
                Some(_) => grid::choose(file.as_ref(), name).ok(),
                None => contents.grid(&model.name),
            };
            // Names carry lengths where a file has several grids of one name: then the grid is the
            // one in the same group that shares most variables with the first file's.
            let shared = |grid: &&Grid| {
                grid.variables.iter().filter(|path| model.variables.contains(path)).count()
            };
            let like = || {
                contents
                    .grids
                    .iter()
                    .filter(|grid| grid.group == model.group && names(grid) == names(model))
                    .filter(|grid| shared(grid) > 0)
                    .max_by_key(shared)
            };
            let grid = found.filter(|grid| names(grid) == names(model)).or_else(like);
            let grid = grid.ok_or_else(|| FormatError::Union {
                first: first.location().to_owned(),
                second: file.location().to_owned(),
                problem: format!(
                    "the second has no grid {:?} over ({}); it has: {}",
                    model.name,
                    names(model).join(", "),
                    list(contents.grids.iter().map(|grid| grid.name.as_str()))
                ),
            })?;
            Ok(View::new(file, grid, options))
        })
        .collect()
}

/// The columns that the options ask for, in order.
fn wanted<'a>(
    views: &[View<'_>],
    options: &'a TableOptions,
) -> Result<Vec<Wanted<'a>>, FormatError> {
    let location = views.first().map(View::location).unwrap_or_default();
    let twice = |name: &str, how: &str| FormatError::Options {
        location: location.to_owned(),
        problem: format!("there are two columns {name:?}; {how}"),
    };
    let mut taken = HashSet::new();
    if options.columns.iter().any(|(name, _)| !taken.insert(name.as_str())) {
        return Err(twice(&last_repeated(options), "give each extra column its own name"));
    }
    let extra = |name: &str| options.columns.iter().find(|(own, _)| own == name);
    let mut wanted = Vec::new();
    if !options.select.is_empty() {
        if options.file_column && !options.select.iter().any(|name| name == FILE) {
            wanted.push(Wanted::File);
        }
        let mut selected = HashSet::new();
        for name in &options.select {
            if !selected.insert(name) {
                return Err(twice(name, "name it once in `select`"));
            }
            wanted.push(match extra(name) {
                Some((name, source)) => Wanted::Extra(name, source),
                None if name == FILE => Wanted::File,
                None => Wanted::Own(name.clone()),
            });
        }
        return Ok(wanted);
    }
    if options.file_column {
        wanted.push(Wanted::File);
        taken.insert(FILE);
    }
    wanted.extend(options.columns.iter().map(|(name, source)| Wanted::Extra(name, source)));
    let renamed: HashSet<&str> = options
        .columns
        .iter()
        .filter_map(|(_, source)| match source {
            ColumnSource::Variable(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let mut own = HashSet::new();
    let coordinates = views.iter().flat_map(View::coordinate_names);
    for name in coordinates.chain(views.iter().flat_map(View::variable_names)) {
        if renamed.contains(name) || !own.insert(name) {
            continue;
        }
        if taken.contains(name) {
            let how = "give the extra column another name, or list the columns in `select`";
            return Err(twice(name, how));
        }
        wanted.push(Wanted::Own(name.to_owned()));
    }
    Ok(wanted)
}

/// The first name that two extra columns share.
fn last_repeated(options: &TableOptions) -> String {
    let mut seen = HashSet::new();
    let repeated = options.columns.iter().find(|(name, _)| !seen.insert(name));
    repeated.map(|(name, _)| name.clone()).unwrap_or_default()
}

/// What each file offers for a column; at least one offers something.
fn candidates<'a>(
    views: &[View<'_>],
    column: &'a Wanted<'_>,
) -> Result<(&'a str, Vec<Option<Candidate>>), FormatError> {
    let each = |offer: &dyn Fn(&View<'_>) -> Result<Option<Candidate>, FormatError>| {
        views.iter().map(offer).collect::<Result<Vec<_>, _>>()
    };
    let (name, sought, kind, found) = match column {
        Wanted::File => {
            let file = |view: &View<'_>| {
                let value = Arc::new(StringArray::from(vec![view.location()]));
                Ok(Some(extra::constant(FILE, value)))
            };
            (FILE, FILE, "column", each(&file)?)
        }
        Wanted::Own(name) => {
            (name.as_str(), name.as_str(), "column", each(&|view| view.column(name))?)
        }
        Wanted::Extra(name, source) => match source {
            ColumnSource::Attribute { variable, name: attribute } => {
                let variable = variable.as_deref();
                let offer = |view: &View<'_>| Ok(extra::attribute(view, name, variable, attribute));
                (*name, attribute.as_str(), "attribute", each(&offer)?)
            }
            ColumnSource::Path(pattern) => {
                let locations: Vec<&str> = views.iter().map(View::location).collect();
                let found = extra::captures(&locations, name, pattern)?;
                (*name, *name, "column", found.into_iter().map(Some).collect())
            }
            ColumnSource::Calendar(part, time) => {
                (*name, time.as_str(), "variable", each(&|view| view.calendar(*part, time))?)
            }
            ColumnSource::Variable(variable) => {
                (*name, variable.as_str(), "variable", each(&|view| view.column(variable))?)
            }
        },
    };
    if found.iter().any(Option::is_some) {
        return Ok((name, found));
    }
    let view = views.first();
    let available = match (column, view) {
        (Wanted::Extra(_, ColumnSource::Attribute { variable, .. }), Some(view)) => {
            extra::available(view, variable.as_deref())
        }
        (_, Some(view)) => list(view.coordinate_names().chain(view.variable_names())),
        (_, None) => String::new(),
    };
    Err(FormatError::NotFound {
        location: view.map(View::location).unwrap_or_default().to_owned(),
        kind,
        name: sought.to_owned(),
        available,
    })
}

#[cfg(test)]
mod tests;
