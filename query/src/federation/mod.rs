//! SQL over other labs: fragments that travel to the owner of the data.
//!
//! Every node answers for all labs it is a peer of. A session sees each peer as a catalog of tables
//! ([`attach`]); an optimizer rule cuts the plan into the largest parts that one lab can compute
//! alone and sends each to its lab as a closed Substrait plan. The lab that owns the data plans it
//! again under its own policy, as a session of [`Principal::Visitor`] ([`serve`]): nothing that the asking lab
//! decided counts there, and a fragment never reaches a third lab.
//!
//! On the wire (see [`wire`]) this is Flight: actions `tarn.peer.accept`, `tarn.peer.tables`,
//! `tarn.peer.search`, and `DoGet` with a ticket that has the key `tarn.fragment`. Requests carry
//! `authorization: Bearer <secret of the peer>` and `x-tarn-visitor: <name>`; a person's own token
//! never leaves the lab that made it.
//!
//! Searches are answered from copies of the peers' records, which are kept in this node's own catalog ([`follow`],
//! [`sync`]); the actions `tarn.peer.feed`, `tarn.peer.tree` and `tarn.peer.records` give them, signed. `show` asks the
//! owner first (`tarn.peer.record`).
//!
//! A lab that does not answer fails the query with its name, or, where the query allows partial
//! answers, gives no rows and is reported as missing. Once rows of a lab have arrived its failure
//! always fails the query.

mod align;
mod allow;
mod client;
mod codec;
mod error;
mod exec;
mod follow;
mod lab;
mod node;
pub mod peers;
mod provider;
mod rule;
mod search;
pub mod serve;
mod show;
mod sites;
mod split;
pub mod sync;
#[cfg(test)]
mod tests;
pub mod wire;

pub(crate) use exec::PeerFragmentExec;
pub use follow::follow;
pub use search::search;
pub use show::{Shown, show};

use crate::engine::{EngineConfig, SessionOptions, Sites};
use crate::error::QueryError;
use datafusion::catalog::CatalogProvider;
use datafusion::execution::SessionStateBuilder;
use datafusion::optimizer::OptimizerRule;
use datafusion::physical_planner::ExtensionPlanner;
use exec::FragmentContext;
use lab::{KnownLab, known_labs, visitor_name};
use node::FragmentPlanner;
use provider::PeerCatalog;
use rule::FederateFragments;
use sites::Tally;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tarn_catalog::Catalog;
use tarn_schemas::{LabName, PartialMode, Principal};

/// What federation adds to the session of one principal.
pub struct Attachment {
    /// One catalog of tables per peer lab, to be registered under the lab's name.
    pub catalogs: Vec<(LabName, Arc<dyn CatalogProvider>)>,
    /// Optimizer rules, in order, to run after all others.
    pub rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    /// Makes physical plans of fragments.
    pub planner: Arc<dyn ExtensionPlanner + Send + Sync>,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labs: Vec<_> = self.catalogs.iter().map(|(lab, _)| lab).collect();
        f.debug_struct("Attachment").field("labs", &labs).finish_non_exhaustive()
    }
}

/// What a session needs to see the tables of all peers. Visitors from other labs see none: a lab
/// answers for its own data only.
///
/// Asks every peer for its tables, all at once, unless that was done within the last half minute. A
/// peer that does not answer is no error here: its tables are known from before, or naming one says
/// why not.
///
/// # Errors
/// If the catalog cannot be read.
pub async fn attach(
    catalog: &Catalog,
    who: &Principal,
    sites: &Sites,
    options: SessionOptions,
    config: &EngineConfig,
) -> Result<Attachment, QueryError> {
    let peers = match who {
        Principal::Visitor { .. } => Vec::new(),
        _ => catalog.peers().await?,
    };
    let patience = Duration::from_secs(config.peer_seconds.max(1));
    let labs = known_labs(catalog, peers, visitor_name(who), patience).await;
    Ok(attach_labs(labs, sites, options.partial))
}

/// The attachment of labs that are known.
fn attach_labs(labs: Vec<KnownLab>, sites: &Sites, partial: PartialMode) -> Attachment {
    let labs: BTreeMap<LabName, Arc<KnownLab>> =
        labs.into_iter().map(|known| (known.lab().clone(), Arc::new(known))).collect();
    let context = FragmentContext { partial, tally: Tally::new(sites.clone()) };
    let catalogs: Vec<(LabName, Arc<dyn CatalogProvider>)> = labs
        .iter()
        .map(|(lab, known)| {
            let tables: Arc<dyn CatalogProvider> = Arc::new(PeerCatalog::new(known, &context));
            (lab.clone(), tables)
        })
        .collect();
    let state = SessionStateBuilder::new_with_default_features().build();
    for (lab, tables) in &catalogs {
        state.catalog_list().register_catalog(lab.to_string(), Arc::clone(tables));
    }
    let rule = FederateFragments::new(labs.clone(), state);
    Attachment {
        catalogs,
        rules: vec![Arc::new(rule)],
        planner: Arc::new(FragmentPlanner { labs, context }),
    }
}
