//! What a dataset was made from: the inputs exist, and none is stricter than what was made of it.

use crate::decision::Action;
use crate::lineage::{join, nothing, passed_on, said};
use crate::model::{Dataset, Inherited};
use crate::policy::Rights;
use crate::{Catalog, CatalogError, ark};
use sqlx::{Any, Row, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::profile::{Violation, is_identifier};
use tarn_schemas::{DatasetName, DatasetRef, LabName, Record, Tier};

/// What was found of the inputs of a record.
pub(crate) struct Inputs {
    /// The rules that `derived_from` breaks.
    pub(crate) violations: Vec<Violation>,
    /// Inputs that are datasets of this lab.
    pub(crate) here: BTreeSet<DatasetName>,
    /// The strictest of their limits.
    pub(crate) limits: Inherited,
}

impl Inputs {
    /// Of a record that names none.
    pub(crate) fn none() -> Self {
        Self { violations: Vec::new(), here: BTreeSet::new(), limits: nothing() }
    }
}

impl Catalog {
    /// Looks up what a record was made from. Inputs that the principal may not know of are not there.
    pub(crate) async fn inputs(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        record: &Record,
    ) -> Result<Inputs, CatalogError> {
        let mut found = Inputs::none();
        let texts = record.provenance.iter().flat_map(|origin| &origin.derived_from);
        for (place, text) in texts.enumerate() {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let problems = match self.find(rights, transaction, text).await? {
                Input::Elsewhere => Vec::new(),
                Input::Missing(fix) => vec![("provenance.inputs", format!("{text:?}"), fix)],
                Input::Here(input) if input.name == record.name && !text.contains('@') => vec![(
                    "provenance.inputs",
                    format!("{text:?}"),
                    "a dataset is not made from itself: name the version that it was made from, \
                     or leave the entry out"
                        .to_owned(),
                )],
                Input::Here(input) => {
                    let limits = passed_on(&input);
                    let mut problems = laxer(record, &input, &limits, text);
                    // Of what is shown in part, no more is told here.
                    if !self.decide_as(rights, Action::Describe, &input)?.allowed {
                        for (rule, what, fix) in &mut problems {
                            // The name of a rule would tell what it holds back.
                            *rule = "provenance.inputs";
                            *what = format!("{text:?}, which holds back more than this record");
                            "ask its contact what it passes on".clone_into(fix);
                        }
                        problems.dedup();
                    }
                    if input.name != record.name {
                        found.here.insert(input.name.clone());
                    }
                    found.limits = join(found.limits, &limits);
                    problems
                }
            };
            for (rule, what, fix) in problems {
                let pointer = format!("/provenance/derived_from/{place}");
                let rule = rule.to_owned();
                found.violations.push(Violation { pointer, rule, found: what, fix });
            }
        }
        Ok(found)
    }

    async fn find(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        text: &str,
    ) -> Result<Input, CatalogError> {
        let found = find(self, transaction, text).await?;
        let Input::Here(dataset) = found else { return Ok(found) };
        if self.decide_as(rights, Action::Discover, &dataset)?.allowed {
            return Ok(Input::Here(dataset));
        }
        // As if it did not exist: an ARK may be somebody else's then.
        Ok(if ark::parse(text).is_some() || is_identifier(text) {
            Input::Elsewhere
        } else {
            Input::Missing(missing(self.lab()))
        })
    }
}

/// Where a record is laxer than an input.
fn laxer(
    record: &Record,
    input: &Dataset,
    limits: &Inherited,
    text: &str,
) -> Vec<(&'static str, String, String)> {
    let mut problems = Vec::new();
    let tier = limits.tier;
    if record.tier.is_some_and(|own| own < tier) {
        let own = record.tier.map(Tier::as_str).unwrap_or_default();
        problems.push((
            "provenance.tier",
            format!("{text:?}, which is {tier}"),
            format!(
                "what is made from {tier} data is not {own}: give this record the tier {tier} or a \
                 stricter one"
            ),
        ));
    }
    let own = said(record).markings;
    // What stands within CUI is taken over without a word of the record, as conditions are.
    let missing: Vec<&str> = limits
        .markings
        .iter()
        .filter(|code| !own.contains(*code) && !code.starts_with("CUI//"))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        problems.push((
            "provenance.markings",
            format!("{text:?}, which is marked {}", missing.join(", ")),
            "what is made from marked data carries its markings: add them to this record"
                .to_owned(),
        ));
    }
    if let Some(of_input) = &input.record.data_use {
        let own: BTreeSet<&str> = record
            .data_use
            .iter()
            .flat_map(|data_use| data_use.modifiers.iter().map(|modifier| modifier.code.as_str()))
            .collect();
        let missing: Vec<&str> = of_input
            .modifiers
            .iter()
            .map(|modifier| modifier.code.as_str())
            .filter(|code| !own.contains(code))
            .collect();
        if !missing.is_empty() {
            problems.push((
                "provenance.data_use",
                format!("{text:?}, whose use is limited by {}", missing.join(", ")),
                "what is made from data about people may be used for no more than they: take its \
                 modifiers over under `data_use`"
                    .to_owned(),
            ));
        }
    }
    problems
}

/// An input by what is known of it.
enum Input {
    /// A dataset of this lab.
    Here(Box<Dataset>),
    /// Something with an identifier that others resolve, or a dataset of a peer.
    Elsewhere,
    /// Nothing that is known, with what to do.
    Missing(String),
}

/// The ARK that a URL ends with, or the `lab.name` of a page or route of this lab; `None` for other texts.
fn named_by_url(text: &str, lab: &LabName) -> Option<String> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        return None;
    }
    let path = text.split(['?', '#']).next()?.replace("%3A", ":").replace("%3a", ":");
    let lower = path.to_ascii_lowercase();
    if let Some(ark) = lower.find("/ark:").and_then(|at| path.get(at.saturating_add(1)..)) {
        return Some(ark.to_owned());
    }
    let (_, rest) = path.split_once("/datasets/")?;
    let mut parts = rest.split('/');
    let (of, name) = (parts.next()?, parts.next()?);
    (of == lab.as_str()).then(|| format!("{of}.{name}"))
}

/// The DOI that a text is, in lower case: `10.…/…`, `doi:10.…/…` or a URL of the resolver.
fn doi_of(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let resolvers =
        ["https://doi.org/", "http://doi.org/", "https://dx.doi.org/", "http://dx.doi.org/"];
    let bare = resolvers.iter().find_map(|resolver| lower.strip_prefix(resolver));
    let name = bare.or_else(|| lower.strip_prefix("doi:")).unwrap_or(&lower);
    (name.starts_with("10.") && name.contains('/')).then(|| name.to_owned())
}

async fn find(
    catalog: &Catalog,
    transaction: &mut Transaction<'static, Any>,
    text: &str,
) -> Result<Input, CatalogError> {
    let (database, lab) = (&catalog.inner.database, catalog.lab());
    // The same thing by a URL of this node or of a resolver is the same thing.
    let named = named_by_url(text, lab);
    let text = named.as_deref().unwrap_or(text);
    if let Some(name) = doi_of(text) {
        let row = sqlx::query("SELECT dataset FROM doi WHERE lower(doi) = $1")
            .bind(name)
            .fetch_optional(&mut **transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(Input::Elsewhere) };
        let name = database.dataset_name(&database.text(&row, "dataset")?)?;
        return here(catalog, transaction, &name, None).await;
    }
    if let Some(ark) = ark::parse(text) {
        let row = sqlx::query("SELECT name FROM dataset WHERE ark = $1")
            .bind(&ark)
            .fetch_optional(&mut **transaction)
            .await
            .map_err(|error| database.error(&error))?;
        // Others mint ARKs too.
        let Some(row) = row else { return Ok(Input::Elsewhere) };
        let name: String = row.try_get("name").map_err(|error| database.error(&error))?;
        let name = DatasetName::new(name)
            .map_err(|error| database.unreadable("a dataset's name", &error))?;
        return here(catalog, transaction, &name, None).await;
    }
    let Ok(reference) = text.parse::<DatasetRef>() else {
        return Ok(if is_identifier(text) {
            Input::Elsewhere
        } else {
            Input::Missing(
                "name a dataset (lab.name or name@version), an ARK, a DOI or a URL; words about \
                 the origin belong into `activity`"
                    .to_owned(),
            )
        });
    };
    match &reference.lab {
        Some(other) if other != lab => {
            let peer = sqlx::query("SELECT 1 FROM peer WHERE lab = $1")
                .bind(other.as_str())
                .fetch_optional(&mut **transaction)
                .await
                .map_err(|error| database.error(&error))?;
            Ok(match peer {
                Some(_) => Input::Elsewhere,
                None => Input::Missing(format!(
                    "{other} is no peer of {lab}: name the dataset by its ARK, DOI or URL"
                )),
            })
        }
        _ => here(catalog, transaction, &reference.name, reference.version).await,
    }
}

async fn here(
    catalog: &Catalog,
    transaction: &mut Transaction<'static, Any>,
    name: &DatasetName,
    version: Option<u32>,
) -> Result<Input, CatalogError> {
    let stored = catalog.load(transaction, name, version).await?;
    Ok(match stored {
        Some(stored) => Input::Here(Box::new(stored.dataset)),
        None => Input::Missing(missing(catalog.lab())),
    })
}

fn missing(lab: &LabName) -> String {
    format!(
        "{lab} has no such dataset or version: register it first, or name it by an identifier \
         (`tarn search` lists what there is)"
    )
}
