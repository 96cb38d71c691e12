//! `tarn search`

use super::datasets::print_hit;
use super::{Context, Outcome};
use crate::cli::Search;
use crate::home::Home;
use tarn_catalog::SearchRequest;
use tarn_query::federation;
use tarn_schemas::{Principal, SiteStatus};

/// Finds datasets in this lab and its peers.
pub(crate) async fn run(context: &Context, args: Search) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let request = SearchRequest {
        text: args.text.join(" "),
        filters: args.filters,
        facets: args.facets,
        limit: args.limit,
        cursor: args.cursor,
    };
    let engine = home.engine()?;
    let (answer, sites) = federation::search(&engine, &Principal::Owner, &request).await?;
    if context.json {
        let mut json = serde_json::json!(answer);
        json["sites"] = serde_json::json!(sites);
        say!("{json}");
        return Ok(());
    }
    for hit in &answer.hits {
        print_hit(hit);
    }
    for (facet, values) in &answer.facets {
        let values: Vec<String> =
            values.iter().map(|(value, count)| format!("{value} ({count})")).collect();
        say!("{facet}: {}", values.join(", "));
    }
    context.note(format_args!("{} of {} dataset(s)", answer.hits.len(), answer.total));
    if let Some(next) = &answer.next {
        context.note(format_args!("more: the same with --cursor {next}"));
    }
    for site in sites.iter().filter(|site| site.status != SiteStatus::Ok) {
        context.note(format_args!(
            "{} did not answer: {}",
            site.lab,
            site.error.as_deref().unwrap_or("no reason given")
        ));
    }
    Ok(())
}
