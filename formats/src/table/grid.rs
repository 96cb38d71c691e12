//! What one grid of one file offers as columns.

use super::Dependence;
use super::column::{Candidate, KEPT, Reading, Source, read_stored, to_usize};
use super::regions::Tiling;
use crate::cf::{Decoder, Draft, characters, is_time};
use crate::contents::{Contents, Dimension, Format, Grid, Variable};
use crate::error::FormatError;
use crate::reader::Reader;
use crate::region::Selection;
use arrow::array::new_null_array;
use arrow::datatypes::{DataType, Field};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tarn_schemas::TableOptions;
use tarn_schemas::table::{CalendarPart, Decode, Layout};

/// Most times that are read to find their dtype.
const MOST_TIMES: u64 = 1 << 28;

/// The grid that a file's table is made of.
///
/// `name` is a grid's name, or the path of a group (its grid with most cells) or of a variable of
/// the grid: files whose arrays differ in length may name their grids differently.
pub(super) fn choose<'a>(
    reader: &'a dyn Reader,
    name: Option<&str>,
) -> Result<&'a Grid, FormatError> {
    let (location, contents) = (reader.location(), reader.contents());
    let Some(name) = name else {
        return largest(contents).ok_or_else(|| FormatError::NotFound {
            location: location.to_owned(),
            kind: "grid",
            name: "with any variable".to_owned(),
            available: "none".to_owned(),
        });
    };
    let at = |path: &str| {
        let path = path.trim_matches('/');
        let same = |other: &str| other.trim_matches('/') == path;
        let mut grids = contents.grids.iter();
        let of_group = grids.clone().find(|grid| !path.is_empty() && same(&grid.group));
        of_group.or_else(|| grids.find(|grid| grid.variables.iter().any(|v| same(v))))
    };
    contents.grid(name).or_else(|| at(name)).or_else(|| at(&reader.listed_path(name)?)).ok_or_else(
        || FormatError::NotFound {
            location: location.to_owned(),
            kind: "grid",
            name: name.to_owned(),
            available: list(contents.grids.iter().map(|grid| grid.name.as_str())),
        },
    )
}

/// The grid with most cells; among equals the first that is not made of bounds alone.
fn largest(contents: &Contents) -> Option<&Grid> {
    let first = contents.grids.first()?;
    let bounds: HashSet<&str> =
        contents.variables.iter().filter_map(|variable| variable.text("bounds")).collect();
    let is_bounds = |path: &String| bounds.contains(path.rsplit('/').next().unwrap_or_default());
    contents
        .grids
        .iter()
        .take_while(|grid| grid.cells() == first.cells())
        .find(|grid| !grid.variables.iter().all(is_bounds))
        .or(Some(first))
}

/// Names for a message, not more than fifty.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.get(..50) {
        Some(first) if names.len() > 50 => format!("{}, …", first.join(", ")),
        _ => names.join(", "),
    }
}

/// A grid of a file, and the names of its columns.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) reader: &'a Arc<dyn Reader>,
    pub(super) grid: &'a Grid,
    layout: Layout,
    decode: Decode,
    /// The time that names each bounds variable, by the path of the latter.
    parents: HashMap<String, &'a Variable>,
    coordinates: Vec<(String, usize)>,
    variables: Vec<(String, &'a Variable)>,
}

impl<'a> View<'a> {
    pub(super) fn new(reader: &'a Arc<dyn Reader>, grid: &'a Grid, options: &TableOptions) -> Self {
        let TableOptions { layout, decode, .. } = *options;
        let contents = reader.contents();
        let mut parents = HashMap::new();
        for variable in contents.variables.iter().filter(|variable| is_time(variable)) {
            let group = variable.path.strip_suffix(variable.name.as_str());
            if let (Some(group), Some(bounds)) = (group, variable.text("bounds")) {
                parents.entry(format!("{group}{bounds}")).or_insert(variable);
            }
        }
        let mut taken = HashSet::new();
        let mut unique = |name: &str| {
            let mut unique = name.to_owned();
            let mut number = 2_u64;
            while !taken.insert(unique.clone()) {
                unique = format!("{name}_{number}");
                number += 1;
            }
            unique
        };
        // Rows of tensors run over the leading dimension alone.
        let running = if layout == Layout::Tensors { 1 } else { grid.dimensions.len() };
        let coordinates: Vec<(String, usize)> = (0..running)
            .zip(&grid.dimensions)
            .map(|(index, dimension)| (unique(&dimension.name), index))
            .collect();
        let is_coordinate =
            |path: &String| grid.dimensions.iter().any(|d| d.coordinate.as_ref() == Some(path));
        let by_path: HashMap<&str, &Variable> =
            contents.variables.iter().map(|variable| (variable.path.as_str(), variable)).collect();
        let variables = grid
            .variables
            .iter()
            .filter(|path| !is_coordinate(path))
            .filter_map(|path| by_path.get(path.as_str()).copied())
            .map(|variable| (unique(&variable.name), variable))
            .collect();
        Self { reader, grid, layout, decode, parents, coordinates, variables }
    }

    pub(super) fn location(&self) -> &str {
        self.reader.location()
    }

    pub(super) fn coordinate_names(&self) -> impl Iterator<Item = &str> {
        self.coordinates.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn variable_names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(name, _)| name.as_str())
    }

    /// Dimensions that rows run over.
    pub(super) fn running(&self) -> &'a [Dimension] {
        self.grid.dimensions.get(..self.coordinates.len()).unwrap_or_default()
    }

    /// Dimensions inside a row: those of tensors.
    pub(super) fn inner(&self) -> &'a [Dimension] {
        self.grid.dimensions.get(self.coordinates.len()..).unwrap_or_default()
    }

    /// The column of this name: a coordinate, a dimension index, a variable of the grid (by name
    /// or path), or a variable beside it that has one value, or one for each index of a dimension.
    pub(super) fn column(&self, name: &str) -> Result<Option<Candidate>, FormatError> {
        if let Some((column, dimension)) = self.coordinates.iter().find(|(own, _)| own == name) {
            return self.coordinate(column, *dimension).map(Some);
        }
        let Some((variable, dependence)) = self.variable(name)? else { return Ok(None) };
        let reading = self.reading(variable, dependence, None)?;
        Ok(Some(candidate(name, reading)))
    }

    /// A part of the date of a CF time: a coordinate or variable as in [`Self::column`].
    pub(super) fn calendar(
        &self,
        part: CalendarPart,
        name: &str,
    ) -> Result<Option<Candidate>, FormatError> {
        let coordinate = self.coordinates.iter().find(|(own, _)| own == name).and_then(|(_, d)| {
            let path = self.grid.dimensions.get(*d)?.coordinate.as_ref()?;
            Some((self.reader.contents().variable(path)?, Dependence::Dimension(*d)))
        });
        let found = match coordinate {
            Some(found) => Some(found),
            None => self.variable(name)?,
        };
        let Some((variable, dependence)) = found else { return Ok(None) };
        let reading = self.reading(variable, dependence, Some(part))?;
        if reading.decoder.time().is_none() {
            let calendar = variable.text("calendar").unwrap_or("standard");
            let units = variable.text("units").unwrap_or("none");
            return Err(FormatError::Options {
                location: self.location().to_owned(),
                problem: format!(
                    "{} is no CF time with a known calendar (units {units:?}, calendar \
                     {calendar:?}), so it has no year, month or day",
                    variable.path
                ),
            });
        }
        let data_type = if part == CalendarPart::Date { DataType::Utf8 } else { DataType::Int64 };
        let field = Field::new(name, data_type, true);
        Ok(Some(Candidate { field, source: Source::Variable(Arc::new(reading)), time: None }))
    }

    fn coordinate(&self, name: &str, dimension: usize) -> Result<Candidate, FormatError> {
        let path = self.grid.dimensions.get(dimension).and_then(|d| d.coordinate.as_ref());
        match path.and_then(|path| self.reader.contents().variable(path)) {
            Some(variable) => {
                let dependence = Dependence::Dimension(dimension);
                Ok(candidate(name, self.reading(variable, dependence, None)?))
            }
            None => Ok(Candidate {
                field: Field::new(name, DataType::Int64, false),
                source: Source::Index(dimension),
                time: None,
            }),
        }
    }

    /// A variable by column name, path, or name in the grid's group, and what it depends on.
    fn variable(&self, name: &str) -> Result<Option<(&'a Variable, Dependence)>, FormatError> {
        let contents = self.reader.contents();
        let group = self.grid.group.trim_matches('/');
        let found = self
            .variables
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, variable)| *variable)
            .or_else(|| contents.variable(&format!("{group}/{name}")))
            .or_else(|| {
                let path = name.contains('/').then(|| self.reader.listed_path(name)).flatten()?;
                contents.variable(&path)
            });
        let Some(variable) = found else { return Ok(None) };
        let dependence = match self.dimensions(variable) {
            dimensions if same(dimensions, &self.grid.dimensions) => Some(Dependence::Cells),
            [] => Some(Dependence::Constant),
            [one] => {
                let place = self.running().iter().position(|own| same_dimension(own, one));
                place.map(Dependence::Dimension)
            }
            _ => None,
        };
        match dependence {
            Some(dependence) => Ok(Some((variable, dependence))),
            None => Err(FormatError::Options {
                location: self.location().to_owned(),
                problem: format!(
                    "{} has the dimensions ({}) and cannot be a column of rows over ({}); leave \
                     it out by `select`, or choose its grid",
                    variable.path,
                    list(variable.dimensions.iter().map(|d| d.name.as_str())),
                    list(self.running().iter().map(|d| d.name.as_str())),
                ),
            }),
        }
    }

    /// The dimensions of the cells of a variable.
    fn dimensions(&self, variable: &'a Variable) -> &'a [Dimension] {
        match self.text_length(variable).and_then(|_| variable.dimensions.split_last()) {
            Some((_, before)) => before,
            None => &variable.dimensions,
        }
    }

    fn text_length(&self, variable: &Variable) -> Option<u64> {
        characters::text_length(&self.reader.contents().variables, variable)
    }

    fn reading(
        &self,
        variable: &'a Variable,
        dependence: Dependence,
        part: Option<CalendarPart>,
    ) -> Result<Reading, FormatError> {
        let shape: Vec<u64> = self.dimensions(variable).iter().map(|d| d.length).collect();
        let text_length = self.text_length(variable);
        // Parts of dates have nothing to do with what xarray makes of the times.
        let decoder = match (self.decode, part) {
            (Decode::Xarray, None) => self.xarray(variable, &shape, text_length)?,
            _ => {
                let parent = self.parents.get(&variable.path).copied();
                let decoder = Decoder::new(self.location(), variable, parent)?;
                decoder.with_text_length(self.characters(text_length)?)
            }
        };
        Ok(Reading { path: variable.path.clone(), shape, text_length, dependence, decoder, part })
    }

    /// The decoder of `xarray` mode. Times are read whole, because their dtype depends on all values.
    fn xarray(
        &self,
        variable: &Variable,
        shape: &[u64],
        text_length: Option<u64>,
    ) -> Result<Decoder, FormatError> {
        let parent = self.parents.get(&variable.path).copied();
        let length = self.characters(text_length)?;
        let mut draft = Draft::new(self.location(), variable, parent, length)?;
        if matches!(self.reader.contents().format, Format::Zarr2 | Format::Zarr3) {
            draft = draft.with_booleans();
        }
        if draft.wants_values() {
            let cells = shape.iter().fold(1, |cells: u64, length| cells.saturating_mul(*length));
            if cells > MOST_TIMES {
                return Err(FormatError::TooLarge {
                    location: self.location().to_owned(),
                    place: variable.path.clone(),
                    what: format!(
                        "decode = 'xarray' of {cells} times, whose dtype depends on all of them, \
                         (use decode = 'arrow', or leave it out by `select`)"
                    ),
                    needed: cells.saturating_mul(8),
                    limit: MOST_TIMES * 8,
                });
            }
            let chunk = variable.chunk_shape.as_deref();
            for block in Tiling::new(shape, chunk, 1, KEPT).blocks(&Selection::all(shape), false) {
                let region = block.bounds();
                let reader = self.reader.as_ref();
                draft.look(&read_stored(reader, &variable.path, &region, text_length)?)?;
            }
        }
        draft.finish()
    }

    /// Characters of a text; 1 for what is none.
    fn characters(&self, text_length: Option<u64>) -> Result<usize, FormatError> {
        to_usize(self.location(), text_length.unwrap_or(1))
    }

    /// The chunk shape of the grid's largest variable, of the dimensions that rows run over.
    pub(super) fn chunk(&self) -> Option<Vec<u64>> {
        let bytes = |variable: &Variable| variable.data_type.primitive_width().unwrap_or(16);
        let mut largest: Option<&Variable> = None;
        for (_, variable) in &self.variables {
            if largest.is_none_or(|other| bytes(other) < bytes(variable)) {
                largest = Some(variable);
            }
        }
        let chunk = largest?.chunk_shape.as_ref()?;
        Some(chunk.get(..self.running().len())?.to_vec())
    }

    /// Whether a column is a tensor: it has more than one value in a row.
    pub(super) fn is_tensor(&self, source: &Source) -> bool {
        self.layout == Layout::Tensors
            && self.grid.dimensions.len() > 1
            && matches!(source, Source::Variable(r) if r.dependence == Dependence::Cells)
    }
}

fn candidate(name: &str, reading: Reading) -> Candidate {
    let decoder = &reading.decoder;
    let timestamps = matches!(decoder.field().data_type(), DataType::Timestamp(..));
    let time = decoder.time().filter(|_| !timestamps).cloned();
    let field = decoder.field().clone().with_name(name);
    Candidate { field, time, source: Source::Variable(Arc::new(reading)) }
}

fn same(a: &[Dimension], b: &[Dimension]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_dimension(a, b))
}

fn same_dimension(a: &Dimension, b: &Dimension) -> bool {
    a.name == b.name && a.length == b.length
}

/// One NULL.
pub(super) fn null(data_type: &DataType) -> Source {
    Source::Value(new_null_array(data_type, 1))
}
