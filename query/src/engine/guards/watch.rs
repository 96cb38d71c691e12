//! Looks after queries that run: a thread of its own, so that nothing a query does holds it up.

use super::Registry;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often queries are looked at: a tenth of the second within which one has to stop.
const PACE: Duration = Duration::from_millis(100);

/// Starts the thread. It ends with the registry.
pub(super) fn start(registry: &Arc<Registry>) {
    let registry = Arc::downgrade(registry);
    let started =
        std::thread::Builder::new().name("tarn-watch".to_owned()).spawn(move || watch(&registry));
    if let Err(error) = started {
        tracing::error!(%error, "no thread watches queries: limits of time do not hold");
    }
}

fn watch(registry: &Weak<Registry>) {
    while let Some(registry) = registry.upgrade() {
        let now = Instant::now();
        for query in registry.active() {
            query.watch(now);
        }
        registry.sweep(now);
        registry.sleep(PACE);
    }
}
