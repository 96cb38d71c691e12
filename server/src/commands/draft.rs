//! `tarn draft`

use super::record::extract;
use super::register::{read, say_violations};
use super::{Context, Outcome, wrong};
use crate::cli::DraftCommand;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use std::path::Path;
use tarn_catalog::{CatalogError, Draft};
use tarn_connectors::Location;
use tarn_schemas::profile::read_document;
use tarn_schemas::{DatasetName, ErrorCode, Principal};

/// Shows and decides about records on their way. The owner of the home reviews all of them.
pub(crate) async fn run(context: &Context, args: DraftCommand) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let (catalog, owner) = (&home.catalog, Principal::Owner);
    match args {
        DraftCommand::Save { record } => {
            let record = match read_document(&read(&record)?) {
                Ok(record) => record,
                Err(violations) => {
                    say_violations(context, &record.display().to_string(), &violations);
                    return Err(Outcome::Exit(ErrorCode::InvalidData.exit_code()));
                }
            };
            let draft = catalog.save_draft(&owner, record, None).await?;
            if context.json {
                say!("{}", serde_json::json!(draft));
            }
            let name = &draft.record.name;
            context.note(format_args!("Kept {name}. Next: tarn register RECORD.yaml"));
        }
        DraftCommand::List => {
            let drafts = catalog.drafts(&owner).await?;
            if context.json {
                say!("{}", serde_json::json!(drafts));
                return Ok(());
            }
            let rows = drafts.into_iter().map(|draft| {
                vec![
                    draft.record.name.to_string(),
                    draft.state.as_str().to_owned(),
                    draft.author,
                    draft.revision.to_string(),
                    draft.changed_at,
                    draft.record.title,
                ]
            });
            let heads = ["name", "state", "author", "revision", "changed", "title"];
            say_part!("{}", text_table(&heads, rows));
        }
        DraftCommand::Show { name, author } => {
            let name = DatasetName::new(&name)?;
            let draft = catalog.draft_of(&owner, &name, author.as_deref()).await?;
            for notice in catalog.draft_notices(&draft).await? {
                context.note(format_args!("{notice}"));
            }
            say!("{:#}", serde_json::json!(draft));
        }
        DraftCommand::Approve { name, revision, author } => {
            let name = DatasetName::new(&name)?;
            let draft = catalog.draft_to_review(&owner, &name, author.as_deref()).await?;
            let draft = Draft { revision, ..draft };
            for text in &draft.record.files {
                // Others name files of the stores that the configuration offers, and no more.
                let offered = Location::parse(text)
                    .is_ok_and(|place| home.stores.offers(&place) || home.stores.lacks(&place));
                if !offered {
                    return Err(Failure::new(
                        ErrorCode::PermissionDenied,
                        format!("{text}: it is in no store that tarn.toml names under [stores]"),
                    )
                    .into());
                }
            }
            let files = wrong::find_files(&home, Path::new("."), &draft.record).await?;
            if let Some(missing) = files.missing.first() {
                return Err(Failure::new(ErrorCode::NotFound, missing.found.clone()).into());
            }
            let mut facts = extract(context, &home.stores, &files.there).await?;
            wrong::say_gone(context, &files.gone);
            wrong::put_gone(&mut facts, files.gone);
            let done = Box::pin(catalog.approve_draft(&owner, &draft, facts)).await;
            let done = match done {
                Err(CatalogError::Invalid { dataset, violations }) => {
                    say_violations(context, &dataset, &violations);
                    return Err(Outcome::Exit(ErrorCode::InvalidData.exit_code()));
                }
                done => done?,
            };
            let dataset = &done.dataset;
            if context.json {
                say!(
                    "{}",
                    serde_json::json!({"lab": dataset.lab, "name": dataset.name, "version": dataset.version, "ark": dataset.ark})
                );
            } else {
                say!("Registered {}  {}", dataset.full_name(), dataset.ark);
            }
        }
        DraftCommand::Return { name, reason, author } => {
            let name = DatasetName::new(&name)?;
            let draft = catalog.draft_to_review(&owner, &name, author.as_deref()).await?;
            catalog.return_draft(&owner, &draft, &reason).await?;
            context.note(format_args!("{name} is its author's again."));
        }
        DraftCommand::Delete { name, author } => {
            let name = DatasetName::new(&name)?;
            catalog.delete_draft_of(&owner, &name, author.as_deref(), None).await?;
            context.note(format_args!("{name} is gone."));
        }
    }
    Ok(())
}
