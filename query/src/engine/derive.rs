//! The rows of a table that is to be made of a query.

use crate::engine::Session;
use crate::engine::answer::Prepared;
use crate::engine::guards::{Awaited, Query};
use crate::error::QueryError;
use tarn_catalog::PinnedTable;

impl Session {
    /// Plans the query of a table that is to be made, and says which tables it reads.
    ///
    /// # Errors
    /// As [`Session::plan`], and [`QueryError::Invalid`] for what is no table of this lab: of files and of
    /// tables of peers nobody could say here who may read what was made of them.
    pub async fn plan_derived(
        &self,
        query: &Query,
        sql: &str,
    ) -> Result<(Prepared, Vec<PinnedTable>), QueryError> {
        let awaited = Awaited::new(query);
        let work = async {
            self.check_own_tables(sql, "no table can be made of this query").await?;
            let mut logical = Box::pin(self.plan_logical(query, sql, &[])).await?;
            let read = std::mem::take(&mut logical.planning.read)
                .own("no table can be made of this query")?;
            let (session, query) = (self.clone(), query.clone());
            let work = async move { session.finish(&query, logical, &[]).await };
            Ok((self.engine.workers().run(work).await?, read))
        };
        let (planned, slot) = self.in_turn(query, Box::pin(work)).await;
        let (prepared, read) = planned?;
        awaited.over();
        Ok((prepared.holding(slot), read))
    }
}
