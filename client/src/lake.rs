//! A node, as a client knows it.

use crate::transport::{self, Answer};
use crate::{Address, BatchStream, ClientError, Request};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightDescriptor, FlightInfo, Ticket};
use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a silent connection is probed, and how long a probe may stay without answer.
const PROBE: Duration = Duration::from_secs(10);

/// A node and who asks it. It connects when it is first asked; cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    address: Address,
    token: Option<Token>,
    tls: Option<(Arc<ClientConfig>, ClientTlsConfig)>,
}

/// A token as both ways of asking take it; marked so that it is not printed.
#[derive(Debug, Clone)]
struct Token {
    header: HeaderValue,
    metadata: MetadataValue<Ascii>,
}

impl Lake {
    /// A node, asked with a token, or by a stranger.
    ///
    /// # Errors
    /// [`ClientError::Request`] for a token that no header can carry.
    pub fn new(address: Address, token: Option<&str>) -> Result<Self, ClientError> {
        let unfit =
            || ClientError::Request("the token has characters that no header may have".to_owned());
        let token = token.map(|token| {
            let bearer = format!("Bearer {token}");
            let mut header = HeaderValue::try_from(&bearer).map_err(|_| unfit())?;
            header.set_sensitive(true);
            let mut metadata: MetadataValue<Ascii> = bearer.parse().map_err(|_| unfit())?;
            metadata.set_sensitive(true);
            Ok(Token { header, metadata })
        });
        Ok(Self { address, token: token.transpose()?, tls: None })
    }

    /// The node, whose certificate one of these authorities (PEM) has to have signed: without any, no secret connection
    /// is made.
    ///
    /// # Errors
    /// [`ClientError::Request`] for what is no certificate.
    pub fn trusting(self, authorities: &[u8]) -> Result<Self, ClientError> {
        let unfit = |error: &dyn std::fmt::Display| {
            ClientError::Request(format!("the authorities cannot be used: {error}"))
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities) {
            let certificate = certificate.map_err(|error| unfit(&error))?;
            // One that is unusual is no reason to trust none of the others.
            let _ = roots.add(certificate);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unfit(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let pem = Certificate::from_pem(authorities);
        let of_tonic = ClientTlsConfig::new().ca_certificate(pem);
        Ok(Self { tls: Some((Arc::new(config), of_tonic)), ..self })
    }

    /// Where the node is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Asks for a stream.
    ///
    /// # Errors
    /// What the node refuses, and where it cannot be reached.
    pub async fn stream(&self, request: Request) -> Result<BatchStream, ClientError> {
        BatchStream::open(self.clone(), request).await
    }

    /// What a stream would be.
    pub(crate) async fn plan(&self, request: &Request) -> Result<FlightInfo, ClientError> {
        let descriptor = FlightDescriptor::new_cmd(request.command());
        let info = self.service()?.get_flight_info(self.signed(descriptor)).await;
        Ok(info.map_err(|status| ClientError::of(&self.address.to_string(), &status))?.into_inner())
    }

    /// Opens an answer.
    pub(crate) async fn get(&self, ticket: &Ticket) -> Result<Answer, ClientError> {
        let token = self.token.as_ref().map(|token| &token.header);
        let tls = self.tls.as_ref().map(|(config, _)| config);
        transport::get(&self.address, tls, token, ticket).await
    }

    /// The receipt of a stream that was read to its end.
    pub(crate) async fn receipt(&self, ticket: &Ticket) -> Result<Value, ClientError> {
        let address = self.address.to_string();
        let action = Action::new("tarn.stream.receipt", ticket.ticket.clone());
        let of = |status: &tonic::Status| ClientError::of(&address, status);
        let answer = self.service()?.do_action(self.signed(action)).await;
        let mut answer = answer.map_err(|status| of(&status))?.into_inner();
        let answer = answer.message().await.map_err(|status| of(&status))?;
        let answer = answer.ok_or_else(|| ClientError::malformed(&address, "no receipt"))?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| ClientError::malformed(&address, error))
    }

    fn service(&self) -> Result<FlightServiceClient<Channel>, ClientError> {
        let wrong = |error: tonic::transport::Error| ClientError::Unreachable {
            address: self.address.to_string(),
            problem: error.to_string(),
        };
        let mut endpoint = Endpoint::from_shared(self.address.http())
            .map_err(wrong)?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PROBE)
            .keep_alive_timeout(PROBE);
        if self.address.is_secret() {
            let tls = self.tls.as_ref().map(|(_, tls)| tls.clone()).unwrap_or_default();
            endpoint = endpoint.tls_config(tls).map_err(wrong)?;
        }
        Ok(FlightServiceClient::new(endpoint.connect_lazy()))
    }

    fn signed<T>(&self, body: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(body);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.metadata.clone());
        }
        request
    }
}
