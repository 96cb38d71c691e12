//! Serves the routes: HTTP/1.1, with limits on how long a client may take to say what it wants.

use super::client::ClientAddress;
use crate::doors::PATIENCE;
use crate::tls::SecureDoor;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures::TryStreamExt;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tower::Layer;

/// Longest pause within the body of a request.
const PAUSE: Duration = Duration::from_secs(30);
/// Longest time for the whole body of a request, which is small.
const BODY: Duration = Duration::from_secs(300);

/// A body that does not come.
#[derive(Debug, thiserror::Error)]
enum Stalled {
    /// Nothing for a while.
    #[error("the body of the request paused for {} s; send it again without a pause", PAUSE.as_secs())]
    Pause,
    /// Too little for long.
    #[error("the body of the request took more than {} s; send it faster", BODY.as_secs())]
    Slow,
    /// The connection.
    #[error(transparent)]
    Broken(axum::Error),
}

/// Serves until `stop`, then until the running answers have ended.
pub(crate) async fn serve(door: SecureDoor, routes: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut protocol = Builder::new(TokioExecutor::new()).http1_only();
    protocol.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    loop {
        let connection = tokio::select! {
            connection = door.accept() => connection,
            () = stop.cancelled() => break,
            // Connections that have ended are forgotten.
            Some(_) = connections.join_next() => continue,
        };
        let Ok(guest) = connection else { break };
        let (protocol, stop) = (protocol.clone(), stop.clone());
        let client = axum::Extension(ClientAddress::of(guest.peer()));
        let service = TowerToHyperService::new(client.layer(routes.clone()));
        connections.spawn(async move {
            let connection = match guest.secured().await {
                Ok(connection) => connection,
                Err(error) => return tracing::debug!(%error, "a handshake failed"),
            };
            let serving = protocol.serve_connection(TokioIo::new(connection), service);
            let mut serving = std::pin::pin!(serving);
            let served = tokio::select! {
                served = serving.as_mut() => served,
                () = stop.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(door);
    while connections.join_next().await.is_some() {}
}

/// Gives up on bodies that do not come.
pub(super) async fn patient(request: Request, next: Next) -> Response {
    let until = Instant::now() + BODY;
    let in_time = |body: Body| {
        let parts = body.into_data_stream().timeout(PAUSE).map(move |part| match part {
            Err(_) => Err(Stalled::Pause),
            Ok(_) if Instant::now() > until => Err(Stalled::Slow),
            Ok(part) => part.map_err(Stalled::Broken),
        });
        Body::from_stream(parts.into_stream())
    };
    // Most requests have none.
    let request = if axum::body::HttpBody::is_end_stream(request.body()) {
        request
    } else {
        request.map(in_time)
    };
    next.run(request).await
}
