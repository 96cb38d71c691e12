//! What a statement takes and gives, told before it runs.

use crate::engine::answer::Prepared;
use crate::engine::guards::Awaited;
use crate::engine::{Session, output, parameters};
use crate::error::QueryError;
use arrow::datatypes::SchemaRef;

/// What a statement takes and gives, before anything is bound or run.
#[derive(Debug, Clone)]
pub struct Described {
    /// Columns of its answer.
    pub schema: SchemaRef,
    /// Its parameters in order, named `$1`, `$2`, …; of type `Null` where any type will do.
    pub parameters: SchemaRef,
}

impl Session {
    /// What a statement takes and gives.
    ///
    /// # Errors
    /// As [`Session::plan`].
    pub async fn describe(&self, sql: &str) -> Result<Described, QueryError> {
        let (described, plan) = Box::pin(self.described_and_planned(sql)).await?;
        if let Some(query) = plan.and_then(Prepared::again) {
            query.done();
        }
        Ok(described)
    }

    /// What a statement takes and gives, with its plan where it takes nothing.
    pub(crate) async fn described_and_planned(
        &self,
        sql: &str,
    ) -> Result<(Described, Option<Prepared>), QueryError> {
        let query = self.begin();
        let awaited = Awaited::new(&query);
        let work = async {
            let logical = Box::pin(self.plan_logical(&query, sql, &[])).await?;
            let parameters = parameters::schema(&logical.plan)?;
            if parameters.fields().is_empty() {
                let (session, query) = (self.clone(), query.clone());
                let work = async move { session.finish(&query, logical, &[]).await };
                let plan = self.engine.workers().run(work).await?;
                return Ok((Described { schema: plan.schema(), parameters }, Some(plan)));
            }
            let schema = logical.plan.schema().as_arrow();
            let schema = output::schema_of(schema, schema);
            Ok((Described { schema, parameters }, None))
        };
        let (described, _) = Box::pin(self.in_turn(&query, work)).await;
        described.inspect(|(_, plan)| match plan {
            // The plan stops it from now on.
            Some(_) => drop(awaited.over()),
            None => query.done(),
        })
    }
}
