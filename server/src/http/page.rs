//! Dataset pages for people and, by content negotiation, for programs; and where ARKs lead.

use super::Door;
use super::auth::Caller;
use super::datasets::find;
use super::exports;
use super::problem::{Problem, Refusal};
use super::tombstone::{self, Gone};
use crate::failure::Failure;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use tarn_catalog::{CatalogError, Dataset};
use tarn_schemas::ErrorCode;
use tarn_schemas::export::{self, Format, Source};

/// The page of a dataset, or what `Accept` asks for instead, with typed links in the `Link` header
/// (FAIR Signposting, level 1).
#[utoipa::path(get, path = "/datasets/{lab}/{name}",
    params(("lab" = String, Path, description = "Lab"), ("name" = String, Path, description = "name or name@version")),
    responses((status = 200, description = "The page, or the format that `Accept` asks for", content(
            ("text/html"), ("application/linkset+json"), ("application/ld+json"), ("application/json"), ("application/geo+json"),
            ("application/xml"), ("application/vnd.datacite.datacite+xml"), ("application/vnd.datacite.datacite+json"))),
        (status = 400, description = "No name of a dataset, or nothing that `Accept` asks for", body = Problem),
        (status = 403, description = "The format needs what may not be told", body = Problem),
        (status = 404, description = "No such dataset", body = Problem),
        (status = 410, description = "Withdrawn, and `Accept` asks for a format and not for the page: its tombstone", body = Gone),
        (status = 422, description = "The record does not say what the format needs", body = Problem)))]
pub(crate) async fn dataset(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let dataset = find(&door, &who, &lab, &name).await?;
    let source = exports::source(&door, &dataset).await?;
    let (by, answer) = match wanted(&headers)? {
        View::Page => ("page", Ok(Html(page(&dataset, &source)).into_response())),
        View::Links => ("linkset", Ok(exports::links(&source))),
        View::Export(format) => match tombstone::of(&dataset) {
            Some(gone) => (format.as_str(), Ok(gone)),
            None => (format.as_str(), exports::answer(&source, format)),
        },
    };
    let mut response = exports::shown(&door, &who, &dataset, by, answer).await?;
    let headers = response.headers_mut();
    if let Ok(links) = HeaderValue::from_str(&export::header(&source)) {
        headers.insert(header::LINK, links);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// What a page can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Page,
    Links,
    Export(Format),
}

/// The first of the accepted media types with the highest weight (RFC 9110, section 12.5.1) that the
/// page can be.
fn wanted(headers: &HeaderMap) -> Result<View, Failure> {
    let accept = headers.get(header::ACCEPT).map_or("*/*", |value| value.to_str().unwrap_or("*/*"));
    let mut choices: Vec<(f64, View)> = Vec::new();
    for choice in accept.split(',') {
        let mut parts = choice.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut weight, mut profile) = (1.0, "");
        for part in parts {
            if let Some(text) = part.strip_prefix("q=") {
                weight = text.parse().unwrap_or(0.0);
            } else if let Some(text) = part.strip_prefix("profile=") {
                profile = text.trim_matches('"');
            }
        }
        if let Some(view) = view(&kind, profile).filter(|_| weight > 0.0) {
            choices.push((weight, view));
        }
    }
    let best = choices.iter().map(|(weight, _)| *weight).fold(0.0, f64::max);
    let first = choices.iter().find(|(weight, _)| *weight >= best).map(|(_, view)| *view);
    first.ok_or_else(|| {
        let kinds: Vec<&str> = Format::ALL.iter().map(|(_, format)| format.media_type()).collect();
        Failure::new(
            ErrorCode::InvalidArgument,
            format!("Accept one of text/html, application/linkset+json, {}", kinds.join(", ")),
        )
    })
}

fn view(kind: &str, profile: &str) -> Option<View> {
    match kind {
        "text/html" | "application/xhtml+xml" | "text/*" | "*/*" => return Some(View::Page),
        "application/linkset+json" => return Some(View::Links),
        "application/ld+json" if profile.is_empty() => {
            return Some(View::Export(Format::SchemaOrg));
        }
        // Programs that say no more get what most of them read.
        "application/json" | "application/*" if profile.is_empty() => {
            return Some(View::Export(Format::SchemaOrg));
        }
        _ => {}
    }
    let formats = Format::ALL.iter().map(|(_, format)| *format);
    let mut fitting = formats.filter(|format| format.media_type() == kind);
    fitting.find(|format| profile.is_empty() || format.profile() == Some(profile)).map(View::Export)
}

fn page(dataset: &Dataset, source: &Source) -> String {
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
    let links = export::links(source);
    let formats: Vec<String> = links
        .iter()
        .filter(|link| link.rel == "describedby")
        .map(|link| {
            let name = link.href.rsplit('/').next().unwrap_or_default();
            format!("<a href=\"{}\">{}</a>", escape(&link.href), escape(name))
        })
        .collect();
    let head: Vec<String> = links
        .iter()
        .filter(|link| link.rel != "item" && link.rel != "describedby")
        .map(|link| format!("<link rel=\"{}\" href=\"{}\">\n", link.rel, escape(&link.href)))
        .collect();
    // A redacted record has none: there is nothing that others may find it by.
    let json = export::export(source, Format::SchemaOrg).map_or_else(
        |_| String::new(),
        |json| format!("<script type=\"application/ld+json\">\n{}</script>", in_script(&json)),
    );
    format!(
        "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         {head}{json}</head><body>\n\
         <h1>{title}</h1>\n{withdrawn}<p>{description}</p>\n\
         <dl><dt>Identifier</dt><dd>{ark}</dd><dt>Version</dt><dd>{version}</dd><dt>Creators</dt><dd>{creators}</dd>\
         <dt>Licence</dt><dd>{license}</dd><dt>Tier</dt><dd>{tier}</dd>\
         <dt>Also as</dt><dd>{formats}</dd></dl>\n\
         <table><tr><th>Table</th><th>Column</th><th>Type</th><th>Units</th></tr>\n{columns}</table></body></html>\n",
        language = escape(record.language.as_deref().unwrap_or("en")),
        title = escape(&record.title),
        head = head.concat(),
        description = escape(&record.description),
        ark = escape(&dataset.ark),
        version = dataset.version,
        creators = escape(&creators.join("; ")),
        license = escape(record.license.as_deref().unwrap_or("")),
        tier = dataset.tier,
        formats = formats.join(", "),
    )
}

/// An ARK leads to its dataset's page, or to its saved query, by a 302, so that the identifier stays where it is.
#[utoipa::path(get, path = "/ark:/{naan}/{name}",
    params(("naan" = String, Path, description = "Number of the naming authority"), ("name" = String, Path, description = "What it was named")),
    responses((status = 302, description = "`Location`: the page of the dataset, or the saved query"),
        (status = 404, description = "No dataset or saved query with this identifier", body = Problem)))]
pub(crate) async fn resolve(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((naan, name)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let ark = format!("ark:/{naan}/{name}");
    let page = match door.catalog.by_ark(&who, &ark).await? {
        Some(dataset) => format!("/datasets/{}/{}", dataset.lab, dataset.name),
        None => match door.catalog.saved_query(&who, &ark).await {
            Ok(query) => format!("/api/v1/queries/{}", query.id),
            Err(CatalogError::NotFound { .. }) => {
                let problem = format!("no dataset or saved query with the identifier {ark}");
                return Err(Failure::new(ErrorCode::NotFound, problem).into());
            }
            Err(error) => return Err(error.into()),
        },
    };
    Ok((StatusCode::FOUND, [(header::LOCATION, page)]).into_response())
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// JSON that may stand in a `script` element: nothing in it ends or opens one.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_record_stays_text() {
        assert_eq!(escape("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
        let json = serde_json::json!({"name": "</script><!-- &amp;"}).to_string();
        let safe = in_script(&json);
        assert!(!safe.contains(['<', '>', '&']), "{safe}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            serde_json::from_str::<serde_json::Value>(&json).unwrap()
        );
    }

    #[test]
    fn accept_chooses_by_weight_then_by_order() {
        let view = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
            wanted(&headers)
        };
        assert_eq!(wanted(&HeaderMap::new()).unwrap(), View::Page);
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", View::Page),
            ("application/ld+json", View::Export(Format::SchemaOrg)),
            ("text/html;q=0.5, application/ld+json", View::Export(Format::SchemaOrg)),
            ("application/vnd.datacite.datacite+xml", View::Export(Format::DataCiteXml)),
            ("application/linkset+json", View::Links),
            (
                "application/ld+json;profile=\"https://w3id.org/ro/crate/1.2\"",
                View::Export(Format::RoCrate),
            ),
            ("application/geo+json;q=x, text/html;q=0.1", View::Page),
        ] {
            assert_eq!(view(accept).unwrap(), expected, "{accept}");
        }
        assert!(view("image/png").is_err());
        assert!(view("text/html;q=0").is_err());
    }
}
