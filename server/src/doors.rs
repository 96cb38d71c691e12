//! What all doors bear: connections that are many, silent or half open.

use crate::neighbours::{Neighbour, Neighbours};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Time in which the first bytes of a connection and the headers of a request have to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// Time that running answers have after the signal to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// Most connections of a door.
const CONNECTIONS: u64 = 1024;
/// Bytes by which a client shows that it speaks HTTP/2.
pub(crate) const PREFACE: usize = 24;
/// How long to wait when the system gives no more connections.
const EXHAUSTED: Duration = Duration::from_millis(250);

/// Connections that each door takes at once; more wait in the system's queue. A quarter of the files
/// that the process may open, which is raised as far as the system allows, so that queries find some.
pub(crate) fn connections() -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(CONNECTIONS, |(soft, hard)| {
        // Where it may not be raised, it stays.
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard)
    });
    usize::try_from((files / 4).clamp(16, CONNECTIONS)).unwrap_or(usize::MAX)
}

/// A listener that takes so many connections at once.
#[derive(Debug)]
pub(crate) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    greeting: usize,
    neighbours: Option<Neighbours>,
}

impl Door {
    /// A door with so many places. Who has not sent `greeting` bytes in time is sent away.
    pub(crate) fn new(listener: TcpListener, places: usize, greeting: usize) -> Self {
        let places = Arc::new(Semaphore::new(places));
        Self { listener, places, greeting, neighbours: None }
    }

    /// The door, at which connections of an address that has too many are closed: its clients speak no protocol yet
    /// in which they could be told.
    pub(crate) fn shared(self, neighbours: Neighbours) -> Self {
        Self { neighbours: Some(neighbours), ..self }
    }

    /// The next connection, when there is a place for it.
    pub(crate) async fn accept(&self) -> io::Result<Connection> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let neighbour = match &self.neighbours {
                        None => None,
                        Some(neighbours) => match neighbours.enter(Some(from.ip())) {
                            Some(neighbour) => Some(neighbour),
                            None => continue,
                        },
                    };
                    // Without it, answers only wait a little longer.
                    let _ = stream.set_nodelay(true);
                    let silent =
                        (self.greeting > 0).then(|| (self.greeting, Box::pin(sleep(PATIENCE))));
                    return Ok(Connection { stream, silent, _place: place, _neighbour: neighbour });
                }
                Err(error) if is_of_client(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection is accepted for a moment");
                    sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

/// Whether a client went before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// A connection that holds its place, and is closed if it says nothing at all.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes that have still to come, and until when.
    silent: Option<(usize, Pin<Box<Sleep>>)>,
    _place: OwnedSemaphorePermit,
    _neighbour: Option<Neighbour>,
}

impl Connection {
    /// Who is at the other end. None once they are gone.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.stream.peer_addr().ok().map(|address| address.ip())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some((missing, until)) = &mut self.silent else { return read };
        if read.is_pending() {
            return until
                .as_mut()
                .poll(context)
                .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client said nothing")));
        }
        *missing = missing.saturating_sub(buffer.filled().len().saturating_sub(before));
        if *missing == 0 {
            self.silent = None;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

/// Resolves some time after `stop`: what runs then is given up.
pub(crate) async fn grace(stop: &tokio_util::sync::CancellationToken) {
    stop.cancelled().await;
    sleep_until(Instant::now() + GRACE).await;
}
