//! Prepared statements: what they take and give, found out when somebody wants to know.

use super::binding;
use super::command::Command;
use super::dialect::Known;
use super::failure::Refusal;
use super::message::Bind;
use super::types::{Column, ColumnType, Format, PgType, columns, told};
use crate::engine::{Described, Query, Session};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use std::collections::BTreeSet;
use std::sync::Arc;
use tarn_schemas::code::{Coded, ErrorCode};

/// A statement.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) command: Command,
    pub(super) sql: Arc<str>,
    /// What the client says of its parameters.
    types: Vec<u32>,
    /// What it says of them itself, and of its columns.
    pub(super) known: Arc<Known>,
    asked: Option<Described>,
    /// Its columns, once the client was told.
    pub(super) told: Option<Vec<Column>>,
}

impl Statement {
    pub(super) fn new(command: Command, sql: &str, types: Vec<u32>, known: Known) -> Self {
        Self { command, sql: sql.into(), types, known: Arc::new(known), asked: None, told: None }
    }

    /// Places of the parameters that the engine knows, of so many.
    fn places(&self, count: usize) -> Vec<usize> {
        if self.known.kept.len() == self.known.parameters {
            return (0..count).collect();
        }
        self.known.kept.iter().map(|number| number.saturating_sub(1)).collect()
    }

    /// The type of a parameter: what the client says or, where it says nothing, the statement.
    fn given(&self, place: usize) -> u32 {
        let said = self.types.get(place).copied().unwrap_or(0);
        if !binding::is_open(said) {
            return said;
        }
        self.known.types.get(&place.saturating_add(1)).copied().unwrap_or(0)
    }

    /// Numbers of the parameters that the client says are intervals.
    pub(super) fn intervals(&self) -> BTreeSet<usize> {
        let interval = PgType::Interval.known().oid;
        (1..).zip(&self.types).filter(|(_, oid)| **oid == interval).map(|(at, _)| at).collect()
    }

    /// Whether the engine answers it.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.command, Command::Statement | Command::Declare(_) | Command::Copy(_))
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
        let mut asked = session.clone().describing().describe(&self.sql).await?;
        asked.parameters = self.with_lists(&asked.parameters);
        self.asked = Some(asked.clone());
        Ok(asked)
    }

    /// Parameters of whose elements the types were found are lists of them.
    fn with_lists(&self, parameters: &Schema) -> SchemaRef {
        let places = self.places(parameters.fields().len()).into_iter();
        let fields = places.zip(parameters.fields()).map(|(place, field)| {
            if !self.known.lists.contains(&place.saturating_add(1)) {
                return field.as_ref().clone();
            }
            let element = match field.data_type() {
                DataType::Null => DataType::Utf8,
                known => known.clone(),
            };
            Field::new(field.name(), DataType::new_list(element, true), true)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Types of its parameters and, if it has rows, its columns.
    pub(super) async fn describe(
        &mut self,
        session: &Session,
        begin: impl FnOnce() -> Query + Send,
    ) -> Result<(Vec<u32>, Vec<Column>), Refusal> {
        let asked = self.asked(session).await?;
        let count = asked.parameters.fields().len();
        let whole = self.known.parameters.max(count);
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
        let columns = told(columns(&schema), &self.known);
        self.told = Some(columns.clone());
        Ok((types, columns))
    }

    /// Whether what values mean is for the statement to say.
    pub(super) fn is_open(&self, bind: &Bind) -> bool {
        let count = bind.values.len();
        let open = |place: usize| binding::is_open(self.given(place));
        count > 0 && (count != self.known.parameters || self.places(count).into_iter().any(open))
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
        if !self.is_asked() && count > 0 {
            return Err(Refusal::new("08P01", "this statement has no parameters"));
        }
        let miscounted = |wanted: usize| {
            let problem =
                format!("{count} values were bound, and the statement has {wanted} parameters");
            Refusal::new("08P01", problem)
        };
        // Of what is written otherwise, the engine counts.
        let whole = self.known.parameters;
        if whole > 0 && whole != count {
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
        let any = DataType::Null;
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
