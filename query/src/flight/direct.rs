//! The service as the port has it: `DoGet` answers from the memory of its batches, and tonic does the rest.
//!
//! tonic encodes a message into memory of its own, which copies every row once more than it has to be.

use super::body::AnswerBody;
use super::message::HEAD;
use super::service::FlightDoor;
use super::status::refuse;
use arrow_flight::Ticket;
use arrow_flight::flight_service_server::FlightServiceServer;
use bytes::{Buf, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use prost::Message as _;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tarn_schemas::code::ErrorCode;
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tower::Service;

/// The path of the call that is answered here.
const DO_GET: &str = "/arrow.flight.protocol.FlightService/DoGet";
/// Time in which a ticket has to come.
const PATIENCE: Duration = Duration::from_secs(15);

/// The door with answers of its own.
#[derive(Debug, Clone)]
pub(crate) struct Direct {
    door: FlightDoor,
    others: FlightServiceServer<FlightDoor>,
    /// Most bytes of a ticket.
    most: usize,
}

impl Direct {
    /// The door; messages from clients have so many bytes at most.
    pub(crate) fn new(door: FlightDoor, most: usize) -> Self {
        let others = FlightServiceServer::new(door.clone()).max_decoding_message_size(most);
        Self { door, others, most }
    }
}

impl NamedService for Direct {
    const NAME: &'static str = <FlightServiceServer<FlightDoor> as NamedService>::NAME;
}

impl Service<Request<Body>> for Direct {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.others, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != DO_GET || !is_grpc(&request) {
            return self.others.call(request);
        }
        let (door, most) = (self.door.clone(), self.most);
        Box::pin(
            async move { Ok(answer(&door, request, most).await.unwrap_or_else(Status::into_http)) },
        )
    }
}

/// Whether a request is one of gRPC; tonic knows what to say to others.
fn is_grpc(request: &Request<Body>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    request.method() == Method::POST
        && kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

async fn answer(
    door: &FlightDoor,
    request: Request<Body>,
    most: usize,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let ticket = timeout(PATIENCE, ticket(&parts.headers, body, most)).await.map_err(|_| {
        refuse(ErrorCode::InvalidArgument, "the ticket of the call did not come in time")
    })??;
    let metadata = MetadataMap::from_headers(parts.headers);
    let messages = door.get(&metadata, &ticket.ticket).await?;
    let mut response = Response::new(Body::new(AnswerBody::new(messages)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// The one message of a request.
async fn ticket(headers: &HeaderMap, mut body: Body, most: usize) -> Result<Ticket, Status> {
    if headers.get_all("grpc-encoding").iter().any(|encoding| encoding != "identity") {
        return Err(Status::unimplemented("a ticket is not taken compressed"));
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { break };
        if bytes.len().saturating_add(data.len()) > most {
            let problem = format!("a ticket has {most} bytes at most");
            return Err(refuse(ErrorCode::InvalidArgument, problem));
        }
        bytes.extend_from_slice(&data);
    }
    let malformed =
        || refuse(ErrorCode::InvalidArgument, "the call has no ticket, or more than one");
    let mut bytes: Bytes = bytes.freeze();
    if bytes.len() < HEAD || bytes.get_u8() != 0 {
        return Err(malformed());
    }
    let length = bytes.get_u32();
    if u32::try_from(bytes.len()) != Ok(length) {
        return Err(malformed());
    }
    Ticket::decode(bytes).map_err(|_| malformed())
}
