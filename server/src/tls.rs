//! TLS of the doors, with certificates that may be renewed while the node runs.

use crate::doors::{Connection, Door, PATIENCE};
use crate::failure::{Failure, io};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io as stdio;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tarn_schemas::ErrorCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How often the files are looked at.
const RENEWAL: Duration = Duration::from_secs(10);
/// Connections that have shaken hands and wait to be served.
const READY: usize = 16;

/// `[tls]` of `tarn.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// PEM file with the node's certificate and those between it and an authority; relative to the home.
    pub(crate) certificate: PathBuf,
    /// PEM file with the key of the certificate; relative to the home.
    pub(crate) key: PathBuf,
}

/// Puts `TARN_TLS_…` in place of what the file says.
pub(crate) fn from_environment(
    table: &mut toml::Table,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    for key in ["certificate", "key"] {
        let Some(value) = environment(&format!("tls_{key}")).filter(|value| !value.is_empty())
        else {
            continue;
        };
        let tls = table.entry("tls").or_insert_with(|| toml::Table::new().into());
        let tls = tls.as_table_mut().ok_or("tls is no table: write [tls]")?;
        tls.insert(key.to_owned(), toml::Value::String(value));
    }
    Ok(())
}

/// The certificate of the node, as it is now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What makes connections secret.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    current: Arc<Current>,
    provider: Arc<CryptoProvider>,
    certificate: PathBuf,
    key: PathBuf,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A failure that names the file which is not there, cannot be read, or does not fit the other.
    pub(crate) fn new(home: &Path, config: &TlsConfig) -> Result<Self, Failure> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (certificate, key) = (home.join(&config.certificate), home.join(&config.key));
        let certified = certified(&certificate, &key, &provider)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        Ok(Self { current, provider, certificate, key })
    }

    /// Shakes hands for one protocol.
    pub(crate) fn acceptor(&self, protocol: &[u8]) -> Result<TlsAcceptor, Failure> {
        let wrong = |error: rustls::Error| Failure::new(ErrorCode::Internal, error.to_string());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?;
        let mut config = builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes up renewed certificates, for ever. Files that do not fit change nothing.
    pub(crate) async fn renew(self) {
        let mut seen = self.changed();
        loop {
            tokio::time::sleep(RENEWAL).await;
            let now = self.changed();
            if now == seen {
                continue;
            }
            seen = now;
            match certified(&self.certificate, &self.key, &self.provider) {
                Ok(certified) => {
                    *self.current.0.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::new(certified);
                    tracing::info!("the certificate was renewed");
                }
                Err(failure) => tracing::warn!(%failure, "the old certificate stays in use"),
            }
        }
    }

    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key]
            .map(|path| std::fs::metadata(path).and_then(|found| found.modified()).ok())
    }
}

fn certified(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Failure> {
    let wrong = |path: &Path, problem: String| {
        Failure::new(ErrorCode::InvalidArgument, format!("{}: {problem}", path.display()))
    };
    let read = |path: &Path| std::fs::read(path).map_err(|error| io(path.display(), &error));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(certificate, format!("is no PEM certificate: {error}")))?;
    if chain.is_empty() {
        return Err(wrong(certificate, "has no certificate (BEGIN CERTIFICATE)".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| wrong(key, format!("has no PEM key (BEGIN PRIVATE KEY): {error}")))?;
    if std::fs::metadata(key).is_ok_and(|found| found.permissions().mode() & 0o077 != 0) {
        let path = key.display();
        tracing::warn!("{path} can be read by others on this machine; chmod 600 {path}");
    }
    CertifiedKey::from_der(chain, secret, provider).map_err(|error| {
        let problem = format!("does not fit {}: {error}", certificate.display());
        wrong(key, problem)
    })
}

/// A door, with TLS or without.
pub(crate) struct SecureDoor {
    door: Door,
    acceptor: Option<TlsAcceptor>,
}

impl fmt::Debug for SecureDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureDoor").field("door", &self.door).finish_non_exhaustive()
    }
}

impl SecureDoor {
    /// A door that speaks `protocol` (its name in ALPN).
    pub(crate) fn new(door: Door, tls: Option<&Tls>, protocol: &[u8]) -> Result<Self, Failure> {
        Ok(Self { door, acceptor: tls.map(|tls| tls.acceptor(protocol)).transpose()? })
    }

    /// The next connection, before its handshake.
    pub(crate) async fn accept(&self) -> stdio::Result<Guest> {
        let connection = self.door.accept().await?;
        Ok(Guest { connection, acceptor: self.acceptor.clone() })
    }

    /// Connections after their handshakes, as they come; one that is slow holds up no other.
    pub(crate) fn secured(self) -> mpsc::Receiver<stdio::Result<Secured>> {
        let (sender, connections) = mpsc::channel(READY);
        tokio::spawn(async move {
            loop {
                let guest = tokio::select! {
                    guest = self.accept() => guest,
                    () = sender.closed() => break,
                };
                let Ok(guest) = guest else { break };
                let sender = sender.clone();
                tokio::spawn(async move {
                    match guest.secured().await {
                        // Nobody serves any more.
                        Ok(connection) => drop(sender.send(Ok(connection)).await),
                        Err(error) => tracing::debug!(%error, "a handshake failed"),
                    }
                });
            }
        });
        connections
    }
}

/// A connection before its handshake.
pub(crate) struct Guest {
    connection: Connection,
    acceptor: Option<TlsAcceptor>,
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Guest {
    /// Who is at the other end. None once they are gone.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.connection.peer()
    }

    /// Shakes hands, if the door has TLS.
    pub(crate) async fn secured(self) -> stdio::Result<Secured> {
        let Some(acceptor) = self.acceptor else {
            return Ok(Secured(Either::Left(self.connection)));
        };
        let shaken = tokio::time::timeout(PATIENCE, acceptor.accept(self.connection)).await;
        let shaken = shaken.map_err(|_| stdio::Error::from(stdio::ErrorKind::TimedOut))??;
        Ok(Secured(Either::Right(Box::new(shaken))))
    }
}

/// A connection that may be served.
#[derive(Debug)]
pub(crate) struct Secured(Either<Connection, Box<TlsStream<Connection>>>);

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<stdio::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<stdio::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[stdio::IoSlice<'_>],
    ) -> Poll<stdio::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<stdio::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<stdio::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl Connected for Secured {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        match &self.0 {
            Either::Left(plain) => plain.connect_info(),
            Either::Right(secret) => secret.get_ref().0.connect_info(),
        }
    }
}
