//! The door for clients of PostgreSQL: `psql`, drivers and dashboards.
//!
//! What they say is taken apart here, and every statement goes through a [`Session`](crate::Session) of whoever asks, as
//! over HTTP and Flight SQL. Whoever serves accepts the connections, makes them secret, and does what statements change.

mod array;
mod binding;
mod cancel;
mod cell;
mod command;
mod connection;
mod copy;
mod cursor;
mod dialect;
mod failure;
mod interval;
mod message;
mod numeric;
mod portal;
mod reply;
mod run;
mod settings;
mod startup;
mod statement;
mod system;
mod types;
mod write;
mod written;

pub use failure::{Refusal, crowded};
pub use startup::{Greeting, Startup, greeting, turn_away};

pub(crate) use dialect::{Facts, Known, functions, translate};
pub(crate) use system::{Relation, SCHEMA, table};

use crate::changes::Changes;
use crate::engine::Engine;
use cancel::Running;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct PostgresDoor {
    engine: Engine,
    changes: Arc<dyn Changes>,
    running: Arc<Running>,
    /// Places for those who are nobody in particular.
    anonymous: Arc<Semaphore>,
}

impl fmt::Debug for PostgresDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresDoor").finish_non_exhaustive()
    }
}

impl PostgresDoor {
    /// A door to an engine, with so many places. Those without a password have half of them.
    pub fn new(engine: Engine, changes: Arc<dyn Changes>, places: usize) -> Self {
        let anonymous = Arc::new(Semaphore::new(places.div_ceil(2)));
        Self { engine, changes, running: Arc::default(), anonymous }
    }

    /// Stops what runs on the connection of this number, if the secret is its own.
    pub fn cancel(&self, process: i32, secret: i32) {
        self.running.cancel((process, secret));
    }

    /// Serves a client that said how it begins, until it goes or the node stops. A password is taken where the
    /// connection is `safe`: where nobody on the way can read it.
    pub async fn serve<S>(
        &self,
        stream: S,
        startup: Startup,
        safe: bool,
        stop: CancellationToken,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        connection::serve(self, stream, startup, safe, stop).await
    }
}
