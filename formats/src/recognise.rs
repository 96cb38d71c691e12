//! What a file is, by its first bytes.

use crate::source::{ByteSource, SourceError};

/// The signature of HDF5 (HDF5 file format specification, II.A: at byte 0, 512, 1024, 2048, …).
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Bytes read to tell formats apart.
const HEAD: u64 = 1024;
/// Furthest user block that is searched for an HDF5 signature.
const FURTHEST: u64 = 1 << 32;

/// A family of formats with one parser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recognised {
    /// HDF5 or NetCDF-4.
    Hdf5,
    /// CDF-1, CDF-2 or CDF-5.
    NetCdf3,
    /// SPEC.
    Spec,
    /// Something else, in words that follow "this is".
    Other(String),
}

/// Looks at the first bytes, and for HDF5 behind a user block at each power of two from 512.
pub(crate) fn recognise(source: &dyn ByteSource) -> Result<Recognised, SourceError> {
    let head = source.read(0..HEAD.min(source.len()))?;
    let by_head = recognise_head(&head);
    if !matches!(by_head, Recognised::Other(_)) {
        return Ok(by_head);
    }
    let places = std::iter::successors(Some(512_u64), |at| Some(at * 2))
        .take_while(|at| *at < FURTHEST && at + 8 <= source.len());
    let places: Vec<_> = places.map(|at| at..at + 8).collect();
    let behind_a_user_block = source.read_ranges(&places)?.iter().any(|bytes| bytes == HDF5);
    Ok(if behind_a_user_block { Recognised::Hdf5 } else { by_head })
}

/// Whether a file with these first bytes is read from end to end when it is opened.
pub(crate) fn is_log(head: &[u8]) -> bool {
    recognise_head(head.get(..1024).unwrap_or(head)) == Recognised::Spec
}

fn recognise_head(head: &[u8]) -> Recognised {
    if head.starts_with(HDF5) {
        return Recognised::Hdf5;
    }
    if let [b'C', b'D', b'F', version, ..] = head {
        return match version {
            1 | 2 | 5 => Recognised::NetCdf3,
            other => Recognised::Other(format!("NetCDF classic of the unknown version {other}")),
        };
    }
    if head.starts_with(b"#F ") || head.starts_with(b"#S ") {
        return Recognised::Spec;
    }
    Recognised::Other(found(head))
}

/// First bytes of formats that turn up under the names of others.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"\x0e\x03\x13\x01", "an HDF4 file (convert it with h4toh5)"),
    (b"\xcd\xf3\x00\x01", "a NASA CDF file, which has nothing to do with NetCDF"),
    (b"\xcd\xf2\x60\x02", "a NASA CDF file of version 2, which has nothing to do with NetCDF"),
    (b"\x00\x00\xff\xff", "a NASA CDF file of version 2, which has nothing to do with NetCDF"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (run `git lfs pull`)"),
    (b"/annex/objects/", "a git-annex pointer, not the file itself (run `git annex get`)"),
    (b"SIMPLE  =", "a FITS file"),
    (b"PK\x03\x04", "a zip archive (unpack it first)"),
    (b"\x1f\x8b", "a gzip file (unpack it first)"),
    (b"BZh", "a bzip2 file (unpack it first)"),
    (b"\x28\xb5\x2f\xfd", "a zstd file (unpack it first)"),
    (b"\xfd7zXZ\x00", "an xz file (unpack it first)"),
    (b"GRIB", "a GRIB file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow IPC file"),
    (b"II*\x00", "a TIFF file"),
    (b"MM\x00*", "a TIFF file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"TDSm", "a TDMS file"),
    (b"LASF", "a LAS or LAZ point cloud"),
    (b"MDF     ", "an MDF file"),
    (b"BAM\x01", "a BAM file"),
    (b"CRAM", "a CRAM file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file of version 5 (version 7.3 is HDF5 and can be read)"),
    (b"SQLite format 3", "an SQLite database"),
];

fn found(head: &[u8]) -> String {
    if head.is_empty() {
        return "an empty file".to_owned();
    }
    // "root" begins words, too: the version of the format follows it, and is below two million.
    if head.starts_with(b"root") && matches!(head.get(4..6), Some([0, 0..=0x1e])) {
        return "a ROOT file".to_owned();
    }
    // DICOM leaves the first 128 bytes to others.
    if head.get(128..132) == Some(b"DICM") {
        return "a DICOM file".to_owned();
    }
    if let Some((_, name)) = SIGNATURES.iter().find(|(start, _)| head.starts_with(start)) {
        return (*name).to_owned();
    }
    if head.get(257..262) == Some(b"ustar") {
        return "a tar archive (unpack it first)".to_owned();
    }
    if HDF5.starts_with(head) || b"CDF".starts_with(head) {
        return format!("the first {} bytes of a file that was cut off", head.len());
    }
    let text = String::from_utf8_lossy(head);
    let start = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") || start.contains("<html")
    {
        return "an HTML page (a log-in or error page saved under the file's name?)".to_owned();
    }
    if start.starts_with("<?xml") || start.starts_with("<error") {
        return "an XML document (an error message of an object store?)".to_owned();
    }
    if start.starts_with('{') || start.starts_with('[') {
        return "a JSON document".to_owned();
    }
    let readable = head.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
    if readable {
        let line: String = text.lines().next().unwrap_or_default().chars().take(40).collect();
        return format!("plain text that begins with {line:?}");
    }
    if head.iter().all(|byte| *byte == 0) {
        return "a file of zeros".to_owned();
    }
    let start: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("an unknown binary file that begins with {}", start.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemorySource;

    fn kind(bytes: &[u8]) -> Recognised {
        recognise(&MemorySource::new("memory", bytes.to_vec())).unwrap()
    }

    #[test]
    fn formats_are_known_by_their_bytes() {
        assert_eq!(kind(b"CDF\x05\0\0\0\0"), Recognised::NetCdf3);
        assert_eq!(kind(b"#F setup.dat\n"), Recognised::Spec);
        for user_block in [0, 512, 1024, 4096] {
            assert_eq!(kind(&[vec![b'x'; user_block], HDF5.to_vec()].concat()), Recognised::Hdf5);
        }
        assert_ne!(kind(&[vec![0; 700], HDF5.to_vec()].concat()), Recognised::Hdf5);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (bytes, expected) in [
            (b"".as_slice(), "an empty file"),
            (b"\x89HD", "the first 3 bytes of a file that was cut off"),
            (b"  <!DOCTYPE html><html>", "an HTML page"),
            (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
            (b"a,b\n1,2\n", "plain text that begins with \"a,b\""),
            (b"\xcd\xf3\x00\x01\0\0", "a NASA CDF file"),
            (b"\x01\x02\xfe", "an unknown binary file that begins with 01 02 fe"),
        ] {
            let Recognised::Other(found) = kind(bytes) else { panic!("{bytes:?}") };
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
