//! `tarn doctor`

use super::{Context, Outcome};
use crate::cli::Doctor;
use crate::config::Config;
use crate::failure::Failure;
use crate::home::{Home, folder};
use crate::output::text_table;
use crate::tls::Tls;
use serde::Serialize;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tarn_connectors::{Location, StoreError};
use tarn_query::federation::peers;
use tarn_schemas::ErrorCode;
use tokio::net::{TcpListener, TcpStream};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Free bytes below which a disk is called full soon.
const LITTLE: u64 = 1 << 30;
/// Writable by others than the owner.
const OTHERS_WRITE: u32 = 0o022;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Good,
    /// It works, and may not for long, or for everybody.
    Warning,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    what: String,
    state: State,
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn good(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Good, found: found.into(), fix: None }
    }

    fn warning(what: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), state: State::Warning, ..Self::good(what, found) }
    }

    fn bad(what: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Bad, ..Self::warning(what, found, fix) }
    }
}

/// Looks at everything that a node needs, and changes nothing.
pub(crate) async fn run(context: &Context, _args: &Doctor) -> Result<(), Outcome> {
    let checks = checks(context).await?;
    let bad = checks.iter().any(|check| check.state == State::Bad);
    if context.json {
        say!("{}", serde_json::json!(checks));
    } else {
        let rows = checks.iter().map(|check| {
            let state = match check.state {
                State::Good => "good",
                State::Warning => "look",
                State::Bad => "BAD",
            };
            let fix = check.fix.as_ref().map(|fix| format!(": {fix}")).unwrap_or_default();
            vec![state.to_owned(), check.what.clone(), format!("{}{fix}", check.found)]
        });
        say_part!("{}", text_table(&["", "what", "found"], rows));
    }
    if bad { Err(Outcome::Exit(ErrorCode::Internal.exit_code())) } else { Ok(()) }
}

async fn checks(context: &Context) -> Result<Vec<Check>, Failure> {
    let (place, _) = folder(context.home.as_deref())?;
    let mut checks = vec![rights(&place)];
    let config = match Config::load(&place) {
        Ok(config) => config,
        Err(failure) => {
            checks.push(Check::bad("tarn.toml", failure.to_string(), "correct it, or `tarn init`"));
            return Ok(checks);
        }
    };
    checks.push(Check::good("tarn.toml", format!("lab {}", config.lab)));
    checks.push(space(&place));
    for (door, key, address) in [("HTTP", "http", config.http), ("Flight", "flight", config.flight)]
    {
        checks.push(door_of(door, key, address).await);
    }
    if let Some(tls) = &config.tls {
        checks.push(match Tls::new(&place, tls).and_then(|tls| tls.acceptor(b"h2").map(drop)) {
            Ok(()) => Check::good("TLS", "the certificate and its key fit"),
            Err(failure) => Check::bad("TLS", failure.to_string(), "see docs/operator.md"),
        });
    } else if !config.http.ip().is_loopback() || !config.flight.ip().is_loopback() {
        checks.push(Check::warning(
            "TLS",
            "doors are open to other machines, and what goes through them can be read on the way",
            "set [tls] in tarn.toml, or stand behind a proxy that has it",
        ));
    }
    checks.extend(issuers(&config, &place).await);
    let home = match Home::open(Some(&place)).await {
        Ok(home) => home,
        Err(failure) => {
            let fix =
                "nothing else can be looked at without it; `tarn restore` makes a home of a backup";
            checks.push(Check::bad("catalog", failure.to_string(), fix));
            return Ok(checks);
        }
    };
    checks.push(catalog(&home).await);
    checks.push(within("store", home.stores.try_writing(&home.store)).await);
    for (name, store) in &home.config.stores {
        let what = format!("stores.{name}");
        checks.push(match Location::parse(&store.url) {
            Ok(location) => within(&what, home.stores.try_reading(&location)).await,
            Err(error) => Check::bad(&what, error.to_string(), "correct its url in tarn.toml"),
        });
    }
    checks.extend(peers_of(&home).await?);
    Ok(checks)
}

/// Nobody else may write into a home: what is there decides who reads what.
fn rights(place: &Path) -> Check {
    match std::fs::metadata(place) {
        Err(error) => Check::bad(
            "home",
            format!("{}: {error}", place.display()),
            "`tarn init` makes one; --home or TARN_HOME says where it is",
        ),
        Ok(found) if found.permissions().mode() & OTHERS_WRITE != 0 => Check::warning(
            "home",
            format!("{}: others may write into it", place.display()),
            format!("chmod go-w {}", place.display()),
        ),
        Ok(_) => Check::good("home", place.display().to_string()),
    }
}

fn space(place: &Path) -> Check {
    match rustix::fs::statvfs(place) {
        Err(error) => Check::bad("disk", error.to_string(), "look at the disk of the home"),
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let told = format!("{} MiB free", free >> 20);
            if free < LITTLE {
                let fix =
                    "make room: writing stops when it is full, and nothing that is there is lost";
                Check::warning("disk", told, fix)
            } else {
                Check::good("disk", told)
            }
        }
    }
}

/// Whether a node listens there, or could.
async fn door_of(door: &str, key: &str, address: SocketAddr) -> Check {
    let running = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
    if matches!(running, Ok(Ok(_))) {
        return Check::good(door, format!("{address}: something listens"));
    }
    match TcpListener::bind(address).await {
        Ok(_) => Check::good(door, format!("{address}: free; `tarn serve` is not running")),
        Err(error) => Check::bad(
            door,
            format!("{address}: {error}"),
            format!("choose another address by `{key}` in tarn.toml"),
        ),
    }
}

async fn issuers(config: &Config, place: &Path) -> Vec<Check> {
    let issuers = match config.issuers(place) {
        Ok(issuers) => issuers,
        Err(failure) => {
            return vec![Check::bad("issuers", failure.to_string(), "see docs/login.md")];
        }
    };
    let mut checks = Vec::new();
    for issuer in issuers.all() {
        let what = format!("issuer {}", issuer.config().name);
        checks.push(match issuer.names_itself().await {
            Ok(_) => Check::good(what, "its metadata are there"),
            Err(error) => {
                Check::bad(&what, error.to_string(), "nobody can log in by it until it answers")
            }
        });
    }
    checks
}

async fn catalog(home: &Home) -> Check {
    let owner = tarn_schemas::Principal::Owner;
    match home.catalog.datasets(&owner).await {
        Ok(datasets) => Check::good(
            "catalog",
            format!("{} datasets; `tarn audit verify` proves its log", datasets.len()),
        ),
        Err(error) => Check::bad("catalog", error.to_string(), "look at its database"),
    }
}

/// What a question of a store gives, in bounded time.
async fn within(what: &str, question: impl Future<Output = Result<(), StoreError>>) -> Check {
    let fix = "see `store` and [stores] in tarn.toml, and the credentials in the environment";
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(Ok(())) => Check::good(what, "answers"),
        Ok(Err(error)) => Check::bad(what, error.to_string(), fix),
        Err(_) => Check::bad(what, format!("no answer within {} s", PATIENCE.as_secs()), fix),
    }
}

async fn peers_of(home: &Home) -> Result<Vec<Check>, Failure> {
    let statuses = peers::status(&home.catalog, false).await?;
    let checks = statuses.into_iter().map(|status| {
        let what = format!("peer {}", status.lab);
        if status.reachable {
            return Check::good(what, format!("answers in {} ms", status.ms));
        }
        let fix = "its part of answers is missing until it answers; `tarn peer status` asks again";
        Check::warning(&what, status.error.unwrap_or_default(), fix)
    });
    Ok(checks.collect())
}
