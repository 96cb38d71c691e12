//! A fragment as a node of the logical plan, and how it becomes a physical one.

use super::exec::{FragmentContext, PeerFragmentExec};
use super::lab::KnownLab;
use super::wire::Payload;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use tarn_schemas::LabName;

/// A part of a query that its lab computes. A leaf: the optimizer changes nothing inside.
#[derive(Debug, Clone)]
pub(crate) struct PeerFragment {
    pub(crate) lab: LabName,
    pub(crate) payload: Payload,
    /// The plan in one line, for EXPLAIN.
    pub(crate) text: String,
    /// Rows it gives at most, where known.
    pub(crate) rows: Option<u64>,
    pub(crate) schema: DFSchemaRef,
}

/// A plan in one line.
pub(crate) fn one_line(plan: &LogicalPlan) -> String {
    plan.display_indent().to_string().lines().map(str::trim).collect::<Vec<_>>().join(" <- ")
}

impl PartialEq for PeerFragment {
    fn eq(&self, other: &Self) -> bool {
        self.lab == other.lab && self.payload == other.payload && self.schema == other.schema
    }
}

impl Eq for PeerFragment {}

impl PartialOrd for PeerFragment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.lab.cmp(&other.lab) {
            Ordering::Equal => self.payload.partial_cmp(&other.payload),
            unequal => Some(unequal),
        }
        .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl Hash for PeerFragment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lab.hash(state);
        self.payload.hash(state);
        self.schema.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for PeerFragment {
    fn name(&self) -> &'static str {
        "PeerFragment"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerFragment lab={}: {}", self.lab, self.text)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if !exprs.is_empty() || !inputs.is_empty() {
            return plan_err!("a fragment of a peer has no inputs");
        }
        Ok(self.clone())
    }
}

/// Plans fragments with the connections of one session.
#[derive(Debug)]
pub(crate) struct FragmentPlanner {
    pub(crate) labs: BTreeMap<LabName, Arc<KnownLab>>,
    pub(crate) context: FragmentContext,
}

#[async_trait]
impl ExtensionPlanner for FragmentPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        _physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _planning: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(fragment) = node.as_any().downcast_ref::<PeerFragment>() else {
            return Ok(None);
        };
        let Some(known) = self.labs.get(&fragment.lab) else {
            return plan_err!("lab {} is no peer of this session", fragment.lab);
        };
        Ok(Some(Arc::new(PeerFragmentExec::new(
            Arc::clone(known),
            self.context.clone(),
            fragment.payload.clone(),
            fragment.text.clone(),
            Arc::new(fragment.schema.as_arrow().clone()),
            fragment.rows,
        ))))
    }
}
