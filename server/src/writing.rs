//! Folders that tables of queries are written to: whatever ends the work, no file stays that no name leads to.

use crate::failure::Failure;
use tarn_catalog::Catalog;
use tarn_connectors::{Location, Stores};
use tarn_ingest::discard_folder;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

/// A folder that a table is being written to. Where nobody says that it became one, its files are taken
/// away; where this process dies, another one does ([`sweep`]).
#[derive(Debug)]
pub(crate) struct Writing {
    catalog: Catalog,
    stores: Stores,
    folder: Location,
    open: bool,
}

impl Writing {
    /// Notes the folder, before its first file.
    pub(crate) async fn begin(
        catalog: &Catalog,
        stores: &Stores,
        folder: Location,
    ) -> Result<Self, Failure> {
        catalog.begin_table(folder.url().as_str()).await?;
        Ok(Self { catalog: catalog.clone(), stores: stores.clone(), folder, open: true })
    }

    /// The folder as the catalog knows it.
    pub(crate) fn name(&self) -> &str {
        self.folder.url().as_str()
    }

    /// Waits for work, and says meanwhile that it is being done.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut ticks = interval(Catalog::TABLE_PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => {
                    if let Err(error) = self.catalog.keep_table(self.name()).await {
                        tracing::warn!(folder = %self.folder, %error, "it may be taken for abandoned");
                    }
                }
            }
        }
    }

    /// The folder is a table that the catalog knows.
    pub(crate) fn keep(mut self) {
        self.open = false;
    }

    /// Takes the files away, unless the catalog knows the table after all.
    pub(crate) async fn discard(mut self) {
        self.open = false;
        discard(&self.catalog, &self.stores, &self.folder).await;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Whoever waited for it went away. At the end of a process nothing runs any more: it is swept later.
        if self.open
            && let Ok(runtime) = Handle::try_current()
        {
            let (catalog, stores, folder) =
                (self.catalog.clone(), self.stores.clone(), self.folder.clone());
            runtime.spawn(async move { discard(&catalog, &stores, &folder).await });
        }
    }
}

async fn discard(catalog: &Catalog, stores: &Stores, folder: &Location) {
    let done = async {
        let name = folder.url().as_str();
        if catalog.abandon_table(name).await? {
            discard_folder(stores, folder).await?;
            catalog.forget_table(name).await?;
        }
        Ok::<_, Failure>(())
    };
    if let Err(error) = done.await {
        tracing::warn!(%folder, %error, "files of a table that was not made stay until they are swept");
    }
}

/// Takes away what processes that died left of tables that they were writing.
pub(crate) async fn sweep(catalog: &Catalog, stores: &Stores) {
    let left = match catalog.abandoned_tables().await {
        Ok(left) => left,
        Err(error) => {
            tracing::warn!(%error, "what is left of tables that were not made cannot be looked up");
            return;
        }
    };
    for folder in left {
        match Location::parse(&folder) {
            Ok(folder) => discard(catalog, stores, &folder).await,
            Err(error) => tracing::warn!(folder, %error, "this is no place of a table"),
        }
    }
}
