//! An HDF5 file with one chunk in it, for a library that has the filters which Tarn has not.
//!
//! Format: HDF5 file format specification, version 3: superblock version 0 (II.A), object headers
//! version 1 (IV.A.1.a), and the messages named below (IV.A.2). The dataset is a row of bytes, so
//! that the library converts nothing, and is one chunk.

use crate::fallback::DATASET;
use crate::filters::Filter;

/// An address that is none.
const NOWHERE: u64 = u64::MAX;
/// Bytes of the superblock, with the entry of the root group.
const SUPERBLOCK: u64 = 96;

/// A file whose dataset [`DATASET`] has `size` bytes, stored as `stored` behind `filters`, of which
/// those with a bit in `mask` are left out. `None` where something is too large for the format.
pub(super) fn of_chunk(
    filters: &[Filter],
    mask: u32,
    stored: &[u8],
    size: usize,
) -> Option<Vec<u8>> {
    let size = u64::try_from(size).ok()?;
    let length = u64::try_from(stored.len()).ok()?;
    // The headers have the same length whatever the addresses are.
    let root = SUPERBLOCK;
    let dataset = root.checked_add(root_group(0)?.len() as u64)?;
    let header = |chunk| dataset_header(filters, mask, size, (chunk, length));
    let chunk = dataset.checked_add(header(0)?.len() as u64)?;
    let end = chunk.checked_add(length)?;

    let mut file = Vec::with_capacity(usize::try_from(end).ok()?);
    superblock(&mut file, root, end);
    file.extend(root_group(dataset)?);
    file.extend(header(chunk)?);
    file.extend_from_slice(stored);
    Some(file)
}

/// Superblock, version 0, with eight bytes for offsets and lengths.
fn superblock(file: &mut Vec<u8>, root: u64, end: u64) {
    file.extend(b"\x89HDF\r\n\x1a\n");
    // Versions of superblock, free space, root entry; reserved; version of shared headers; sizes of
    // offsets and lengths; reserved.
    file.extend([0, 0, 0, 0, 0, 8, 8, 0]);
    // Ranks of group trees, leaf and internal: there are none, and zero is refused.
    file.extend(4_u16.to_le_bytes());
    file.extend(16_u16.to_le_bytes());
    file.extend(0_u32.to_le_bytes());
    for address in [0, NOWHERE, end, NOWHERE] {
        file.extend(address.to_le_bytes());
    }
    // The root group: its name, its header, and nothing cached in 24 bytes.
    file.extend(0_u64.to_le_bytes());
    file.extend(root.to_le_bytes());
    file.extend([0; 24]);
}

/// A group with a link to the dataset.
fn root_group(dataset: u64) -> Option<Vec<u8>> {
    // Link info (type 2): no order, no heap, no index by name.
    let mut info = vec![0, 0];
    info.extend(NOWHERE.to_le_bytes());
    info.extend(NOWHERE.to_le_bytes());
    // Group info (type 10): nothing said.
    let group = vec![0, 0];
    // Link (type 6): version 1, a hard link, the length of its name in one byte.
    let mut link = vec![1, 0, u8::try_from(DATASET.len()).ok()?];
    link.extend(DATASET.bytes());
    link.extend(dataset.to_le_bytes());
    object_header(&[(2, info), (10, group), (6, link)])
}

fn dataset_header(
    filters: &[Filter],
    mask: u32,
    size: u64,
    (chunk, length): (u64, u64),
) -> Option<Vec<u8>> {
    // Dataspace (type 1): version 1, one dimension, its largest length too.
    let mut space = vec![1, 1, 1, 0, 0, 0, 0, 0];
    space.extend(size.to_le_bytes());
    space.extend(size.to_le_bytes());
    // Datatype (type 3): version 1, an unsigned integer of one byte, eight bits from bit 0.
    let datatype = vec![0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0];
    // Fill value (type 5): version 2, allocated early, written never, none defined.
    let fill = vec![2, 1, 1, 0];
    // Layout (type 8): version 4, chunked, one chunk behind filters; two dimensions (the elements
    // and their bytes), each in as few bytes as hold the larger, which HDF5 2 insists on; the index of
    // a single chunk: length, mask, address.
    let width = size.checked_ilog2().unwrap_or(0) / 8 + 1;
    let mut layout = vec![4, 2, 2, 2, u8::try_from(width).ok()?];
    for dimension in [size, 1] {
        layout.extend(dimension.to_le_bytes().iter().take(usize::try_from(width).ok()?));
    }
    layout.push(1);
    layout.extend(length.to_le_bytes());
    layout.extend(mask.to_le_bytes());
    layout.extend(chunk.to_le_bytes());
    // Filters (type 11): version 1.
    let mut pipeline = vec![1, u8::try_from(filters.len()).ok()?, 0, 0, 0, 0, 0, 0];
    for Filter { id, parameters } in filters {
        pipeline.extend(id.to_le_bytes());
        // No name, and no flags: a filter that is not there is an error.
        pipeline.extend([0; 4]);
        pipeline.extend(u16::try_from(parameters.len()).ok()?.to_le_bytes());
        for parameter in parameters {
            pipeline.extend(parameter.to_le_bytes());
        }
        if parameters.len() % 2 == 1 {
            pipeline.extend([0; 4]);
        }
    }
    object_header(&[(1, space), (3, datatype), (5, fill), (8, layout), (11, pipeline)])
}

/// An object header, version 1, of messages by type.
fn object_header(messages: &[(u16, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    for (kind, message) in messages {
        let length = message.len().checked_next_multiple_of(8)?;
        body.extend(kind.to_le_bytes());
        body.extend(u16::try_from(length).ok()?.to_le_bytes());
        body.extend([0; 4]);
        body.extend(message);
        body.resize(body.len().checked_add(length.checked_sub(message.len())?)?, 0);
    }
    let mut header = vec![1, 0];
    header.extend(u16::try_from(messages.len()).ok()?.to_le_bytes());
    // One reference; the length, and four bytes to the next multiple of eight.
    header.extend(1_u32.to_le_bytes());
    header.extend(u32::try_from(body.len()).ok()?.to_le_bytes());
    header.extend([0; 4]);
    header.extend(body);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemorySource, Region, open};
    use arrow::array::{AsArray, UInt8Array};
    use arrow::datatypes::UInt8Type;
    use std::sync::Arc;

    fn deflate() -> Filter {
        Filter { id: 1, parameters: vec![6] }
    }

    fn read(image: Vec<u8>) -> UInt8Array {
        let reader = open(Arc::new(MemorySource::new("image", image))).unwrap();
        let variable = reader.contents().variables.first().unwrap();
        let values = reader.read(&variable.path, &Region::whole(&variable.shape())).unwrap();
        values.as_primitive::<UInt8Type>().clone()
    }

    #[test]
    fn the_file_holds_the_chunk_behind_its_filters_or_without_those_that_are_masked() {
        let values: Vec<u8> = (0..10_000_u32).map(|i| (i % 251) as u8).collect();
        let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
        let mut stored = vec![0; compressor.zlib_compress_bound(values.len())];
        let length = compressor.zlib_compress(&values, &mut stored).unwrap();
        stored.truncate(length);
        let filters = [deflate(), Filter { id: 2, parameters: vec![1] }];
        let image = of_chunk(&filters, 2, &stored, values.len()).unwrap();
        assert_eq!(read(image).values(), values.as_slice());
        let image = of_chunk(&filters, 3, &values, values.len()).unwrap();
        assert_eq!(read(image).values(), values.as_slice());
    }

    #[test]
    fn more_parameters_than_a_header_holds_make_no_file() {
        let filter = |count| Filter { id: 32_013, parameters: vec![7; count] };
        assert!(of_chunk(&[filter(16_000)], 0, b"x", 1).is_some());
        assert!(of_chunk(&[filter(16_400)], 0, b"x", 1).is_none());
        assert!(of_chunk(&[filter(70_000)], 0, b"x", 1).is_none());
    }
}
