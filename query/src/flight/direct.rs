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
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body as _;
use prost::Message as _;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tarn_schemas::code::ErrorCode;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tower::Service;

/// The path of the call that is answered here.
const DO_GET: &str = "/arrow.flight.protocol.FlightService/DoGet";
/// Most bytes of a ticket.
const MOST_TICKET: usize = 1 << 20;

/// The door with answers of its own.
#[derive(Debug, Clone)]
pub(crate) struct Direct {
    door: FlightDoor,
    others: FlightServiceServer<FlightDoor>,
}

impl Direct {
    /// The door; messages from clients have so many bytes at most.
    pub(crate) fn new(door: FlightDoor, most: usize) -> Self {
        let others = FlightServiceServer::new(door.clone()).max_decoding_message_size(most);
        Self { door, others }
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
        if request.uri().path() != DO_GET {
            return self.others.call(request);
        }
        let door = self.door.clone();
        Box::pin(async move { Ok(answer(&door, request).await.unwrap_or_else(Status::into_http)) })
    }
}

async fn answer(door: &FlightDoor, request: Request<Body>) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let ticket = ticket(&parts.headers, body).await?;
    let metadata = MetadataMap::from_headers(parts.headers);
    let messages = door.get(&metadata, &ticket.ticket).await?;
    let mut response = Response::new(Body::new(AnswerBody::new(messages)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// The one message of a request.
async fn ticket(headers: &HeaderMap, mut body: Body) -> Result<Ticket, Status> {
    if headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err(Status::unimplemented("a ticket is not taken compressed"));
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { break };
        if bytes.len().saturating_add(data.len()) > MOST_TICKET {
            return Err(refuse(ErrorCode::InvalidArgument, "a ticket has a MiB at most"));
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
