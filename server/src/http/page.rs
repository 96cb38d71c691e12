//! Dataset pages for people, and where ARKs lead.

use super::Door;
use super::auth::Caller;
use super::datasets::find;
use super::problem::Refusal;
use crate::failure::Failure;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use tarn_schemas::ErrorCode;

/// The page of a dataset.
pub(crate) async fn dataset(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name)): Path<(String, String)>,
) -> Result<Html<String>, Refusal> {
    let dataset = find(&door, &who, &lab, &name).await?;
    let record = &dataset.record;
    let mut columns = String::new();
    for table in &dataset.tables {
        for column in &table.columns {
            let cells = [
                table.name.as_str(),
                &column.name,
                &column.data_type,
                column.units.as_deref().unwrap_or(""),
            ];
            let cells: Vec<String> =
                cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
            columns.push_str(&format!("<tr>{}</tr>\n", cells.concat()));
        }
    }
    let withdrawn = dataset.withdrawn.as_ref().map_or_else(String::new, |withdrawal| {
        let instead = withdrawal
            .replaced_by
            .as_deref()
            .map_or_else(String::new, |name| format!(" Use {} instead.", escape(name)));
        format!("<p><strong>Withdrawn: {}</strong>{instead}</p>\n", escape(&withdrawal.reason))
    });
    let creators: Vec<&str> = record.creators.iter().map(|creator| creator.name.as_str()).collect();
    Ok(Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
         <h1>{title}</h1>\n{withdrawn}<p>{description}</p>\n\
         <dl><dt>Identifier</dt><dd>{ark}</dd><dt>Version</dt><dd>{version}</dd><dt>Creators</dt><dd>{creators}</dd>\
         <dt>Licence</dt><dd>{license}</dd><dt>Tier</dt><dd>{tier}</dd></dl>\n\
         <table><tr><th>Table</th><th>Column</th><th>Type</th><th>Units</th></tr>\n{columns}</table></html>\n",
        title = escape(&record.title),
        description = escape(&record.description),
        ark = escape(&dataset.ark),
        version = dataset.version,
        creators = escape(&creators.join("; ")),
        license = escape(record.license.as_deref().unwrap_or("")),
        tier = dataset.tier,
    )))
}

/// An ARK leads to its dataset's page by a 302, so that the identifier stays where it is.
pub(crate) async fn resolve(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((naan, name)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let ark = format!("ark:/{naan}/{name}");
    let all = door.catalog.datasets(&who).await?;
    let Some(dataset) = all.iter().find(|dataset| dataset.ark == ark) else {
        return Err(Failure::new(
            ErrorCode::NotFound,
            format!("no dataset with the identifier {ark}"),
        )
        .into());
    };
    let page = format!("/datasets/{}/{}", dataset.lab, dataset.name);
    Ok((StatusCode::FOUND, [(header::LOCATION, page)]).into_response())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_in_a_record_stays_text() {
        assert_eq!(super::escape("<script>\"&"), "&lt;script&gt;&quot;&amp;");
    }
}
