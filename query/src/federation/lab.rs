//! What this lab knows of a peer: the connection and the peer's tables.
//!
//! Table lists are asked for when a session starts, all labs at once, and kept: for half a minute in
//! memory, and in the catalog so that planning works while a lab is away. What one visitor may know,
//! another may not: lists are kept by visitor.

use super::client::Connection;
use super::error::{Failure, PeerError};
use super::sites::now;
use super::wire::{TABLES, TableInfo, TablesAnswer, VERSION};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tarn_catalog::{Catalog, Peer};
use tarn_schemas::{LabName, Principal};

/// How long a list counts as current.
const FRESH: Duration = Duration::from_secs(30);
/// How long a lab that did not answer is left alone before a session tries it again.
const QUIET: Duration = Duration::from_secs(5);
/// Most lists in memory, and most visitors' lists of one lab in the catalog.
const MOST_LISTS: usize = 256;

/// What a lab said of its tables, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Listing {
    answer: TablesAnswer,
    as_of: String,
}

impl Listing {
    pub(crate) fn new(answer: TablesAnswer) -> Self {
        Self { answer, as_of: now() }
    }

    /// Number of tables.
    pub(crate) fn tables(&self) -> usize {
        self.answer.tables.len()
    }

    /// When it was told, RFC 3339.
    pub(crate) fn as_of(&self) -> &str {
        &self.as_of
    }
}

/// A peer lab as one session sees it.
#[derive(Debug)]
pub(crate) struct KnownLab {
    lab: LabName,
    connection: Connection,
    listing: Option<Arc<Listing>>,
    problem: Option<PeerError>,
    key: CacheKey,
}

impl KnownLab {
    /// A lab with what is known of it.
    pub(crate) fn new(
        peer: &Peer,
        visitor: Option<&str>,
        connection: Connection,
        listing: Option<Arc<Listing>>,
        problem: Option<PeerError>,
    ) -> Self {
        Self {
            lab: peer.lab.clone(),
            connection,
            listing,
            problem,
            key: CacheKey::new(peer, visitor),
        }
    }

    pub(crate) fn lab(&self) -> &LabName {
        &self.lab
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    #[cfg(test)]
    pub(crate) fn listing(&self) -> Option<&Arc<Listing>> {
        self.listing.as_ref()
    }

    /// Why nothing is known of its tables; `None` if something is.
    pub(crate) fn missing(&self) -> Option<&PeerError> {
        self.problem.as_ref().filter(|_| self.listing.is_none())
    }

    pub(crate) fn tables(&self) -> &[TableInfo] {
        self.listing.as_ref().map_or(&[], |listing| &listing.answer.tables)
    }

    /// Whether the lab's plans may call a function.
    pub(crate) fn has_function(&self, name: &str) -> bool {
        self.listing
            .as_ref()
            .is_some_and(|listing| listing.answer.functions.iter().any(|known| known == name))
    }

    /// Asks for the tables again next time: the lab did not recognise a plan that should fit them.
    pub(crate) fn forget(&self) {
        CACHE.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// The name under which a principal visits peers.
pub(crate) fn visitor_name(who: &Principal) -> Option<&str> {
    match who {
        Principal::Owner => Some("owner"),
        Principal::Person { name, .. } => Some(name),
        Principal::Anonymous | Principal::Visitor { .. } => None,
    }
}

/// One list: of a lab, told to a visitor. The address and a hash of the secret keep apart homes that
/// share a process, and a lab before and after it was invited again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CacheKey {
    lab: LabName,
    flight: String,
    secret: blake3::Hash,
    visitor: Option<String>,
}

impl CacheKey {
    fn new(peer: &Peer, visitor: Option<&str>) -> Self {
        Self {
            lab: peer.lab.clone(),
            flight: peer.flight.clone(),
            secret: blake3::hash(peer.secret.as_bytes()),
            visitor: visitor.map(str::to_owned),
        }
    }
}

/// What was heard last, and when.
#[derive(Debug, Clone)]
struct Heard {
    at: Instant,
    listing: Option<Arc<Listing>>,
    problem: Option<PeerError>,
}

static CACHE: LazyLock<Mutex<HashMap<CacheKey, Heard>>> = LazyLock::new(Mutex::default);

/// All peers with their tables, asked at once.
pub(crate) async fn known_labs(
    catalog: &Catalog,
    peers: Vec<Peer>,
    visitor: Option<&str>,
    patience: Duration,
) -> Vec<KnownLab> {
    let labs = peers.into_iter().map(|peer| async move {
        let connection =
            match Connection::new(&peer.lab, &peer.flight, Some(&peer.secret), visitor, patience) {
                Ok(connection) => connection,
                Err(problem) => {
                    tracing::warn!(lab = %peer.lab, %problem, "a peer cannot be called");
                    return None;
                }
            };
        let heard = hear(catalog, &peer, visitor, &connection).await;
        Some(KnownLab::new(&peer, visitor, connection, heard.listing, heard.problem))
    });
    futures::future::join_all(labs).await.into_iter().flatten().collect()
}

async fn hear(
    catalog: &Catalog,
    peer: &Peer,
    visitor: Option<&str>,
    connection: &Connection,
) -> Heard {
    let key = CacheKey::new(peer, visitor);
    let known = CACHE.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    if let Some(heard) = &known {
        let lasts = if heard.problem.is_none() { FRESH } else { QUIET };
        if heard.at.elapsed() < lasts {
            return heard.clone();
        }
    }
    let heard = match ask(connection, &peer.lab).await {
        Ok(listing) => {
            keep(catalog, &peer.lab, visitor, &listing).await;
            Heard { at: Instant::now(), listing: Some(Arc::new(listing)), problem: None }
        }
        Err(problem) => {
            let listing = match known.and_then(|heard| heard.listing) {
                Some(listing) => Some(listing),
                None => kept(catalog, &peer.lab, visitor).await.map(Arc::new),
            };
            Heard { at: Instant::now(), listing, problem: Some(problem) }
        }
    };
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= MOST_LISTS {
        cache.retain(|_, heard| heard.at.elapsed() < FRESH);
    }
    if cache.len() < MOST_LISTS {
        cache.insert(key, heard.clone());
    }
    heard
}

/// Asks a lab for its tables.
pub(crate) async fn ask(connection: &Connection, lab: &LabName) -> Result<Listing, PeerError> {
    let answer: TablesAnswer = connection.call(TABLES, Vec::new()).await?;
    if &answer.lab != lab {
        let problem = format!("at its address answers lab {} instead", answer.lab);
        return Err(PeerError::new(lab, Failure::Unreachable, problem));
    }
    if answer.version != VERSION {
        let problem = format!(
            "it speaks version {} of the wire between labs, this node version {VERSION}",
            answer.version
        );
        return Err(PeerError::new(lab, Failure::Rejected, problem));
    }
    Ok(Listing::new(answer))
}

/// The lists of one lab in the catalog, by visitor; that of the anonymous visitor has an empty name.
type Kept = BTreeMap<String, Listing>;

async fn all_kept(catalog: &Catalog, lab: &LabName) -> Kept {
    match catalog.peer_tables(lab).await {
        Ok(Some((text, _))) => serde_json::from_str(&text).unwrap_or_default(),
        Ok(None) => Kept::new(),
        Err(error) => {
            tracing::warn!(%lab, %error, "what a peer said of its tables cannot be read");
            Kept::new()
        }
    }
}

async fn kept(catalog: &Catalog, lab: &LabName, visitor: Option<&str>) -> Option<Listing> {
    all_kept(catalog, lab).await.remove(visitor.unwrap_or_default())
}

/// Keeps a list. A catalog that cannot be written to loses only the memory of it.
async fn keep(catalog: &Catalog, lab: &LabName, visitor: Option<&str>, listing: &Listing) {
    let mut kept = all_kept(catalog, lab).await;
    let visitor = visitor.unwrap_or_default();
    if kept.len() >= MOST_LISTS && !kept.contains_key(visitor) {
        let oldest = kept.iter().min_by(|a, b| a.1.as_of.cmp(&b.1.as_of)).map(|(k, _)| k.clone());
        if let Some(oldest) = oldest {
            kept.remove(&oldest);
        }
    }
    kept.insert(visitor.to_owned(), listing.clone());
    let stored = match serde_json::to_string(&kept) {
        Ok(text) => catalog.put_peer_tables(lab, &text).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = stored {
        tracing::warn!(%lab, error, "what a peer said of its tables cannot be kept");
    }
}
