//! One answer of `DoGet`, frame by frame: HTTP/2 by itself, because a codec of gRPC would copy every body once more.

use crate::{Address, ClientError};
use arrow_flight::Ticket;
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{Ping, PingPong, RecvStream};
use http::{HeaderValue, Method, Request, StatusCode, Version, header};
use prost::Message as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::{Code, Status};

/// Longest wait for a connection, and for the answer to a probe.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may be silent before the connection is probed.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes on the way: a few batches of megabytes.
const WINDOW: u32 = 32 << 20;
/// The largest frame that HTTP/2 has (RFC 9113, 4.2), so that a body is one.
const FRAME: u32 = (1 << 24) - 1;
/// The path of the call.
const DO_GET: &str = "/arrow.flight.protocol.FlightService/DoGet";

/// The bytes of an answer, as they come. Dropped, its connection is closed.
#[derive(Debug)]
pub(crate) struct Answer {
    address: String,
    body: RecvStream,
    probe: Option<PingPong>,
    connection: JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Sends a ticket.
pub(crate) async fn get(
    address: &Address,
    tls: Option<&Arc<ClientConfig>>,
    token: Option<&HeaderValue>,
    ticket: &Ticket,
) -> Result<Answer, ClientError> {
    let lost = |problem: String| unreachable(address, problem);
    let connecting = TcpStream::connect((address.host(), address.port()));
    let socket = timeout(CONNECT, connecting)
        .await
        .map_err(|_| lost(format!("no connection within {} s", CONNECT.as_secs())))?
        .map_err(|error| lost(error.to_string()))?;
    // Without it, requests only wait a little longer.
    let _ = socket.set_nodelay(true);
    if !address.is_secret() {
        return ask(address, socket, token, ticket).await;
    }
    let name =
        ServerName::try_from(address.host().to_owned()).map_err(|error| lost(error.to_string()))?;
    let config = tls.ok_or_else(|| lost("no authorities are trusted".to_owned()))?;
    let shaken = timeout(CONNECT, TlsConnector::from(Arc::clone(config)).connect(name, socket));
    let secret = shaken
        .await
        .map_err(|_| lost("no handshake in time".to_owned()))?
        .map_err(|error| lost(error.to_string()))?;
    ask(address, secret, token, ticket).await
}

async fn ask<S>(
    address: &Address,
    socket: S,
    token: Option<&HeaderValue>,
    ticket: &Ticket,
) -> Result<Answer, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lost = |error: h2::Error| unreachable(address, error.to_string());
    let mut protocol = h2::client::Builder::new();
    protocol
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(FRAME)
        .enable_push(false);
    let (sender, mut connection): (SendRequest<Bytes>, _) =
        protocol.handshake(socket).await.map_err(lost)?;
    let probe = connection.ping_pong();
    // What ends a connection is heard by whoever reads its answer.
    let connection = tokio::spawn(async move { drop(connection.await) });
    let wrong = |error: http::Error| ClientError::malformed(&address.to_string(), error);
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("{}{DO_GET}", address.http()))
        .header(header::TE, "trailers")
        .header(header::CONTENT_TYPE, "application/grpc");
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, token),
        None => request,
    };
    let mut sender = sender.ready().await.map_err(lost)?;
    let (answer, mut body) =
        sender.send_request(request.body(()).map_err(wrong)?, false).map_err(lost)?;
    let mut message = BytesMut::new();
    message.put_u8(0);
    let length = u32::try_from(ticket.encoded_len())
        .map_err(|error| ClientError::malformed(&address.to_string(), error))?;
    message.put_u32(length);
    ticket
        .encode(&mut message)
        .map_err(|error| ClientError::malformed(&address.to_string(), error))?;
    body.send_data(message.freeze(), true).map_err(lost)?;
    match answer_of(address, answer).await {
        Ok(body) => Ok(Answer { address: address.to_string(), body, probe, connection }),
        Err(refused) => {
            connection.abort();
            Err(refused)
        }
    }
}

/// The body of an answer that is one of gRPC and no refusal.
async fn answer_of(
    address: &Address,
    answer: h2::client::ResponseFuture,
) -> Result<RecvStream, ClientError> {
    let (head, body) =
        answer.await.map_err(|error| unreachable(address, error.to_string()))?.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers)
        && status.code() != Code::Ok
    {
        return Err(ClientError::of(&address.to_string(), &status));
    }
    if head.status != StatusCode::OK {
        return Err(unreachable(address, format!("HTTP {}: no Flight service", head.status)));
    }
    Ok(body)
}

fn unreachable(address: &Address, problem: String) -> ClientError {
    ClientError::Unreachable { address: address.to_string(), problem }
}

impl Answer {
    /// The next bytes; none at the end of an answer that is whole.
    ///
    /// # Errors
    /// What the node said at its end, and [`ClientError::Unreachable`] where the connection ended or is dead.
    pub(crate) async fn data(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let next = match timeout(SILENCE, self.body.data()).await {
                Ok(next) => next,
                Err(_) => {
                    self.probe().await?;
                    continue;
                }
            };
            let Some(bytes) = next else { return self.end().await };
            let bytes = bytes.map_err(|error| self.lost(&error))?;
            self.body
                .flow_control()
                .release_capacity(bytes.len())
                .map_err(|error| self.lost(&error))?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    async fn end(&mut self) -> Result<Option<Bytes>, ClientError> {
        let trailers = self.body.trailers().await.map_err(|error| self.lost(&error))?;
        match trailers.as_ref().and_then(Status::from_header_map) {
            Some(status) if status.code() == Code::Ok => Ok(None),
            Some(status) => Err(ClientError::of(&self.address, &status)),
            None => Err(ClientError::Unreachable {
                address: self.address.clone(),
                problem: "the answer ended without a status".to_owned(),
            }),
        }
    }

    /// Whether the node is still there though it says nothing.
    async fn probe(&mut self) -> Result<(), ClientError> {
        let dead =
            |problem: String| ClientError::Unreachable { address: self.address.clone(), problem };
        let Some(probe) = &mut self.probe else { return Ok(()) };
        match timeout(CONNECT, probe.ping(Ping::opaque())).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(dead(error.to_string())),
            Err(_) => Err(dead(format!("nothing for {} s", (SILENCE + CONNECT).as_secs()))),
        }
    }

    fn lost(&self, error: &h2::Error) -> ClientError {
        ClientError::Unreachable { address: self.address.clone(), problem: error.to_string() }
    }
}
