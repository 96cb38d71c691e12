//! The door for clients of PostgreSQL: connections, and TLS where they ask for it.

use crate::doors::{Door, PATIENCE};
use crate::failure::Failure;
use crate::neighbours::Neighbours;
use crate::tls::Tls;
use std::io;
use tarn_query::postgres::{Greeting, PostgresDoor, Startup, crowded, greeting, turn_away};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Serves until `stop`, then until the running answers have ended.
pub(crate) async fn serve(
    listener: Door,
    tls: Option<&Tls>,
    (door, neighbours): (PostgresDoor, Neighbours),
    stop: CancellationToken,
) -> Result<(), Failure> {
    let acceptor = tls.map(|tls| tls.acceptor(b"postgresql")).transpose()?;
    let mut connections = JoinSet::new();
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = stop.cancelled() => break,
            // Connections that have ended are forgotten.
            Some(_) = connections.join_next() => continue,
        };
        let Ok(mut connection) = connection else { break };
        let address = connection.peer().map(|peer| peer.to_canonical());
        let place = neighbours.enter(address);
        let (door, acceptor, stop) = (door.clone(), acceptor.clone(), stop.clone());
        connections.spawn(async move {
            let Some(_place) = place else {
                let refusal = crowded("from this address");
                // Who does not read it is not waited for.
                let _ = timeout(PATIENCE, turn_away(&mut connection, &refusal)).await;
                return;
            };
            // What nobody else on the machine's network sees.
            let near = address.is_some_and(|address| address.is_loopback());
            if let Err(error) = one(connection, acceptor, near, &door, stop).await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Serves one client.
async fn one<C>(
    mut connection: C,
    acceptor: Option<TlsAcceptor>,
    near: bool,
    door: &PostgresDoor,
    stop: CancellationToken,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let begun = timeout(PATIENCE, begin(&mut connection, acceptor.is_some(), door)).await;
    match begun.map_err(late)?? {
        Begun::Startup(startup) => door.serve(connection, startup, near, stop).await,
        Begun::Secret => {
            let Some(acceptor) = acceptor else { return Ok(()) };
            let shaken = timeout(PATIENCE, acceptor.accept(connection)).await;
            let mut secret = shaken.map_err(late)??;
            let begun = timeout(PATIENCE, begin(&mut secret, false, door)).await;
            match begun.map_err(late)?? {
                Begun::Startup(startup) => door.serve(secret, startup, true, stop).await,
                Begun::Secret | Begun::Over => Ok(()),
            }
        }
        Begun::Over => Ok(()),
    }
}

/// What a client wants.
enum Begun {
    /// To come in.
    Startup(Startup),
    /// To shake hands first.
    Secret,
    /// Nothing more.
    Over,
}

/// Asks each question of a client at most once.
async fn begin<C>(connection: &mut C, tls: bool, door: &PostgresDoor) -> io::Result<Begun>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    const YES: &[u8] = b"S";
    const NO: &[u8] = b"N";
    let (mut asked_tls, mut asked_gss) = (false, false);
    loop {
        match greeting(connection).await {
            Ok(Greeting::Tls) if !asked_tls => {
                asked_tls = true;
                connection.write_all(if tls { YES } else { NO }).await?;
                connection.flush().await?;
                if tls {
                    return Ok(Begun::Secret);
                }
            }
            Ok(Greeting::Gss) if !asked_gss => {
                asked_gss = true;
                connection.write_all(NO).await?;
                connection.flush().await?;
            }
            Ok(Greeting::Cancel { process, secret }) => {
                door.cancel(process, secret);
                return Ok(Begun::Over);
            }
            Ok(Greeting::Startup(startup)) => return Ok(Begun::Startup(startup)),
            Ok(Greeting::Tls | Greeting::Gss) => return Ok(Begun::Over),
            Err(refusal) => {
                turn_away(connection, &refusal).await?;
                return Ok(Begun::Over);
            }
        }
    }
}
