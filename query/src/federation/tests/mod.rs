//! Federation over real sockets: labs with tables in memory, served by a small Flight service.

mod answers;
mod random;
mod refusals;

use super::attach_labs;
use super::client::Connection;
use super::lab::{KnownLab, ask};
use super::serve::{Fragment, function_names};
use super::wire::{TABLES, TableInfo, TablesAnswer, VERSION, VISITOR, schema_to_text};
use crate::engine::Sites;
use crate::error::QueryError;
use crate::functions::aggregate_functions;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch};
use arrow::array::{DictionaryArray, StringArray};
use arrow::datatypes::Int32Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, MemTable, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, Session,
};
use datafusion::common::Result as DataFusionResult;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::Duration;
use tarn_catalog::Peer;
use tarn_schemas::{DatasetName, LabName, PartialMode, TableName};
use tonic::{Request, Response, Status, Streaming};

const SECRET: &str = "tarn_p_test";

fn lab(name: &str) -> LabName {
    LabName::new(name).unwrap()
}

/// One row of the tables `ta`: model, year, ta, n, ok.
type Row = (&'static str, i32, Option<f64>, Option<i64>, Option<bool>);

/// Rows as a batch; models are dictionary-encoded, as coordinates are inside the engine.
fn ta(rows: &[Row]) -> RecordBatch {
    let model: DictionaryArray<Int32Type> = rows.iter().map(|row| Some(row.0)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("model", Arc::new(model) as ArrayRef, true),
        ("year", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1))), false),
        ("ta", Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()), true),
        ("n", Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>()), true),
        ("ok", Arc::new(rows.iter().map(|row| row.4).collect::<BooleanArray>()), true),
    ])
    .unwrap()
}

fn ornl_rows() -> RecordBatch {
    ta(&[
        ("e3sm", 1850, Some(280.5), Some(1), Some(true)),
        ("e3sm", 1851, Some(281.25), None, Some(false)),
        ("e3sm", 1852, None, Some(3), None),
        ("cesm", 1850, Some(-1.0), Some(4), Some(true)),
        ("cesm", 1851, Some(f64::NAN), Some(-5), Some(false)),
        ("only_null", 1850, None, None, None),
    ])
}

fn llnl_rows() -> RecordBatch {
    ta(&[
        ("cesm", 1850, Some(279.0), Some(7), Some(true)),
        ("cesm", 1852, Some(279.5), Some(8), None),
        ("gfdl", 1850, Some(282.0), None, Some(false)),
        ("gfdl", 1851, None, Some(10), Some(true)),
    ])
}

fn models() -> RecordBatch {
    RecordBatch::try_from_iter([
        ("model", Arc::new(StringArray::from(vec!["e3sm", "cesm", "gfdl", "mpi"])) as ArrayRef),
        ("country", Arc::new(StringArray::from(vec!["us", "us", "us", "de"])) as ArrayRef),
    ])
    .unwrap()
}

/// A catalog with the dataset `d` and these tables.
fn catalog(tables: &[(&str, Vec<RecordBatch>)]) -> Arc<dyn CatalogProvider> {
    let dataset = MemorySchemaProvider::new();
    for (name, batches) in tables {
        let table = MemTable::try_new(batches[0].schema(), vec![batches.clone()]).unwrap();
        dataset.register_table((*name).to_owned(), Arc::new(table)).unwrap();
    }
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema("d", Arc::new(dataset)).unwrap();
    Arc::new(catalog)
}

/// Settings and aggregates as the engine has them: with DataFusion's own, least and greatest by group
/// depend on the order of rows where there is NaN.
fn template() -> SessionStateBuilder {
    let mut settings = SessionConfig::new().with_target_partitions(2);
    settings.options_mut().execution.skip_physical_aggregate_schema_check = true;
    let mut builder = SessionStateBuilder::new_with_default_features().with_config(settings);
    builder.aggregate_functions().get_or_insert_default().extend(aggregate_functions());
    builder
}

/// The three labs' tables in one session without federation: what answers must equal.
fn everything_here() -> SessionContext {
    let context = SessionContext::new_with_state(template().build());
    context.register_catalog("ornl", catalog(&[("ta", vec![ornl_rows()])]));
    context.register_catalog(
        "llnl",
        catalog(&[("ta", vec![llnl_rows()]), ("models", vec![models()])]),
    );
    context
        .register_catalog("anl", catalog(&[("models", vec![models()]), ("ta", vec![llnl_rows()])]));
    context
}

/// A lab that serves its tables until it is dropped.
struct Lab {
    peer: Peer,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Lab {
    async fn start(name: &str, tables: &[(&str, Vec<RecordBatch>)]) -> Self {
        let context = SessionContext::new_with_state(template().build());
        context.register_catalog(name, catalog(tables));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = FlightServiceServer::new(Owner { lab: lab(name), context });
        let server = tokio::spawn(async move {
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let _ = tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await;
        });
        let peer = Peer {
            lab: lab(name),
            flight: format!("http://{address}"),
            http: String::new(),
            secret: SECRET.into(),
            since: String::new(),
            key: None,
        };
        Self { peer, server }
    }

    /// What a session learns of it.
    async fn known(&self) -> KnownLab {
        let connection = connect(&self.peer, &self.peer.secret);
        let listing = ask(&connection, &self.peer.lab).await.unwrap();
        KnownLab::new(&self.peer, None, connection, Some(Arc::new(listing)), None)
    }
}

fn connect(peer: &Peer, secret: &str) -> Connection {
    let patience = Duration::from_secs(5);
    Connection::new(&peer.lab, &peer.flight, Some(secret), None, patience).unwrap()
}

/// Both climate labs.
async fn two_labs() -> (Lab, Lab) {
    (
        Lab::start("ornl", &[("ta", vec![ornl_rows()])]).await,
        Lab::start("llnl", &[("ta", vec![llnl_rows()]), ("models", vec![models()])]).await,
    )
}

#[derive(Debug)]
struct Planner(Planners);

struct Planners(Arc<dyn ExtensionPlanner + Send + Sync>);

impl std::fmt::Debug for Planners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Planners")
    }
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::clone(&self.0.0)])
            .create_physical_plan(plan, session)
            .await
    }
}

/// A session of lab `anl`, which is a peer of the others.
fn asker(labs: Vec<KnownLab>, partial: PartialMode) -> (SessionContext, Sites) {
    let sites = Sites::default();
    let attachment = attach_labs(labs, &sites, partial);
    let mut builder =
        template().with_query_planner(Arc::new(Planner(Planners(attachment.planner))));
    for rule in attachment.rules {
        builder = builder.with_optimizer_rule(rule);
    }
    let context = SessionContext::new_with_state(builder.build());
    for (lab, tables) in attachment.catalogs {
        context.register_catalog(lab.to_string(), tables);
    }
    context
        .register_catalog("anl", catalog(&[("models", vec![models()]), ("ta", vec![llnl_rows()])]));
    (context, sites)
}

/// Rows as text, in an order of their own unless the order matters.
async fn rows(
    context: &SessionContext,
    sql: &str,
    ordered: bool,
) -> Result<Vec<String>, QueryError> {
    let batches = context.sql(sql).await?.collect().await?;
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> =
                columns.iter().map(|c| cell(&c.value(row).to_string())).collect();
            rows.push(cells.join("|"));
        }
    }
    if !ordered {
        rows.sort_unstable();
    }
    Ok(rows)
}

/// Sums of floats depend on their order in the last bits.
fn cell(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(value) if text.contains('.') => format!("{value:.9e}"),
        _ => text.to_owned(),
    }
}

fn report(sites: &Sites, name: &str) -> tarn_schemas::SiteReport {
    sites.reports().into_iter().find(|report| report.lab == lab(name)).unwrap()
}

/// Serves the tables of a session to who knows the secret. The visitor `denied` may read nothing.
struct Owner {
    lab: LabName,
    context: SessionContext,
}

impl Owner {
    fn check<T>(request: &Request<T>) -> Result<(), Status> {
        let header =
            |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        if header("authorization") != Some(&format!("Bearer {SECRET}")) {
            return Err(Status::unauthenticated("unknown secret"));
        }
        if header(VISITOR) == Some("denied") {
            return Err(Status::permission_denied("not for you"));
        }
        Ok(())
    }

    async fn tables(&self) -> TablesAnswer {
        let dataset = self.context.catalog(self.lab.as_str()).unwrap().schema("d").unwrap();
        let mut tables = Vec::new();
        for name in dataset.table_names() {
            let table = dataset.table(&name).await.unwrap().unwrap();
            tables.push(TableInfo {
                dataset: DatasetName::new("d").unwrap(),
                table: TableName::new(name).unwrap(),
                schema: schema_to_text(&table.schema()).unwrap(),
                rows: None,
            });
        }
        let functions = function_names(&self.context.state());
        TablesAnswer { version: VERSION, lab: self.lab.clone(), functions, tables }
    }

    async fn fragment(
        &self,
        ticket: &[u8],
    ) -> Result<BoxStream<'static, Result<FlightData, Status>>, QueryError> {
        let state = self.context.state();
        let plan = Fragment::read(ticket, &self.lab)?.plan(&state).await?;
        let physical = state.create_physical_plan(&plan).await?;
        let batches = execute_stream(physical, self.context.task_ctx())?;
        let schema = batches.schema();
        let batches = batches.map_err(|error| {
            FlightError::Tonic(Box::new(Status::invalid_argument(error.strip_backtrace())))
        });
        Ok(FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .build(batches)
            .map_err(|error| match error {
                FlightError::Tonic(status) => *status,
                other => Status::internal(other.to_string()),
            })
            .boxed())
    }
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

#[async_trait]
impl FlightService for Owner {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        Self::check(&request)?;
        self.fragment(&request.into_inner().ticket)
            .await
            .map(Response::new)
            .map_err(|error| Status::invalid_argument(error.to_string()))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        Self::check(&request)?;
        assert_eq!(request.into_inner().r#type, TABLES);
        let body = serde_json::to_vec(&self.tables().await).unwrap().into();
        Ok(Response::new(futures::stream::iter([Ok(arrow_flight::Result { body })]).boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(Status::unimplemented("handshake"))
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::unimplemented("list_flights"))
    }

    async fn get_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Err(Status::unimplemented("get_flight_info"))
    }

    async fn poll_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented("poll_flight_info"))
    }

    async fn get_schema(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        Err(Status::unimplemented("get_schema"))
    }

    async fn do_put(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        Err(Status::unimplemented("do_put"))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("do_exchange"))
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(Status::unimplemented("list_actions"))
    }
}
