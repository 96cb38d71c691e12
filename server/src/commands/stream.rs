//! `tarn stream`

use super::{Context, Outcome};
use crate::cli::{SqlFormat, Stream};
use crate::failure::Failure;
use crate::home::Home;
use crate::logins::Logins;
use crate::output::BatchWriter;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use tarn_client::{Address, BatchStream, Lake, Request};
use tarn_connectors::authorities;
use tarn_query::stream::{Cursor, StreamAnswer, StreamRequest, open};
use tarn_schemas::code::Coded;
use tarn_schemas::{ErrorCode, Principal};

/// Where the batches come from.
enum Source {
    /// The home itself.
    Home(Box<StreamAnswer>),
    /// A node, over the network.
    Node(Box<BatchStream>),
}

impl Source {
    /// Plans the stream.
    async fn open(context: &Context, args: &Stream) -> Result<Self, Failure> {
        let request = StreamRequest {
            columns: (!args.columns.is_empty()).then(|| args.columns.clone()),
            filter: args.filter.clone(),
            batch_size: args.batch_size,
            seed: args.seed,
            epoch: args.epoch,
            world_size: args.world_size,
            rank: args.rank,
            start: args.start,
            shuffle: !args.in_order,
            ..StreamRequest::new(args.name.clone().unwrap_or_default())
        };
        let Some(server) = &args.server else {
            let home = Home::open(context.home.as_deref()).await?;
            let answer = open(&home.engine()?, &Principal::Owner, request).await?;
            return Ok(Self::Home(Box::new(answer)));
        };
        let lake = lake(server)?;
        let fields = serde_json::to_value(&request)
            .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))?;
        let mut asked = Request::new(args.name.as_deref().unwrap_or_default())?;
        for (field, value) in fields.as_object().into_iter().flatten() {
            if field != "dataset" && field != "tarn.stream" {
                asked = asked.with(field, value.clone())?;
            }
        }
        Ok(Self::Node(Box::new(lake.stream(asked).await?)))
    }

    fn schema(&self) -> &SchemaRef {
        match self {
            Self::Home(answer) => &answer.schema,
            Self::Node(stream) => stream.schema(),
        }
    }

    fn plan(&self) -> Result<serde_json::Value, Failure> {
        match self {
            Self::Home(answer) => serde_json::to_value(&answer.plan)
                .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string())),
            Self::Node(stream) => Ok(stream.plan().clone()),
        }
    }

    /// What the lab signed of it; of the home itself there is none.
    async fn receipt(&mut self) -> Result<Option<serde_json::Value>, Failure> {
        match self {
            Self::Home(_) => Ok(None),
            Self::Node(stream) => match stream.receipt().await {
                // Nothing was read.
                Err(error) if error.code() == ErrorCode::Conflict => Ok(None),
                receipt => Ok(Some(receipt?)),
            },
        }
    }

    async fn next(&mut self) -> Result<Option<(RecordBatch, Cursor)>, Failure> {
        match self {
            Self::Home(answer) => Ok(answer.batches.next().await.transpose()?),
            Self::Node(stream) => Ok(stream.next().await?),
        }
    }
}

/// A node, and who asks it.
fn lake(server: &str) -> Result<Lake, Failure> {
    let address = Address::parse(server)?;
    let told = std::env::var("TARN_TOKEN").ok().filter(|token| !token.is_empty());
    let token = match told {
        Some(token) => Some(token),
        None => Logins::load()?.token_of(&address.to_string()),
    };
    let secret = address.is_secret();
    let lake = Lake::new(address, token.as_deref())?;
    Ok(if secret { lake.trusting(authorities::pem().as_ref())? } else { lake })
}

/// Runs through one epoch of one rank: writes its batches, or only counts them and says how fast
/// they came. Goes on where it stopped with `--start`.
pub(crate) async fn run(context: &Context, mut args: Stream) -> Result<(), Outcome> {
    if let Some(about) = args.about.take() {
        return super::receipts::run(context, about).await;
    }
    let started = Instant::now();
    let mut source = Source::open(context, &args).await?;
    let mut writer = match &args.output {
        Some(path) => Some(BatchWriter::new(SqlFormat::Arrow, Some(path), source.schema())?),
        None => None,
    };
    let (mut batches, mut rows, mut bytes, mut position) = (0_u64, 0_usize, 0_usize, args.start);
    // One listener for the whole stream: what comes while a batch is written is heard, too.
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        let next = tokio::select! {
            biased;
            _ = &mut interrupt => {
                let problem = format!("cancelled; go on with --start {position}");
                return Err(Failure::new(ErrorCode::Cancelled, problem).into());
            }
            next = source.next() => next,
        };
        let Some((batch, cursor)) = next? else { break };
        batches += 1;
        rows += batch.num_rows();
        bytes += own_bytes(&batch);
        position = cursor.next_position;
        if let Some(writer) = &mut writer {
            writer.write(&batch)?;
        }
    }
    if let Some(writer) = writer {
        writer.finish(&[])?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let receipt = source.receipt().await?;
    let id = receipt.as_ref().and_then(|receipt| receipt.get("id")).and_then(|id| id.as_str());
    if let Some(id) = id {
        context.note(format_args!("receipt {id}"));
    }
    if args.output.as_deref() == Some(Path::new("-")) {
        // Standard output holds the batches.
        context.note(format_args!("{batches} batches, {rows} rows; next position {position}"));
        return Ok(());
    }
    if context.json {
        say!(
            "{}",
            serde_json::json!({
                "plan": source.plan()?, "batches": batches, "rows": rows, "bytes": bytes,
                "next_position": position, "seconds": seconds, "receipt": receipt,
            })
        );
        return Ok(());
    }
    say!(
        "{}",
        source.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ")
    );
    let plan = source.plan()?;
    let text = |field: &str| plan.get(field).and_then(|value| value.as_str()).unwrap_or_default();
    let versions: BTreeMap<String, u32> = plan
        .get("versions")
        .and_then(|versions| serde_json::from_value(versions.clone()).ok())
        .unwrap_or_default();
    let versions: Vec<String> =
        versions.iter().map(|(dataset, version)| format!("{dataset}@{version}")).collect();
    say!(
        "{batches} batches, {rows} rows of {} (order {}, plan {})",
        versions.join(", "),
        text("order"),
        text("plan_id").chars().take(12).collect::<String>()
    );
    context.note(format_args!("{bytes} bytes in {seconds:.3} s; next position {position}"));
    Ok(())
}

/// Bytes of the rows of a batch, and not of all that they are slices of.
fn own_bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}
