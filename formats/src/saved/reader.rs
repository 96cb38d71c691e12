//! A file whose metadata are known from rows.

use super::shelf::Shelf;
use super::{Entry, array};
use crate::contents::Contents;
use crate::error::FormatError;
use crate::hyperslab;
use crate::reader::{Ahead, OpenOptions, Reader, checked, open_with};
use crate::region::Region;
use crate::source::ByteSource;
use arrow::array::ArrayRef;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A reader that answers what it knows and opens its file for the rest.
#[derive(Debug)]
pub(super) struct SavedReader {
    shelf: Arc<Shelf>,
    rows: Range<usize>,
    source: Arc<dyn ByteSource>,
    options: OpenOptions,
    contents: Arc<Contents>,
    opened: OnceLock<Arc<dyn Reader>>,
}

impl SavedReader {
    pub(super) fn new(
        shelf: Arc<Shelf>,
        rows: Range<usize>,
        source: Arc<dyn ByteSource>,
        options: OpenOptions,
        contents: Arc<Contents>,
    ) -> Self {
        Self { shelf, rows, source, options, contents, opened: OnceLock::new() }
    }

    /// The reader of the format, from the rows; from the file itself where they do not say enough.
    fn opened(&self) -> Result<&Arc<dyn Reader>, FormatError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let known = self.shelf.open(self.rows.clone(), Arc::clone(&self.source), &self.options);
        let reader = match known {
            Some(reader) => reader,
            None => open_with(Arc::clone(&self.source), &self.options)?,
        };
        Ok(self.opened.get_or_init(|| reader))
    }

    /// A region of values that are kept.
    fn kept(&self, path: &str, region: &Region) -> Result<Option<ArrayRef>, FormatError> {
        let variable = checked(self.location(), &self.contents, path, region)?;
        let row = self.shelf.row_of(self.rows.clone(), &variable.path);
        let Some(values) = row.and_then(|row| self.shelf.values(row)) else { return Ok(None) };
        let Some(width) = variable.data_type.primitive_width() else { return Ok(None) };
        let extent: Vec<Range<u64>> = variable.shape().into_iter().map(|n| 0..n).collect();
        let all = Region::whole(&variable.shape());
        let size = |region: &Region| usize::try_from(region.cells()?).ok()?.checked_mul(width);
        if size(&all) != Some(values.len()) {
            return Ok(None);
        }
        if all == *region {
            return array(&variable.data_type, values).map(Some);
        }
        let Some(mut part) = size(region).map(|size| vec![0; size]) else { return Ok(None) };
        let (to, overlap) = (region.ranges(), region.ranges());
        match hyperslab::copy(values, &extent, &mut part, to, overlap, width) {
            Some(()) => array(&variable.data_type, &part).map(Some),
            None => Ok(None),
        }
    }
}

impl Reader for SavedReader {
    fn location(&self) -> &str {
        self.source.location()
    }

    fn contents(&self) -> &Contents {
        &self.contents
    }

    fn read(&self, path: &str, region: &Region) -> Result<ArrayRef, FormatError> {
        match self.kept(path, region)? {
            Some(values) => Ok(values),
            None => self.opened()?.read(path, region),
        }
    }

    fn ahead(&self) -> Option<&dyn Ahead> {
        if !self.source.access().is_remote() {
            return None;
        }
        self.opened().ok()?.ahead()
    }

    fn entries(&self) -> Result<Option<Vec<Entry>>, FormatError> {
        Ok(Some(self.shelf.entries(self.rows.clone())))
    }
}
