//! What reads the chunks that Tarn has no code for: the C library.
//!
//! The library crashes and hangs on hostile files, so it is never given one. It gets an HDF5 file
//! that is made here ([`crate::hdf5`]), with one chunk in it and the chunk's filters, and gives the
//! bytes of the chunk's elements; everything before and after is Tarn's own. So the values of a
//! variable behind a strange filter are found, cut, decoded, cached, pruned and pinned like all
//! others, from any store, whatever their type.
//!
//! How the library is started and held is for whoever opens the file: it is given a [`Fallback`].

use std::fmt;
use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Most bytes of a chunk that are given to the library, and taken from it.
pub const MOST_BYTES: u64 = 128 << 20;

/// Path of the one dataset of [`ChunkFile::image`].
pub const DATASET: &str = "chunk";

/// The number of a filter that is none: it lets through what has the size it is told (the low and the
/// high half of 64 bits) and refuses the rest. It stands before a chunk's own filters, and whoever runs
/// the library gives it to it. Some versions of the library take what comes out of a plugin for a whole
/// chunk, whatever its size.
pub const GUARD: u16 = u16::MAX;

/// A chunk, as a file for the library.
#[derive(Debug)]
pub struct ChunkFile<'a> {
    /// The file that the chunk is of: a process that has seen bytes of one file sees none of another.
    pub file: &'a str,
    /// The filters that the library needs, itself or by a plugin.
    pub filters: &'a [u16],
    /// An HDF5 file whose dataset [`DATASET`] are the bytes of the chunk.
    pub image: Vec<u8>,
    /// How many these are.
    pub size: usize,
}

/// The C library at a safe distance.
pub trait Fallback: Send + Sync + fmt::Debug {
    /// Whether the library can undo a filter, by its number. Asked when a file is opened; may start
    /// a process, and remembers what it found.
    ///
    /// # Errors
    /// Why it cannot.
    fn check(&self, filter: u16) -> Result<(), FallbackError>;

    /// The bytes of a chunk: exactly `chunk.size`.
    ///
    /// # Errors
    /// [`FallbackError`]. The process lives, whatever the library did.
    fn read(&self, chunk: &ChunkFile<'_>) -> Result<Vec<u8>, FallbackError>;
}

/// Why the C library gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FallbackError {
    /// There is no library.
    #[error(
        "libhdf5, which would undo it, cannot be loaded ({problem}); install it (Debian: apt-get \
         install libhdf5-103-1; Ubuntu: libhdf5-103-1t64), or name the library in TARN_HDF5_LIBRARY"
    )]
    NoLibrary {
        /// What the system said.
        problem: String,
    },
    /// There is no plugin.
    #[error(
        "libhdf5 {version} has no plugin for it; install one (pip install hdf5plugin has most) and \
         name the folder it is in in HDF5_PLUGIN_PATH"
    )]
    NoPlugin {
        /// Of the library.
        version: String,
    },
    /// The library, or the plugin, said no.
    #[error("libhdf5 cannot undo it: {problem}")]
    Refused {
        /// In the library's words.
        problem: String,
    },
    /// The process ended.
    #[error("the process that ran libhdf5 on it ended with {status}")]
    Died {
        /// Its signal or exit status.
        status: String,
    },
    /// The process did not answer.
    #[error("libhdf5 did not undo it in {seconds} s, and was stopped")]
    TooSlow {
        /// How long it was waited for.
        seconds: u64,
    },
    /// All processes were busy.
    #[error("libhdf5 was busy with other chunks for {seconds} s; ask again")]
    Busy {
        /// How long was waited.
        seconds: u64,
    },
    /// No process could be started, or what it said makes no sense.
    #[error("the process that runs libhdf5 {problem}")]
    Broken {
        /// What happened.
        problem: String,
    },
}

impl Coded for FallbackError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Refused { .. } | Self::Died { .. } => ErrorCode::InvalidData,
            Self::TooSlow { .. } => ErrorCode::ResourceExhausted,
            Self::NoLibrary { .. } | Self::NoPlugin { .. } | Self::Busy { .. } => {
                ErrorCode::Unavailable
            }
            Self::Broken { .. } => ErrorCode::Internal,
        }
    }
}
