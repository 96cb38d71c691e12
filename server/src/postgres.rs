//! The door for clients of PostgreSQL: connections, and TLS where they ask for it.

use crate::doors::{Door, PATIENCE};
use crate::failure::Failure;
use crate::tls::Tls;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// How many connections come from where, so that no address has all places.
#[derive(Debug, Clone)]
pub(crate) struct Neighbours {
    most: usize,
    all: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection of an address, until it is dropped.
#[derive(Debug)]
struct Neighbour(Neighbours, IpAddr);

impl Neighbours {
    /// Of so many places an address has half.
    pub(crate) fn of(places: usize) -> Self {
        Self { most: places.div_ceil(2), all: Arc::default() }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for another connection of an address; none where it has too many, or has gone already.
    fn enter(&self, address: Option<IpAddr>) -> Option<Neighbour> {
        let address = address?;
        let mut all = self.all();
        let count = all.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count = count.saturating_add(1);
        drop(all);
        Some(Neighbour(self.clone(), address))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let mut all = self.0.all();
        if let Some(count) = all.get_mut(&self.1) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                all.remove(&self.1);
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_has_all_places_and_a_place_is_given_back() {
        let neighbours = Neighbours::of(4);
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        let two = (neighbours.enter(Some(here)), neighbours.enter(Some(here)));
        assert!(two.0.is_some() && two.1.is_some() && neighbours.enter(Some(here)).is_none());
        assert!(neighbours.enter(Some(there)).is_some() && neighbours.enter(None).is_none());
        drop(two);
        assert!(neighbours.enter(Some(here)).is_some());
        assert!(neighbours.all().is_empty());
    }
}
