//! `/oai`: OAI-PMH 2.0 over what everyone may know.

use super::Door;
use super::problem::Refusal;
use crate::failure::Failure;
use axum::extract::{RawForm, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use std::collections::BTreeMap;
use tarn_catalog::{Catalog, Harvested, LabDefaults, Place};
use tarn_schemas::export::Format;
use tarn_schemas::export::oai_pmh::{
    Answer, FORMATS, Item, Problem, Repository, document, subject_of_set, subject_set,
};
use tarn_schemas::{Principal, Tier};

/// Records of a page, and headers.
const PAGE: usize = 200;
/// Subjects of a page of sets.
const SETS: usize = 1000;

/// Answers every verb of OAI-PMH, by GET or by POST. What is wrong with a request is said in the
/// document, as the protocol has it.
#[utoipa::path(get, path = "/oai",
    params(("verb" = Option<String>, Query, description = "Identify, ListMetadataFormats, ListSets, ListIdentifiers, ListRecords or GetRecord"),
        ("metadataPrefix" = Option<String>, Query, description = "oai_dc or oai_datacite"),
        ("identifier" = Option<String>, Query, description = "ARK of a dataset"),
        ("from" = Option<String>, Query, description = "At or after this second or day"),
        ("until" = Option<String>, Query, description = "At or before this second or day"),
        ("set" = Option<String>, Query, description = "One of ListSets"),
        ("resumptionToken" = Option<String>, Query, description = "From the page before, alone")),
    responses((status = 200, description = "The document", content_type = "text/xml")))]
pub(crate) async fn answer(
    State(door): State<Door>,
    RawForm(form): RawForm,
) -> Result<Response, Refusal> {
    // Taken before anything is read: what changes later has a later datestamp.
    let now = second(Utc::now());
    let base = format!("{}/oai", door.base.trim_end_matches('/'));
    let arguments: Vec<(String, String)> =
        url::form_urlencoded::parse(&form).into_owned().collect();
    let answer = match Request::parse(&arguments) {
        Ok(request) => request.answer(&door, &base).await?,
        Err((problem, words)) => Answer::Problem(problem, words),
    };
    let kind = [(header::CONTENT_TYPE, "text/xml; charset=utf-8")];
    Ok((kind, document(&base, &arguments, &now, &answer)).into_response())
}

fn second(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

type Refused = (Problem, String);

fn bad(words: impl Into<String>) -> Refused {
    (Problem::BadArgument, words.into())
}

/// Which records a list is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    format: Format,
    from: Option<DateTime<Utc>>,
    /// Exclusive.
    until: Option<DateTime<Utc>>,
    set: Option<String>,
    after: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Request {
    Identify,
    Formats { identifier: Option<String> },
    Sets { after: Option<String> },
    Record { identifier: String, format: String },
    List { wanted: Wanted, whole: bool },
}

impl Request {
    fn parse(arguments: &[(String, String)]) -> Result<Self, Refused> {
        let mut given = BTreeMap::new();
        for (key, value) in arguments {
            if given.insert(key.as_str(), value.as_str()).is_some() {
                let problem = if key == "verb" { Problem::BadVerb } else { Problem::BadArgument };
                return Err((problem, format!("{key} stands there twice")));
            }
        }
        let verb = given.remove("verb").unwrap_or_default();
        let request = match verb {
            "Identify" => Self::Identify,
            "ListMetadataFormats" => {
                Self::Formats { identifier: given.remove("identifier").map(str::to_owned) }
            }
            "ListSets" => {
                let token = given.remove("resumptionToken");
                let after =
                    token.map(|set| subject_of_set(set).ok_or_else(no_token)).transpose()?;
                Self::Sets { after }
            }
            "GetRecord" => {
                let mut need = |key: &str| {
                    let value = given.remove(key).map(str::to_owned);
                    value.ok_or_else(|| bad(format!("GetRecord needs {key}")))
                };
                Self::Record { identifier: need("identifier")?, format: need("metadataPrefix")? }
            }
            "ListIdentifiers" | "ListRecords" => {
                Self::List { wanted: Wanted::parse(&mut given)?, whole: verb == "ListRecords" }
            }
            "" => return Err((Problem::BadVerb, "no verb: begin with ?verb=Identify".to_owned())),
            other => return Err((Problem::BadVerb, format!("there is no verb {other:?}"))),
        };
        match given.keys().next() {
            Some(key) => Err(bad(format!("{verb} has no argument {key:?}"))),
            None => Ok(request),
        }
    }

    async fn answer(self, door: &Door, base: &str) -> Result<Answer, Failure> {
        let catalog = &door.catalog;
        Ok(match self {
            Self::Identify => {
                let defaults = catalog.defaults().await?;
                let contact = defaults.contact.map(|contact| contact.email);
                let publisher = defaults.publisher.map(|publisher| publisher.name);
                Answer::Repository(Repository {
                    name: publisher.unwrap_or_else(|| catalog.lab().to_string()),
                    base_url: base.to_owned(),
                    admin_email: contact.unwrap_or_else(|| "nobody@example.org".to_owned()),
                    earliest: format!("{}T00:00:00Z", catalog.first_published().await?),
                })
            }
            Self::Formats { identifier: None } => Answer::Formats,
            Self::Formats { identifier: Some(identifier) } => {
                match catalog.harvest_one(&identifier).await? {
                    Some(_) => Answer::Formats,
                    None => unknown(&identifier),
                }
            }
            Self::Sets { after } => sets(catalog, after.as_deref()).await?,
            Self::Record { identifier, format } => {
                let found = catalog.harvest_one(&identifier).await?;
                match (found, format_of(&format)) {
                    (None, _) => unknown(&identifier),
                    (_, Err((problem, words))) => Answer::Problem(problem, words),
                    (Some(found), Ok(format)) => {
                        if let Some(dataset) = &found.dataset {
                            catalog.note_shown(&Principal::Anonymous, "oai", dataset, None).await?;
                        }
                        let item = item(door, &catalog.defaults().await?, found);
                        Answer::Record(Box::new(item), format)
                    }
                }
            }
            Self::List { wanted, whole } => list(door, wanted, whole).await?,
        })
    }
}

fn unknown(identifier: &str) -> Answer {
    Answer::Problem(Problem::IdDoesNotExist, format!("there is no record {identifier:?}"))
}

fn no_token() -> Refused {
    (Problem::BadResumptionToken, "this token was not given out here: begin anew".to_owned())
}

fn format_of(prefix: &str) -> Result<Format, Refused> {
    let known = FORMATS.iter().find(|(format, ..)| format.as_str() == prefix);
    known.map(|(format, ..)| *format).ok_or_else(|| {
        let names: Vec<&str> = FORMATS.iter().map(|(format, ..)| format.as_str()).collect();
        let words = format!("no format {prefix:?}; there are {}", names.join(", "));
        (Problem::CannotDisseminateFormat, words)
    })
}

/// A bound of a range: a second, or a day. `next` is the first second after it.
fn bound(text: &str, next: bool) -> Result<(DateTime<Utc>, bool), Refused> {
    let wrong = || bad(format!("{text:?} is no UTC date YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ"));
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        && text.len() == 10
    {
        let day = if next { day.checked_add_days(Days::new(1)).ok_or_else(wrong)? } else { day };
        return Ok((day.and_time(NaiveTime::MIN).and_utc(), true));
    }
    if text.len() != 20 || !text.ends_with('Z') {
        return Err(wrong());
    }
    let at = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?.to_utc();
    let step = TimeDelta::seconds(i64::from(next));
    Ok((at.checked_add_signed(step).ok_or_else(wrong)?, false))
}

impl Wanted {
    fn parse(given: &mut BTreeMap<&str, &str>) -> Result<Self, Refused> {
        if let Some(token) = given.remove("resumptionToken") {
            if !given.is_empty() {
                return Err(bad("resumptionToken stands alone"));
            }
            return Self::of_token(token).ok_or_else(no_token);
        }
        let Some(prefix) = given.remove("metadataPrefix") else {
            return Err(bad("metadataPrefix is missing: oai_dc or oai_datacite"));
        };
        let from = given.remove("from").map(|text| bound(text, false)).transpose()?;
        let until = given.remove("until").map(|text| bound(text, true)).transpose()?;
        if let (Some((from, of_from)), Some((until, of_until))) = (from, until) {
            if of_from != of_until {
                return Err(bad("from and until have to be both days, or both seconds"));
            }
            if from >= until {
                return Err(bad("from is after until"));
            }
        }
        Ok(Self {
            format: format_of(prefix)?,
            from: from.map(|(at, _)| at),
            until: until.map(|(at, _)| at),
            set: given.remove("set").map(str::to_owned),
            after: None,
        })
    }

    /// Everything that the next page needs: the token can be used again and on another day.
    fn token(&self, after: &Place) -> String {
        let moment = |at: Option<DateTime<Utc>>| at.map_or_else(String::new, second);
        let set = self.set.as_deref().unwrap_or_default();
        let (from, until) = (moment(self.from), moment(self.until));
        let format = self.format.as_str();
        format!("{format}!{from}!{until}!{set}!{}!{}", after.at, after.name)
    }

    fn of_token(token: &str) -> Option<Self> {
        let parts: Vec<&str> = token.split('!').collect();
        let [format, from, until, set, at, name] = parts.as_slice() else { return None };
        let moment = |text: &str| match text {
            "" => Some(None),
            text => bound(text, false).ok().map(|(at, _)| Some(at)),
        };
        DateTime::parse_from_rfc3339(at).ok()?;
        Some(Self {
            format: format_of(format).ok()?,
            from: moment(from)?,
            until: moment(until)?,
            set: (!set.is_empty()).then(|| (*set).to_owned()),
            after: Some(Place { at: (*at).to_owned(), name: (*name).to_owned() }),
        })
    }
}

/// The sets: the lab, its tiers, and the subjects of records that everyone may see, a page at a time. The
/// token is the last set of a page.
async fn sets(catalog: &Catalog, after: Option<&str>) -> Result<Answer, Failure> {
    let mut sets = if after.is_none() { fixed_sets(catalog.lab().as_str()) } else { Vec::new() };
    let mut subjects = catalog.subjects(after, SETS.saturating_add(1)).await?;
    let more = subjects.len() > SETS;
    subjects.truncate(SETS);
    sets.extend(subjects.into_iter().map(|term| (subject_set(&term), term)));
    let last = sets.last().filter(|_| more).map(|(set, _)| set.clone());
    if sets.is_empty() {
        let words = "there is no set behind this one any more: begin anew".to_owned();
        return Ok(Answer::Problem(Problem::BadResumptionToken, words));
    }
    let token = last.or_else(|| after.is_some().then(String::new));
    Ok(Answer::Sets(sets, token))
}

/// Sets that are there whatever is registered.
fn fixed_sets(lab: &str) -> Vec<(String, String)> {
    let tiers =
        Tier::ALL.iter().map(|tier| (format!("tier:{tier}"), format!("Data of the tier {tier}")));
    let lab = [(format!("lab:{lab}"), format!("Datasets of {lab}"))];
    let parents = [("lab", "By lab"), ("tier", "By tier"), ("subject", "By subject and keyword")];
    let parents = parents.map(|(set, name)| (set.to_owned(), name.to_owned()));
    parents.into_iter().chain(lab).chain(tiers).collect()
}

fn item(door: &Door, defaults: &LabDefaults, found: Harvested) -> Item {
    let datestamp = found.at.get(..19).map_or_else(String::new, |second| format!("{second}Z"));
    let source = found.dataset.map(|dataset| {
        let mut sets = vec![format!("lab:{}", dataset.lab), format!("tier:{}", dataset.tier)];
        sets.extend(dataset.record.subject_terms().into_iter().map(subject_set));
        (dataset.source(defaults, &door.base), sets)
    });
    Item { identifier: found.ark, datestamp, source }
}

/// Whether an item is in a set. What is deleted is in every set that it may have been in.
fn is_in(item: &Item, set: &str) -> bool {
    item.source.as_ref().is_none_or(|(_, sets)| {
        sets.iter().any(|own| own == set || own.split(':').next() == Some(set))
    })
}

async fn list(door: &Door, mut wanted: Wanted, whole: bool) -> Result<Answer, Failure> {
    let defaults = door.catalog.defaults().await?;
    let first = wanted.after.is_none();
    let (mut items, mut next) = (Vec::new(), wanted.after.take());
    let mut closed = Vec::new();
    loop {
        let range = (wanted.from, wanted.until);
        let (found, after) = door.catalog.harvest(next, range, PAGE).await?;
        for found in found {
            let name = found.dataset.as_ref().and_then(|shown| door.catalog.closed_name(shown));
            let item = item(door, &defaults, found);
            if wanted.set.iter().all(|set| is_in(&item, set)) {
                closed.extend(name);
                items.push(item);
            }
        }
        next = after;
        // A page of a set that few are in is filled from several.
        if items.len() >= PAGE / 2 || next.is_none() {
            break;
        }
    }
    if items.is_empty() {
        return Ok(Answer::Problem(Problem::NoRecordsMatch, "nothing fits".to_owned()));
    }
    door.catalog.note_closed(&Principal::Anonymous, "oai", closed).await?;
    let token = match next {
        Some(next) => Some(wanted.token(&next)),
        None if first => None,
        None => Some(String::new()),
    };
    Ok(if whole {
        Answer::Records(items, wanted.format, token)
    } else {
        Answer::Headers(items, token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Request, Problem> {
        let arguments: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Request::parse(&arguments).map_err(|(problem, _)| problem)
    }

    #[test]
    fn what_is_wrong_with_a_request_is_told_by_its_code() {
        for (query, problem) in [
            ("", Problem::BadVerb),
            ("verb=Nothing", Problem::BadVerb),
            ("verb=Identify&verb=Identify", Problem::BadVerb),
            ("verb=Identify&set=x", Problem::BadArgument),
            ("verb=GetRecord&identifier=x", Problem::BadArgument),
            ("verb=ListRecords", Problem::BadArgument),
            ("verb=ListRecords&metadataPrefix=marc", Problem::CannotDisseminateFormat),
            ("verb=ListRecords&metadataPrefix=oai_dc&from=2026", Problem::BadArgument),
            (
                "verb=ListRecords&metadataPrefix=oai_dc&from=2026-11-22&until=2026-11-23T00:00:00Z",
                Problem::BadArgument,
            ),
            (
                "verb=ListRecords&metadataPrefix=oai_dc&from=2026-11-22&until=2026-11-21",
                Problem::BadArgument,
            ),
            (
                "verb=ListRecords&metadataPrefix=oai_dc&from=2026-11-22T00:00:00%2B01",
                Problem::BadArgument,
            ),
            ("verb=ListRecords&resumptionToken=x", Problem::BadResumptionToken),
            ("verb=ListSets&resumptionToken=x", Problem::BadResumptionToken),
            ("verb=ListRecords&resumptionToken=x&set=y", Problem::BadArgument),
        ] {
            assert_eq!(parse(query).unwrap_err(), problem, "{query}");
        }
    }

    #[test]
    fn a_token_holds_what_the_next_page_needs() {
        let query = "verb=ListRecords&metadataPrefix=oai_dc&from=2026-11-01&until=2026-11-30&set=tier:public";
        let Request::List { wanted, whole: true } = parse(query).unwrap() else { panic!() };
        let after = Place { at: "2026-11-22T00:00:00.000001Z".to_owned(), name: "a".to_owned() };
        let again = Wanted::of_token(&wanted.token(&after)).unwrap();
        assert_eq!(again, Wanted { after: Some(after), ..wanted });
        // Inclusive to the end of the day.
        assert_eq!(again.until.map(second).as_deref(), Some("2026-12-01T00:00:00Z"));
    }
}
