//! HDF5, and NetCDF-4 on top of it.
//!
//! The metadata is parsed once, at open, into a plain index ([`index`]); chunk addresses are loaded
//! when a dataset is first read. Reading, filters and values are ours: byte ranges of the chunks
//! that a region touches → values → the region cut out → Arrow.

mod abroad;
mod ahead;
mod assemble;
mod attribute;
mod chunked;
mod chunks;
mod datatype;
mod dimensions;
mod family;
mod fill;
#[cfg(fuzzing)]
pub mod fuzzing;
mod heap;
mod image;
mod index;
mod layout;
mod links;
mod mapping;
mod parse;
mod read;
pub(crate) mod saved;
mod selection;
mod sources;
mod storage;
mod values;

use crate::budget::{self, Budget};
use crate::cache::FileChunks;
use crate::contents::{Attribute, AttributeValue, Contents, Format, Unreadable, Variable};
use crate::error::FormatError;
use crate::fallback::Fallback;
use crate::filters::Filter;
use crate::grids::{grids, group_of};
use crate::reader::{Ahead, OpenOptions, Reader, checked};
use crate::region::Region;
use crate::saved::Entry;
use crate::source::ByteSource;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use assemble::Part;
use datatype::Datatype;
use dimensions::Scales;
use family::{Family, Named, Shown};
use index::{H5Attribute, H5Dataset, H5Index, H5Value, Layout};
use read::Read;
use sources::Assembly;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

/// An open HDF5 or NetCDF-4 file.
#[derive(Debug)]
pub struct Hdf5Reader {
    source: Arc<dyn ByteSource>,
    index: H5Index,
    contents: Contents,
    /// Where each variable is, by its path.
    spots: HashMap<String, Spot>,
    /// The parts of virtual datasets, by their place in the index.
    assemblies: HashMap<usize, Vec<Part>>,
    chunks: FileChunks,
    fallback: Option<Arc<dyn Fallback>>,
}

/// Where a variable is.
#[derive(Debug)]
enum Spot {
    /// At this place in the index.
    Own(usize),
    /// In another file, where it has this path.
    Other(Arc<Hdf5Reader>, String),
}

impl Hdf5Reader {
    /// Reads the metadata of a file, and of the files it refers to as far as the options allow.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] if the file is truncated or its root group is damaged. A dataset
    /// that cannot be read is no error: it is listed in [`Contents::unreadable`].
    pub fn open(source: Arc<dyn ByteSource>, options: &OpenOptions) -> Result<Self, FormatError> {
        Self::open_in(source, &Family::new(options))
    }

    fn open_in(source: Arc<dyn ByteSource>, family: &Family<'_>) -> Result<Self, FormatError> {
        let location = source.location().to_owned();
        family.while_opening(&location, || Self::parse(source, family))
    }

    fn parse(source: Arc<dyn ByteSource>, family: &Family<'_>) -> Result<Self, FormatError> {
        let budget = Budget::new(source.len());
        let index = parse::index(&source, &budget)?;
        Self::with(source, index, family, &budget)
    }

    /// A file whose metadata are known.
    pub(crate) fn of_index(
        source: Arc<dyn ByteSource>,
        index: H5Index,
        options: &OpenOptions,
    ) -> Result<Self, FormatError> {
        let budget = Budget::new(source.len());
        Self::with(source, index, &Family::new(options), &budget)
    }

    fn with(
        source: Arc<dyn ByteSource>,
        mut index: H5Index,
        family: &Family<'_>,
        budget: &Budget,
    ) -> Result<Self, FormatError> {
        let netcdf = dimensions::is_netcdf4(&index);
        if netcdf {
            for dataset in &mut index.datasets {
                characters(&mut dataset.datatype);
                dataset.fill.with_defaults(&dataset.datatype);
            }
        }
        let location = source.location().to_owned();
        let fallback = family.options.fallback.clone();
        abroad::refuse(&mut index, fallback.as_deref());
        let mut named = family.named_in(&location);
        let assemblies = assemblies(&mut index, &mut named)?;
        let (variables, spots) = variables(&location, &index, &assemblies, netcdf, budget)?;
        let mut groups: Vec<_> = index
            .groups
            .iter()
            .map(|g| (g.path.clone(), visible(&g.attributes, netcdf, &index.objects)))
            .collect();
        let root = if groups.is_empty() { vec![] } else { groups.remove(0).1 };
        let mut unreadable = index.unreadable.clone();
        unreadable.extend(index.refused.iter().map(|(dataset, reason)| Unreadable {
            path: variable_path(&dataset.path),
            reason: reason.clone(),
        }));
        let mut shown = Shown { variables, spots, groups, unreadable };
        for link in &index.externals {
            shown.link(link, &mut named, budget)?;
        }
        let Shown { variables, spots, groups, unreadable } = shown;
        let contents = Contents {
            format: if netcdf { Format::NetCdf4 } else { Format::Hdf5 },
            attributes: root,
            groups,
            grids: grids(&variables),
            variables,
            unreadable,
        };
        let chunks = Arc::clone(&family.options.chunk_cache).file();
        Ok(Self { source, index, contents, spots, assemblies, chunks, fallback })
    }
}

impl Reader for Hdf5Reader {
    fn location(&self) -> &str {
        self.source.location()
    }

    fn contents(&self) -> &Contents {
        &self.contents
    }

    fn listed_path(&self, path: &str) -> Option<String> {
        self.canonical(path)
    }

    fn read(&self, path: &str, region: &Region) -> Result<ArrayRef, FormatError> {
        let listed = self.contents.variable(path).is_none().then(|| self.canonical(path)).flatten();
        let path = listed.as_deref().unwrap_or(path);
        let variable = checked(self.location(), &self.contents, path, region)?;
        let left = Cell::new(assemble::most_read(region));
        let read = match self.spots.get(&variable.path) {
            Some(Spot::Own(place)) => Read::of(self, *place, 0, &left),
            Some(Spot::Other(reader, path)) => return reader.read(path, region),
            None => None,
        };
        let lost = || FormatError::corrupt(self.location(), path, "it is not in the index");
        read.ok_or_else(lost)?.region(region)
    }

    fn entries(&self) -> Result<Option<Vec<Entry>>, FormatError> {
        self.rows()
    }

    fn ahead(&self) -> Option<&dyn Ahead> {
        self.source.access().is_remote().then_some(self)
    }
}

/// The parts of the virtual datasets, by place in the index. One that cannot be put together is
/// listed as unreadable; shapes that follow from sources are set.
fn assemblies(
    index: &mut H5Index,
    named: &mut Named<'_>,
) -> Result<HashMap<usize, Vec<Part>>, FormatError> {
    let mut assemblies = HashMap::new();
    for place in 0..index.datasets.len() {
        let Some(dataset) = index.datasets.get(place) else { continue };
        let Layout::Virtual(mappings) = &dataset.layout else { continue };
        let assembly = if dataset.datatype.refers() {
            Err("a virtual dataset of values that are stored elsewhere".to_owned())
        } else {
            sources::assembly(index, dataset, mappings, named)?
        };
        let path = dataset.path.clone();
        match (assembly, index.datasets.get_mut(place)) {
            (Ok(Assembly { parts, shape }), Some(dataset)) => {
                dataset.shape = shape;
                assemblies.insert(place, parts);
            }
            (Err(reason), _) => index.unreadable.push(Unreadable { path, reason }),
            (Ok(_), None) => {}
        }
    }
    Ok(assemblies)
}

/// NetCDF's `NC_CHAR` is a string of one byte: kept as a byte, so that text can be put together
/// along the last dimension.
fn characters(datatype: &mut Datatype) {
    if matches!(datatype, Datatype::FixedString { size: 1, .. }) {
        *datatype = Datatype::Opaque { size: 1 };
    }
}

fn variables(
    location: &str,
    index: &H5Index,
    assemblies: &HashMap<usize, Vec<Part>>,
    netcdf: bool,
    budget: &Budget,
) -> Result<(Vec<Variable>, HashMap<String, Spot>), FormatError> {
    let scales = Scales::new(index);
    let mut variables: Vec<Variable> = Vec::new();
    let mut spots = HashMap::new();
    for (place, dataset) in index.datasets.iter().enumerate() {
        let is_lost =
            matches!(dataset.layout, Layout::Virtual(_)) && !assemblies.contains_key(&place);
        if is_lost || dimensions::is_dimension_only(dataset) {
            continue;
        }
        let Ok(data_type) = dataset.datatype.data_type() else { continue };
        let path = variable_path(&dataset.path);
        spots.insert(path.clone(), Spot::Own(place));
        let variable = variable(dataset, path, data_type, &scales, netcdf, &index.objects);
        let bytes = budget::of_dimensions(&variable.dimensions);
        budget.take(location, &variable.path, bytes)?;
        variables.push(variable);
    }
    // A scale that is no variable here holds no coordinates.
    for variable in &mut variables {
        for dimension in &mut variable.dimensions {
            let coordinate = dimension.coordinate.take();
            dimension.coordinate = coordinate.filter(|path| spots.contains_key(path));
        }
    }
    Ok((variables, spots))
}

fn variable_path(path: &str) -> String {
    format!("{}/{}", group_of(path).trim_end_matches('/'), dimensions::variable_name(path))
}

fn variable(
    dataset: &H5Dataset,
    path: String,
    data_type: DataType,
    scales: &Scales<'_>,
    netcdf: bool,
    objects: &HashMap<u64, String>,
) -> Variable {
    let cells = dataset.shape.iter().try_fold(1_u64, |cells, n| cells.checked_mul(*n));
    let size = dataset.datatype.size() as u64;
    let (chunk_shape, stored_bytes) = match &dataset.layout {
        Layout::Chunked(index) => (Some(index.shape.clone()), None),
        Layout::Compact(bytes) => (None, Some(bytes.len() as u64)),
        Layout::Contiguous(None) | Layout::Virtual(_) => (None, Some(0)),
        Layout::Contiguous(Some(_)) => (None, cells.and_then(|cells| cells.checked_mul(size))),
    };
    Variable {
        name: dimensions::variable_name(&dataset.path).to_owned(),
        path,
        dimensions: scales.dimensions(dataset),
        data_type,
        chunk_shape,
        filters: dataset.filters.iter().map(Filter::name).collect(),
        fallback: dataset.filters.iter().any(Filter::is_foreign),
        stored_bytes,
        attributes: visible(&dataset.attributes, netcdf || dataset.is_scale(), objects),
        default_fill: netcdf,
    }
}

/// The attributes without those that make up the format. In plain HDF5 only references do: other
/// software has its own use for `CLASS` and `NAME`.
fn visible(
    attributes: &[H5Attribute],
    netcdf: bool,
    objects: &HashMap<u64, String>,
) -> Vec<Attribute> {
    attributes
        .iter()
        .filter(|attribute| !dimensions::is_housekeeping(&attribute.name, netcdf))
        .map(|attribute| Attribute {
            name: attribute.name.clone(),
            value: match &attribute.value {
                H5Value::Plain(value) => value.clone(),
                H5Value::References(lists) => references(lists, objects),
            },
        })
        .collect()
}

/// What an attribute refers to, by path; lists of references have no text.
fn references(lists: &[Vec<u64>], objects: &HashMap<u64, String>) -> AttributeValue {
    let path = |list: &Vec<u64>| match list.as_slice() {
        [address] => Some(values::object(objects, *address)),
        _ => None,
    };
    match lists.iter().map(path).collect() {
        Some(paths) => AttributeValue::Text(paths),
        None => AttributeValue::Unreadable("lists of object references".to_owned()),
    }
}
