//! Flight SQL by the Rust client, in this process.

use crate::support::{Lab, ROWS};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandStatementQuery, ProstMessageExt, SqlInfo,
};
use arrow_flight::{
    CancelFlightInfoRequest, FlightClient, FlightData, FlightDescriptor, FlightInfo, Ticket,
};
use futures::TryStreamExt;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

const COUNT: &str = "SELECT count(*) AS n FROM ornl.scans.images";

async fn channel(lab: &Lab) -> Channel {
    Endpoint::from_shared(lab.url.clone()).unwrap().connect().await.unwrap()
}

async fn sql(lab: &Lab, token: Option<&str>) -> FlightSqlServiceClient<Channel> {
    let mut client = FlightSqlServiceClient::new(channel(lab).await);
    if let Some(token) = token {
        client.set_token(token.to_owned());
    }
    client
}

async fn rows(client: &mut FlightSqlServiceClient<Channel>, info: FlightInfo) -> Vec<RecordBatch> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let stream = client.do_get(ticket).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert!(
        batches.iter().all(|batch| *batch.schema() == info.clone().try_decode_schema().unwrap())
    );
    batches
}

fn query(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

fn with<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

async fn info(lab: &Lab, token: Option<&str>, sql: &str) -> Result<FlightInfo, Status> {
    let mut client = FlightServiceClient::new(channel(lab).await);
    client.get_flight_info(with(query(sql), token)).await.map(tonic::Response::into_inner)
}

async fn get(lab: &Lab, token: Option<&str>, ticket: Ticket) -> Result<Vec<FlightData>, Status> {
    let mut client = FlightServiceClient::new(channel(lab).await);
    client.do_get(with(ticket, token)).await?.into_inner().try_collect().await
}

#[tokio::test]
async fn a_query_gives_its_rows_and_says_which_labs_took_part() {
    let lab = Lab::start().await;
    let mut client = sql(&lab, None).await;
    let info = client.execute(COUNT.to_owned(), None).await.unwrap();
    let batches = rows(&mut client, info).await;
    let count = batches[0].column(0).as_primitive::<Int64Type>().value(0);
    assert_eq!(count, i64::from(ROWS));

    let info = self::info(&lab, None, COUNT).await.unwrap();
    let messages = get(&lab, None, info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let last: serde_json::Value =
        serde_json::from_slice(&messages.last().unwrap().app_metadata).unwrap();
    assert_eq!(last["sites"][0]["lab"], "ornl");
    assert_eq!(last["sites"][0]["status"], "ok");
}

#[tokio::test]
async fn an_empty_answer_has_its_schema_and_its_sites() {
    let lab = Lab::start().await;
    let info = info(&lab, None, "SELECT id, text FROM ornl.scans.log WHERE id < 0").await.unwrap();
    let messages = get(&lab, None, info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(messages.last().unwrap().app_metadata.starts_with(b"{\"sites\":"));
    let mut client = sql(&lab, None).await;
    let info = client.execute("SELECT id FROM ornl.scans.log WHERE id < 0".to_owned(), None).await;
    let batches = rows(&mut client, info.unwrap()).await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

#[tokio::test]
async fn a_token_opens_what_is_registered_and_a_wrong_one_opens_nothing() {
    let lab = Lab::start().await;
    let inside = "SELECT count(*) FROM ornl.inside.images";
    assert!(info(&lab, Some(&lab.token), inside).await.is_ok());
    let refused = info(&lab, None, inside).await.unwrap_err();
    assert!(matches!(refused.code(), Code::PermissionDenied | Code::NotFound), "{refused}");
    for wrong in ["wrong", "tarn_p_wrong", ""] {
        let refused = info(&lab, Some(wrong), COUNT).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{wrong}");
    }
    let mut client = FlightServiceClient::new(channel(&lab).await);
    let action = arrow_flight::Action::new("tarn.search", "{}");
    let refused = client.do_action(with(action, Some("wrong"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let refused = client.list_actions(with(arrow_flight::Empty {}, Some("wrong"))).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_handshake_turns_a_password_into_a_bearer_token() {
    let lab = Lab::start().await;
    let mut client = sql(&lab, None).await;
    let token = client.handshake("ann", &lab.token).await.unwrap();
    assert_eq!(token, lab.token.as_bytes());
    let info = client.execute("SELECT count(*) FROM ornl.inside.images".to_owned(), None).await;
    rows(&mut client, info.unwrap()).await;
    let mut client = sql(&lab, None).await;
    assert!(client.handshake("ann", "wrong").await.is_err());
}

#[tokio::test]
async fn a_prepared_statement_runs_as_often_as_it_is_executed() {
    let lab = Lab::start().await;
    let mut client = sql(&lab, None).await;
    let mut statement = client.prepare(COUNT.to_owned(), None).await.unwrap();
    assert_eq!(statement.dataset_schema().unwrap().field(0).data_type(), &DataType::Int64);
    assert_eq!(statement.parameter_schema().unwrap().fields().len(), 0);
    for _ in 0..2 {
        let info = statement.execute().await.unwrap();
        let batches = rows(&mut client, info).await;
        assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), i64::from(ROWS));
    }
    statement.close().await.unwrap();
}

#[tokio::test]
async fn a_statement_is_read_by_its_caller_alone_and_anew_each_time() {
    let lab = Lab::start().await;
    let planned = info(&lab, Some(&lab.token), COUNT).await.unwrap();
    let ticket = planned.endpoint[0].ticket.clone().unwrap();
    assert!(!String::from_utf8_lossy(&ticket.ticket).contains("SELECT"));
    let foreign = get(&lab, None, ticket.clone()).await.unwrap_err();
    assert_eq!(foreign.code(), Code::PermissionDenied);
    let mut tampered = ticket.ticket.to_vec();
    *tampered.last_mut().unwrap() ^= 1;
    let tampered = get(&lab, Some(&lab.token), Ticket::new(tampered)).await.unwrap_err();
    assert_eq!(tampered.code(), Code::PermissionDenied);
    for _ in 0..2 {
        assert!(get(&lab, Some(&lab.token), ticket.clone()).await.is_ok());
    }
    let mut client = FlightClient::new(channel(&lab).await);
    client.add_header("authorization", &format!("Bearer {}", lab.token)).unwrap();
    let request = CancelFlightInfoRequest::new(planned);
    client.cancel_flight_info(request).await.unwrap();
    let again = get(&lab, Some(&lab.token), ticket).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn errors_have_their_status_and_name_what_is_wrong() {
    let lab = Lab::start().await;
    for (sql, code, text) in [
        ("SELEC 1", Code::InvalidArgument, "SELEC"),
        ("SELECT tmep FROM ornl.scans.log", Code::InvalidArgument, "tmep"),
        ("SELECT 1 FROM ornl.scans.nothing", Code::NotFound, "nothing"),
        ("DROP TABLE ornl.scans.log", Code::InvalidArgument, "DROP"),
        ("SELECT * FROM read_netcdf('/etc/passwd')", Code::PermissionDenied, ""),
    ] {
        let error = info(&lab, None, sql).await.unwrap_err();
        assert!(error.message().contains(text), "{sql}: {error}");
        if sql.contains("read_netcdf") {
            assert_ne!(error.code(), Code::Internal, "{error}");
        } else {
            assert_eq!(error.code(), code, "{sql}: {error}");
        }
    }
    let mut client = sql(&lab, None).await;
    let update = client.execute_update("INSERT INTO x VALUES (1)".to_owned(), None).await;
    assert!(update.unwrap_err().to_string().contains("only reads"));
}

#[tokio::test]
async fn listings_answer_without_filters_with_patterns_and_with_nothing() {
    let lab = Lab::start().await;
    let mut client = sql(&lab, None).await;
    let texts = |batches: &[RecordBatch], column: usize| -> Vec<String> {
        let column = |batch: &RecordBatch| {
            let values = batch.column(column).as_string::<i32>().clone();
            values.iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        };
        batches.iter().flat_map(column).collect()
    };
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(texts(&rows(&mut client, info).await, 0), ["ornl"]);
    let schemas = CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: None };
    let info = client.get_db_schemas(schemas).await.unwrap();
    assert!(texts(&rows(&mut client, info).await, 1).contains(&"scans".to_owned()));
    let tables = |schema: Option<&str>, table: Option<&str>, include_schema| CommandGetTables {
        catalog: None,
        db_schema_filter_pattern: schema.map(str::to_owned),
        table_name_filter_pattern: table.map(str::to_owned),
        table_types: vec![],
        include_schema,
    };
    let info = client.get_tables(tables(Some("sca%"), None, true)).await.unwrap();
    let batches = rows(&mut client, info).await;
    assert_eq!(texts(&batches, 2), ["cells", "images", "log"]);
    let info = client.get_tables(tables(None, Some("l_g"), false)).await.unwrap();
    assert_eq!(texts(&rows(&mut client, info).await, 2), ["log"]);
    let info = client.get_tables(tables(None, Some("nothing"), false)).await.unwrap();
    assert_eq!(texts(&rows(&mut client, info).await, 2), [] as [&str; 0]);
    let info = client.get_table_types().await.unwrap();
    assert_eq!(texts(&rows(&mut client, info).await, 0), ["TABLE", "VIEW"]);
    let names = vec![SqlInfo::FlightSqlServerName, SqlInfo::FlightSqlServerReadOnly];
    let info = client.get_sql_info(names).await.unwrap();
    assert_eq!(rows(&mut client, info).await[0].num_rows(), 2);
    let info = client.get_sql_info(vec![]).await.unwrap();
    assert!(rows(&mut client, info).await[0].num_rows() > 30);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo::default()).await.unwrap();
    assert_eq!(rows(&mut client, info).await[0].num_rows(), 11);
    let info = client.get_primary_keys(CommandGetPrimaryKeys::default()).await.unwrap();
    assert_eq!(rows(&mut client, info).await.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    let info = client.get_cross_reference(CommandGetCrossReference::default()).await.unwrap();
    assert_eq!(info.try_decode_schema().unwrap().fields().len(), 13);
}

#[tokio::test]
async fn the_schema_of_a_query_is_told_without_running_it() {
    let lab = Lab::start().await;
    let mut client = FlightClient::new(channel(&lab).await);
    let schema = client.get_schema(query(COUNT)).await.unwrap();
    assert_eq!(schema.field(0).name(), "n");
}

#[tokio::test]
async fn search_and_datasets_are_answered_by_actions() {
    let lab = Lab::start().await;
    let act = async |kind: &str, body: &str, token: Option<&str>| {
        let mut client = FlightServiceClient::new(channel(&lab).await);
        let action = arrow_flight::Action::new(kind, body.to_owned());
        let stream = client.do_action(with(action, token)).await?.into_inner();
        let answers: Vec<arrow_flight::Result> = stream.try_collect().await?;
        Ok::<serde_json::Value, Status>(serde_json::from_slice(&answers[0].body).unwrap())
    };
    let found = act("tarn.search", r#"{"text": "scans"}"#, Some(&lab.token)).await.unwrap();
    assert_eq!(found["total"], 2);
    assert_eq!(found["sites"][0]["lab"], "ornl");
    let dataset = act("tarn.dataset", r#"{"dataset": "ornl.scans"}"#, None).await.unwrap();
    assert_eq!(dataset["tables"].as_array().unwrap().len(), 3);
    let error = act("tarn.dataset", r#"{"dataset": "ornl.nothing"}"#, None).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let error = act("tarn.search", r#"{"text": 1}"#, None).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let error = act("tarn.nothing", "{}", None).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
}
