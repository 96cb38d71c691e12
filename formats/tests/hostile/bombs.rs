//! Small files that take much memory or time where they are taken at their word.

use crate::{allocator, python};
use std::sync::Arc;
use tarn_formats::{FormatError, MemorySource, Reader, Region};

/// Bytes that a file of some megabytes may take: the limit for metadata and what is kept beside it.
const MOST: usize = 700 << 20;

fn open(bytes: Vec<u8>) -> Result<Arc<dyn Reader>, FormatError> {
    let (opened, most) =
        allocator::most(|| tarn_formats::open(Arc::new(MemorySource::new("memory", bytes))));
    assert!(most <= MOST, "{most} bytes of memory");
    opened
}

#[test]
fn what_is_referred_to_many_times_takes_no_more_memory_than_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let Some(output) = python::python("h5py", "hostile/bombs.py", &[folder.path()]) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = |name: &str| {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        assert!(bytes.len() < 8 << 20, "{name}: {} bytes", bytes.len());
        bytes
    };
    for name in ["hard_links.h5", "soft_links.h5", "paths.h5", "texts.h5", "names.nc"] {
        let refused = open(bytes(name)).unwrap_err();
        assert!(matches!(refused, FormatError::TooLarge { .. }), "{name}: {refused}");
    }

    let reader = open(bytes("layers.h5")).unwrap();
    let whole = Region::whole(&[1000]);
    assert_eq!(reader.read("/v1", &whole).unwrap().len(), 1000);
    assert_eq!(reader.read("/v2", &whole).unwrap().len(), 1000);
    let refused = reader.read("/v7", &whole).unwrap_err();
    assert!(refused.to_string().contains("one over the other"), "{refused}");
}
