//! Undoing the filters of an HDF5 chunk; Zarr takes the single filters from here.
//!
//! Filters are listed in the order they were applied when writing and undone in reverse; bit N of a
//! chunk's mask says that filter N was left out for it.
//!
//! A thread keeps its decompressors and two pieces of memory that steps write to in turn. The last
//! step is left to whoever uses the values if it is a shuffle, so that elements are put together
//! where they are wanted and nowhere else.

mod bitshuffle;
pub(crate) mod blosc;
mod blosclz;
pub(crate) mod fletcher32;
pub(crate) mod lz4;
mod lzf;
mod names;
pub(crate) mod shuffle;
pub(crate) mod tools;

use arrow::buffer::MutableBuffer;
use hdf5_reader::filters::{nbit, scaleoffset, szip};
use shuffle::Planes;
use std::ops::Range;
use tools::{Codecs, Tools, room};

const DEFLATE: u16 = 1;
const SHUFFLE: u16 = 2;
const FLETCHER32: u16 = 3;
const SZIP: u16 = 4;
const NBIT: u16 = 5;
const SCALEOFFSET: u16 = 6;
const BZIP2: u16 = 307;
const LZF: u16 = 32_000;
const BLOSC: u16 = 32_001;
const LZ4: u16 = 32_004;
const BITSHUFFLE: u16 = 32_008;
const ZSTD: u16 = 32_015;

/// A filter with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) id: u16,
    pub(crate) parameters: Vec<u32>,
}

impl Filter {
    /// Name as registered with The HDF Group.
    pub(crate) fn name(&self) -> String {
        names::registered(self.id).map_or_else(|| format!("filter {}", self.id), str::to_owned)
    }

    /// Number and name, for messages.
    pub(crate) fn number_and_name(&self) -> String {
        match names::registered(self.id) {
            Some(name) => format!("{} ({name})", self.id),
            None => self.id.to_string(),
        }
    }

    /// Whether there is no code for it here. The library may have a plugin.
    pub(crate) fn is_foreign(&self) -> bool {
        !self.is_supported() && self.id != SCALEOFFSET
    }

    /// Whether it can be undone. Nothing writes scale-offset's second way for floats (E-scaling):
    /// HDF5 itself refuses it.
    pub(crate) fn is_supported(&self) -> bool {
        if self.id == SCALEOFFSET && self.parameters.first() == Some(&1) {
            return false;
        }
        matches!(
            self.id,
            DEFLATE
                | SHUFFLE
                | FLETCHER32
                | SZIP
                | NBIT
                | SCALEOFFSET
                | BZIP2
                | LZF
                | BLOSC
                | LZ4
                | BITSHUFFLE
                | ZSTD
        )
    }

    /// Bytes that one byte can become, at most: a chunk of which more would have to come is damaged,
    /// which is found out before there is memory for it.
    fn most(&self) -> usize {
        match self.id {
            SHUFFLE | FLETCHER32 => 1,
            DEFLATE => 1032,
            LZF | LZ4 => 264,
            // A value, and a number of bits, zero, for each cell.
            SCALEOFFSET => usize::MAX,
            // A block of zstd of four bytes can be 128 KiB of one value; the others stay below.
            _ => 1 << 15,
        }
    }

    /// The width of an element by parameter `at`, where writers put it, or the type's own.
    fn width(&self, at: usize, element: usize) -> usize {
        let width = self.parameters.get(at).and_then(|width| usize::try_from(*width).ok());
        width.filter(|width| *width > 0).unwrap_or(element)
    }
}

/// The values of a chunk, with a last shuffle still to undo.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Values<'a> {
    Plain { bytes: &'a [u8], element: usize },
    Shuffled(Planes<'a>),
}

impl Values<'_> {
    /// Writes `elements` to `target`, which has just their bytes. `None` where they do not fit.
    pub(crate) fn write(&self, elements: Range<usize>, target: &mut [u8]) -> Option<()> {
        match self {
            Self::Shuffled(planes) => planes.write(elements, target),
            Self::Plain { bytes, element } => {
                let bytes = cut(bytes, elements, *element)?;
                (bytes.len() == target.len()).then(|| target.copy_from_slice(bytes))
            }
        }
    }

    /// `elements` in memory of their own, which is not cleared first. `None` where there are fewer.
    pub(crate) fn collect(&self, elements: Range<usize>) -> Option<MutableBuffer> {
        match self {
            Self::Shuffled(planes) => planes.collect(elements),
            Self::Plain { bytes, element } => {
                let bytes = cut(bytes, elements, *element)?;
                let mut buffer = MutableBuffer::with_capacity(bytes.len());
                buffer.extend_from_slice(bytes);
                Some(buffer)
            }
        }
    }
}

/// The bytes of elements.
fn cut(bytes: &[u8], elements: Range<usize>, element: usize) -> Option<&[u8]> {
    bytes.get(elements.start.checked_mul(element)?..elements.end.checked_mul(element)?)
}

/// Hands the values of a chunk of `size` bytes, from its bytes in the file, to `take`.
///
/// # Errors
/// What is wrong, in words, if a filter cannot be undone or the result has another size.
pub(crate) fn undo<R>(
    filters: &[Filter],
    mask: u32,
    stored: &[u8],
    element: usize,
    size: usize,
    take: impl FnOnce(Values<'_>) -> R,
) -> Result<R, String> {
    tools::with(|tools| {
        let values = values(tools, filters, mask, stored, element, size)?;
        Ok(take(values))
    })
}

/// The filters that a mask leaves, with their places.
fn applied(filters: &[Filter], mask: u32) -> impl DoubleEndedIterator<Item = (usize, &Filter)> {
    filters.iter().enumerate().filter(move |(place, _)| {
        let bit = u32::try_from(*place).ok().and_then(|place| mask.checked_shr(place));
        bit.unwrap_or(0) & 1 == 0
    })
}

/// Whether there is no code here for one of the filters of a chunk.
pub(crate) fn are_foreign(filters: &[Filter], mask: u32) -> bool {
    applied(filters, mask).any(|(_, filter)| filter.is_foreign())
}

/// Where the bytes are that have been undone so far.
#[derive(Clone, Copy)]
enum Now<'a> {
    /// In the file's bytes, or a part of them.
    Stored(&'a [u8]),
    /// So many at the front of the tools' first memory.
    Front(usize),
}

fn values<'a>(
    tools: &'a mut Tools,
    filters: &[Filter],
    mask: u32,
    stored: &'a [u8],
    element: usize,
    size: usize,
) -> Result<Values<'a>, String> {
    let mut now = Now::Stored(stored);
    let mut shuffled = false;
    let applied = || applied(filters, mask);
    let most = applied().fold(stored.len(), |most, (_, filter)| most.saturating_mul(filter.most()));
    if size > most {
        return Err(format!("{} bytes cannot become {size}", stored.len()));
    }
    for (place, filter) in applied().rev() {
        if place == 0 && filter.id == SHUFFLE && filter.width(0, element) == element {
            shuffled = true;
            continue;
        }
        // What is left to undo may only take away a checksum or, in odd pipelines, a little more.
        let limit = if place == 0 { size } else { size.saturating_add(size / 8 + 4096) };
        now = step(tools, now, filter, element, size, limit)
            .map_err(|problem| format!("undoing {}: {problem}", filter.name()))?;
    }
    let bytes = match now {
        Now::Stored(bytes) => bytes,
        Now::Front(length) => tools.front.get(..length).unwrap_or_default(),
    };
    if bytes.len() != size {
        return Err(format!("the chunk has {} bytes in place of {size}", bytes.len()));
    }
    Ok(match Planes::new(bytes, element).filter(|_| shuffled) {
        Some(planes) => Values::Shuffled(planes),
        None => Values::Plain { bytes, element },
    })
}

/// Undoes one filter. Decompressors write to the tools' second memory, which then becomes the first.
fn step<'a>(
    tools: &mut Tools,
    now: Now<'a>,
    filter: &Filter,
    element: usize,
    size: usize,
    limit: usize,
) -> Result<Now<'a>, String> {
    let Tools { codecs, front, back, block } = tools;
    let input = match now {
        Now::Stored(bytes) => bytes,
        Now::Front(length) => front.get(..length).unwrap_or_default(),
    };
    let parameters = &filter.parameters;
    let taken = |result: Result<Vec<u8>, hdf5_reader::error::Error>, back: &mut Vec<u8>| {
        *back = result.map_err(|error| error.to_string())?;
        Ok::<_, String>(back.len())
    };
    let length = match filter.id {
        DEFLATE => codecs.inflate(input, back, size, limit)?,
        SHUFFLE => {
            let width = filter.width(0, element);
            let Some(planes) = Planes::new(input, width) else { return Ok(now) };
            let output = room(back, input.len());
            planes.undo(output).ok_or_else(damaged)?;
            input.len()
        }
        FLETCHER32 => {
            let payload = fletcher32::check(input)?.len();
            return Ok(match now {
                Now::Stored(bytes) => Now::Stored(bytes.get(..payload).unwrap_or_default()),
                Now::Front(_) => Now::Front(payload),
            });
        }
        SZIP => taken(szip::decompress_with_limit(input, parameters, limit), back)?,
        NBIT => taken(nbit::decompress_with_limit(input, parameters, limit), back)?,
        SCALEOFFSET => taken(scaleoffset::decompress_with_limit(input, parameters, limit), back)?,
        BZIP2 => Codecs::bunzip2(input, room(back, limit)).ok_or_else(damaged)?,
        BLOSC => blosc::undo(input, room(back, limit), block, codecs).ok_or_else(damaged)?,
        LZF => lzf::decompress(input, room(back, limit)).ok_or_else(damaged)?,
        LZ4 => lz4::decompress(input, room(back, limit)).ok_or_else(damaged)?,
        BITSHUFFLE => {
            let width = filter.width(2, element);
            let output = room(back, limit);
            bitshuffle::undo(input, parameters, width, output, block, &mut codecs.zstd)
                .ok_or_else(damaged)?
        }
        ZSTD => {
            let output = room(back, limit);
            codecs.zstd.decompress_to_buffer(input, output).map_err(|error| error.to_string())?
        }
        _ => return Err("it is not supported".to_owned()),
    };
    std::mem::swap(front, back);
    Ok(Now::Front(length))
}

pub(crate) fn damaged() -> String {
    "the compressed bytes are damaged".to_owned()
}
