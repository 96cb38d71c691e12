//! What a thread keeps for undoing filters: decompressors and memory, made once.

use libdeflater::{DecompressionError, Decompressor};
use std::cell::Cell;
use zstd::bulk;

/// Memory that is kept from one chunk to the next, of each piece; more is given back.
const KEPT: usize = 16 << 20;

/// Decompressors.
pub(crate) struct Codecs {
    pub(crate) inflate: Decompressor,
    pub(crate) zstd: bulk::Decompressor<'static>,
    pub(crate) snappy: snap::raw::Decoder,
}

/// Decompressors and memory.
pub(crate) struct Tools {
    pub(crate) codecs: Codecs,
    /// What the last step wrote.
    pub(crate) front: Vec<u8>,
    /// What the next step writes to.
    pub(crate) back: Vec<u8>,
    /// A block inside a step.
    pub(crate) block: Vec<u8>,
}

impl Default for Tools {
    fn default() -> Self {
        let codecs = Codecs {
            inflate: Decompressor::new(),
            zstd: bulk::Decompressor::default(),
            snappy: snap::raw::Decoder::new(),
        };
        Self { codecs, front: vec![], back: vec![], block: vec![] }
    }
}

thread_local! {
    static TOOLS: Cell<Option<Box<Tools>>> = const { Cell::new(None) };
}

/// Runs `work` with the tools of this thread. Tools that a panic or a nested call keeps away are
/// made anew.
pub(crate) fn with<R>(work: impl FnOnce(&mut Tools) -> R) -> R {
    let mut tools = TOOLS.take().unwrap_or_default();
    let result = work(&mut tools);
    for memory in [&mut tools.front, &mut tools.back, &mut tools.block] {
        if memory.capacity() > KEPT {
            *memory = vec![];
        }
    }
    TOOLS.set(Some(tools));
    result
}

/// The first `length` bytes of memory, grown where it is shorter; what was there before stays.
pub(crate) fn room(memory: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if memory.len() < length {
        memory.resize(length, 0);
    }
    memory.get_mut(..length).unwrap_or_default()
}

impl Codecs {
    /// Undoes deflate into the front of `output`: `size` bytes are expected, and no more than
    /// `limit` accepted. Gives the number of bytes.
    pub(crate) fn inflate(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        size: usize,
        limit: usize,
    ) -> Result<usize, String> {
        for length in [size, limit] {
            match self.inflate.zlib_decompress(input, room(output, length)) {
                Ok(length) => return Ok(length),
                Err(DecompressionError::InsufficientSpace) => {}
                Err(DecompressionError::BadData) => return Err(super::damaged()),
            }
        }
        Err(format!("more than {limit} bytes come out of it"))
    }

    /// Undoes bzip2 into the front of `output`; gives the number of bytes.
    pub(crate) fn bunzip2(input: &[u8], output: &mut [u8]) -> Option<usize> {
        let mut decompress = bzip2::Decompress::new(false);
        match decompress.decompress(input, output) {
            Ok(bzip2::Status::StreamEnd) => usize::try_from(decompress.total_out()).ok(),
            _ => None,
        }
    }
}
