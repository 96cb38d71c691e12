//! Undoing the filters of a chunk.
//!
//! Filters are listed in the order they were applied when writing and undone in reverse; bit N of a
//! chunk's mask says that filter N was left out for it.

mod bitshuffle;
mod fletcher32;
mod lz4;
mod lzf;
mod shuffle;

use libdeflater::{DecompressionError, Decompressor};

/// A filter with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) id: u16,
    pub(crate) parameters: Vec<u32>,
}

impl Filter {
    /// Name as registered with The HDF Group.
    pub(crate) fn name(&self) -> String {
        let name = match self.id {
            1 => "deflate",
            2 => "shuffle",
            3 => "fletcher32",
            4 => "szip",
            5 => "nbit",
            6 => "scaleoffset",
            305 => "lzo",
            307 => "bzip2",
            32_000 => "lzf",
            32_001 => "blosc",
            32_004 => "lz4",
            32_008 => "bitshuffle",
            32_012 => "jpeg-ls",
            32_013 => "zfp",
            32_015 => "zstd",
            32_017 => "sz",
            32_024 => "sz3",
            32_026 => "blosc2",
            32_028 => "sperr",
            other => return format!("filter {other}"),
        };
        name.to_owned()
    }

    /// Whether it can be undone.
    pub(crate) fn is_supported(&self) -> bool {
        matches!(self.id, 1..=6 | 32_000 | 32_004 | 32_008 | 32_015)
    }
}

/// The values of a chunk of `size` bytes from its bytes in the file.
///
/// # Errors
/// What is wrong, in words, if a filter cannot be undone or the result has another size.
pub(crate) fn undo(
    filters: &[Filter],
    mask: u32,
    stored: &[u8],
    element: usize,
    size: usize,
) -> Result<Vec<u8>, String> {
    let mut bytes = None;
    for (place, filter) in filters.iter().enumerate().rev() {
        let left_out = u32::try_from(place).ok().and_then(|place| mask.checked_shr(place));
        if left_out.unwrap_or(0) & 1 == 1 {
            continue;
        }
        // What is left to undo may only take away a checksum or, in odd pipelines, a little more.
        let limit = if place == 0 { size } else { size.saturating_add(size / 8 + 4096) };
        let input = bytes.as_deref().unwrap_or(stored);
        let undone = undo_one(filter, input, element, size, limit)
            .map_err(|problem| format!("undoing {}: {problem}", filter.name()))?;
        bytes = Some(undone);
    }
    let bytes = bytes.unwrap_or_else(|| stored.to_vec());
    if bytes.len() == size {
        return Ok(bytes);
    }
    Err(format!("the chunk has {} bytes in place of {size}", bytes.len()))
}

fn undo_one(
    filter: &Filter,
    input: &[u8],
    element: usize,
    size: usize,
    limit: usize,
) -> Result<Vec<u8>, String> {
    let parameters = &filter.parameters;
    match filter.id {
        1 => inflate(input, size, limit),
        2 => {
            // Written by the library in every file; without it the element's own size.
            let width = parameters.first().and_then(|width| usize::try_from(*width).ok());
            Ok(shuffle::undo(input, width.filter(|width| *width > 0).unwrap_or(element)))
        }
        3 => fletcher32::check(input).map(<[u8]>::to_vec),
        4 => hdf5_reader::filters::szip::decompress_with_limit(input, parameters, limit)
            .map_err(|e| e.to_string()),
        5 => hdf5_reader::filters::nbit::decompress_with_limit(input, parameters, limit)
            .map_err(|e| e.to_string()),
        6 => hdf5_reader::filters::scaleoffset::decompress_with_limit(input, parameters, limit)
            .map_err(|e| e.to_string()),
        32_000 => lzf::decompress(input, size).ok_or_else(damaged),
        32_004 => lz4::decompress(input, limit).ok_or_else(damaged),
        32_008 => bitshuffle::undo(input, parameters, element, limit).ok_or_else(damaged),
        32_015 => zstd::bulk::decompress(input, limit).map_err(|e| e.to_string()),
        _ => Err("it is not supported".to_owned()),
    }
}

fn damaged() -> String {
    "the compressed bytes are damaged".to_owned()
}

fn inflate(input: &[u8], size: usize, limit: usize) -> Result<Vec<u8>, String> {
    let mut decompressor = Decompressor::new();
    for room in [size, limit] {
        let mut output = vec![0; room];
        match decompressor.zlib_decompress(input, &mut output) {
            Ok(length) => {
                output.truncate(length);
                return Ok(output);
            }
            Err(DecompressionError::InsufficientSpace) => {}
            Err(DecompressionError::BadData) => return Err(damaged()),
        }
    }
    Err(format!("more than {limit} bytes come out of it"))
}
