//! What statements change, for the doors whose protocol is not HTTP.

use crate::derived::{self, Workshop};
use crate::home::Home;
use futures::future::BoxFuture;
use tarn_catalog::Catalog;
use tarn_connectors::{Location, Stores};
use tarn_query::changes::{Changed, Changes, NotChanged};
use tarn_query::{Change, Query, Session};

/// Makes tables and views as HTTP does.
#[derive(Debug)]
pub(crate) struct Maker {
    catalog: Catalog,
    stores: Stores,
    /// The folder or prefix of the lab's tables.
    store: Location,
}

impl Maker {
    /// What makes tables in the store of a home.
    pub(crate) fn new(home: &Home) -> Self {
        let (catalog, stores) = (home.catalog.clone(), home.stores.clone());
        Self { catalog, stores, store: home.store.clone() }
    }
}

impl Changes for Maker {
    fn change<'a>(
        &'a self,
        session: &'a Session,
        query: &'a Query,
        change: Change,
    ) -> BoxFuture<'a, Result<Changed, NotChanged>> {
        let Self { catalog, stores, store } = self;
        let workshop = Workshop { catalog, stores, store };
        Box::pin(async move {
            let done = derived::change(workshop, session, query, change).await;
            let done = done.map_err(|failure| {
                let (code, message) = (failure.code(), failure.to_string());
                NotChanged { code, message }
            })?;
            Ok(Changed { rows: done["rows"].as_u64(), note: derived::told(&done) })
        })
    }
}
