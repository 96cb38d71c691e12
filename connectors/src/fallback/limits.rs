//! What a child takes from itself.
//!
//! At its start: core dumps, files that it writes, most open files, being looked at by others. Before
//! each chunk: memory and time beyond what this chunk may need. Before the first chunk, once library
//! and plugins are loaded, for good: the file system, the network over TCP, signals to and traces of
//! other processes (Landlock, Linux 5.13; newer kernels take more of these away).

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError,
    Scope,
};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::alarm;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Files that the library, a plugin and what it needs may have open.
const FILES: u64 = 64;
/// Bytes of memory for a chunk of any size.
const MEMORY: u64 = 512 << 20;
/// Copies of a chunk that the library and a plugin make.
const COPIES: u64 = 16;
/// Seconds by the clock for one of processor: the machine may have other work.
const PATIENCE: u64 = 3;

/// The limits of this process.
#[derive(Debug)]
pub(super) struct Own {
    /// Says how much memory is taken. Open, because it cannot be opened later.
    status: File,
}

impl Own {
    /// Sets what holds for the whole life.
    pub(super) fn begin() -> std::io::Result<Self> {
        let status = File::open("/proc/self/status")?;
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        setrlimit(Resource::RLIMIT_FSIZE, 0, 0)?;
        setrlimit(Resource::RLIMIT_NOFILE, FILES, FILES)?;
        prctl::set_dumpable(false)?;
        prctl::set_no_new_privs()?;
        Ok(Self { status })
    }

    /// Limits memory and time for a chunk of which so many bytes come in and go out together, and
    /// which may take so many seconds of processor.
    pub(super) fn for_chunk(&self, bytes: u64, seconds: u64) -> std::io::Result<()> {
        let memory = bytes.saturating_mul(COPIES).saturating_add(MEMORY);
        soft(Resource::RLIMIT_AS, self.memory()?.saturating_add(memory))?;
        let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.tv_sec();
        let used = u64::try_from(used).unwrap_or(0).saturating_add(1);
        soft(Resource::RLIMIT_CPU, used.saturating_add(seconds))?;
        // Nobody else ends a child that sleeps and whose parent is gone.
        let clock = seconds.saturating_add(1).saturating_mul(PATIENCE);
        alarm::set(u32::try_from(clock).unwrap_or(u32::MAX).max(1));
        Ok(())
    }

    /// Ends the time of a chunk.
    pub(super) fn after_chunk() {
        alarm::cancel();
    }

    /// Bytes of address space that are taken.
    fn memory(&self) -> std::io::Result<u64> {
        let mut text = [0; 4096];
        let length = self.status.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
        let size = text.lines().find_map(|line| line.strip_prefix("VmSize:"));
        let kibibytes = size.and_then(|size| size.trim().strip_suffix("kB")?.trim().parse().ok());
        let kibibytes: u64 = kibibytes.ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(kibibytes.saturating_mul(1024))
    }
}

/// Seconds by the clock that a parent waits for `seconds` of processor.
pub(super) fn by_the_clock(seconds: u64) -> u64 {
    seconds.saturating_mul(PATIENCE)
}

/// Sets a limit that may be raised again.
fn soft(resource: Resource, limit: u64) -> Result<(), Errno> {
    let (_, hard) = getrlimit(resource)?;
    setrlimit(resource, limit.min(hard), hard)
}

/// Gives up the file system and the network, as far as the kernel can take them away. There is no way
/// back.
pub(super) fn seal() -> Result<(), RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V5))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()?;
    Ok(())
}
