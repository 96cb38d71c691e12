//! Private keys of a node: files of its home, made when they are first needed. They are not in the
//! database: who can write there cannot sign.

use ring::error::Unspecified;
use std::fs::File;
use std::io::{Error, ErrorKind, Write};
use std::path::Path;

/// The bytes of a key. Where there is no file yet one is made, readable by its owner only.
pub(crate) fn read_or_make<K: AsRef<[u8]>>(
    path: &Path,
    generate: impl Fn() -> Result<K, Unspecified>,
) -> std::io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = generate().map_err(|_| Error::other("the system gives no random numbers"))?;
            make(path, key.as_ref())?;
            std::fs::read(path)
        }
        read => read,
    }
}

/// Makes the file, unless another process does at the same time.
fn make(path: &Path, key: &[u8]) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let own = path.with_extension(format!("key.{}", uuid::Uuid::new_v4().simple()));
    let mut file = options.open(&own)?;
    file.write_all(key)?;
    file.sync_all()?;
    // A link is made whole or not at all, and never over what is there.
    let linked = std::fs::hard_link(&own, path);
    std::fs::remove_file(&own)?;
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}
