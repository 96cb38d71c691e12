//! The optimizer rule that cuts a plan into fragments.
//!
//! It runs after all other rules, so filters and projections already stand at the scans. From the top
//! down, the largest part of the plan whose tables are all of one peer, and that may travel
//! ([`allow`](super::allow)) and does ([`codec`](super::codec)), becomes one [`PeerFragment`]. What
//! may not travel stays here, above smaller fragments. In between:
//!
//! - an aggregate over a UNION ALL of several labs is split ([`split`](super::split));
//! - of a filter, the conditions that may travel do;
//! - the first rows of a sort (`ORDER BY … LIMIT`) are taken at the owner and sorted once more here:
//!   a stream from a peer promises no order.

use super::allow::check_expression;
use super::codec::{encode, peer_table};
use super::lab::KnownLab;
use super::node::{PeerFragment, one_line};
use super::provider::PeerTable;
use super::split::split_aggregate;
use super::wire::Payload;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Extension, Filter, LogicalPlan, Sort, TableScan};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use std::collections::BTreeMap;
use std::sync::Arc;
use tarn_schemas::LabName;

/// Cuts plans into fragments.
pub(crate) struct FederateFragments {
    labs: BTreeMap<LabName, Arc<KnownLab>>,
    /// Knows the tables of the peers, to check encoded plans against them.
    state: SessionState,
}

impl std::fmt::Debug for FederateFragments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FederateFragments").field("labs", &self.labs.keys()).finish_non_exhaustive()
    }
}

/// Whose tables a plan reads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    /// Nobody's.
    Nobody,
    /// Those of one peer and of nobody else.
    Peer(LabName),
    /// Own ones, those of several peers, or fragments.
    Several,
}

impl OptimizerRule for FederateFragments {
    fn name(&self) -> &'static str {
        "federate_fragments"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        // A plan is cut once: later passes of the optimizer find fragments and leave them alone.
        if has_fragment(&plan)? || !has_peer_scan(&plan)? {
            return Ok(Transformed::no(plan));
        }
        self.cut(plan)
    }
}

impl FederateFragments {
    pub(crate) fn new(labs: BTreeMap<LabName, Arc<KnownLab>>, state: SessionState) -> Self {
        Self { labs, state }
    }

    fn cut(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        match owner(&plan)? {
            Owner::Peer(lab) => {
                if let Some(cut) = self.cut_of_one_lab(&lab, &plan)? {
                    return Ok(Transformed::yes(cut));
                }
            }
            Owner::Several => {
                if let LogicalPlan::Aggregate(aggregate) = &plan
                    && let Some(split) = split_aggregate(aggregate)?
                {
                    return Ok(Transformed::yes(self.cut_inputs(split)?.data));
                }
            }
            Owner::Nobody => {}
        }
        self.cut_inputs(plan)
    }

    /// Cuts what is below a node and what is inside its subqueries.
    fn cut_inputs(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        plan.map_subqueries(|subquery| self.cut(subquery))?
            .transform_sibling(|plan| plan.map_children(|input| self.cut(input)))
    }

    fn cut_of_one_lab(&self, lab: &LabName, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        let Some(known) = self.labs.get(lab) else { return Ok(None) };
        if let LogicalPlan::Sort(Sort { expr, fetch: Some(fetch), .. }) = plan {
            return Ok(self.fragment(known, plan).map(|first| {
                LogicalPlan::Sort(Sort {
                    expr: expr.clone(),
                    input: Arc::new(first),
                    fetch: Some(*fetch),
                })
            }));
        }
        if is_ordered(plan) {
            return Ok(None);
        }
        if let Some(fragment) = self.fragment(known, plan) {
            return Ok(Some(fragment));
        }
        match plan {
            LogicalPlan::Filter(filter) => self.cut_filter(known, filter),
            LogicalPlan::TableScan(scan) => Ok(scan_fragment(known, scan)?),
            _ => Ok(None),
        }
    }

    /// The part of a plan as a fragment, if it may travel.
    fn fragment(&self, known: &KnownLab, plan: &LogicalPlan) -> Option<LogicalPlan> {
        match encode(plan, &self.state, &|name| known.has_function(name)) {
            Ok(payload) => Some(LogicalPlan::Extension(Extension {
                node: Arc::new(PeerFragment {
                    lab: known.lab().clone(),
                    payload,
                    text: one_line(plan),
                    rows: most_rows(plan),
                    schema: Arc::clone(plan.schema()),
                }),
            })),
            Err(reason) => {
                tracing::debug!(lab = %known.lab(), reason, "a part of a plan stays here");
                None
            }
        }
    }

    /// Sends the conditions of a filter that may travel, and keeps the others.
    fn cut_filter(&self, known: &KnownLab, filter: &Filter) -> Result<Option<LogicalPlan>> {
        let has_function = |name: &str| known.has_function(name);
        let (sent, kept): (Vec<_>, Vec<_>) =
            split_conjunction_owned(filter.predicate.clone()).into_iter().partition(|condition| {
                !condition.is_volatile() && check_expression(condition, &has_function).is_ok()
            });
        let (Some(sent), Some(kept)) = (conjunction(sent), conjunction(kept)) else {
            return Ok(None);
        };
        let below = LogicalPlan::Filter(Filter::try_new(sent, Arc::clone(&filter.input))?);
        let Some(fragment) = self.fragment(known, &below) else { return Ok(None) };
        Ok(Some(LogicalPlan::Filter(Filter::try_new(kept, Arc::new(fragment))?)))
    }
}

/// A scan as a request for columns, where its types have no name in Substrait.
fn scan_fragment(known: &KnownLab, scan: &TableScan) -> Result<Option<LogicalPlan>> {
    let Some(provider) = peer_table(scan) else { return Ok(None) };
    let Some(table) = provider.downcast_ref::<PeerTable>() else { return Ok(None) };
    let (payload, _) = table.scan_payload(scan.projection.as_deref(), scan.fetch)?;
    let plan = LogicalPlan::TableScan(scan.clone());
    debug_assert!(matches!(payload, Payload::Scan(_)));
    Ok(Some(LogicalPlan::Extension(Extension {
        node: Arc::new(PeerFragment {
            lab: known.lab().clone(),
            payload,
            text: one_line(&plan),
            rows: most_rows(&plan),
            schema: Arc::clone(&scan.projected_schema),
        }),
    })))
}

fn owner(plan: &LogicalPlan) -> Result<Owner> {
    let mut owner = Owner::Nobody;
    plan.apply_with_subqueries(|node| {
        let next = match node {
            LogicalPlan::TableScan(scan) => peer_table(scan)
                .as_ref()
                .and_then(|table| table.downcast_ref::<PeerTable>())
                .map_or(Owner::Several, |table| Owner::Peer(table.lab().clone())),
            LogicalPlan::Extension(_) => Owner::Several,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        if owner == Owner::Nobody {
            owner = next;
        } else if owner != next {
            owner = Owner::Several;
        }
        Ok(if owner == Owner::Several {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(owner)
}

fn has_fragment(plan: &LogicalPlan) -> Result<bool> {
    holds(plan, |node| {
        matches!(node, LogicalPlan::Extension(extension)
            if extension.node.as_any().is::<PeerFragment>())
    })
}

fn has_peer_scan(plan: &LogicalPlan) -> Result<bool> {
    holds(plan, |node| matches!(node, LogicalPlan::TableScan(scan) if peer_table(scan).is_some()))
}

fn holds(plan: &LogicalPlan, wanted: impl Fn(&LogicalPlan) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found = found || wanted(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether the order of a plan's rows means something.
fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_) => plan.inputs().into_iter().any(is_ordered),
        _ => false,
    }
}

/// Rows a plan gives at most, where that is known from its only table.
fn most_rows(plan: &LogicalPlan) -> Option<u64> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            peer_table(scan)?.downcast_ref::<PeerTable>().and_then(PeerTable::rows)
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::SubqueryAlias(_) => plan.inputs().first().and_then(|input| most_rows(input)),
        _ => None,
    }
}
