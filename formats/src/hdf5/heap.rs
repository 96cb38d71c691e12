//! Values of variable length, from global heaps.
//!
//! Format: HDF5 file format specification, III.E, "Disk Format: Level 1E - Global Heap".

use super::index::Frame;
use crate::cursor::Cursor;
use crate::elements::MAX_REGION_BYTES;
use crate::error::FormatError;
use crate::source::ByteSource;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Collections that are looked at together.
const AT_ONCE: usize = 1024;
/// Usual size of a collection: read at once, the rest if there is more.
const WINDOW: u64 = 4096;

/// The heap collections that some values refer to.
#[derive(Debug)]
pub(crate) struct Heap {
    frame: Frame,
    collections: HashMap<u64, Collection>,
}

#[derive(Debug)]
struct Collection {
    bytes: Bytes,
    objects: HashMap<u32, Range<usize>>,
}

/// A value's place in a heap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference {
    /// Number of elements; `None` where the reference does not say.
    length: Option<u32>,
    address: u64,
    object: u32,
}

impl Reference {
    /// A value of variable length; `None` for a null reference.
    pub(crate) fn sequence(stored: &[u8], frame: Frame) -> Option<Self> {
        let mut cursor = Cursor::new(stored);
        let length = cursor.u32_le()?;
        Self::rest(cursor, Some(length), frame).filter(|_| length > 0)
    }

    /// A whole object of the heap; `None` for a null reference.
    pub(crate) fn object(stored: &[u8], frame: Frame) -> Option<Self> {
        Self::rest(Cursor::new(stored), None, frame)
    }

    fn rest(mut cursor: Cursor<'_>, length: Option<u32>, frame: Frame) -> Option<Self> {
        let address = cursor.uint_le(frame.offset_size.into())?;
        let object = cursor.u32_le()?;
        let null = address == 0 || object == 0 || frame.is_undefined(address);
        (!null).then_some(Self { length, address, object })
    }
}

/// Why a value cannot be had: the heap breaks its rules.
#[derive(Debug)]
pub(crate) struct Damaged(pub(crate) String);

impl Heap {
    /// Nothing of any heap.
    pub(crate) fn new(frame: Frame) -> Self {
        Self { frame, collections: HashMap::new() }
    }

    /// Reads the collections that references point to, if they are not there yet.
    pub(crate) fn load(
        &mut self,
        source: &dyn ByteSource,
        path: &str,
        references: impl Iterator<Item = Reference>,
    ) -> Result<(), FormatError> {
        let frame = self.frame;
        let addresses: BTreeSet<u64> = references
            .map(|reference| reference.address)
            .filter(|address| !self.collections.contains_key(address))
            .collect();
        let corrupt = |problem: String| FormatError::corrupt(source.location(), path, problem);
        let mut starts = Vec::with_capacity(addresses.len());
        let mut windows = Vec::with_capacity(addresses.len());
        for address in addresses {
            let start = address.checked_add(frame.base).filter(|start| *start < source.len());
            let start = start
                .ok_or_else(|| corrupt(format!("the heap at {address:#x} is outside the file")))?;
            starts.push(address);
            windows.push(start..start.saturating_add(WINDOW).min(source.len()));
        }
        let mut parts: Vec<Bytes> = Vec::with_capacity(windows.len());
        let mut total = 0_u64;
        let mut longer = Vec::new();
        // What is no heap ends it before much is read.
        for batch in windows.chunks(AT_ONCE) {
            for (part, window) in source.read_ranges(batch)?.into_iter().zip(batch) {
                let size = collection_size(&part, frame).map_err(|damaged| corrupt(damaged.0))?;
                total = total.saturating_add(size.max(WINDOW));
                if size > WINDOW {
                    let end = window.start.saturating_add(size);
                    longer.push((parts.len(), window.start..end));
                }
                parts.push(part);
            }
        }
        if total > MAX_REGION_BYTES {
            return Err(FormatError::TooLarge {
                location: source.location().to_owned(),
                place: path.to_owned(),
                what: "the heaps of one read (ask for a smaller region)".to_owned(),
                needed: total,
                limit: MAX_REGION_BYTES,
            });
        }
        let ranges: Vec<_> = longer.iter().map(|(_, range)| range.clone()).collect();
        for ((at, _), whole) in longer.iter().zip(source.read_ranges(&ranges)?) {
            if let Some(part) = parts.get_mut(*at) {
                *part = whole;
            }
        }
        for (address, bytes) in starts.into_iter().zip(parts) {
            let objects = objects(&bytes, frame).map_err(|Damaged(problem)| corrupt(problem))?;
            self.collections.insert(address, Collection { bytes, objects });
        }
        Ok(())
    }

    /// The bytes of a sequence whose elements have `element` bytes; none for a null reference.
    pub(crate) fn sequence(&self, stored: &[u8], element: usize) -> Result<&[u8], Damaged> {
        match Reference::sequence(stored, self.frame) {
            Some(reference) => self.value(reference, element),
            None => Ok(&[]),
        }
    }

    /// The bytes behind a reference.
    pub(crate) fn value(&self, reference: Reference, element: usize) -> Result<&[u8], Damaged> {
        let found = self.collections.get(&reference.address).and_then(|collection| {
            let object =
                collection.bytes.get(collection.objects.get(&reference.object)?.clone())?;
            let Some(length) = reference.length else { return Some(object) };
            object.get(..usize::try_from(length).ok()?.checked_mul(element)?)
        });
        found.ok_or_else(|| {
            let Reference { address, object, .. } = reference;
            Damaged(format!("object {object} of the heap at {address:#x} is missing or too short"))
        })
    }
}

/// Headers are padded to eight bytes.
fn header_size(frame: Frame) -> usize {
    (8 + usize::from(frame.length_size)).next_multiple_of(8)
}

fn collection_size(bytes: &[u8], frame: Frame) -> Result<u64, Damaged> {
    let mut cursor = Cursor::new(bytes);
    let magic = cursor.take(8);
    if !magic.is_some_and(|magic| magic.starts_with(b"GCOL\x01")) {
        return Err(Damaged("a heap does not begin with GCOL version 1".to_owned()));
    }
    cursor
        .uint_le(frame.length_size.into())
        .ok_or_else(|| Damaged("a heap breaks off in its header".to_owned()))
}

fn objects(bytes: &[u8], frame: Frame) -> Result<HashMap<u32, Range<usize>>, Damaged> {
    let short = || Damaged("a heap is shorter than it says".to_owned());
    let size = usize::try_from(collection_size(bytes, frame)?).map_err(|_| short())?;
    let mut cursor = Cursor::new(bytes.get(..size).ok_or_else(short)?);
    let header = header_size(frame);
    cursor.take(header).ok_or_else(short)?;
    let mut objects = HashMap::new();
    while cursor.remaining() >= header {
        let mut head = Cursor::new(cursor.take(header).ok_or_else(short)?);
        let number = head.u16_le().ok_or_else(short)?;
        head.take(6).ok_or_else(short)?;
        let length = head.uint_le(frame.length_size.into()).ok_or_else(short)?;
        if number == 0 {
            // Free space, to the end.
            break;
        }
        let length = usize::try_from(length).map_err(|_| short())?;
        let start = cursor.position();
        cursor.take(length).ok_or_else(short)?;
        objects.insert(u32::from(number), start..start + length);
        let padding = length.wrapping_neg() % 8;
        cursor.take(padding.min(cursor.remaining()));
    }
    Ok(objects)
}
