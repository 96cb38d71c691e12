//! The bytes that a region takes, before it is read.

use super::assemble::most_read;
use super::index::Layout;
use super::read::{PLAN, Read, Wanted};
use super::{Hdf5Reader, Spot};
use crate::error::FormatError;
use crate::hyperslab::{self, Runs};
use crate::reader::{Ahead, checked};
use crate::region::Region;
use std::cell::Cell;
use std::ops::Range;

impl Ahead for Hdf5Reader {
    fn ranges(&self, path: &str, region: &Region) -> Vec<Range<u64>> {
        let variable = checked(self.source.location(), &self.contents, path, region).ok();
        match variable.and_then(|variable| self.spots.get(&variable.path)) {
            Some(Spot::Own(place)) => {
                let left = Cell::new(most_read(region));
                let read = Read::of(self, *place, 0, &left);
                read.and_then(|read| read.ranges(region).ok()).unwrap_or_default()
            }
            // What lies in another file is read when it is wanted.
            Some(Spot::Other(..)) | None => vec![],
        }
    }

    fn announce(&self, ranges: &[Range<u64>]) {
        self.source.announce(ranges);
    }
}

impl Read<'_> {
    /// The bytes of a region: of whole chunks where they have filters, of the values elsewhere.
    fn ranges(&self, region: &Region) -> Result<Vec<Range<u64>>, FormatError> {
        let dataset = self.dataset;
        let extent: Vec<Range<u64>> = dataset.shape.iter().map(|n| 0..*n).collect();
        let stored = hyperslab::overlap(region.ranges(), &extent);
        if stored.iter().any(Range::is_empty) {
            return Ok(vec![]);
        }
        let wanted = Wanted { region: region.ranges(), stored, bytes: 0 };
        match &dataset.layout {
            Layout::Chunked(index) => self.chunk_ranges(index, &wanted),
            Layout::Contiguous(Some(address)) => {
                let begin = address.checked_add(self.frame.base);
                let runs = Runs::new(&extent, wanted.region, &wanted.stored);
                let (begin, runs) = begin.zip(runs).ok_or_else(|| self.overflow())?;
                let wide = dataset.datatype.size() as u64;
                runs.take(PLAN)
                    .map(|(from, _, length)| {
                        let start = begin.checked_add(from.checked_mul(wide)?)?;
                        Some(start..start.checked_add(length.checked_mul(wide)?)?)
                    })
                    .collect::<Option<_>>()
                    .ok_or_else(|| self.overflow())
            }
            Layout::Compact(_) | Layout::Contiguous(None) | Layout::Virtual(_) => Ok(vec![]),
        }
    }
}
