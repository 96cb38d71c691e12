//! Statements whose answer can be had again: every table at a version, and one order of rows.
//!
//! An answer is a function of what is pinned where nothing else goes into it. So such a statement reads
//! tables of the own lab alone (files and peers' tables have no version here), calls no function that
//! differs from one time to the next, gives its rows in an order that its text or their values decide, and runs
//! in one partition, because sums of floats depend on the order in which they are taken.

mod digest;
mod order;

pub use digest::AnswerDigest;

use crate::engine::Session;
use crate::engine::answer::Prepared;
use crate::engine::guards::{Awaited, Query};
use crate::engine::names;
use crate::engine::statement::{Kind, parse};
use crate::error::QueryError;
use crate::functions::FileTables;
use datafusion::common::ScalarValue;
use tarn_catalog::PinnedTable;

/// What computes answers, as far as they depend on it.
pub fn engine_name() -> String {
    format!(
        "tarn {}, DataFusion {}, {}",
        env!("CARGO_PKG_VERSION"),
        datafusion::DATAFUSION_VERSION,
        std::env::consts::ARCH
    )
}

/// The value of a parameter that was written as JSON: a text, a number, a Boolean or NULL.
///
/// # Errors
/// [`QueryError::Invalid`] for lists and objects.
pub fn parameter(value: &serde_json::Value) -> Result<ScalarValue, QueryError> {
    use serde_json::Value;
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::from(*value),
        Value::String(text) => ScalarValue::from(text.as_str()),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => ScalarValue::from(value),
            (None, Some(value), _) => ScalarValue::from(value),
            (None, None, Some(value)) => ScalarValue::from(value),
            _ => return Err(QueryError::Invalid(format!("the parameter {number} is no number"))),
        },
        other => {
            return Err(QueryError::Invalid(format!(
                "the parameter {other} is neither text, number, Boolean nor null"
            )));
        }
    })
}

/// How a refusal begins.
const KEPT: &str = "this query cannot be kept";

fn refused(problem: &str) -> QueryError {
    QueryError::Invalid(format!("{KEPT}: {problem}"))
}

impl Session {
    /// Plans a statement so that its answer can be had again, and says which tables it reads. Tables that
    /// are among `pins` are read at the version that these name, all others at the newest one.
    ///
    /// # Errors
    /// As [`Session::plan`]; [`QueryError::Invalid`] for what depends on anything that is not pinned;
    /// [`QueryError::Denied`] where the principal would see something else of a pinned table than was
    /// seen of it when it was pinned.
    pub async fn plan_citable(
        &self,
        query: &Query,
        sql: &str,
        parameters: &[ScalarValue],
        pins: &[PinnedTable],
    ) -> Result<(Prepared, Vec<PinnedTable>), QueryError> {
        let awaited = Awaited::new(query);
        let work = async {
            self.check_own_tables(sql, KEPT).await?;
            let mut logical = Box::pin(self.plan_logical(query, sql, pins)).await?;
            let read = std::mem::take(&mut logical.planning.read).own(KEPT)?;
            let (session, query) = (self.clone(), query.clone());
            let rows = if parameters.is_empty() { Vec::new() } else { vec![parameters.to_vec()] };
            let work = async move {
                let settings = logical.planning.state.config_mut().options_mut();
                settings.execution.target_partitions = 1;
                logical.plan = order::fixed(logical.plan)?;
                session.finish(&query, logical, &rows).await
            };
            Ok((self.engine.workers().run(work).await?, read))
        };
        let (planned, slot) = self.in_turn(query, Box::pin(work)).await;
        let (prepared, read) = planned?;
        awaited.over();
        Ok((prepared.holding(slot), read))
    }

    /// Refuses statements over anything else than tables of this lab, which are what it has versions of and
    /// decides about.
    pub(super) async fn check_own_tables(&self, sql: &str, what: &str) -> Result<(), QueryError> {
        let refused = |problem: String| Err(QueryError::Invalid(format!("{what}: {problem}")));
        let text = sql.to_owned();
        let parsed = self.engine.workers().run(async move { parse(&text) }).await?;
        if parsed.kind != Kind::Query {
            return refused("it is no SELECT, WITH or VALUES".to_owned());
        }
        let reader =
            parsed.calls.iter().find(|call| FileTables::names().any(|name| name == call.function));
        if let Some(call) = reader {
            return refused(format!(
                "{}(…) reads files by path, which nothing pins: register them and ingest them (in \
                 place, nothing is copied), and read the table",
                call.function
            ));
        }
        let own = self.lab().map(tarn_schemas::LabName::as_str);
        for reference in self.engine.template().resolve_table_references(&parsed.statement)? {
            if names::is_information(&reference) {
                return refused(format!("{reference} changes with every table"));
            }
            if reference.catalog().is_some_and(|lab| Some(lab) != own) {
                return refused(format!(
                    "{reference} belongs to another lab, whose versions and policies are not known \
                     here: ask it there"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_the_scalars_of_json() {
        for (value, expected) in [
            (json!(null), ScalarValue::Null),
            (json!(true), ScalarValue::Boolean(Some(true))),
            (json!("a'b"), ScalarValue::Utf8(Some("a'b".to_owned()))),
            (json!(-3), ScalarValue::Int64(Some(-3))),
            (json!(u64::MAX), ScalarValue::UInt64(Some(u64::MAX))),
            (json!(0.5), ScalarValue::Float64(Some(0.5))),
        ] {
            assert_eq!(parameter(&value).unwrap(), expected);
        }
        assert!(parameter(&json!([1])).is_err() && parameter(&json!({})).is_err());
    }
}
