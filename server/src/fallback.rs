//! The fall-back for HDF5's filters: this program again, as a child that runs the C library.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use tarn_connectors::fallback::{ChildFallback, Launch, Limits};
use tarn_formats::Fallback;

/// First argument of a child. No command for people: its standard input is a socket.
const COMMAND: &str = "hdf5-child";

/// Whether this process is a child.
pub(crate) fn is_child() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == OsStr::new(COMMAND))
}

/// Children of this process, none of which is started before it is wanted.
pub(crate) fn fallback() -> Arc<dyn Fallback> {
    let launch = Launch {
        // What runs, even if its file was exchanged meanwhile.
        program: PathBuf::from("/proc/self/exe"),
        arguments: vec![COMMAND.into()],
    };
    Arc::new(ChildFallback::new(launch, Limits::default()))
}
