//! A few children, started when they are wanted, and watched.

use super::child::LIBRARY;
use super::limits::by_the_clock;
use super::wire::{self, Chunk};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tarn_formats::{ChunkFile, Fallback, FallbackError};

/// Variables of the environment that a child has, if they are set. It has no others: those of a
/// server hold secrets.
const ENVIRONMENT: [&str; 3] = [LIBRARY, "HDF5_PLUGIN_PATH", "LD_LIBRARY_PATH"];
/// How long a failed look for a library or a plugin is remembered: one may be installed meanwhile.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How long an ended child is waited for before it is killed.
const LAST_BREATH: Duration = Duration::from_secs(1);
/// Signals that end a child whose time is over: SIGALRM, SIGXCPU.
const OVERTIME: [i32; 2] = [14, 24];

/// How a child is started: a program that calls [`serve`](super::serve).
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// How many children there are, and how long they are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Children at once.
    pub children: usize,
    /// How long a free child is waited for.
    pub wait: Duration,
    /// How long a child may take to start.
    pub start: Duration,
    /// Seconds of processor for a chunk of any size; large ones have more.
    pub seconds: u64,
}

impl Default for Limits {
    /// A child for each processor, four at most.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            children: processors.min(4),
            wait: Duration::from_secs(120),
            start: Duration::from_secs(30),
            seconds: 10,
        }
    }
}

/// The C library in a few children.
#[derive(Debug)]
pub struct ChildFallback {
    launch: Launch,
    limits: Limits,
    state: Mutex<State>,
    /// Told when a child becomes free.
    free: Condvar,
    /// What was found out about filters, and when.
    known: Mutex<HashMap<u16, (Instant, Result<(), FallbackError>)>>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Helper>,
    /// Children that work, or are being started.
    busy: usize,
}

/// A child that runs.
#[derive(Debug)]
struct Helper {
    process: Child,
    channel: UnixStream,
    /// Version of its library.
    version: String,
    /// The file and the filters whose chunks it has seen.
    owner: Option<Owner>,
}

type Owner = (String, Vec<u16>);

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself, and what a plugin started may live on: all of its group goes.
        if let Ok(group) = i32::try_from(self.process.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        // Waiting for it leaves no zombie.
        let _ = self.process.wait();
    }
}

/// A place among the children at work.
struct Turn<'a>(&'a ChildFallback);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy = state.busy.saturating_sub(1);
        drop(state);
        self.0.free.notify_one();
    }
}

/// A stream that is not waited for longer than until a moment.
struct Until<'a>(&'a UnixStream, Instant);

impl Until<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.1.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.set_read_timeout(self.left()?)?;
        (&mut &*self.0).read(buffer)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.set_write_timeout(self.left()?)?;
        (&mut &*self.0).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ChildFallback {
    /// Nothing is started before it is wanted.
    pub fn new(launch: Launch, limits: Limits) -> Self {
        Self {
            launch,
            limits,
            state: Mutex::default(),
            free: Condvar::new(),
            known: Mutex::default(),
        }
    }

    /// Sets how long a child may take to start.
    #[cfg(test)]
    pub(super) fn shorten(&mut self, start: Duration) {
        self.limits.start = start;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A child that has seen nothing but what is of `owner`: one that is idle, or a new one. Waits
    /// for its turn.
    fn helper(&self, owner: Option<&Owner>) -> Result<(Turn<'_>, Helper), FallbackError> {
        let until = Instant::now() + self.limits.wait;
        let mut state = self.state();
        let (turn, stranger) = loop {
            let own = state.idle.iter().position(|helper| helper.owner.as_ref() == owner);
            let fresh = || state.idle.iter().position(|helper| helper.owner.is_none());
            if let Some(place) = own.or_else(fresh) {
                state.busy = state.busy.saturating_add(1);
                let helper = state.idle.swap_remove(place);
                return Ok((Turn(self), helper));
            }
            let running = state.busy.saturating_add(state.idle.len());
            if running < self.limits.children || !state.idle.is_empty() {
                let full = running >= self.limits.children;
                let stranger = full.then(|| state.idle.remove(0));
                state.busy = state.busy.saturating_add(1);
                break (Turn(self), stranger);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(FallbackError::Busy { seconds: self.limits.wait.as_secs() });
            }
            let waited = self.free.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(state);
        drop(stranger);
        let helper = self.start()?;
        Ok((turn, helper))
    }

    /// Gives a child back that did its work.
    fn rest(&self, turn: Turn<'_>, helper: Helper) {
        self.state().idle.push(helper);
        drop(turn);
    }

    fn start(&self) -> Result<Helper, FallbackError> {
        let broken = |error: io::Error| FallbackError::Broken {
            problem: format!("does not start: {error}"),
        };
        let (channel, other) = UnixStream::pair().map_err(broken)?;
        let mut command = Command::new(&self.launch.program);
        command
            .args(&self.launch.arguments)
            .arg0("tarn-hdf5-child")
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            // Threads of a plugin would only be in each other's way.
            .env("OMP_NUM_THREADS", "1")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command.spawn().map_err(broken)?;
        // The command holds the other end, which would keep the channel open.
        drop(command);
        let mut helper = Helper { process, channel, version: String::new(), owner: None };
        match helper.receive(Instant::now() + self.limits.start, wire::MOST_TEXT) {
            Ok((wire::READY, version)) => {
                helper.version = wire::text(&version);
                Ok(helper)
            }
            Ok((wire::NO_LIBRARY, problem)) => {
                Err(FallbackError::NoLibrary { problem: wire::text(&problem) })
            }
            Ok(_) => Err(nonsense()),
            Err(error) => Err(helper.failure(&error, self.limits.start.as_secs())),
        }
    }

    fn ask(&self, filter: u16) -> Result<(), FallbackError> {
        let (turn, helper) = self.helper(None)?;
        let until = Instant::now() + self.limits.start;
        let answer = helper
            .send(until, wire::FILTER, &[&filter.to_le_bytes()])
            .and_then(|()| helper.receive(until, 0));
        match answer {
            Ok((wire::YES, _)) => {
                self.rest(turn, helper);
                Ok(())
            }
            Ok((wire::NO, _)) => {
                let version = helper.version.clone();
                self.rest(turn, helper);
                Err(FallbackError::NoPlugin { version })
            }
            Ok(_) => Err(nonsense()),
            Err(error) => Err(helper.failure(&error, self.limits.start.as_secs())),
        }
    }

    /// The bytes of a chunk, by a child that is given it as its first one, or not.
    fn undo(&self, owner: &Owner, chunk: &ChunkFile<'_>) -> (Result<Vec<u8>, FallbackError>, bool) {
        let (turn, mut helper) = match self.helper(Some(owner)) {
            Ok(helper) => helper,
            Err(error) => return (Err(error), true),
        };
        let first = helper.owner.is_none();
        helper.owner = Some(owner.clone());
        let size = chunk.size as u64;
        let seconds =
            wire::seconds(self.limits.seconds, size.saturating_add(chunk.image.len() as u64));
        let head = Chunk::head(chunk.filters, size, seconds);
        let clock = by_the_clock(seconds);
        let until = Instant::now() + Duration::from_secs(clock);
        let answer = helper
            .send(until, wire::CHUNK, &[&head, &chunk.image])
            .and_then(|()| helper.receive(until, size.max(wire::MOST_TEXT)));
        let result = match answer {
            Ok((wire::BYTES, bytes)) if bytes.len() as u64 == size => {
                self.rest(turn, helper);
                Ok(bytes)
            }
            Ok((wire::REFUSED, problem)) => {
                self.rest(turn, helper);
                Err(FallbackError::Refused { problem: wire::text(&problem) })
            }
            Ok(_) => Err(nonsense()),
            Err(error) => Err(helper.failure(&error, clock)),
        };
        (result, first)
    }
}

impl Fallback for ChildFallback {
    fn check(&self, filter: u16) -> Result<(), FallbackError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, found)) = known().get(&filter)
            && (found.is_ok() || when.elapsed() < REMEMBERED)
        {
            return found.clone();
        }
        let found = self.ask(filter);
        known().insert(filter, (Instant::now(), found.clone()));
        found
    }

    fn read(&self, chunk: &ChunkFile<'_>) -> Result<Vec<u8>, FallbackError> {
        let owner = (chunk.file.to_owned(), chunk.filters.to_vec());
        match self.undo(&owner, chunk) {
            // What ended the child may have come with the chunks before this one.
            (Err(FallbackError::Died { .. }), false) => self.undo(&owner, chunk).0,
            (result, _) => result,
        }
    }
}

impl Helper {
    fn send(&self, until: Instant, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
        wire::send(&mut Until(&self.channel, until), kind, parts)
    }

    fn receive(&self, until: Instant, most: u64) -> io::Result<(u8, Vec<u8>)> {
        wire::receive(&mut Until(&self.channel, until), most)
    }

    /// What a failure of the channel means. The child ends.
    fn failure(mut self, error: &io::Error, seconds: u64) -> FallbackError {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::TimedOut | Kind::WouldBlock => FallbackError::TooSlow { seconds },
            Kind::InvalidData => nonsense(),
            _ => match self.ended() {
                Some(status) if status.signal().is_some_and(|s| OVERTIME.contains(&s)) => {
                    FallbackError::TooSlow { seconds }
                }
                Some(status) => FallbackError::Died { status: status.to_string() },
                None => FallbackError::Broken { problem: format!("fell silent: {error}") },
            },
        }
    }

    /// How the child ended, if it did.
    fn ended(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + LAST_BREATH;
        loop {
            match self.process.try_wait() {
                Ok(None) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }
}

fn nonsense() -> FallbackError {
    FallbackError::Broken { problem: "gave an answer that makes no sense".to_owned() }
}
