//! HDF5 metadata → [`H5Index`], by the crate `hdf5-reader`. Nothing behind this file sees its types.

use super::attribute;
use super::chunks::{ChunkIndex, IndexKind};
use super::datatype::Datatype;
use super::fill::Fill;
use super::heap::{Heap, Reference};
use super::index::{External, Frame, H5Dataset, H5Group, H5Index, Layout};
use super::layout;
use super::links::{Followed, Links, Target, links};
use super::mapping::{self, Mapping};
use super::storage::PagedStorage;
use crate::budget::Budget;
use crate::contents::Unreadable;
use crate::error::FormatError;
use crate::filters::Filter;
use crate::source::ByteSource;
use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::dataspace::{DataspaceMessage, DataspaceType};
use hdf5_reader::messages::layout::{ChunkIndexing, DataLayout};
use hdf5_reader::object_header::ObjectHeader;
use hdf5_reader::{Hdf5File, OpenOptions};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Largest object header that is read.
const MAX_HEADER: usize = 64 * 1024 * 1024;
/// Largest rank, the library's `H5S_MAX_RANK`.
const MAX_RANK: usize = 32;
/// Deepest group.
const MAX_DEPTH: usize = 128;

/// Runs the parser and turns its errors, and its panics, into ours.
pub(super) fn guard<T>(
    location: &str,
    place: &str,
    storage: &PagedStorage,
    parse: impl FnOnce() -> Result<T, Error>,
) -> Result<T, FormatError> {
    match catch_unwind(AssertUnwindSafe(parse)) {
        Ok(Ok(parsed)) => Ok(parsed),
        Ok(Err(error)) => Err(match storage.failure() {
            Some(failure) => failure.into(),
            None => FormatError::corrupt(location, place, reason(&error)),
        }),
        Err(_) => Err(FormatError::corrupt(location, place, "its metadata cannot be parsed")),
    }
}

/// Why an object is not read, from the parser's error.
fn reason(error: &Error) -> String {
    match error {
        Error::UnsupportedDatatypeClass(11) => "HDF5 2's complex numbers".to_owned(),
        Error::UnexpectedEof { offset, needed, available } => {
            format!("{needed} bytes at byte {offset} are wanted and {available} are there")
        }
        other => other.to_string(),
    }
}

/// Reads the metadata of a file, without the addresses of its chunks.
///
/// # Errors
/// [`FormatError::Corrupt`] if the superblock or the root group cannot be read, or the file is
/// shorter than its superblock says; [`FormatError::TooLarge`] for more metadata than fit the
/// budget. What is wrong with one object goes to `unreadable`.
pub(super) fn index(source: &Arc<dyn ByteSource>, budget: &Budget) -> Result<H5Index, FormatError> {
    let location = source.location();
    let storage = Arc::new(PagedStorage::new(Arc::clone(source), 0));
    let options = OpenOptions {
        chunk_cache_bytes: 0,
        chunk_cache_slots: 1,
        max_object_header_bytes: MAX_HEADER,
        ..OpenOptions::default()
    };
    let (file, root) = guard(location, "superblock", &storage, || {
        let file = Hdf5File::from_storage_with_options(storage.clone(), options)?;
        let root = file.root_group()?;
        Ok((file, root))
    })?;
    let superblock = file.superblock();
    let frame = Frame {
        base: superblock.base_address,
        offset_size: superblock.offset_size,
        length_size: superblock.length_size,
    };
    let end = superblock.eof_address;
    if !Cursor::is_undefined_offset(end, frame.offset_size) && end > source.len() {
        let problem = format!("the file should have {end} bytes and has {}", source.len());
        return Err(FormatError::corrupt(location, "superblock", problem));
    }
    let mut walk = Walk {
        source,
        budget,
        storage: &storage,
        file: &file,
        frame,
        index: H5Index {
            frame,
            groups: vec![],
            datasets: vec![],
            unreadable: vec![],
            refused: vec![],
            objects: HashMap::new(),
            links: Links::new(root.address()),
            externals: vec![],
        },
        aliases: vec![],
        virtuals: HashMap::new(),
    };
    walk.all(root)?;
    Ok(walk.index)
}

/// A walk over the groups of a file.
struct Walk<'a> {
    source: &'a Arc<dyn ByteSource>,
    budget: &'a Budget,
    storage: &'a PagedStorage,
    file: &'a Hdf5File,
    frame: Frame,
    index: H5Index,
    /// Soft links met: path, address of their group, and what they say.
    aliases: Vec<(String, u64, String)>,
    /// Virtual datasets, by address, with the place of their mapping.
    virtuals: HashMap<u64, Option<Reference>>,
}

impl Walk<'_> {
    fn guarded<T>(
        &self,
        place: &str,
        parse: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, FormatError> {
        guard(self.source.location(), place, self.storage, parse)
    }

    fn unreadable(&mut self, path: String, reason: impl Into<String>) {
        self.index.unreadable.push(Unreadable { path, reason: reason.into() });
    }

    /// A failure of the source ends the walk, everything else is noted.
    fn note(&mut self, path: String, error: FormatError) -> Result<(), FormatError> {
        match error {
            FormatError::Corrupt { problem, .. } => self.unreadable(path, problem),
            FormatError::Unsupported { feature, .. } => self.unreadable(path, feature),
            FormatError::TooLarge { .. } => self.unreadable(path, error.to_string()),
            // The walk goes on, so that what the other objects need is fetched with it.
            pending if pending.is_pending() => {}
            other => return Err(other),
        }
        Ok(())
    }

    /// Visits every group once, so that cycles of links end; a dataset is listed under each of its
    /// paths.
    fn all(&mut self, root: Group) -> Result<(), FormatError> {
        let root_address = root.address();
        let mut seen = HashSet::from([root_address]);
        self.index.objects.insert(root_address, "/".to_owned());
        let mut stack = vec![("/".to_owned(), root)];
        while let Some((path, group)) = stack.pop() {
            let address = group.address();
            let listed = self.guarded(&path, || {
                let header = self.file.get_or_parse_header(address)?;
                links(self.file, &header, self.frame)
            });
            let listed = match listed {
                Ok(listed) => listed,
                Err(error) if address == root_address => return Err(error),
                Err(error) => {
                    self.note(path, error)?;
                    continue;
                }
            };
            let attributes = match self.guarded(&path, || group.raw_attributes()) {
                Ok(raw) => {
                    attribute::decode(self.source.as_ref(), self.frame, &path, raw, self.budget)?
                }
                Err(error) => {
                    self.note(path.clone(), error)?;
                    vec![]
                }
            };
            self.index.groups.push(H5Group { path: path.clone(), attributes });
            let mut inner = Vec::new();
            for link in &listed {
                // The path is kept in some places.
                let length = path.len().saturating_add(link.name.len()) as u64;
                self.budget.take(self.source.location(), &path, length.saturating_mul(4))?;
                let child = format!("{}/{}", path.trim_end_matches('/'), link.name);
                match &link.target {
                    Target::Hard(target) => {
                        if let Some(found) = self.object(&group, &link.name, &child, *target)?
                            && child.split('/').count() <= MAX_DEPTH
                            && seen.insert(*target)
                        {
                            inner.push((child, found));
                        }
                    }
                    Target::Soft(to) => self.aliases.push((child, address, to.clone())),
                    Target::External { file, path: to } => {
                        let (file, target) = (file.clone(), to.clone());
                        self.index.externals.push(External { path: child, file, target });
                    }
                }
            }
            self.index.links.add(address, listed);
            stack.extend(inner.into_iter().rev());
        }
        self.soft_links()
    }

    /// Lists a dataset, or answers with the group to visit.
    fn object(
        &mut self,
        parent: &Group,
        name: &str,
        path: &str,
        address: u64,
    ) -> Result<Option<Group>, FormatError> {
        self.index.objects.entry(address).or_insert_with(|| path.to_owned());
        let header = match self.header(path, address) {
            Ok(header) => header,
            Err(error) => {
                self.note(path.to_owned(), error)?;
                return Ok(None);
            }
        };
        let found = match kind(&header) {
            Kind::Group => self.guarded(path, || parent.group(name)).map(Some),
            Kind::Other => Ok(None),
            Kind::Dataset => match self.dataset(parent, name, path, address, &header) {
                Ok(dataset) => {
                    self.index.datasets.push(dataset);
                    Ok(None)
                }
                Err(error) => Err(error),
            },
        };
        match found {
            Ok(found) => Ok(found),
            Err(error) => self.note(path.to_owned(), error).map(|()| None),
        }
    }

    /// The header of an object. The parser refuses that of a virtual dataset, so its layout is
    /// looked at here and hidden from the parser.
    fn header(&mut self, path: &str, address: u64) -> Result<Arc<ObjectHeader>, FormatError> {
        let mut found = None;
        let header = guard(self.source.location(), path, self.storage, || {
            match self.file.get_or_parse_header(address) {
                Err(Error::UnsupportedLayoutClass(3)) => {}
                parsed => return parsed,
            }
            let message = layout::message(self.storage, self.frame, address)?;
            found = Some(message.mapping(self.frame));
            message.hide(self.storage)?;
            self.file.get_or_parse_header(address)
        })?;
        if let Some(mapping) = found {
            self.virtuals.insert(address, mapping);
        }
        Ok(header)
    }

    /// The mappings of a virtual dataset.
    fn mappings(&self, path: &str, place: Option<Reference>) -> Result<Vec<Mapping>, FormatError> {
        let Some(place) = place else { return Ok(vec![]) };
        let corrupt = |problem: &str| FormatError::corrupt(self.source.location(), path, problem);
        let mut heap = Heap::new(self.frame);
        heap.load(self.source.as_ref(), path, std::iter::once(place))?;
        let block = heap.value(place, 1).map_err(|damaged| corrupt(&damaged.0))?;
        mapping::parse(block, self.frame.length_size)
            .ok_or_else(|| corrupt("the mapping of the virtual dataset is damaged"))
    }

    fn dataset(
        &self,
        parent: &Group,
        name: &str,
        path: &str,
        address: u64,
        header: &ObjectHeader,
    ) -> Result<H5Dataset, FormatError> {
        let corrupt = |problem: &str| FormatError::corrupt(self.source.location(), path, problem);
        let unsupported = |feature: String| FormatError::Unsupported {
            location: self.source.location().to_owned(),
            place: path.to_owned(),
            feature,
        };
        let (raw_type, raw_attributes) = self.guarded(path, || {
            let dataset = parent.dataset(name)?;
            Ok((dataset.raw_datatype()?, dataset.raw_attributes()?))
        })?;
        let datatype =
            Datatype::parse(&raw_type).ok_or_else(|| corrupt("its datatype cannot be parsed"))?;
        datatype.data_type().map_err(|reason| unsupported(format!("its type, {reason},")))?;

        let (mut space, mut layout, mut filters) = (None, None, vec![]);
        let mut fill = Fill::default();
        for message in &header.messages {
            match message {
                HdfMessage::Dataspace(message) => space = Some(message),
                HdfMessage::DataLayout(message) => layout = Some(&message.layout),
                HdfMessage::FillValue(message) => fill.add(message),
                HdfMessage::FilterPipeline(message) => {
                    filters = message
                        .filters
                        .iter()
                        .map(|f| Filter { id: f.id, parameters: f.client_data.clone() })
                        .collect();
                }
                HdfMessage::ExternalFiles(_) => {
                    return Err(unsupported(
                        "storage in other files (external raw data)".to_owned(),
                    ));
                }
                _ => {}
            }
        }
        let known = |filter: &&Filter| filter.is_supported() || filter.is_foreign();
        if let Some(filter) = filters.iter().find(|filter| !known(filter)) {
            let name = filter.number_and_name();
            return Err(unsupported(format!("its filter {name} with these parameters")));
        }
        let space = space.ok_or_else(|| corrupt("it has no dataspace"))?;
        let (shape, max_shape) = shape(space).ok_or_else(|| corrupt("its shape is damaged"))?;
        let mut layout = match self.virtuals.get(&address) {
            Some(place) => Layout::Virtual(self.mappings(path, *place)?),
            None => self
                .layout(layout.ok_or_else(|| corrupt("it has no layout"))?, &shape, &max_shape)
                .map_err(corrupt)?,
        };
        if let Layout::Chunked(index) = &mut layout
            && index.kind != IndexKind::BTreeV1
            && !filters.is_empty()
        {
            index.unfiltered_edges = self.guarded(path, || {
                layout::message(self.storage, self.frame, address)?.unfiltered_edges()
            })?;
        }
        let source = self.source.as_ref();
        Ok(H5Dataset {
            path: path.to_owned(),
            address,
            unlimited: max_shape.iter().map(|n| *n == u64::MAX).collect(),
            shape,
            layout,
            fill: fill.finished(&datatype),
            datatype,
            filters,
            attributes: attribute::decode(source, self.frame, path, raw_attributes, self.budget)?,
        })
    }

    fn layout(
        &self,
        layout: &DataLayout,
        shape: &[u64],
        max_shape: &[u64],
    ) -> Result<Layout, &'static str> {
        let written = |address: u64| {
            (!Cursor::is_undefined_offset(address, self.frame.offset_size)).then_some(address)
        };
        match layout {
            DataLayout::Compact { data } => Ok(Layout::Compact(data.clone().into())),
            DataLayout::Contiguous { address, .. } => Ok(Layout::Contiguous(written(*address))),
            DataLayout::Chunked { address, dims, chunk_indexing, .. } => {
                // The size of an element stands behind the shape of the chunk.
                let lengths = dims.get(..shape.len()).ok_or("its chunks have another rank")?;
                if lengths.contains(&0) || shape.is_empty() {
                    return Err("the shape of its chunks is damaged");
                }
                let kind = match chunk_indexing {
                    None => IndexKind::BTreeV1,
                    Some(ChunkIndexing::BTreeV2) => IndexKind::BTreeV2,
                    Some(ChunkIndexing::SingleChunk { filtered_size, filters }) => {
                        IndexKind::Single { bytes: *filtered_size, mask: *filters }
                    }
                    Some(ChunkIndexing::Implicit) => IndexKind::Implicit,
                    Some(ChunkIndexing::FixedArray { .. }) => IndexKind::FixedArray,
                    Some(ChunkIndexing::ExtensibleArray { .. }) => IndexKind::ExtensibleArray,
                };
                Ok(Layout::Chunked(ChunkIndex {
                    kind,
                    address: written(*address),
                    unfiltered_edges: false,
                    shape: lengths.iter().map(|n| u64::from(*n)).collect(),
                    max_shape: Some(max_shape.to_vec()),
                    table: std::sync::OnceLock::new(),
                }))
            }
        }
    }

    /// Lists datasets under the soft links that lead to them; groups have been visited already.
    fn soft_links(&mut self) -> Result<(), FormatError> {
        let mut canonical: HashMap<u64, String> = HashMap::new();
        for dataset in &self.index.datasets {
            canonical.entry(dataset.address).or_insert_with(|| dataset.path.clone());
        }
        for (path, group, to) in std::mem::take(&mut self.aliases) {
            match self.index.links.follow(group, &to) {
                Followed::Nothing => {
                    self.unreadable(path, format!("a soft link to {to}, which is not there"));
                }
                Followed::External { .. } => {
                    self.unreadable(path, format!("a soft link through an external link ({to})"));
                }
                Followed::Object(address) => {
                    let Some(canonical) = canonical.get(&address) else { continue };
                    let (parent, name) = canonical.rsplit_once('/').unwrap_or(("", canonical));
                    let opened = self.guarded(&path, || {
                        Ok((self.file.group(parent)?, self.file.get_or_parse_header(address)?))
                    });
                    let dataset = opened.and_then(|(parent, header)| {
                        self.dataset(&parent, name, &path, address, &header)
                    });
                    match dataset {
                        Ok(dataset) => self.index.datasets.push(dataset),
                        Err(error) => self.note(path, error)?,
                    }
                }
            }
        }
        Ok(())
    }
}

enum Kind {
    Group,
    Dataset,
    /// A committed datatype.
    Other,
}

fn kind(header: &ObjectHeader) -> Kind {
    let any = |wanted: fn(&HdfMessage) -> bool| header.messages.iter().any(wanted);
    if any(|m| {
        matches!(
            m,
            HdfMessage::SymbolTable(_)
                | HdfMessage::Link(_)
                | HdfMessage::LinkInfo(_)
                | HdfMessage::GroupInfo(_)
        )
    }) {
        Kind::Group
    } else if any(|m| matches!(m, HdfMessage::Dataspace(_) | HdfMessage::DataLayout(_))) {
        Kind::Dataset
    } else {
        Kind::Other
    }
}

/// Shape and largest shape; a null dataspace is an array without elements.
fn shape(space: &DataspaceMessage) -> Option<(Vec<u64>, Vec<u64>)> {
    let shape = match space.dataspace_type {
        DataspaceType::Null => vec![0],
        DataspaceType::Scalar => vec![],
        DataspaceType::Simple => space.dims.clone(),
    };
    let max = space.max_dims.clone().unwrap_or_else(|| shape.clone());
    (shape.len() <= MAX_RANK && (max.len() == shape.len())).then_some((shape, max))
}
