//! Statements: planned at `GetFlightInfo`, run once at `DoGet`.

use super::encode::{self, FlightStream, schema_bytes};
use super::identity::Caller;
use super::metadata;
use super::seal::{Kind, Seal};
use super::statements::{PREPARED_LIFE, Planned, STATEMENT_LIFE, Statements, Text};
use super::status::{refuse, to_status};
use crate::engine::{Engine, Prepared, SessionOptions};
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::{
    ActionCreatePreparedStatementResult, Command, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use prost::Message;
use tarn_schemas::Principal;
use tarn_schemas::code::ErrorCode;
use tonic::Status;
use uuid::Uuid;

/// The SQL side of the door.
#[derive(Debug)]
pub(crate) struct Sql {
    engine: Engine,
    statements: Statements,
}

impl Sql {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, statements: Statements::default() }
    }

    async fn plan(
        &self,
        who: &Principal,
        options: SessionOptions,
        sql: &str,
    ) -> Result<Prepared, Status> {
        let session = self.engine.session(who.clone(), options).await.map_err(|e| to_status(&e))?;
        session.plan(sql).await.map_err(|error| to_status(&error))
    }

    /// Answers `GetFlightInfo` for a Flight SQL command.
    pub(crate) async fn info(
        &self,
        seal: &Seal,
        caller: &Caller,
        command: Command,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        let (schema, ticket) = match command {
            Command::CommandStatementQuery(query) => {
                let text = Text { sql: query.query, options: caller.options };
                self.ticket(seal, &caller.who, text).await?
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = &query.prepared_statement_handle;
                let held =
                    self.statements.execute(id(seal, Kind::Prepared, &caller.who, handle)?)?;
                self.ticket(seal, &caller.who, held).await?
            }
            listing => {
                let schema = metadata::schema(&listing).ok_or_else(|| unsupported(&listing))?;
                (schema, Bytes::from(listing.into_any().encode_to_vec()))
            }
        };
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
        let mut info = FlightInfo::new()
            .with_descriptor(descriptor)
            .with_endpoint(endpoint)
            .with_total_records(-1)
            .with_total_bytes(-1)
            .with_ordered(true);
        info.schema = schema_bytes(&schema)?;
        Ok(info)
    }

    async fn ticket(
        &self,
        seal: &Seal,
        who: &Principal,
        text: Text,
    ) -> Result<(SchemaRef, Bytes), Status> {
        let plan = self.plan(who, text.options, &text.sql).await?;
        let schema = plan.schema();
        let id = self.statements.hold(who, Planned::new(text, plan))?;
        let statement_handle = seal.close(Kind::Statement, who, STATEMENT_LIFE, id.as_bytes())?;
        Ok((schema, TicketStatementQuery { statement_handle }.as_any().encode_to_vec().into()))
    }

    /// The schema of a command, without keeping its plan.
    pub(crate) async fn schema(
        &self,
        caller: &Caller,
        command: &Command,
    ) -> Result<SchemaRef, Status> {
        if let Command::CommandStatementQuery(query) = command {
            return Ok(self.plan(&caller.who, caller.options, &query.query).await?.schema());
        }
        metadata::schema(command).ok_or_else(|| unsupported(command))
    }

    /// Answers `DoGet` for a statement's ticket or a listing.
    pub(crate) async fn get(
        &self,
        seal: &Seal,
        caller: &Caller,
        command: Command,
    ) -> Result<FlightStream, Status> {
        if let Command::TicketStatementQuery(ticket) = command {
            let id = id(seal, Kind::Statement, &caller.who, &ticket.statement_handle)?;
            let plan = self.current(&caller.who, self.statements.take(id)?).await?;
            let answer = plan.start().await.map_err(|error| to_status(&error))?;
            return Ok(encode::answer(answer));
        }
        if metadata::schema(&command).is_none() {
            return Err(unsupported(&command));
        }
        let session = self.engine.session(caller.who.clone(), caller.options).await;
        let session = session.map_err(|error| to_status(&error))?;
        encode::single(&metadata::answer(command, &session).await?)
    }

    /// The plan of a ticket, made again where the policy that it was made under may have changed.
    async fn current(&self, who: &Principal, planned: Planned) -> Result<Prepared, Status> {
        if planned.is_fresh() {
            return Ok(planned.plan);
        }
        let Planned { text, plan, .. } = planned;
        let again = self.plan(who, text.options, &text.sql).await?;
        if again.schema() != plan.schema() {
            return Err(refuse(
                ErrorCode::Conflict,
                "the columns of the answer have changed since the statement was planned; send it again",
            ));
        }
        Ok(again)
    }

    /// Prepares a statement.
    pub(crate) async fn prepare(
        &self,
        seal: &Seal,
        caller: &Caller,
        sql: String,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let plan = self.plan(&caller.who, caller.options, &sql).await?;
        let schema = plan.schema();
        let text = Text { sql, options: caller.options };
        let id = self.statements.prepare(&caller.who, text)?;
        // The handle may be used for longer than one idle time, as long as it is used.
        let life = PREPARED_LIFE.saturating_mul(24);
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: seal.close(
                Kind::Prepared,
                &caller.who,
                life,
                id.as_bytes(),
            )?,
            dataset_schema: schema_bytes(&schema)?,
            parameter_schema: schema_bytes(&Schema::empty())?,
        })
    }

    /// Closes a prepared statement.
    pub(crate) fn close(&self, seal: &Seal, caller: &Caller, handle: &[u8]) -> Result<(), Status> {
        self.statements.close(id(seal, Kind::Prepared, &caller.who, handle)?);
        Ok(())
    }

    /// Forgets the statement of a ticket that has not been run; whether there was one.
    pub(crate) fn cancel(&self, seal: &Seal, caller: &Caller, ticket: &[u8]) -> bool {
        arrow_flight::sql::Any::decode(ticket)
            .ok()
            .and_then(|any| any.unpack::<TicketStatementQuery>().ok().flatten())
            .and_then(|ticket| {
                id(seal, Kind::Statement, &caller.who, &ticket.statement_handle).ok()
            })
            .is_some_and(|id| self.statements.cancel(id))
    }
}

fn id(seal: &Seal, kind: Kind, who: &Principal, handle: &[u8]) -> Result<Uuid, Status> {
    let payload = seal.open(kind, who, handle)?;
    Uuid::from_slice(&payload)
        .map_err(|_| refuse(ErrorCode::InvalidArgument, "the handle is malformed"))
}

/// Refuses what a read-only node does not do.
pub(crate) fn unsupported(command: &Command) -> Status {
    match command {
        Command::CommandStatementUpdate(_)
        | Command::CommandStatementIngest(_)
        | Command::CommandPreparedStatementUpdate(_) => refuse(
            ErrorCode::InvalidArgument,
            "SQL here only reads; data come in with `tarn ingest`",
        ),
        Command::CommandStatementSubstraitPlan(_) => {
            Status::unimplemented("Substrait plans are not accepted; send SQL [invalid_argument]")
        }
        Command::CommandPreparedStatementQuery(_) => Status::unimplemented(
            "statements with parameters are not supported yet; write the values into the SQL \
             [invalid_argument]",
        ),
        _ => Status::unimplemented("this Flight SQL command is not supported [invalid_argument]"),
    }
}
