//! Flight calls to one peer lab.
//!
//! Only the address that was stored when the labs became peers is ever called: endpoints' locations
//! are not followed, and the secret goes nowhere else. The person's own token never leaves this lab.

use super::error::{Failure, PeerError};
use super::wire::{FragmentTicket, Payload, VERSION, VISITOR};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, Ticket};
use futures::TryStreamExt;
use std::future::Future;
use std::time::Duration;
use tarn_connectors::authorities;
use tarn_schemas::LabName;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How often a silent connection is probed, and how long a probe may stay without answer. A query may
/// well compute for minutes before its first row, so silence alone is no failure.
const PROBE: Duration = Duration::from_secs(10);
/// Largest message a peer may send.
const LARGEST_MESSAGE: usize = 64 << 20;

/// A connection to one lab for one person. It opens at the first call. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection {
    lab: LabName,
    channel: Channel,
    /// `Bearer <secret>`; marked sensitive, so it is not printed.
    authorization: Option<MetadataValue<Ascii>>,
    visitor: Option<MetadataValue<Ascii>>,
    patience: Duration,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("lab", &self.lab).finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection to the Flight address of a lab; `patience` is the longest wait for the start of
    /// an answer. Must be called inside a Tokio runtime.
    pub(crate) fn new(
        lab: &LabName,
        flight: &str,
        secret: Option<&str>,
        visitor: Option<&str>,
        patience: Duration,
    ) -> Result<Self, PeerError> {
        let wrong = |problem: String| PeerError::new(lab, Failure::Unreachable, problem);
        let mut endpoint = Endpoint::from_shared(flight.to_owned())
            .map_err(|error| wrong(format!("its Flight address {flight:?} is no URL: {error}")))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PROBE)
            .keep_alive_timeout(PROBE)
            .keep_alive_while_idle(true);
        if flight.starts_with("https:") {
            endpoint = endpoint
                .tls_config(
                    ClientTlsConfig::new()
                        .ca_certificate(Certificate::from_pem(authorities::pem())),
                )
                .map_err(|error| wrong(format!("TLS to {flight}: {error}")))?;
        }
        let authorization = secret
            .map(|secret| {
                let mut value: MetadataValue<Ascii> =
                    format!("Bearer {secret}").parse().map_err(|_| {
                        wrong("the shared secret has characters no header may have".into())
                    })?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        // A name that no header can carry is not sent: the visitor is then anonymous, never another.
        let visitor = visitor.and_then(|name| name.parse().ok());
        Ok(Self {
            lab: lab.clone(),
            channel: endpoint.connect_lazy(),
            authorization,
            visitor,
            patience,
        })
    }

    fn client(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    fn request<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        if let Some(value) = &self.visitor {
            request.metadata_mut().insert(VISITOR, value.clone());
        }
        request
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, PeerError> {
        match tokio::time::timeout(self.patience, answer).await {
            Ok(answer) => answer.map_err(|status| self.error_of(&status)),
            Err(_) => Err(PeerError::new(
                &self.lab,
                Failure::TimedOut,
                format!("no answer within {} s", self.patience.as_secs()),
            )),
        }
    }

    fn error_of(&self, status: &Status) -> PeerError {
        // Only an error of the transport has a cause; its own text says no more than "transport error".
        let mut error = PeerError::of_status(&self.lab, status);
        let mut cause = std::error::Error::source(status);
        let mut last = None;
        while let Some(next) = cause {
            last = Some(next.to_string());
            cause = next.source();
        }
        if let Some(last) = last {
            error.failure = Failure::Unreachable;
            error.problem = last;
        }
        error
    }

    /// What an error of the Flight decoder means.
    pub(crate) fn error_of_stream(&self, error: &FlightError) -> PeerError {
        match error {
            FlightError::Tonic(status) => self.error_of(status),
            other => PeerError::new(&self.lab, Failure::Failed, other.to_string()),
        }
    }

    /// Runs an action with one answer.
    pub(crate) async fn action(&self, kind: &str, body: Vec<u8>) -> Result<Vec<u8>, PeerError> {
        let request = self.request(Action { r#type: kind.to_owned(), body: body.into() });
        let answer = self
            .in_time(async {
                let mut results = self.client().do_action(request).await?.into_inner();
                results.message().await
            })
            .await?;
        answer.map(|result| result.body.to_vec()).ok_or_else(|| {
            PeerError::new(&self.lab, Failure::Failed, format!("no answer to {kind}"))
        })
    }

    /// Runs an action whose request and answer are JSON.
    pub(crate) async fn call<T: serde::de::DeserializeOwned>(
        &self,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<T, PeerError> {
        let answer = self.action(kind, body).await?;
        serde_json::from_slice(&answer).map_err(|error| {
            PeerError::new(
                &self.lab,
                Failure::Failed,
                format!(
                    "its answer to {kind} cannot be read ({error}); does it run a much older Tarn?"
                ),
            )
        })
    }

    /// Starts a fragment.
    pub(crate) async fn fragment(
        &self,
        payload: &Payload,
    ) -> Result<FlightRecordBatchStream, PeerError> {
        let ticket = FragmentTicket { version: VERSION, payload: payload.clone() };
        let ticket = serde_json::to_vec(&ticket)
            .map_err(|error| PeerError::new(&self.lab, Failure::Failed, error.to_string()))?;
        let request = self.request(Ticket { ticket: ticket.into() });
        let stream =
            self.in_time(async { self.client().do_get(request).await }).await?.into_inner();
        Ok(FlightRecordBatchStream::new_from_flight_data(stream.map_err(FlightError::from)))
    }
}
