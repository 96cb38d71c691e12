//! The Flight service itself: finds out who calls and hands the call to SQL, streams or peers.

use super::actions;
use super::bind;
use super::changes::Changer;
use super::encode::{MessageStream, schema_bytes};
use super::identity::{self, Caller};
use super::machine;
use super::routes;
use super::seal::{Seal, is_sealed};
use super::sessions;
use super::sql::Sql;
use super::status::{hidden, refuse};
use super::streams::StreamDoor;
use crate::changes::Changes;
use crate::engine::Engine;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, Any, Command, DoPutPreparedStatementResult,
    DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, Criteria, Empty,
    FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo,
    PutResult, RenewFlightEndpointRequest, SchemaResult, Ticket,
};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use prost::Message;
use std::sync::Arc;
use tarn_schemas::code::ErrorCode;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

const CREATE_PREPARED: &str = "CreatePreparedStatement";
const CLOSE_PREPARED: &str = "ClosePreparedStatement";
const CANCEL_INFO: &str = "CancelFlightInfo";
const CANCEL_QUERY: &str = "CancelQuery";
const RENEW: &str = "RenewFlightEndpoint";
const SET_OPTIONS: &str = "SetSessionOptions";
const GET_OPTIONS: &str = "GetSessionOptions";
const CLOSE_SESSION: &str = "CloseSession";

/// The door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FlightDoor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    seal: Arc<Seal>,
    sql: Sql,
    streams: StreamDoor,
}

impl FlightDoor {
    /// A door to an engine, where statements only read. Its tickets are worth something at the nodes of its catalog.
    pub fn new(engine: Engine) -> Self {
        Self::with(engine, Changer::default())
    }

    /// A door where statements may change something too.
    pub fn changing(engine: Engine, changes: Arc<dyn Changes>) -> Self {
        Self::with(engine, Changer::new(changes))
    }

    fn with(engine: Engine, changer: Changer) -> Self {
        let inner = Inner {
            seal: Arc::new(Seal::new()),
            sql: Sql::new(engine.clone(), changer),
            streams: StreamDoor::new(engine.clone()),
            engine,
        };
        Self { inner: Arc::new(inner) }
    }

    async fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let mut caller = identity::identify(&self.inner.engine, metadata).await?;
        self.inner.seal.refresh(&self.inner.engine).await?;
        sessions::apply(self.inner.sql.statements(), &mut caller);
        Ok(caller)
    }

    /// What stands behind a ticket.
    pub(crate) async fn get(
        &self,
        metadata: &MetadataMap,
        ticket: &Bytes,
    ) -> Result<MessageStream, Status> {
        let caller = self.caller(metadata).await?;
        let Inner { engine, seal, sql, streams } = &*self.inner;
        if is_sealed(ticket) {
            Box::pin(streams.get(seal, &caller.who, ticket)).await
        } else if routes::is_fragment(ticket) {
            Box::pin(routes::do_get(engine, &caller.who, ticket)).await
        } else {
            sql.get(seal, &caller, command(ticket)?).await
        }
    }

    async fn act(&self, caller: &Caller, action: Action) -> Result<Option<Bytes>, Status> {
        let Inner { engine, seal, sql, streams } = &*self.inner;
        let (who, body) = (&caller.who, &action.body);
        match action.r#type.as_str() {
            CREATE_PREPARED => {
                let request: ActionCreatePreparedStatementRequest = unpack(body)?;
                let answer = Box::pin(sql.prepare(seal, caller, request.query)).await?;
                Ok(Some(answer.as_any().encode_to_vec().into()))
            }
            CLOSE_PREPARED => {
                let request: ActionClosePreparedStatementRequest = unpack(body)?;
                sql.close(seal, caller, &request.prepared_statement_handle)?;
                Ok(None)
            }
            CANCEL_INFO => {
                let request = CancelFlightInfoRequest::decode(body.clone()).map_err(malformed)?;
                let endpoints = request.info.map(|info| info.endpoint).unwrap_or_default();
                let status = sql.cancel(seal, caller, &endpoints);
                Ok(Some(CancelFlightInfoResult::new(status).encode_to_vec().into()))
            }
            CANCEL_QUERY => {
                let request: ActionCancelQueryRequest = unpack(body)?;
                let info = FlightInfo::decode(request.info).map_err(malformed)?;
                // The numbers of both messages are the same.
                let result = sql.cancel(seal, caller, &info.endpoint).into();
                let answer = ActionCancelQueryResult { result };
                Ok(Some(answer.as_any().encode_to_vec().into()))
            }
            RENEW => {
                let request =
                    RenewFlightEndpointRequest::decode(body.clone()).map_err(malformed)?;
                let endpoint = request.endpoint.unwrap_or_default();
                let renewed = match streams.renew(seal, who, &endpoint).await? {
                    Some(renewed) => renewed,
                    None => sql.renew(seal, caller, &endpoint)?,
                };
                Ok(Some(renewed.encode_to_vec().into()))
            }
            GET_OPTIONS => Ok(Some(sessions::get(caller).encode_to_vec().into())),
            CLOSE_SESSION => {
                let answer = sessions::close(sql.statements(), caller);
                Ok(Some(answer.encode_to_vec().into()))
            }
            actions::SEARCH => Ok(Some(actions::search(engine, who, body).await?.into())),
            actions::DATASET => Ok(Some(actions::dataset(engine, who, body).await?.into())),
            actions::RECEIPT => {
                Ok(Some(actions::json(&streams.receipt(seal, who, body).await?)?.into()))
            }
            kind => Err(Status::unimplemented(format!(
                "there is no action {kind:?} [invalid_argument]"
            ))),
        }
    }
}

fn malformed(error: prost::DecodeError) -> Status {
    refuse(ErrorCode::InvalidArgument, format!("the message is malformed: {error}"))
}

fn no_descriptor() -> Status {
    refuse(ErrorCode::InvalidArgument, "the first message of DoPut has no descriptor")
}

/// The answer to `SetSessionOptions`; a session that begins is named by a cookie.
fn set_options(
    (result, begun): (sessions::SetResult, Option<Uuid>),
) -> Result<Response<BoxStream<'static, Result<arrow_flight::Result, Status>>>, Status> {
    let body = result.encode_to_vec().into();
    let mut response = Response::new(stream::iter([Ok(arrow_flight::Result { body })]).boxed());
    if let Some(id) = begun {
        let cookie = MetadataValue::try_from(format!("{}={id}", sessions::COOKIE))
            .map_err(|error| hidden(ErrorCode::Internal, "the session has no name", &error))?;
        response.metadata_mut().insert("set-cookie", cookie);
    }
    Ok(response)
}

fn command(bytes: &[u8]) -> Result<Command, Status> {
    let any = Any::decode(bytes).map_err(malformed)?;
    Command::try_from(any).map_err(|error| {
        refuse(ErrorCode::InvalidArgument, format!("the command is malformed: {error}"))
    })
}

fn unpack<M: ProstMessageExt>(body: &[u8]) -> Result<M, Status> {
    let any = Any::decode(body).map_err(malformed)?;
    any.unpack()
        .ok()
        .flatten()
        .ok_or_else(|| refuse(ErrorCode::InvalidArgument, "the action's body is of another type"))
}

/// Whether a descriptor or ticket is JSON. No protobuf message of Flight SQL begins so.
fn is_json(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'{')
}

#[tonic::async_trait]
impl FlightService for FlightDoor {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let (metadata, _, mut messages) = request.into_parts();
        let first = match metadata.get("authorization") {
            Some(_) => None,
            None => messages.message().await?,
        };
        let token = identity::handshake(&self.inner.engine, &metadata, first).await?;
        let bearer = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|error| hidden(ErrorCode::Internal, "the handshake failed", &error))?;
        let answer = HandshakeResponse { protocol_version: 0, payload: token.into() };
        let mut response = Response::new(stream::iter([Ok(answer)]).boxed());
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn list_flights(
        &self,
        _request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::unimplemented("flights are not listed; use GetTables or tarn.search"))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let caller = self.caller(request.metadata()).await?;
        let here = machine::is_this(request.metadata());
        let descriptor = request.into_inner();
        let Inner { seal, sql, streams, .. } = &*self.inner;
        let info = if is_json(&descriptor.cmd) {
            Box::pin(streams.info(seal, &caller.who, &descriptor.cmd, here)).await?
        } else {
            let command = command(&descriptor.cmd)?;
            sql.info(seal, &caller, command, descriptor).await?
        };
        Ok(Response::new(info))
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        let info = self.get_flight_info(request).await?.into_inner();
        Ok(Response::new(PollInfo::new().with_info(info)))
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let caller = self.caller(request.metadata()).await?;
        let descriptor = request.into_inner().cmd;
        let schema = if is_json(&descriptor) {
            let Inner { seal, streams, .. } = &*self.inner;
            streams.schema(seal, &caller.who, &descriptor).await?
        } else {
            let Inner { seal, sql, .. } = &*self.inner;
            Box::pin(sql.schema(seal, &caller, &command(&descriptor)?)).await?
        };
        Ok(Response::new(SchemaResult { schema: schema_bytes(&schema)? }))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let (metadata, _, ticket) = request.into_parts();
        let messages = self.get(&metadata, &ticket.ticket).await?;
        Ok(Response::new(messages.map_ok(FlightData::from).boxed()))
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let caller = self.caller(request.metadata()).await?;
        let mut messages = request.into_inner();
        let first = messages.message().await?.ok_or_else(no_descriptor)?;
        let descriptor = first.flight_descriptor.as_ref().ok_or_else(no_descriptor)?;
        let Inner { seal, sql, .. } = &*self.inner;
        let app_metadata = match command(&descriptor.cmd)? {
            Command::CommandPreparedStatementQuery(query) => {
                let handle = query.prepared_statement_handle;
                let rows = bind::rows(first, messages).await?;
                sql.bind(seal, &caller, &handle, rows)?;
                let handle = Some(handle);
                DoPutPreparedStatementResult { prepared_statement_handle: handle }.encode_to_vec()
            }
            command => {
                let record_count = Box::pin(sql.update(seal, &caller, command)).await?;
                DoPutUpdateResult { record_count }.encode_to_vec()
            }
        };
        let answer = PutResult { app_metadata: app_metadata.into() };
        Ok(Response::new(stream::iter([Ok(answer)]).boxed()))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let caller = self.caller(request.metadata()).await?;
        let action = request.into_inner();
        if action.r#type == SET_OPTIONS {
            let set = sessions::set(self.inner.sql.statements(), &caller, &action.body)?;
            return set_options(set);
        }
        let answer = if routes::is_peer_action(&action.r#type) {
            let (kind, body) = (&action.r#type, &action.body);
            let answer = routes::do_action(&self.inner.engine, &caller.who, kind, body).await?;
            Some(answer.into())
        } else {
            Box::pin(self.act(&caller, action)).await?
        };
        let results = answer.into_iter().map(|body| Ok(arrow_flight::Result { body }));
        Ok(Response::new(stream::iter(results).boxed()))
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        self.caller(request.metadata()).await?;
        let sql = [
            (CREATE_PREPARED, "Prepare a statement (Flight SQL)"),
            (CLOSE_PREPARED, "Close a prepared statement (Flight SQL)"),
            (CANCEL_INFO, "Stop a statement, whether it runs or not"),
            (CANCEL_QUERY, "Stop a statement (the older form)"),
            (RENEW, "Let a ticket live for longer"),
            (SET_OPTIONS, "Set options of the session: partial, seconds, rows"),
            (GET_OPTIONS, "Options of the session"),
            (CLOSE_SESSION, "End the session"),
        ];
        let all = sql.into_iter().chain(actions::ALL).map(|(kind, description)| {
            Ok(ActionType { r#type: kind.to_owned(), description: description.to_owned() })
        });
        Ok(Response::new(stream::iter(all).boxed()))
    }

    async fn do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("DoExchange is not supported"))
    }
}
