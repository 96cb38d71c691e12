//! `tarn serve`

use super::{Context, Outcome};
use crate::doors::{self, Door, GRACE, PREFACE};
use crate::failure::Failure;
use crate::home::Home;
use crate::http;
use crate::local::LocalDoor;
use crate::maker::Maker;
use crate::neighbours::Neighbours;
use crate::registrar;
use crate::tls::{SecureDoor, Tls};
use crate::writing;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tarn_catalog::Catalog;
use tarn_query::Engine;
use tarn_query::federation;
use tarn_query::flight::{self, FlightDoor};
use tarn_schemas::ErrorCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How often the audit log is signed where something was added.
const SIGNING: Duration = Duration::from_secs(10);

/// Serves HTTP and Flight until Ctrl-C or SIGTERM; running answers have some seconds to end.
pub(crate) async fn run(context: &Context) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    home.catalog.accept_logins_of(home.config.issuers(&home.folder)?);
    let engine = home.engine()?;
    let http_listener = listen("HTTP", "TARN_HTTP", home.config.http).await?;
    let flight_listener = listen("Flight", "TARN_FLIGHT", home.config.flight).await?;
    let clients = listen_for_postgres(home.config.postgres).await?;
    let local = home.config.flight_unix.as_ref().map(|path| home.folder.join(path));
    let local = local.map(LocalDoor::open).transpose()?;
    let stop = CancellationToken::new();
    let registrar = registrar::of(&home)?;

    let tls = home.config.tls.as_ref().map(|tls| Tls::new(&home.folder, tls)).transpose()?;
    let (web, grpc) = if tls.is_some() { ("https", "grpc+tls") } else { ("http", "grpc") };
    context.note(format_args!(
        "{} serves HTTP on {web}://{} and Flight on {grpc}://{}; stop with Ctrl-C",
        home.catalog.lab(),
        home.config.http,
        home.config.flight
    ));
    if let Some(address) = home.config.postgres {
        context.note(format_args!("clients of PostgreSQL are served on postgres://{address}"));
    }
    let doors = [Some(home.config.http), Some(home.config.flight), home.config.postgres];
    let open = doors.iter().flatten().any(|door| !door.ip().is_loopback());
    if open && tls.is_none() {
        tracing::warn!(
            "the node can be reached from other machines, in clear text: tokens and rows can be read on the \
             way; set [tls] in tarn.toml, or let a proxy with TLS stand before it"
        );
    }
    let places = doors::connections();
    // An eighth is left to others, whoever asks most: a proxy, or a host that trains, is one address.
    let most = places.saturating_sub(places.div_ceil(8));
    let pages = http::serve(
        SecureDoor::new(
            Door::new(http_listener, places, 0).shared(Neighbours::of(most)),
            tls.as_ref(),
            b"http/1.1",
        )?,
        http::router(
            engine.clone(),
            home.catalog.clone(),
            (home.stores.clone(), home.store.clone()),
            http::Addresses {
                http: home.config.public_http(),
                flight: home.config.public_flight(),
            },
            home.config.session_hours,
            registrar.clone(),
        ),
        stop.clone(),
    );
    tokio::spawn(stop.clone().run_until_cancelled_owned(federation::follow(engine.clone())));
    let maker = Arc::new(Maker::new(&home));
    let of_postgres = (engine.clone(), Arc::clone(&maker));
    let clients = serve_postgres(clients, of_postgres, (tls.clone(), places), stop.clone());
    let flights = Door::new(flight_listener, places, PREFACE).shared(Neighbours::of(most));
    let flights = SecureDoor::new(flights, tls.as_ref(), b"h2")?.secured();
    let flights = tokio_stream::wrappers::ReceiverStream::new(flights);
    let door = FlightDoor::changing(engine, maker);
    let local = {
        let (door, stop) = (door.clone(), stop.clone());
        async move {
            match local {
                Some(local) => local.serve(door, stop).await,
                None => Ok(()),
            }
        }
    };
    let streams = flight::serve_connections(flights, door, stop.clone().cancelled_owned());
    if let Some(tls) = tls {
        tokio::spawn(stop.clone().run_until_cancelled_owned(tls.renew()));
    }
    let stopper = stop.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        stopper.cancel();
    });
    let (catalog, stores) = (home.catalog.clone(), home.stores.clone());
    tokio::spawn(async move { writing::sweep(&catalog, &stores).await });
    tokio::spawn(stop.clone().run_until_cancelled_owned(sign_heads(home.catalog.clone())));
    tokio::spawn(stop.clone().run_until_cancelled_owned(publish(home.catalog.clone())));
    if let Some(registrar) = registrar {
        let (catalog, base) = (home.catalog.clone(), home.config.public_http());
        let work = registrar::work(catalog, registrar, base);
        tokio::spawn(stop.clone().run_until_cancelled_owned(work));
    }
    let all = async {
        tokio::join!(
            async {
                pages.await;
                stop.cancel();
            },
            async {
                let done = streams.await;
                stop.cancel();
                done
            },
            clients,
            local
        )
    };
    let ((), streams, clients, local) = tokio::select! {
        done = all => done,
        () = doors::grace(&stop) => {
            tracing::warn!("answers that run for more than {} s after the signal are cut", GRACE.as_secs());
            return Ok(());
        }
    };
    streams.map_err(|e| Failure::new(ErrorCode::Unavailable, format!("Flight: {e}")))?;
    clients?;
    local?;
    Ok(())
}

/// The listener for clients of PostgreSQL, if the home has an address for them.
#[cfg(feature = "postgres")]
async fn listen_for_postgres(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Failure> {
    match address {
        Some(address) => listen("Postgres", "TARN_POSTGRES", address).await.map(Some),
        None => Ok(None),
    }
}

/// A build without the door says so, rather than leave clients before a closed one.
#[cfg(not(feature = "postgres"))]
fn listen_for_postgres(
    address: Option<SocketAddr>,
) -> std::future::Ready<Result<Option<TcpListener>, Failure>> {
    std::future::ready(match address {
        Some(address) => Err(Failure::new(
            ErrorCode::InvalidArgument,
            format!(
                "postgres is {address}, and this build of tarn has no door for clients of PostgreSQL: build it with \
                 `make build FEATURES=tarn/postgres`, or take `postgres` out of tarn.toml and TARN_POSTGRES out of the \
                 environment"
            ),
        )),
        None => Ok(None),
    })
}

/// Serves clients of PostgreSQL, if there is a listener for them.
#[cfg(feature = "postgres")]
fn serve_postgres(
    listener: Option<TcpListener>,
    (engine, maker): (Engine, Arc<Maker>),
    (tls, places): (Option<Tls>, usize),
    stop: CancellationToken,
) -> impl Future<Output = Result<(), Failure>> + use<> {
    use crate::postgres::serve;
    let door = tarn_query::postgres::PostgresDoor::new(engine, maker, places);
    async move {
        match listener {
            Some(listener) => {
                let listener = Door::new(listener, places, 0);
                serve(listener, tls.as_ref(), (door, Neighbours::of(places.div_ceil(2))), stop)
                    .await
            }
            None => Ok(()),
        }
    }
}

/// There is nothing to serve in a build without the door.
#[cfg(not(feature = "postgres"))]
fn serve_postgres(
    _listener: Option<TcpListener>,
    _engine: (Engine, Arc<Maker>),
    _tls: (Option<Tls>, usize),
    _stop: CancellationToken,
) -> impl Future<Output = Result<(), Failure>> + use<> {
    std::future::ready(Ok(()))
}

async fn listen(door: &str, variable: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let problem = match error.kind() {
            std::io::ErrorKind::AddrInUse => "the port is in use by another program".to_owned(),
            _ => error.to_string(),
        };
        let key = door.to_lowercase();
        Failure::new(
            ErrorCode::Conflict,
            format!("{door} on {address}: {problem}; choose another with {variable}=127.0.0.1:PORT or `{key}` in tarn.toml"),
        )
    })
}

/// Signs the state of the audit log again and again, so that what was there cannot be rewritten
/// unnoticed later on.
async fn sign_heads(catalog: Catalog) {
    loop {
        if let Err(error) = catalog.audit_head().await {
            tracing::warn!(%error, "the audit log is not signed");
        }
        tokio::time::sleep(SIGNING).await;
    }
}

/// How often policies that speak of the time are asked again what everyone may see.
const LOOKING: Duration = Duration::from_secs(300);

/// Tells harvesters what new policies of the lab show and hide, and what those do that speak of the time.
async fn publish(catalog: Catalog) {
    loop {
        publish_once(&catalog).await;
        if !catalog.policies_heed_time() {
            return;
        }
        tokio::time::sleep(LOOKING).await;
    }
}

async fn publish_once(catalog: &Catalog) {
    match catalog.publish_by_policies().await {
        Ok(0) => {}
        Ok(changed) => {
            tracing::info!(changed, "records that everyone may see were decided by new policies");
        }
        Err(error) => {
            tracing::warn!(%error, "which records everyone may see is not decided by new policies; \
                                    it is tried again when the node starts");
        }
    }
}

/// Returns at Ctrl-C or SIGTERM.
pub(super) async fn wait_for_signal() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be watched");
            // Ctrl-C still stops the server.
            let _ = interrupt.await;
        }
    }
}
