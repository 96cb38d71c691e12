//! `tarn query`

use super::sql::chosen;
use super::{Context, Outcome};
use crate::cli::QueryCommand;
use crate::home::Home;
use crate::output::{BatchWriter, text_table};
use crate::saved_queries::{Wish, run as run_again, save, shown};
use serde_json::Value;
use tarn_catalog::SavedQuery;
use tarn_schemas::Principal;

/// Keeps queries under citable identifiers, lists them and runs them again.
pub(crate) async fn run(context: &Context, args: QueryCommand) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let (catalog, owner) = (&home.catalog, Principal::Owner);
    match args {
        QueryCommand::Save { name, query, parameters, readers } => {
            let parameters = parameters.into_iter().map(value).collect();
            let wish = Wish { name, sql: query, parameters, readers };
            let query = Box::pin(save(&home.engine()?, catalog, &owner, wish)).await?;
            if context.json {
                say!("{}", shown(catalog, &query));
            } else {
                let rows = query.answer.as_ref().map_or(0, |answer| answer.rows);
                say!("{}  {}  {rows} row(s)", query.ark, query.name);
            }
        }
        QueryCommand::List => {
            let (mut all, mut after) = (Vec::new(), None::<String>);
            loop {
                let (page, next) = catalog.saved_queries(&owner, after.as_deref()).await?;
                all.extend(page);
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            if context.json {
                let all: Vec<Value> = all.iter().map(|query| shown(catalog, query)).collect();
                say!("{}", serde_json::json!(all));
                return Ok(());
            }
            let rows = all.into_iter().map(|query| {
                let SavedQuery { ark, name, owner, saved_at, sql, .. } = query;
                vec![ark, name, owner, saved_at, sql]
            });
            say_part!("{}", text_table(&["query", "name", "owner", "saved", "text"], rows));
        }
        QueryCommand::Show { query } => {
            let query = catalog.saved_query(&owner, &query).await?;
            let json = shown(catalog, &query);
            if context.json {
                say!("{json}");
            } else {
                say!("{json:#}");
            }
        }
        QueryCommand::Run { query, format, output } => {
            let format = chosen(context, format, output.as_deref())?;
            let engine = home.engine()?;
            let (query, whole) = Box::pin(run_again(&engine, catalog, &owner, &query)).await?;
            let mut writer = BatchWriter::new(format, output.as_deref(), &whole.schema)?;
            for batch in &whole.batches {
                writer.write(batch)?;
            }
            let rows = writer.finish(&whole.sites)?;
            context.note(format_args!(
                "{rows} row(s), the same as on {} ({})",
                query.saved_at, query.ark
            ));
        }
        QueryCommand::Delete { query } => {
            catalog.delete_query(&owner, &query).await?;
            context.note(format_args!("{query} is deleted; its ARK is not given out again."));
        }
    }
    Ok(())
}

/// A value as it was written: a scalar of JSON, or else text.
fn value(text: String) -> Value {
    match serde_json::from_str(&text) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_))) => value,
        _ => Value::String(text),
    }
}
