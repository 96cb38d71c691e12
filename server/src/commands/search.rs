//! `tarn search`

use super::datasets::print_hit;
use super::{Context, Outcome};
use crate::cli::Search;
use crate::home::Home;
use crate::output::text_table;
use tarn_catalog::{SavedSearch, SearchAnswer, SearchRequest};
use tarn_query::federation;
use tarn_schemas::shown::harmless;
use tarn_schemas::{Freshness, Principal, SiteReport, SiteStatus, standard_names};

/// Finds datasets in this lab and its peers; keeps searches.
pub(crate) async fn run(context: &Context, args: Search) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let (catalog, owner) = (&home.catalog, Principal::Owner);
    if let Some(name) = args.forget {
        catalog.forget_search(&owner, &name).await?;
        context.note(format_args!("{name:?} is forgotten."));
        return Ok(());
    }
    if args.list_saved {
        say_saved(context, catalog.saved_searches(&owner).await?);
        return Ok(());
    }
    let engine = home.engine()?;
    let (saved, cursor) = (args.saved.or_else(|| args.save.clone()), args.cursor.clone());
    let request = SearchRequest {
        text: args.text.join(" "),
        filters: args.filters,
        facets: args.facets,
        limit: args.limit,
        cursor: args.cursor,
    };
    if let Some(name) = args.save {
        catalog.save_search(&owner, &name, &request).await?;
        context.note(format_args!("Kept; again with --saved {name:?}"));
    }
    let Some(name) = saved else {
        let (answer, sites) = federation::search(&engine, &owner, &request).await?;
        say_answer(context, &answer, &sites, None);
        if answer.total == 0 {
            say_misspelt(context, &request);
        }
        return Ok(());
    };
    let run = catalog.begin_saved_search(&owner, &name, cursor).await?;
    let (answer, sites) = federation::search(&engine, &owner, &run.request).await?;
    let new = catalog.end_saved_search(&owner, &run, &answer.hits).await?;
    say_answer(context, &answer, &sites, Some(new));
    Ok(())
}

/// Says which standard names that were asked for are none, where nothing was found: it may be misspelt.
fn say_misspelt(context: &Context, request: &SearchRequest) {
    for (_, value) in request.filters.iter().filter(|(key, _)| key == "standard_name") {
        if let Some(problem) = standard_names::problem(value) {
            context.note(format_args!("standard_name={value}: {problem}"));
        }
    }
}

/// Prints what was found; of a saved search also what is new.
fn say_answer(
    context: &Context,
    answer: &SearchAnswer,
    sites: &[SiteReport],
    new: Option<Option<Vec<String>>>,
) {
    if context.json {
        let mut json = serde_json::json!(answer);
        json["sites"] = serde_json::json!(sites);
        if let Some(new) = new {
            json["new"] = serde_json::json!(new);
        }
        say!("{json}");
        return;
    }
    for hit in &answer.hits {
        print_hit(hit);
    }
    for (facet, values) in &answer.facets {
        let values: Vec<String> =
            values.iter().map(|(value, count)| format!("{value} ({count})")).collect();
        say!("{facet}: {}", harmless(&values.join(", ")));
    }
    context.note(format_args!("{} of {} dataset(s)", answer.hits.len(), answer.total));
    if let Some(new) = new.flatten() {
        let names = if new.is_empty() { "nothing".to_owned() } else { new.join(", ") };
        context.note(format_args!("new since it ran before: {names}"));
    }
    if let Some(next) = &answer.next {
        context.note(format_args!("more: the same with --cursor {next}"));
    }
    for site in sites.iter().filter(|site| site.status == SiteStatus::Ok) {
        if let (Some(state @ (Freshness::Stale | Freshness::Unreachable)), Some(as_of)) =
            (site.state, &site.as_of)
        {
            let why = site.error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
            context.note(format_args!(
                "{} is {}{why}: its records are as of {as_of}",
                site.lab,
                state.as_str()
            ));
        }
    }
    for site in sites.iter().filter(|site| site.status != SiteStatus::Ok) {
        context.note(format_args!(
            "{} did not answer: {}",
            site.lab,
            site.error.as_deref().unwrap_or("no reason given")
        ));
    }
}

fn say_saved(context: &Context, searches: Vec<SavedSearch>) {
    if context.json {
        say!("{}", serde_json::json!(searches));
        return;
    }
    let rows = searches.into_iter().map(|SavedSearch { name, request, saved_at, ran_at }| {
        let filters = request.filters.iter().map(|(key, value)| format!("{key}={value}"));
        let asked: Vec<String> =
            std::iter::once(request.text).filter(|text| !text.is_empty()).chain(filters).collect();
        vec![name, asked.join(" "), saved_at, ran_at.unwrap_or_default()]
    });
    say_part!("{}", text_table(&["name", "search", "saved", "ran"], rows));
}
