//! `tarn dev federation`: several labs on this machine, each with a home and a server of its own, every two of them
//! peers.

use super::proxy::pass_on;
use super::sample;
use crate::cli::DevFederation;
use crate::commands::serve::wait_for_signal;
use crate::commands::{Context, Outcome};
use crate::failure::{Failure, io};
use crate::output::text_table;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tarn_schemas::ErrorCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// How long a lab may take until it answers, and until it ends.
const STARTING: Duration = Duration::from_secs(60);
const ENDING: Duration = Duration::from_secs(10);
/// The file in which the addresses of a lab are kept.
const ADDRESSES: &str = "addresses.json";

/// A lab of the federation.
struct Lab {
    name: String,
    home: PathBuf,
    addresses: Addresses,
    server: Option<Child>,
}

/// Where a lab is reached, the same whenever the federation starts again: its peers remember it.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Addresses {
    http: SocketAddr,
    flight: SocketAddr,
    /// The door in front of Flight that its peers are told.
    door: SocketAddr,
}

/// Starts the labs, and serves until Ctrl-C or SIGTERM.
pub(super) async fn run(context: &Context, args: DevFederation) -> Result<(), Outcome> {
    if !(1..=26).contains(&args.labs) {
        let problem = format!("--labs {}: write 1 to 26", args.labs);
        return Err(Failure::new(ErrorCode::InvalidArgument, problem).into());
    }
    let names: Vec<String> = (1..=args.labs).map(|number| format!("lab{number}")).collect();
    if let Some(unknown) = args.down.iter().find(|down| !names.contains(down)) {
        let problem = format!("--down {unknown}: the labs are {}", names.join(", "));
        return Err(Failure::new(ErrorCode::InvalidArgument, problem).into());
    }
    std::fs::create_dir_all(&args.folder).map_err(|error| io(args.folder.display(), &error))?;
    let folder = args.folder.canonicalize().map_err(|error| io(args.folder.display(), &error))?;
    let mut labs = Vec::with_capacity(names.len());
    let mut doors = tokio::task::JoinSet::new();
    for (number, name) in (1..).zip(names) {
        context.note(format_args!("{name}: starting"));
        let lab = Lab::start(&folder, name, number).await?;
        let door = listen(lab.addresses.door).await?;
        doors.spawn(pass_on(door, lab.addresses.flight, args.latency));
        labs.push(lab);
    }
    join(context, &labs).await?;
    if !args.down.is_empty() {
        // What a lab tells is known to the others before it goes.
        for lab in labs.iter().filter(|lab| !args.down.contains(&lab.name)) {
            lab.tarn(&["peer", "sync", "--quiet"]).await?;
        }
    }
    for lab in labs.iter_mut().filter(|lab| args.down.contains(&lab.name)) {
        lab.stop().await;
    }
    say(context, &labs);
    wait_for_signal().await;
    context.note("stopping");
    for lab in &mut labs {
        lab.signal(Signal::SIGTERM);
    }
    for lab in &mut labs {
        lab.stop().await;
    }
    doors.shutdown().await;
    if args.remove {
        // What else is in the folder is not this command's.
        for lab in &labs {
            let home = folder.join(&lab.name);
            std::fs::remove_dir_all(&home).map_err(|error| io(home.display(), &error))?;
            for beside in [ADDRESSES, "log", "nc", "json"] {
                let _ = std::fs::remove_file(folder.join(format!("{}.{beside}", lab.name)));
            }
        }
        let _ = std::fs::remove_dir(&folder);
    } else {
        context.note(format_args!(
            "{} is left as it is; the same command starts it again",
            folder.display()
        ));
    }
    Ok(())
}

/// Makes every two labs peers that are not yet.
async fn join(context: &Context, labs: &[Lab]) -> Result<(), Failure> {
    for (at, host) in labs.iter().enumerate() {
        let known = host.tarn(&["peer", "list", "--json"]).await?;
        let known: Vec<serde_json::Value> = serde_json::from_str(&known).unwrap_or_default();
        let is_known = |guest: &Lab| known.iter().any(|peer| peer["lab"] == guest.name.as_str());
        for guest in labs.iter().skip(at.saturating_add(1)).filter(|guest| !is_known(guest)) {
            context.note(format_args!("{} invites {}", host.name, guest.name));
            let invitation = host.tarn(&["--quiet", "peer", "invite"]).await?;
            guest.tarn(&["peer", "accept", invitation.trim()]).await?;
        }
    }
    Ok(())
}

/// Says where the labs are, and how to do them harm.
fn say(context: &Context, labs: &[Lab]) {
    let http = |lab: &Lab| format!("http://{}", lab.addresses.http);
    let flight = |lab: &Lab| format!("grpc://{}", lab.addresses.flight);
    if context.json {
        let all: Vec<_> = labs
            .iter()
            .map(|lab| {
                serde_json::json!({"lab": lab.name, "http": http(lab), "flight": flight(lab),
                    "home": lab.home, "pid": lab.pid()})
            })
            .collect();
        say!("{}", serde_json::json!({"labs": all}));
        return;
    }
    let rows = labs.iter().map(|lab| {
        let pid = lab.pid().map_or_else(|| "down".to_owned(), |pid| pid.to_string());
        vec![lab.name.clone(), http(lab), flight(lab), lab.home.display().to_string(), pid]
    });
    say_part!("{}", text_table(&["lab", "http", "flight", "home", "process"], rows));
    let (Some(first), Some(last)) = (labs.first(), labs.last()) else { return };
    let (home, last_home) = (first.home.display(), last.home.display());
    context.note(format_args!(
        "\nAsk one of them about all of them:\n  \
         tarn --home {home} search sample\n  \
         tarn --home {home} sql \"SELECT avg(tas) FROM {}.sample.sample\"\n  \
         tarn --home {home} peer status --verify\n\
         Freeze one with `kill -STOP PROCESS`, wake it with `kill -CONT PROCESS`, kill it with `kill -9 PROCESS`,\n\
         start it again with `tarn --home {last_home} serve`. Ctrl-C stops all of them.",
        last.name
    ));
}

impl Lab {
    /// Starts a lab; it is made if it is not there.
    async fn start(folder: &Path, name: String, number: u32) -> Result<Self, Failure> {
        let home = folder.join(&name);
        let kept = folder.join(format!("{name}.{ADDRESSES}"));
        let is_new = !kept.exists();
        let addresses = if is_new { Addresses::free().await? } else { Addresses::read(&kept)? };
        let mut lab = Self { name, home, addresses, server: None };
        if is_new {
            lab.make().await?;
        }
        let log = folder.join(format!("{}.log", lab.name));
        let log = std::fs::File::options().create(true).append(true).open(&log);
        let log = log.map_err(|error| io(folder.display(), &error))?;
        let errors = log.try_clone().map_err(|error| io(folder.display(), &error))?;
        let server = lab.command(&["serve"])?.stdout(log).stderr(errors).kill_on_drop(true).spawn();
        lab.server = Some(server.map_err(|error| io("tarn serve", &error))?);
        lab.wait_until_ready(folder).await?;
        if is_new {
            lab.fill(folder, number).await?;
            // Written last: what is there was made to its end.
            let text = serde_json::json!(lab.addresses).to_string();
            std::fs::write(&kept, text).map_err(|error| io(kept.display(), &error))?;
        }
        Ok(lab)
    }

    /// Makes its home, with addresses that stay.
    async fn make(&self) -> Result<(), Failure> {
        if !self.home.join("tarn.toml").exists() {
            self.tarn(&["init", "--lab", &self.name]).await?;
        }
        let config = self.home.join("tarn.toml");
        let wrong = |error: &std::io::Error| io(config.display(), error);
        let text = std::fs::read_to_string(&config).map_err(|error| wrong(&error))?;
        let Addresses { http, flight, door } = self.addresses;
        let mut lines = vec![format!("flight_url = \"http://{door}\"")];
        for line in text.lines().filter(|line| !line.starts_with("flight_url = ")) {
            lines.push(match line.split_once(" = ") {
                Some(("http", _)) => format!("http = \"{http}\""),
                Some(("flight", _)) => format!("flight = \"{flight}\""),
                _ => line.to_owned(),
            });
        }
        std::fs::write(&config, lines.join("\n")).map_err(|error| wrong(&error))
    }

    /// Gives it a public dataset.
    async fn fill(&self, folder: &Path, number: u32) -> Result<(), Failure> {
        let file = folder.join(format!("{}.nc", self.name));
        let record = folder.join(format!("{}.json", self.name));
        std::fs::write(&file, sample::netcdf(number))
            .map_err(|error| io(file.display(), &error))?;
        let text = sample::record(&self.name, &file.display().to_string()).to_string();
        std::fs::write(&record, text).map_err(|error| io(record.display(), &error))?;
        self.tarn(&["register", &record.display().to_string()]).await?;
        let file = file.display().to_string();
        self.tarn(&["ingest", &file, "--dataset", "sample", "--table", "sample"]).await.map(drop)
    }

    /// This program on the lab's home, without what the environment says of another.
    fn command(&self, args: &[&str]) -> Result<Command, Failure> {
        let program = std::env::current_exe().map_err(|error| io("this program", &error))?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TARN_") {
                command.env_remove(name);
            }
        }
        command.arg("--home").arg(&self.home).args(args).stdin(Stdio::null());
        Ok(command)
    }

    /// What a command prints.
    async fn tarn(&self, args: &[&str]) -> Result<String, Failure> {
        let ended = self.command(args)?.output().await.map_err(|error| io("tarn", &error))?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
        }
        let problem = String::from_utf8_lossy(&ended.stderr);
        let what = args.first().copied().unwrap_or_default();
        Err(Failure::new(
            ErrorCode::Internal,
            format!("{}: tarn {what} failed: {}", self.name, problem.trim()),
        ))
    }

    async fn wait_until_ready(&mut self, folder: &Path) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            let ended = self.server.as_mut().and_then(|server| server.try_wait().ok().flatten());
            if ended.is_some() || started.elapsed() > STARTING {
                return Err(Failure::new(
                    ErrorCode::Unavailable,
                    format!(
                        "{} did not start; {}/{0}.log says why. If a port is in use, choose another --folder",
                        self.name,
                        folder.display()
                    ),
                ));
            }
            if is_ready(self.addresses.http).await.unwrap_or(false) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn pid(&self) -> Option<u32> {
        self.server.as_ref().and_then(Child::id)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) {
            // One that is gone needs no signal.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Ends its server, whatever it takes: one that is frozen is woken first.
    async fn stop(&mut self) {
        self.signal(Signal::SIGCONT);
        self.signal(Signal::SIGTERM);
        let Some(mut server) = self.server.take() else { return };
        if tokio::time::timeout(ENDING, server.wait()).await.is_err()
            && let Err(error) = server.kill().await
        {
            tracing::warn!(lab = self.name, %error, "the server of a lab does not end");
        }
    }
}

impl Addresses {
    /// Ports of the loopback interface that nobody uses now.
    async fn free() -> Result<Self, Failure> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // Held together, so that they are three.
        let listeners = [listen(any).await?, listen(any).await?, listen(any).await?];
        let [http, flight, door] = listeners
            .each_ref()
            .map(|listener| listener.local_addr().map_err(|error| io("a free port", &error)));
        Ok(Self { http: http?, flight: flight?, door: door? })
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| io(path.display(), &error))?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(
                ErrorCode::InvalidData,
                format!("{}: {error}; choose another --folder", path.display()),
            )
        })
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| io(address, &error))
}

/// Whether a lab answers.
async fn is_ready(http: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(http).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
