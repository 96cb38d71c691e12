//! Views: their queries are planned anew each time that somebody reads them.
//!
//! A view with the rights of its reader stands in the plan as the query that it is, like a subquery: each of its
//! tables is under what holds for the reader. One with the rights of its definer is a leaf that nothing of the
//! reader crosses, as a table under obligations is: no predicate, no limit, no statistics, and no text of an
//! error.

use super::{Names, Read, Use};
use crate::engine::catalogs::OwnLab;
use crate::engine::obligations::{below, protect};
use crate::engine::session::state;
use crate::engine::statement::parse;
use crate::engine::{casts, times};
use crate::error::QueryError;
use crate::functions::FileTables;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use std::borrow::Cow;
use std::sync::Arc;
use tarn_catalog::{DEEPEST_VIEW, Dataset, View, schema_text};
use tarn_schemas::Principal;
use tarn_schemas::code::{Coded, ErrorCode};

/// Most steps of the plan of a view with all that it reads.
const MOST_STEPS: usize = 2000;

/// A view whose query is planned.
#[derive(Debug)]
pub(crate) struct ViewTable {
    name: Arc<str>,
    plan: LogicalPlan,
    schema: SchemaRef,
    /// Whether the plan is the reader's own, and not behind a barrier.
    of_reader: bool,
}

impl Names<'_> {
    /// The query of a view, planned with the rights that it has for whoever asks.
    pub(super) async fn view(
        &self,
        dataset: &Dataset,
        view: &View,
    ) -> Result<(Arc<dyn TableProvider>, Read), QueryError> {
        let name = format!("{}.{}.{}", dataset.lab, dataset.name, view.name);
        // Whoever made the inner view may change it after the outer one was made, and would so choose what is
        // read with the rights of another.
        if self.lent.is_some() {
            return Err(QueryError::Denied(format!(
                "a view with the rights of whoever made it reads tables alone, and {name} is a view"
            )));
        }
        if self.within.len() >= DEEPEST_VIEW || self.within.contains(&name) {
            return Err(QueryError::Invalid(format!(
                "views read views here {DEEPEST_VIEW} deep, or one of them itself, and may not: make one of them \
                 anew of tables (DROP VIEW, CREATE VIEW)"
            )));
        }
        let closed = |error: QueryError| self.closed(&name, view, error);
        let whose = self.catalog.rights_of_view(self.who, dataset, view).await;
        let whose = whose.map_err(|error| closed(error.into()))?;
        let text = view.definition.sql.clone();
        let parsed = self.engine.workers().run(async move { parse(&text) }).await;
        let statement = parsed.map_err(closed)?.statement;
        let mut within = self.within.clone();
        within.push(name.clone());
        let lent = match (self.lent, view.security_invoker) {
            (None, false) => Some((name.as_str(), self.who)),
            (lent, _) => lent,
        };
        let Names { engine, catalog, veil, pins, .. } = *self;
        let own = if whose == *self.who { None } else { Some(catalog.reading(&whose).await?) };
        let reading = own.as_ref().unwrap_or(self.reading);
        let who = &whose;
        let inner = Names { engine, catalog, reading, who, peers: &[], veil, pins, within, lent };
        let (mut own, mut read) = (OwnLab::default(), Read::default());
        for reference in self.engine.template().resolve_table_references(&statement)? {
            let opened = Box::pin(inner.open(&reference, Use::Read, &mut own)).await;
            read.add(opened.map_err(closed)?);
        }
        if !view.security_invoker {
            // What it reads is its definer's business.
            read = Read { tables: Vec::new(), borrowed: Some(name.clone()) };
        }
        let state = state(self.engine, Err(self.who), Arc::new(own), None, FileTables::default())?;
        let work = async move { Ok(casts::planned(&state, &statement).await?) };
        let plan = self.engine.workers().run(work).await.map_err(closed)?;
        times::check(&plan).map_err(closed)?;
        if steps(&plan)? > MOST_STEPS {
            return Err(QueryError::ResourceExhausted(format!(
                "the plan of {name} with the views that it reads has more than {MOST_STEPS} steps: make a table \
                 of one of them (CREATE TABLE … AS)"
            )));
        }
        let schema = shown(plan.schema().as_arrow());
        let told = schema_text::decode(&view.definition.schema).map_err(|error| {
            QueryError::InvalidData(format!("the columns of {name} cannot be read: {error}"))
        })?;
        let alike = |one: &Schema, other: &Schema| {
            let fields = one.fields().iter().zip(other.fields());
            one.fields().len() == other.fields().len()
                && fields.into_iter().all(|(one, other)| {
                    one.name() == other.name() && one.data_type() == other.data_type()
                })
        };
        if !alike(&schema, &told) {
            return Err(closed(QueryError::InvalidData(format!(
                "{name} has other columns or types than when it was made, because a table that it reads has"
            ))));
        }
        let of_reader = view.security_invoker;
        Ok((Arc::new(ViewTable { name: name.into(), plan, schema, of_reader }), read))
    }

    /// Why a view cannot be read, for whoever reads it. Of what it reads nothing is said to those who may not
    /// know all of that.
    fn closed(&self, name: &str, view: &View, error: QueryError) -> QueryError {
        if *self.lent.map_or(self.who, |(_, reader)| reader) == Principal::Owner {
            return error.saying(format!("{name} cannot be read: {error}"));
        }
        match (view.security_invoker, error.code()) {
            (true, ErrorCode::NotFound | ErrorCode::PermissionDenied) => {
                QueryError::Denied(format!(
                    "{name} is a view that reads with your rights, and you may not read all of its data, or they \
                     are there no more: ask its contact"
                ))
            }
            (true, ErrorCode::InvalidArgument | ErrorCode::InvalidData) => {
                error.saying(format!(
                    "{name} cannot be read any more, and has to be made anew (DROP VIEW, CREATE VIEW): {error}"
                ))
            }
            (true, _) => error,
            (false, _) => {
                tracing::warn!(view = name, %error, "a view with the rights of its definer cannot be read");
                QueryError::Denied(format!(
                    "{name} is a view that reads with the rights of whoever made it, who may not read all of \
                     its data any more, or these changed: ask its contact, or the operator of the node, whose \
                     log says why"
                ))
            }
        }
    }
}

/// Columns as they are shown: any of them may be masked for somebody, and is then NULL.
pub(super) fn shown(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        .collect();
    Arc::new(Schema::new(fields))
}

/// How many steps a plan has.
fn steps(plan: &LogicalPlan) -> Result<usize> {
    let mut steps = 0_usize;
    plan.apply_with_subqueries(|_| {
        steps = steps.saturating_add(1);
        Ok(if steps > MOST_STEPS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(steps)
}

#[async_trait]
impl TableProvider for ViewTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.of_reader.then_some(Cow::Borrowed(&self.plan))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(whole) = state.as_any().downcast_ref::<SessionState>() else {
            return Err(QueryError::Internal("a view needs a whole session".into()).into());
        };
        let protected = protect(self.plan.clone(), whole).map_err(|error| {
            tracing::warn!(view = &*self.name, %error, "a view is not read");
            QueryError::Denied(format!(
                "of what {} reads only aggregates leave, and its query is none: ask its contact",
                self.name
            ))
        });
        let mut plan = protected?;
        let mut schema = Arc::clone(&self.schema);
        if let Some(projection) = projection {
            let columns = projection
                .iter()
                .map(|place| Expr::Column(Column::from(plan.schema().qualified_field(*place))));
            let columns: Vec<Expr> = columns.collect();
            plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
            schema = Arc::new(schema.project(projection)?);
        }
        below(&self.name, plan, schema, state).await
    }
}
