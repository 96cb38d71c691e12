//! The child: it answers its parent until that closes the socket.

use super::library::Library;
use super::limits::{self, Own};
use super::wire::{self, Chunk};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use tarn_formats::fallback::MOST_BYTES;

/// Names the library, where it is not among those that are tried.
pub(super) const LIBRARY: &str = "TARN_HDF5_LIBRARY";

/// Longest request: a chunk and what stands around it.
const MOST_REQUEST: u64 = MOST_BYTES + (1 << 20);

/// Serves the parent at the other end of standard input, which is a socket.
pub fn serve() -> ExitCode {
    // A parent that is gone, or a request that is none, ends the child; there is nobody to tell.
    if run().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run() -> io::Result<()> {
    let own = Own::begin()?;
    let mut parent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let named = std::env::var_os(LIBRARY).filter(|name| !name.is_empty());
    let library = match Library::load(named.as_deref()) {
        Ok(library) => library,
        Err(problem) => {
            return wire::send(&mut parent, wire::NO_LIBRARY, &[cut(&problem)]);
        }
    };
    wire::send(&mut parent, wire::READY, &[library.version().as_bytes()])?;
    let mut sealed = false;
    loop {
        let (kind, payload) = match wire::receive(&mut parent, MOST_REQUEST) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            received => received?,
        };
        match kind {
            wire::FILTER => {
                let filter = payload.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
                let has = library.has(u16::from_le_bytes(filter));
                wire::send(&mut parent, if has { wire::YES } else { wire::NO }, &[])?;
            }
            wire::CHUNK => {
                let mut chunk = Chunk::parse(&payload).ok_or(io::ErrorKind::InvalidData)?;
                drop(payload);
                if !sealed {
                    // Plugins are loaded now or never.
                    chunk.filters.iter().for_each(|filter| {
                        library.has(*filter);
                    });
                    limits::seal().map_err(io::Error::other)?;
                    sealed = true;
                }
                match read(&own, &library, &mut chunk)? {
                    Ok(bytes) => wire::send(&mut parent, wire::BYTES, &[&bytes])?,
                    Err(problem) => wire::send(&mut parent, wire::REFUSED, &[cut(&problem)])?,
                }
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn read(own: &Own, library: &Library, chunk: &mut Chunk) -> io::Result<Result<Vec<u8>, String>> {
    let bytes = chunk.size.saturating_add(chunk.image.len() as u64);
    let Some(size) = usize::try_from(chunk.size).ok().filter(|_| chunk.size <= MOST_BYTES) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    own.for_chunk(bytes, chunk.seconds)?;
    let read = library.read(&mut chunk.image, size);
    Own::after_chunk();
    Ok(read)
}

/// A text that is not too long for the wire.
fn cut(text: &str) -> &[u8] {
    let most = usize::try_from(wire::MOST_TEXT).unwrap_or(usize::MAX);
    text.as_bytes().get(..most).unwrap_or(text.as_bytes())
}
