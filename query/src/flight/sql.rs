//! Statements: planned at `GetFlightInfo`, run at `DoGet`.

use super::changes::{self, Changer};
use super::encode::{self, MessageStream, schema_bytes};
use super::identity::Caller;
use super::metadata;
use super::seal::{Kind, Seal};
use super::statements::{
    Known, PARTS_LIFE, PREPARED_LIFE, Planned, STATEMENT_LIFE, Statements, Text,
};
use super::status::{refuse, to_status};
use crate::engine::{Described, Engine, Prepared, Query, Session, Stop};
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::{
    ActionCreatePreparedStatementResult, Command, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{CancelStatus, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use datafusion::common::ScalarValue;
use prost::Message;
use std::sync::Arc;
use std::time::SystemTime;
use tarn_schemas::Principal;
use tarn_schemas::code::ErrorCode;
use tonic::Status;
use uuid::Uuid;

/// The SQL side of the door.
#[derive(Debug)]
pub(crate) struct Sql {
    engine: Engine,
    changer: Changer,
    statements: Statements,
}

impl Sql {
    pub(crate) fn new(engine: Engine, changer: Changer) -> Self {
        Self { engine, changer, statements: Statements::default() }
    }

    /// What is held for clients.
    pub(crate) fn statements(&self) -> &Statements {
        &self.statements
    }

    async fn session(&self, who: &Principal, text: &Text) -> Result<Session, Status> {
        self.engine.session(who.clone(), text.options).await.map_err(|error| to_status(&error))
    }

    /// Plans a statement, as the query that it was before or as a new one.
    async fn plan(
        &self,
        who: &Principal,
        text: &Text,
        query: Option<Query>,
    ) -> Result<Prepared, Status> {
        let session = self.session(who, text).await?;
        let query = query.unwrap_or_else(|| session.begin());
        session.plan_as(&query, &text.sql, &text.rows).await.map_err(|error| to_status(&error))
    }

    /// Answers `GetFlightInfo` for a Flight SQL command.
    pub(crate) async fn info(
        &self,
        seal: &Seal,
        caller: &Caller,
        command: Command,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        let (schema, endpoints) = match command {
            Command::CommandStatementQuery(query) => {
                let text = Text { sql: query.query, options: caller.options, rows: vec![] };
                self.ticket(seal, &caller.who, text).await?
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = &query.prepared_statement_handle;
                let known =
                    self.statements.execute(id(seal, Kind::Prepared, &caller.who, handle)?)?;
                let planned = known.first.and_then(|id| Some((id, self.statements.promote(id)?)));
                match planned {
                    Some((id, (schema, parts))) => {
                        (schema, endpoints(seal, &caller.who, id, parts)?)
                    }
                    None => self.ticket(seal, &caller.who, known.text).await?,
                }
            }
            listing => {
                let schema = metadata::schema(&listing).ok_or_else(|| unsupported(&listing))?;
                let ticket = Ticket::new(listing.into_any().encode_to_vec());
                (schema, vec![FlightEndpoint::new().with_ticket(ticket)])
            }
        };
        let mut info = FlightInfo::new()
            .with_descriptor(descriptor)
            .with_total_records(-1)
            .with_total_bytes(-1)
            .with_ordered(endpoints.len() == 1);
        info.endpoint = endpoints;
        info.schema = schema_bytes(&schema)?;
        Ok(info)
    }

    /// Whether a statement is to change something. It takes no values.
    async fn changes(&self, who: &Principal, text: &Text) -> Result<bool, Status> {
        let session = self.session(who, text).await?;
        let changes = self.changer.wanted(&session, &text.sql).await?.is_some();
        if changes && !text.rows.is_empty() {
            return Err(refuse(
                ErrorCode::InvalidArgument,
                "a statement that changes something has no parameters",
            ));
        }
        Ok(changes)
    }

    /// Does what an update asks for; how many rows were made, or -1 where that says nothing.
    pub(crate) async fn update(
        &self,
        seal: &Seal,
        caller: &Caller,
        command: Command,
    ) -> Result<i64, Status> {
        let sql = match command {
            Command::CommandStatementUpdate(update) if update.transaction_id.is_none() => {
                update.query
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let handle = &update.prepared_statement_handle;
                self.statements.text(id(seal, Kind::Prepared, &caller.who, handle)?)?.sql
            }
            other => return Err(unsupported(&other)),
        };
        let made = self.changer.make(&self.engine, caller, (Uuid::new_v4(), &sql)).await?;
        Ok(changes::count(&made))
    }

    async fn ticket(
        &self,
        seal: &Seal,
        who: &Principal,
        text: Text,
    ) -> Result<(SchemaRef, Vec<FlightEndpoint>), Status> {
        if self.changes(who, &text).await? {
            let id = Uuid::new_v4();
            self.statements.hold_change(who, id, text.sql)?;
            return Ok((changes::schema(), endpoints(seal, who, id, 1)?));
        }
        // Until it is read, others may have its turn.
        let plan = self.plan(who, &text, None).await?.holding(None);
        let planned = Planned::new(text, plan);
        let (schema, id, parts) = (planned.schema.clone(), planned.id(), planned.endpoints());
        self.statements.hold(who, id, planned)?;
        Ok((schema, endpoints(seal, who, id, parts)?))
    }

    /// The schema of a command, without keeping its plan.
    pub(crate) async fn schema(
        &self,
        seal: &Seal,
        caller: &Caller,
        command: &Command,
    ) -> Result<SchemaRef, Status> {
        let text = match command {
            Command::CommandStatementQuery(query) => {
                Text { sql: query.query.clone(), options: caller.options, rows: vec![] }
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = &query.prepared_statement_handle;
                self.statements.text(id(seal, Kind::Prepared, &caller.who, handle)?)?
            }
            listing => return metadata::schema(listing).ok_or_else(|| unsupported(listing)),
        };
        if !text.rows.is_empty() {
            return Ok(self.plan(&caller.who, &text, None).await?.schema());
        }
        let session = self.session(&caller.who, &text).await?;
        if self.changer.wanted(&session, &text.sql).await?.is_some() {
            return Ok(changes::schema());
        }
        let described = Box::pin(session.describe(&text.sql)).await;
        described.map(|described| described.schema).map_err(|error| to_status(&error))
    }

    /// Answers `DoGet` for a statement's ticket or a listing.
    pub(crate) async fn get(
        &self,
        seal: &Seal,
        caller: &Caller,
        command: Command,
    ) -> Result<MessageStream, Status> {
        if let Command::TicketStatementQuery(ticket) = command {
            let Handle { id, part } = Handle::open(seal, &caller.who, &ticket.statement_handle)?;
            if let Some(sql) = self.statements.take_change(id) {
                let made = self.changer.make(&self.engine, caller, (id, &sql)).await?;
                return encode::single(&changes::report(&made)?);
            }
            let parts = self.statements.parts(id)?;
            let start = async {
                let plan = self.current(&caller.who, id).await?;
                plan.start().await.map_err(|error| to_status(&error))
            };
            let answer = match parts {
                Some(parts) => Box::pin(parts.read(part, start)).await?,
                None => start.await?,
            };
            return encode::answer(answer);
        }
        if metadata::schema(&command).is_none() {
            return Err(unsupported(&command));
        }
        let session = self.engine.session(caller.who.clone(), caller.options).await;
        let session = session.map_err(|error| to_status(&error))?;
        encode::single(&metadata::answer(command, &session).await?)
    }

    /// The plan of a ticket, made again where the policy that it was made under may have changed, and
    /// where it was run before.
    async fn current(&self, who: &Principal, id: Uuid) -> Result<Prepared, Status> {
        let due = self.statements.due(id)?;
        let query = match due.plan {
            Some(plan) if due.fresh => return Ok(plan),
            Some(plan) => plan.again(),
            None => None,
        };
        let again = self.plan(who, &due.text, query).await?;
        if again.schema() != due.schema {
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
        let text = Text { sql, options: caller.options, rows: vec![] };
        let session = self.session(&caller.who, &text).await?;
        let (described, plan) = match self.changer.wanted(&session, &text.sql).await? {
            // Clients tell an update by the columns that it does not have.
            Some(_) => (Described { schema: nothing(), parameters: nothing() }, None),
            None => {
                let described = Box::pin(session.described_and_planned(&text.sql)).await;
                described.map_err(|error| to_status(&error))?
            }
        };
        let planned = plan.map(|plan| Planned::new(text.clone(), plan));
        let first = planned.and_then(|planned| self.statements.hold_first(&caller.who, planned));
        let id = self.statements.prepare(&caller.who, Known { text, first })?;
        // The handle may be used for longer than one idle time, as long as it is used.
        let life = PREPARED_LIFE.saturating_mul(24);
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: seal.close(
                Kind::Prepared,
                &caller.who,
                life,
                id.as_bytes(),
            )?,
            dataset_schema: schema_bytes(&described.schema)?,
            parameter_schema: schema_bytes(&described.parameters)?,
        })
    }

    /// Binds rows of values to a prepared statement.
    pub(crate) fn bind(
        &self,
        seal: &Seal,
        caller: &Caller,
        handle: &[u8],
        rows: Vec<Vec<ScalarValue>>,
    ) -> Result<(), Status> {
        self.statements.bind(id(seal, Kind::Prepared, &caller.who, handle)?, rows)
    }

    /// Closes a prepared statement.
    pub(crate) fn close(&self, seal: &Seal, caller: &Caller, handle: &[u8]) -> Result<(), Status> {
        self.statements.close(id(seal, Kind::Prepared, &caller.who, handle)?);
        Ok(())
    }

    /// Stops the statements of these tickets, running or not, and forgets them.
    pub(crate) fn cancel(
        &self,
        seal: &Seal,
        caller: &Caller,
        endpoints: &[FlightEndpoint],
    ) -> CancelStatus {
        let mut status = CancelStatus::NotCancellable;
        for endpoint in endpoints {
            let Some(Handle { id, .. }) = statement_of(seal, &caller.who, endpoint) else {
                continue;
            };
            let running = self.engine.query(&caller.who, id);
            if let Some(query) = running.as_ref().filter(|query| !query.progress().state.is_final())
            {
                query.stop(Stop::Cancelled);
                status = CancelStatus::Cancelled;
            }
            if self.statements.cancel(id) {
                status = CancelStatus::Cancelled;
            }
        }
        status
    }

    /// The same endpoint with a ticket that lives for longer.
    pub(crate) fn renew(
        &self,
        seal: &Seal,
        caller: &Caller,
        endpoint: &FlightEndpoint,
    ) -> Result<FlightEndpoint, Status> {
        let handle = statement_of(seal, &caller.who, endpoint).ok_or_else(|| {
            refuse(
                ErrorCode::InvalidArgument,
                "the endpoint has no ticket of yours that can be renewed",
            )
        })?;
        self.statements.renew(handle.id)?;
        self::endpoint(seal, &caller.who, handle)
    }
}

/// What the ticket of an endpoint names.
#[derive(Debug, Clone, Copy)]
struct Handle {
    /// The statement.
    id: Uuid,
    /// Which of its endpoints.
    part: u8,
}

impl Handle {
    fn open(seal: &Seal, who: &Principal, handle: &[u8]) -> Result<Self, Status> {
        let payload = seal.open(Kind::Statement, who, handle)?;
        let (part, id) = payload.split_last().ok_or_else(malformed)?;
        Ok(Self { id: Uuid::from_slice(id).map_err(|_| malformed())?, part: *part })
    }

    fn close(self, seal: &Seal, who: &Principal) -> Result<Bytes, Status> {
        let life = if self.part == 0 { STATEMENT_LIFE } else { PARTS_LIFE };
        let payload: Vec<u8> = self.id.as_bytes().iter().copied().chain([self.part]).collect();
        seal.close(Kind::Statement, who, life, &payload)
    }
}

/// No columns at all.
fn nothing() -> SchemaRef {
    Arc::new(Schema::empty())
}

fn malformed() -> Status {
    refuse(ErrorCode::InvalidArgument, "the handle is malformed")
}

/// The places where a statement is read, each of which gives a part of its answer.
fn endpoints(
    seal: &Seal,
    who: &Principal,
    id: Uuid,
    parts: usize,
) -> Result<Vec<FlightEndpoint>, Status> {
    let parts = u8::try_from(parts).unwrap_or(1);
    (0..parts).map(|part| endpoint(seal, who, Handle { id, part })).collect()
}

/// Where a statement is read, and until when it has to be begun.
fn endpoint(seal: &Seal, who: &Principal, handle: Handle) -> Result<FlightEndpoint, Status> {
    let statement_handle = handle.close(seal, who)?;
    let ticket: Bytes = TicketStatementQuery { statement_handle }.as_any().encode_to_vec().into();
    let mut endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
    endpoint.expiration_time = SystemTime::now().checked_add(STATEMENT_LIFE).map(Into::into);
    Ok(endpoint)
}

/// What an endpoint's ticket names, if it is the caller's.
fn statement_of(seal: &Seal, who: &Principal, endpoint: &FlightEndpoint) -> Option<Handle> {
    let ticket = endpoint.ticket.as_ref()?;
    let any = arrow_flight::sql::Any::decode(ticket.ticket.as_ref()).ok()?;
    let ticket: TicketStatementQuery = any.unpack().ok().flatten()?;
    Handle::open(seal, who, &ticket.statement_handle).ok()
}

fn id(seal: &Seal, kind: Kind, who: &Principal, handle: &[u8]) -> Result<Uuid, Status> {
    let payload = seal.open(kind, who, handle)?;
    Uuid::from_slice(&payload).map_err(|_| malformed())
}

/// Refuses what is not done here.
fn unsupported(command: &Command) -> Status {
    match command {
        Command::CommandStatementUpdate(_) => {
            refuse(ErrorCode::InvalidArgument, "there are no transactions here")
        }
        Command::CommandStatementIngest(_) => {
            refuse(ErrorCode::InvalidArgument, "data come in with `tarn ingest`")
        }
        Command::CommandStatementSubstraitPlan(_) => {
            Status::unimplemented("Substrait plans are not accepted; send SQL [invalid_argument]")
        }
        _ => Status::unimplemented("this Flight SQL command is not supported [invalid_argument]"),
    }
}
