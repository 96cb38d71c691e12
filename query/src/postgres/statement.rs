//! Prepared statements: what they take and give, found out when somebody wants to know.

use super::binding;
use super::command::Command;
use super::dialect::Rewritten;
use super::failure::Refusal;
use super::message::Bind;
use super::types::{Column, ColumnType, Format, PgType, columns};
use crate::engine::{Described, Query, Session};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tarn_schemas::code::{Coded, ErrorCode};

/// A statement.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) command: Command,
    /// As the engine reads it.
    pub(super) sql: Arc<str>,
    /// What the client says of its parameters.
    types: Vec<u32>,
    asked: Option<Described>,
    /// Where parameters were left out of it: places of those that were not, and how many there were.
    kept: Option<(Vec<usize>, usize)>,
    /// Its columns, once the client was told.
    pub(super) told: Option<Vec<Column>>,
}

impl Statement {
    pub(super) fn new(command: Command, sql: &str, types: Vec<u32>) -> Self {
        Self { command, sql: sql.into(), types, asked: None, kept: None, told: None }
    }

    /// One that was rewritten for the engine.
    pub(super) fn rewritten(rewritten: &Rewritten, types: Vec<u32>) -> Self {
        let Rewritten { sql, kept, parameters } = rewritten;
        let places: Vec<usize> = kept.iter().map(|number| number.saturating_sub(1)).collect();
        let kept = (places.len() != *parameters).then_some((places, *parameters));
        Self { kept, ..Self::new(Command::Statement, sql, types) }
    }

    /// Places of the parameters that the engine knows, of so many.
    fn places(&self, count: usize) -> Vec<usize> {
        self.kept.as_ref().map_or_else(|| (0..count).collect(), |(places, _)| places.clone())
    }

    /// What the client says of a parameter.
    fn given(&self, place: usize) -> u32 {
        self.types.get(place).copied().unwrap_or(0)
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.sql.len()
    }

    /// Whether it changes something, and has no rows of the engine's.
    pub(super) fn is_change(&self) -> bool {
        let first = self.sql.split_whitespace().next().unwrap_or_default();
        self.command == Command::Statement
            && ["create", "drop"].contains(&first.to_ascii_lowercase().as_str())
    }

    /// What its parameters are for the engine.
    async fn asked(&mut self, session: &Session) -> Result<Described, Refusal> {
        if let Some(asked) = &self.asked {
            return Ok(asked.clone());
        }
        let asked = session.describe(&self.sql).await?;
        self.asked = Some(asked.clone());
        Ok(asked)
    }

    /// Types of its parameters and, if it has rows, its columns.
    pub(super) async fn describe(
        &mut self,
        session: &Session,
        begin: impl FnOnce() -> Query + Send,
    ) -> Result<(Vec<u32>, Vec<Column>), Refusal> {
        let asked = self.asked(session).await?;
        let count = asked.parameters.fields().len();
        let whole = self.kept.as_ref().map_or(count, |(_, whole)| *whole);
        let text = PgType::Text.known().oid;
        let mut types: Vec<u32> = (0..whole)
            .map(|place| match self.given(place) {
                given if binding::is_open(given) => text,
                given => given,
            })
            .collect();
        let mut nulls = Vec::new();
        for (place, field) in self.places(count).into_iter().zip(asked.parameters.fields()) {
            let given = self.given(place);
            let kind = if binding::is_open(given) {
                if let Some(told) = types.get_mut(place) {
                    *told = ColumnType::of(field).oid();
                }
                field.data_type().clone()
            } else {
                binding::arrow_type(given).unwrap_or_else(|| field.data_type().clone())
            };
            nulls.push(ScalarValue::try_from(&kind).unwrap_or(ScalarValue::Null));
        }
        // The types of columns may depend on those of the parameters, which the client has said.
        let schema = if nulls.is_empty() {
            asked.schema
        } else {
            match session.plan_as(&begin(), &self.sql, &[nulls]).await {
                Ok(planned) => planned.schema(),
                Err(error) if error.code() == ErrorCode::InvalidArgument => asked.schema,
                Err(error) => return Err(error.into()),
            }
        };
        let columns = columns(&schema);
        self.told = Some(columns.clone());
        Ok((types, columns))
    }

    /// Whether what values mean is for the statement to say.
    pub(super) fn is_open(&self, bind: &Bind) -> bool {
        let count = bind.values.len();
        let open = |place: usize| binding::is_open(self.given(place));
        count > 0 && (count != self.types.len() || self.places(count).into_iter().any(open))
    }

    /// The values of a message, as the engine takes them. A session is needed where they are open.
    pub(super) async fn values(
        &mut self,
        bind: &Bind,
        session: Option<&Session>,
    ) -> Result<Vec<ScalarValue>, Refusal> {
        let count = bind.values.len();
        if bind.formats.len() > 1 && bind.formats.len() != count {
            let problem = format!("{} formats for {count} values", bind.formats.len());
            return Err(Refusal::new("08P01", problem));
        }
        if self.command != Command::Statement && count > 0 {
            return Err(Refusal::new("08P01", "this statement has no parameters"));
        }
        let miscounted = |wanted: usize| {
            let problem =
                format!("{count} values were bound, and the statement has {wanted} parameters");
            Refusal::new("08P01", problem)
        };
        if let Some((_, whole)) = self.kept
            && whole != count
        {
            return Err(miscounted(whole));
        }
        let places = self.places(count);
        let asked = if let Some(session) = session.filter(|_| self.is_open(bind)) {
            let asked = self.asked(session).await?.parameters;
            if asked.fields().len() != places.len() {
                return Err(miscounted(asked.fields().len()));
            }
            Some(asked)
        } else {
            None
        };
        let any = arrow::datatypes::DataType::Null;
        let mut values = Vec::with_capacity(places.len());
        for (index, place) in places.into_iter().enumerate() {
            let wanted = asked.as_ref().and_then(|asked| asked.fields().get(index));
            let wanted = wanted.map_or(&any, |field| field.data_type());
            let format = Format::at(&bind.formats, place).unwrap_or(Format::Text);
            let value = bind.values.get(place).and_then(Option::as_deref);
            values.push(binding::value(value, format, self.given(place), wanted)?);
        }
        Ok(values)
    }
}
