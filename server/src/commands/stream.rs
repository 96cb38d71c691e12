//! `tarn stream`

use super::{Context, Outcome};
use crate::cli::{SqlFormat, Stream};
use crate::failure::Failure;
use crate::home::Home;
use crate::output::BatchWriter;
use futures::StreamExt;
use std::path::Path;
use std::time::Instant;
use tarn_query::stream::{StreamRequest, open};
use tarn_schemas::{ErrorCode, Principal};

/// Runs through one epoch of one rank: writes its batches, or only counts them and says how fast
/// they came. Goes on where it stopped with `--start`.
pub(crate) async fn run(context: &Context, args: Stream) -> Result<(), Outcome> {
    if let Some(about) = args.about {
        return super::receipts::run(context, about).await;
    }
    let home = Home::open(context.home.as_deref()).await?;
    let request = StreamRequest {
        columns: (!args.columns.is_empty()).then_some(args.columns),
        filter: args.filter,
        batch_size: args.batch_size,
        seed: args.seed,
        epoch: args.epoch,
        world_size: args.world_size,
        rank: args.rank,
        start: args.start,
        shuffle: !args.in_order,
        ..StreamRequest::new(args.name.unwrap_or_default())
    };
    let engine = home.engine()?;
    let started = Instant::now();
    let mut answer = open(&engine, &Principal::Owner, request).await?;
    let mut writer = match &args.output {
        Some(path) => Some(BatchWriter::new(SqlFormat::Arrow, Some(path), &answer.schema)?),
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
            next = answer.batches.next() => next,
        };
        let Some(next) = next else { break };
        let (batch, cursor) = next?;
        batches += 1;
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        position = cursor.next_position;
        if let Some(writer) = &mut writer {
            writer.write(&batch)?;
        }
    }
    if let Some(writer) = writer {
        writer.finish(&[])?;
    }
    let seconds = started.elapsed().as_secs_f64();
    if args.output.as_deref() == Some(Path::new("-")) {
        // Standard output holds the batches.
        context.note(format_args!("{batches} batches, {rows} rows; next position {position}"));
        return Ok(());
    }
    if context.json {
        say!(
            "{}",
            serde_json::json!({
                "plan": answer.plan, "batches": batches, "rows": rows, "bytes": bytes,
                "next_position": position, "seconds": seconds,
            })
        );
        return Ok(());
    }
    say!(
        "{}",
        answer.schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ")
    );
    let versions: Vec<String> = answer
        .plan
        .versions
        .iter()
        .map(|(dataset, version)| format!("{dataset}@{version}"))
        .collect();
    say!(
        "{batches} batches, {rows} rows of {} (order {}, plan {})",
        versions.join(", "),
        answer.plan.order,
        answer.plan.plan_id.chars().take(12).collect::<String>()
    );
    context.note(format_args!("{bytes} bytes in {seconds:.3} s; next position {position}"));
    Ok(())
}
