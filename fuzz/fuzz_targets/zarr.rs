//! Zarr stores of one array: the metadata stand before the first NUL, the bytes of every chunk after it.
//! The first byte chooses the version.
#![no_main]

mod read_all;

use bytes::Bytes;
use std::sync::Arc;
use tarn_formats::{KeySource, SourceError, Span};

#[derive(Debug)]
struct OneArray {
    metadata: (&'static str, Bytes),
    chunk: Bytes,
}

impl KeySource for OneArray {
    fn location(&self) -> &str {
        "memory"
    }

    fn read(&self, wanted: &[(String, Span)]) -> Result<Vec<Option<Bytes>>, SourceError> {
        let value = |key: &str| match key {
            key if key == self.metadata.0 => Some(&self.metadata.1),
            ".zarray" | ".zgroup" | ".zattrs" | ".zmetadata" | "zarr.json" => None,
            _ => Some(&self.chunk),
        };
        let part = |(key, span): &(String, Span)| {
            let Some(bytes) = value(key) else { return Ok(None) };
            let range = span.of("memory", key, bytes.len() as u64)?;
            Ok(Some(bytes.slice(range.start as usize..range.end as usize)))
        };
        wanted.iter().map(part).collect()
    }

    fn folders(&self, _key: &str) -> Result<Option<Vec<String>>, SourceError> {
        Ok(Some(vec![]))
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((version, rest)) = input.split_first() else { return };
    let at = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let (metadata, chunk) = rest.split_at(at);
    let key = if version % 2 == 0 { "zarr.json" } else { ".zarray" };
    read_all::read_store(Arc::new(OneArray {
        metadata: (key, Bytes::copy_from_slice(metadata)),
        chunk: Bytes::copy_from_slice(chunk.get(1..).unwrap_or_default()),
    }));
});
