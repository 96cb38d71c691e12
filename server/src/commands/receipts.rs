//! `tarn stream receipts` and `tarn stream replace-key`

use super::{Context, Outcome};
use crate::cli::{AboutStreams, Receipts};
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use tarn_catalog::{Catalog, Receipt};
use tarn_schemas::{DatasetRef, ErrorCode, Principal};

/// Lists what was streamed, or checks who signed that.
pub(crate) async fn run(context: &Context, about: AboutStreams) -> Result<(), Outcome> {
    match about {
        AboutStreams::ReplaceKey => {
            let home = Home::open(context.home.as_deref()).await?;
            home.catalog.replace_seal_key(&Principal::Owner).await?;
            context.note(format_args!(
                "tickets and states of streams that were given out before are not taken any more"
            ));
            Ok(())
        }
        AboutStreams::Receipts { act: Some(Receipts::Verify { file, key }), .. } => {
            verify(context, &file, key).await
        }
        AboutStreams::Receipts { act: Some(Receipts::List { affected_by }), .. }
        | AboutStreams::Receipts { act: None, affected_by } => {
            list(context, affected_by.as_deref()).await
        }
    }
}

/// Every receipt that a principal may see, of a dataset or of all.
pub(super) async fn all(
    catalog: &Catalog,
    who: &Principal,
    affected: Option<&DatasetRef>,
) -> Result<Vec<Receipt>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = catalog.receipts(who, affected, after.as_deref()).await?;
        all.extend(page);
        if next.is_none() {
            return Ok(all);
        }
        after = next;
    }
}

/// A line of the list.
pub(super) fn row(receipt: &Receipt) -> Vec<String> {
    let what = &receipt.what;
    let versions: Vec<String> =
        what.versions.iter().map(|(dataset, version)| format!("{dataset}@{version}")).collect();
    vec![
        what.id.clone(),
        receipt.at.clone(),
        receipt.subject.clone(),
        versions.join(" "),
        what.epoch.to_string(),
        what.rows.to_string(),
        if what.complete { "whole" } else { "part" }.to_owned(),
        what.hash.clone(),
    ]
}

pub(super) const HEADS: [&str; 8] =
    ["receipt", "when", "who", "datasets", "epoch", "rows", "epoch is", "hash"];

async fn list(context: &Context, affected_by: Option<&str>) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let affected: Option<DatasetRef> = affected_by.map(str::parse).transpose()?;
    if let Some(dataset) = &affected {
        // A name that is mistyped has no receipts, and that is another answer.
        home.catalog.dataset(&Principal::Owner, dataset).await?;
    }
    let receipts = all(&home.catalog, &Principal::Owner, affected.as_ref()).await?;
    if context.json {
        say!("{}", serde_json::json!(receipts));
    } else {
        say_part!("{}", text_table(&HEADS, receipts.iter().map(row)));
    }
    Ok(())
}

async fn verify(context: &Context, file: &Path, key: Option<String>) -> Result<(), Outcome> {
    let key = match key {
        Some(key) => key,
        None => Home::open(context.home.as_deref()).await?.catalog.receipt_key()?,
    };
    let invalid = |problem: String| Failure::new(ErrorCode::InvalidData, problem);
    let text = text(file).map_err(|error| invalid(format!("{}: {error}", file.display())))?;
    let found: Value = serde_json::from_str(&text)
        .map_err(|error| invalid(format!("{}: {error}", file.display())))?;
    let found = match found {
        Value::Array(all) => all,
        // A page of the API.
        Value::Object(mut page) => match page.remove("receipts") {
            Some(Value::Array(all)) => all,
            _ => vec![Value::Object(page)],
        },
        other => vec![other],
    };
    for (place, value) in found.iter().enumerate() {
        let wrong = |what: &str| {
            let problem = format!("receipt {} of {}: {what}", place + 1, file.display());
            Failure::new(ErrorCode::DataLoss, problem)
        };
        let receipt: Receipt = serde_json::from_value(value.clone())
            .map_err(|error| wrong(&format!("it is none: {error}")))?;
        // What is not signed must not stand in it.
        if serde_json::to_value(&receipt).ok().as_ref() != Some(value) {
            return Err(wrong("it has fields that no lab signs").into());
        }
        if receipt.key != key {
            return Err(wrong(&format!("it names the key {} and not {key}", receipt.key)).into());
        }
        if !receipt.is_signed() {
            return Err(wrong("it was changed, or was not signed with that key").into());
        }
    }
    if context.json {
        say!("{}", serde_json::json!({"receipts": found.len(), "key": key}));
    } else {
        say!("{} receipts were signed with {key} and are as they were", found.len());
    }
    Ok(())
}

fn text(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
}
