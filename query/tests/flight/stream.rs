//! Training streams over Flight, in this process.

use crate::support::{Lab, ROWS};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Int32Type, Int64Type};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightData, FlightDescriptor, FlightInfo, Ticket};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::path::PathBuf;
use tarn_query::stream::{Cursor, StreamRequest};
use tarn_schemas::Principal;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

async fn client(lab: &Lab) -> FlightServiceClient<Channel> {
    let channel = Endpoint::from_shared(lab.url.clone()).unwrap().connect().await.unwrap();
    FlightServiceClient::new(channel)
}

fn with<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// A descriptor of `ornl.scans.images` with some fields.
fn descriptor(fields: &Value) -> FlightDescriptor {
    let mut all = json!({"tarn.stream": 1, "dataset": "ornl.scans.images", "batch_size": 4});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    FlightDescriptor::new_cmd(all.to_string())
}

async fn info(lab: &Lab, token: Option<&str>, fields: &Value) -> Result<FlightInfo, Status> {
    let request = with(descriptor(fields), token);
    client(lab).await.get_flight_info(request).await.map(tonic::Response::into_inner)
}

async fn get(lab: &Lab, token: Option<&str>, ticket: Ticket) -> Result<Vec<FlightData>, Status> {
    client(lab).await.do_get(with(ticket, token)).await?.into_inner().try_collect().await
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

/// Batches with their cursors.
async fn read(lab: &Lab, fields: &Value) -> Vec<(RecordBatch, Cursor)> {
    let info = info(lab, None, fields).await.unwrap();
    assert!(info.ordered);
    let messages = get(lab, None, ticket(&info)).await.unwrap();
    let cursors: Vec<Cursor> = messages[1..]
        .iter()
        .map(|message| Cursor::from_bytes(&message.app_metadata).unwrap())
        .collect();
    let messages = stream::iter(messages.into_iter().map(Ok));
    let batches: Vec<RecordBatch> =
        FlightRecordBatchStream::new_from_flight_data(messages).try_collect().await.unwrap();
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(info.total_records, i64::try_from(total).unwrap());
    assert_eq!(batches.len(), cursors.len());
    batches.into_iter().zip(cursors).collect()
}

/// The times of all rows; every image must belong to its time.
fn times(batches: &[(RecordBatch, Cursor)]) -> Vec<i32> {
    let mut all = vec![];
    for (batch, cursor) in batches {
        let times = batch.column_by_name("time").unwrap().as_primitive::<Int32Type>();
        let images = batch.column_by_name("image").unwrap().as_fixed_size_list();
        assert_eq!(cursor.rows as usize, batch.num_rows());
        for row in 0..batch.num_rows() {
            let image = images.value(row);
            assert_eq!(image.as_primitive::<Float32Type>().values(), &[times.value(row) as f32; 6]);
            all.push(times.value(row));
        }
    }
    all
}

#[tokio::test]
async fn in_order_the_stream_is_the_table() {
    let lab = Lab::start().await;
    let batches = read(&lab, &json!({"shuffle": false, "drop_last": false})).await;
    assert_eq!(times(&batches), (0..ROWS).collect::<Vec<_>>());
    assert!(batches[..28].iter().all(|(batch, _)| batch.num_rows() == 4));
    let (last, cursor) = batches.last().unwrap();
    assert_eq!((last.num_rows(), cursor.last, cursor.next_position), (3, true, 115));
    let field = last.schema().field_with_name("image").unwrap().clone();
    assert_eq!(field.metadata()["ARROW:extension:name"], "arrow.fixed_shape_tensor");
    let shape: Value = serde_json::from_str(&field.metadata()["ARROW:extension:metadata"]).unwrap();
    assert_eq!(shape["shape"], json!([2, 3]));
}

#[tokio::test]
async fn shuffled_every_row_comes_once_in_an_order_that_seed_and_epoch_give() {
    let lab = Lab::start().await;
    let epoch = async |seed: u64, epoch: u32| {
        let fields = json!({"seed": seed, "epoch": epoch, "drop_last": false});
        times(&read(&lab, &fields).await)
    };
    let first = epoch(7, 0).await;
    assert_eq!(first, epoch(7, 0).await);
    assert_ne!(first, epoch(8, 0).await);
    assert_ne!(first, epoch(7, 1).await);
    assert_ne!(epoch(1, 1).await, epoch(2, 0).await);
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_ne!(first, sorted);
    assert_eq!(sorted, (0..ROWS).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_world_size_sees_the_same_global_order() {
    let lab = Lab::start().await;
    let whole = times(&read(&lab, &json!({"seed": 3, "batch_size": 12, "drop_last": true})).await);
    assert_eq!(whole.len(), 108);
    for world in [1, 2, 3, 4, 6] {
        let mut ranks = vec![];
        for rank in 0..world {
            let fields = json!({"seed": 3, "batch_size": 12 / world, "world_size": world,
                "rank": rank, "drop_last": true});
            ranks.push(read(&lab, &fields).await);
        }
        let steps = ranks[0].len();
        assert!(ranks.iter().all(|rank| rank.len() == steps));
        let joined: Vec<_> =
            (0..steps).flat_map(|step| ranks.iter().map(move |rank| rank[step].clone())).collect();
        assert_eq!(times(&joined), whole, "world size {world}");
    }
}

#[tokio::test]
async fn a_stream_goes_on_at_its_cursor_with_another_world_size() {
    let lab = Lab::start().await;
    let one = json!({"seed": 5, "batch_size": 8, "drop_last": true});
    let whole = times(&read(&lab, &one).await);
    let first = read(&lab, &one).await[..5].to_vec();
    let position = first[4].1.next_position;
    assert_eq!(position, 40);
    let later = json!({"seed": 5, "batch_size": 8, "start": position, "drop_last": true});
    let rest = read(&lab, &later).await;
    assert_eq!([times(&first), times(&rest)].concat(), whole);
    let mut halves = vec![];
    for rank in 0..2 {
        let fields =
            json!({"seed": 5, "batch_size": 4, "start": position, "world_size": 2, "rank": rank});
        halves.push(read(&lab, &fields).await);
    }
    let joined: Vec<_> = (0..halves[0].len())
        .flat_map(|step| halves.iter().map(move |half| half[step].clone()))
        .collect();
    assert_eq!(times(&joined), times(&rest));
}

#[tokio::test]
async fn a_filter_keeps_the_order_of_the_rows_it_leaves() {
    let lab = Lab::start().await;
    let all = times(&read(&lab, &json!({"seed": 1, "drop_last": false})).await);
    let fields = json!({"seed": 1, "drop_last": false, "filter": "time % 3 = 1 AND time < 100"});
    let some = times(&read(&lab, &fields).await);
    let expected: Vec<i32> = all.into_iter().filter(|time| time % 3 == 1 && *time < 100).collect();
    assert_eq!(some, expected);
    let none = read(&lab, &json!({"filter": "time < 0", "drop_last": false})).await;
    assert!(none.is_empty());
}

#[tokio::test]
async fn columns_come_as_asked_and_cells_and_delta_tables_stream_too() {
    let lab = Lab::start().await;
    let batches = read(&lab, &json!({"columns": ["time"], "batch_size": 5})).await;
    assert!(batches.iter().all(|(batch, _)| batch.num_columns() == 1 && batch.num_rows() == 5));
    let fields = json!({"dataset": "ornl.scans.cells", "drop_last": false, "batch_size": 100});
    let cells = read(&lab, &fields).await;
    let mut values: Vec<(i32, i64)> = cells
        .iter()
        .flat_map(|(batch, _)| {
            let image = batch.column_by_name("image").unwrap().as_primitive::<Float32Type>();
            let x = batch.column_by_name("x").unwrap().as_primitive::<Int64Type>();
            image
                .values()
                .iter()
                .map(|v| v.to_string().parse::<i32>().unwrap())
                .zip(x.values().iter().copied())
                .collect::<Vec<_>>()
        })
        .collect();
    values.sort_unstable();
    let expected: Vec<(i32, i64)> =
        (0..ROWS).flat_map(|time| [0, 0, 1, 1, 2, 2].map(|x| (time, x))).collect();
    assert_eq!(values, expected);

    let ids = async |shuffle: bool| -> Vec<i64> {
        let fields =
            json!({"dataset": "scans.log", "shuffle": shuffle, "batch_size": 8, "seed": 2});
        let batches = read(&lab, &fields).await;
        let id = |batch: &RecordBatch| {
            let ids = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
            let texts = batch.column(1).as_string::<i32>();
            assert!(ids.iter().zip(texts).all(|(id, text)| text.unwrap() == format!("row {id}")));
            ids
        };
        batches.iter().flat_map(|(batch, _)| id(batch)).collect()
    };
    let mut shuffled = ids(true).await;
    assert_ne!(shuffled, ids(false).await);
    assert_eq!(shuffled, ids(true).await);
    shuffled.sort_unstable();
    assert_eq!(shuffled, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused_with_its_reason() {
    let lab = Lab::start().await;
    for (fields, code, text) in [
        (json!({"batchsize": 3}), Code::InvalidArgument, "batchsize"),
        (json!({"batch_size": 0}), Code::InvalidArgument, "batch_size"),
        (json!({"world_size": 2, "rank": 2}), Code::InvalidArgument, "rank"),
        (json!({"world_size": 2, "drop_last": false}), Code::InvalidArgument, "drop_last"),
        (json!({"columns": ["nothing"]}), Code::InvalidArgument, "nothing"),
        (json!({"filter": "nothing = 1"}), Code::InvalidArgument, "nothing"),
        (json!({"start": 116}), Code::InvalidArgument, "start"),
        (json!({"version": 9}), Code::NotFound, "9"),
        (json!({"dataset": "ornl.scans.nothing"}), Code::NotFound, "nothing"),
        (json!({"dataset": "ornl.scans"}), Code::InvalidArgument, "images"),
        (json!({"dataset": "llnl.scans.images"}), Code::InvalidArgument, "llnl"),
    ] {
        let error = info(&lab, None, &fields).await.unwrap_err();
        assert_eq!(error.code(), code, "{fields}: {error}");
        assert!(error.message().contains(text), "{fields}: {error}");
    }
    let inside = json!({"dataset": "ornl.inside.images"});
    assert!(info(&lab, Some(&lab.token), &inside).await.is_ok());
    let error = info(&lab, None, &inside).await.unwrap_err();
    assert!(matches!(error.code(), Code::PermissionDenied | Code::NotFound), "{error}");
    let error = info(&lab, Some("wrong"), &json!({})).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_ticket_is_for_its_caller_alone_and_cannot_be_changed() {
    let lab = Lab::start().await;
    let planned = info(&lab, Some(&lab.token), &json!({"filter": "time > 7"})).await.unwrap();
    let mine = ticket(&planned);
    assert!(!String::from_utf8_lossy(&mine.ticket).contains("time"));
    let foreign = get(&lab, None, mine.clone()).await.unwrap_err();
    assert_eq!(foreign.code(), Code::PermissionDenied);
    for at in [4, 14, 50, 70, mine.ticket.len() - 1] {
        let mut tampered = mine.ticket.to_vec();
        tampered[at] ^= 1;
        let refused = get(&lab, Some(&lab.token), Ticket::new(tampered)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "byte {at}");
    }
    assert!(get(&lab, Some(&lab.token), mine.clone()).await.is_ok());
    assert!(get(&lab, Some(&lab.token), mine).await.is_ok());
}

#[tokio::test]
async fn the_plan_and_the_receipt_say_what_was_read() {
    let lab = Lab::start().await;
    let receipt = async |ticket: &Ticket| {
        let action = Action::new("tarn.stream.receipt", ticket.ticket.clone());
        let stream = client(&lab).await.do_action(action).await?.into_inner();
        let answers: Vec<arrow_flight::Result> = stream.try_collect().await?;
        Ok::<Value, Status>(serde_json::from_slice(&answers[0].body).unwrap())
    };
    let planned = info(&lab, None, &json!({"seed": 7, "batch_size": 10})).await.unwrap();
    let plan: Value = serde_json::from_slice(&planned.app_metadata).unwrap();
    assert_eq!(plan["versions"], json!({"ornl.scans": 1}));
    assert_eq!((&plan["selected"], &plan["steps"]), (&json!(115), &json!(12)));
    assert_eq!(plan["order"], "fz1");
    let pinned: Value =
        serde_json::from_slice(&planned.flight_descriptor.clone().unwrap().cmd).unwrap();
    assert_eq!(pinned["version"], 1);
    let mine = ticket(&planned);
    let early = receipt(&mine).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);
    get(&lab, None, mine.clone()).await.unwrap();
    let first = receipt(&mine).await.unwrap();
    assert_eq!((&first["rows"], &first["batches"]), (&json!(115), &json!(12)));
    assert_eq!(first["plan_id"], plan["plan_id"]);
    get(&lab, None, mine.clone()).await.unwrap();
    assert_eq!(receipt(&mine).await.unwrap()["hash"], first["hash"]);
    let other = info(&lab, None, &json!({"seed": 8, "batch_size": 10})).await.unwrap();
    get(&lab, None, ticket(&other)).await.unwrap();
    assert_ne!(receipt(&ticket(&other)).await.unwrap()["hash"], first["hash"]);
}

#[tokio::test]
async fn in_this_process_a_stream_is_the_one_of_the_wire() {
    let lab = Lab::start().await;
    let request = StreamRequest { seed: 7, batch_size: 4, ..StreamRequest::new("scans.images") };
    let answer = tarn_query::stream::open(&lab.engine, &Principal::Owner, request).await.unwrap();
    assert_eq!((answer.total_records, answer.steps), (115, 29));
    let own: Vec<(RecordBatch, Cursor)> =
        answer.batches.map(|batch| batch.unwrap()).collect().await;
    assert_eq!(times(&own), times(&read(&lab, &json!({"seed": 7})).await));
}

/// The Python client, ADBC and `pyarrow.flight`, in a process of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_clients_read_what_the_rust_client_reads() {
    let home = std::env::var("HOME").unwrap_or_default();
    let venv = std::env::var("TARN_VENV").unwrap_or(format!("{home}/.cache/tarn/venv"));
    let python = PathBuf::from(venv).join("bin/python");
    if !python.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no Python at {}", python.display());
        println!("left out: no Python at {}; run `make setup`", python.display());
        return;
    }
    let lab = Lab::start().await;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = tokio::process::Command::new(python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir"])
        .arg(&root)
        .arg(root.join("python/tests/node_checks.py"))
        .env("PYTHONPATH", root.join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("TARN_NODE", lab.url.replace("http://", "grpc://"))
        .env("TARN_NODE_TOKEN", &lab.token)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}
