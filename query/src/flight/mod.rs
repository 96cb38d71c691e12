//! The Flight door: Flight SQL for ADBC and JDBC, training streams, and what peers ask, on one port.

mod actions;
mod bind;
mod body;
mod changes;
mod direct;
mod encode;
mod identity;
mod machine;
mod message;
mod metadata;
mod parts;
mod pump;
mod reading;
mod routes;
mod seal;
mod service;
mod sessions;
mod sql;
mod statements;
mod status;
mod streams;

pub use identity::{PARTIAL_HEADER, VISITOR_HEADER};
pub use service::FlightDoor;
pub use status::to_status;

use direct::Direct;
use futures::Stream;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpIncoming};

/// Most bytes of one message from a client.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// How often an idle connection is probed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Serves Flight on a bound listener until `shutdown` resolves; then running calls may end.
pub async fn serve(
    listener: TcpListener,
    door: FlightDoor,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error> {
    let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
    serve_connections(connections, door, shutdown).await
}

/// Serves Flight on connections that somebody else accepts and limits.
pub async fn serve_connections<C>(
    connections: impl Stream<Item = io::Result<C>>,
    door: FlightDoor,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .add_service(Direct::new(door, MAX_REQUEST_BYTES))
        .serve_with_incoming_shutdown(connections, shutdown)
        .await
}
