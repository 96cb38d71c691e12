//! The one trait of every format, and how a file finds its reader.

use crate::cache::ChunkCache;
use crate::contents::{Contents, Variable};
use crate::elements::MAX_REGION_BYTES;
use crate::error::FormatError;
use crate::fallback::Fallback;
use crate::keys::KeySource;
use crate::recognise::{Recognised, is_log, recognise};
use crate::region::Region;
use crate::saved::Entry;
use crate::siblings::SourceResolver;
use crate::source::ByteSource;
use arrow::array::ArrayRef;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// An open file: what it holds, and its stored values by region.
///
/// A reader is immutable and reads from any number of threads at once without a lock. It allocates
/// what a region needs and nothing in proportion to the file; sizes that come from the file are
/// checked against its length, or against a limit, before memory is taken.
pub trait Reader: Send + Sync + fmt::Debug {
    /// Path or URL of the file.
    fn location(&self) -> &str;

    /// What the file holds.
    fn contents(&self) -> &Contents;

    /// The path under which [`Self::contents`] lists what `path` leads to; `None` where that is
    /// nothing. A group that has several paths in an HDF5 file is listed under one of them.
    fn listed_path(&self, path: &str) -> Option<String> {
        self.contents().variable(path).map(|variable| variable.path.clone())
    }

    /// The stored values of `region` of the variable at `path`, in C order: an Arrow array of
    /// exactly `region.cells()` values of the variable's `data_type`, without CF decoding.
    /// Chunks that were never written give the format's fill value.
    ///
    /// Regions made of whole chunks are read with the least work.
    ///
    /// # Errors
    /// [`FormatError::NotFound`] for an unknown variable, [`FormatError::Options`] for a region that
    /// does not fit its shape, [`FormatError::Corrupt`] or [`FormatError::Unsupported`] for its bytes.
    fn read(&self, path: &str, region: &Region) -> Result<ArrayRef, FormatError>;

    /// The metadata of the file as rows, with which [`Shelf`](crate::saved::Shelf) opens it without
    /// asking for them again; `None` where its format, or the file, has no such rows. Reads what was
    /// not read of them before.
    fn entries(&self) -> Result<Option<Vec<Entry>>, FormatError> {
        Ok(None)
    }

    /// How regions are asked for before they are read; `None` where that gains nothing, as with
    /// local files.
    fn ahead(&self) -> Option<&dyn Ahead> {
        None
    }
}

/// Fetching ahead of reading, for files whose bytes take their time.
pub trait Ahead: fmt::Debug {
    /// The bytes of the file that reading a region takes, as far as they are known before it is
    /// read. May read metadata of the file. Failures come out when the region is read.
    fn ranges(&self, path: &str, region: &Region) -> Vec<Range<u64>>;

    /// Begins to fetch ranges that will be read soon: all of one call together, in few requests.
    fn announce(&self, ranges: &[Range<u64>]);
}

/// What readers of files are given when they are opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Where decoded chunks are kept that were read in part.
    pub chunk_cache: Arc<ChunkCache>,
    /// What opens the other files that a file refers to; without it they are listed as unreadable.
    pub siblings: Option<Arc<dyn SourceResolver>>,
    /// What undoes the filters of HDF5 that Tarn has no code for; without it the variables behind
    /// them are listed as unreadable.
    pub fallback: Option<Arc<dyn Fallback>>,
}

impl Default for OpenOptions {
    /// The cache of the process, no other files, and no fall-back.
    fn default() -> Self {
        Self { chunk_cache: ChunkCache::of_process(), siblings: None, fallback: None }
    }
}

/// Opens a file with the reader of its format, recognised by its first bytes.
///
/// # Errors
/// [`FormatError::UnknownFormat`], saying what was found instead; [`FormatError::Corrupt`].
pub fn open(source: Arc<dyn ByteSource>) -> Result<Arc<dyn Reader>, FormatError> {
    open_with(source, &OpenOptions::default())
}

/// [`open`], with options.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    source: Arc<dyn ByteSource>,
    options: &OpenOptions,
) -> Result<Arc<dyn Reader>, FormatError> {
    let access = source.access();
    if !access.is_remote() {
        return open_now(source, options);
    }
    // What is left behind the head costs less than a request of its own.
    let whole = source.len() <= access.head.saturating_add(access.gap);
    let head = source.read(0..if whole { source.len() } else { access.head })?;
    if is_log(&head) {
        return open_now(source, options);
    }
    crate::replay::open(source, head, |source| open_now(source, options))
}

fn open_now(
    source: Arc<dyn ByteSource>,
    options: &OpenOptions,
) -> Result<Arc<dyn Reader>, FormatError> {
    match recognise(source.as_ref())? {
        Recognised::Hdf5 => Ok(Arc::new(crate::hdf5::Hdf5Reader::open(source, options)?)),
        Recognised::NetCdf3 => Ok(Arc::new(crate::netcdf3::NetCdf3Reader::open(source)?)),
        Recognised::Spec => Ok(Arc::new(crate::spec::SpecReader::open(source.as_ref())?)),
        Recognised::Other(found) => {
            Err(FormatError::UnknownFormat { location: source.location().to_owned(), found })
        }
    }
}

/// What a reader is opened from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The bytes of a file.
    File(Arc<dyn ByteSource>),
    /// The keys of a store.
    Store(Arc<dyn KeySource>),
}

impl Source {
    /// Opens it with the reader of its format.
    ///
    /// # Errors
    /// As [`open_with`] and [`open_store`].
    pub fn open(self, options: &OpenOptions) -> Result<Arc<dyn Reader>, FormatError> {
        match self {
            Self::File(source) => open_with(source, options),
            Self::Store(keys) => open_store(keys, options),
        }
    }
}

/// Opens a store of keys: a folder or prefix that holds Zarr.
///
/// # Errors
/// As [`crate::zarr::ZarrReader::open`].
pub fn open_store(
    keys: Arc<dyn KeySource>,
    options: &OpenOptions,
) -> Result<Arc<dyn Reader>, FormatError> {
    Ok(Arc::new(crate::zarr::ZarrReader::open(keys, options)?))
}

/// The variable at `path`, once it is known that `region` fits it.
pub(crate) fn checked<'a>(
    location: &str,
    contents: &'a Contents,
    path: &str,
    region: &Region,
) -> Result<&'a Variable, FormatError> {
    let Some(variable) = contents.variable(path) else {
        let wanted = path.trim_start_matches('/');
        let unreadable = contents.unreadable.iter();
        return Err(
            match unreadable.into_iter().find(|u| u.path.trim_start_matches('/') == wanted) {
                Some(unreadable) => FormatError::Unsupported {
                    location: location.to_owned(),
                    place: unreadable.path.clone(),
                    feature: unreadable.reason.clone(),
                },
                None => FormatError::NotFound {
                    location: location.to_owned(),
                    kind: "variable",
                    name: path.to_owned(),
                    available: some_names(contents.variables.iter().map(|v| v.path.as_str())),
                },
            },
        );
    };
    let shape = variable.shape();
    if region.fits(&shape) {
        return Ok(variable);
    }
    Err(FormatError::Options {
        location: location.to_owned(),
        problem: format!(
            "the region {:?} does not lie inside {} of shape {shape:?}",
            region.ranges(),
            variable.path
        ),
    })
}

/// Names for a message, the first twenty of them.
fn some_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.get(..20) {
        Some(first) if names.len() > 20 => {
            format!("{}, … ({} in all)", first.join(", "), names.len())
        }
        _ => names.join(", "),
    }
}

/// Bytes that `cells` values of `size` bytes take, checked against the limit of one read.
pub(crate) fn region_bytes(
    location: &str,
    path: &str,
    cells: Option<u64>,
    size: usize,
) -> Result<(usize, usize), FormatError> {
    let needed =
        cells.zip(u64::try_from(size).ok()).and_then(|(cells, size)| cells.checked_mul(size));
    let (cells, bytes) = (cells.unwrap_or(u64::MAX), needed.unwrap_or(u64::MAX));
    match (usize::try_from(cells), usize::try_from(bytes)) {
        (Ok(cells), Ok(bytes)) if needed.is_some_and(|needed| needed <= MAX_REGION_BYTES) => {
            Ok((cells, bytes))
        }
        _ => Err(FormatError::TooLarge {
            location: location.to_owned(),
            place: path.to_owned(),
            what: "one read (ask for a smaller region)".to_owned(),
            needed: bytes,
            limit: MAX_REGION_BYTES,
        }),
    }
}
