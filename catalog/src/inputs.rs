//! What a dataset was made from: the inputs exist, and none is stricter than what was made of it.

use crate::store::Database;
use crate::datasets::load;
use crate::{CatalogError, ark};
use sqlx::{Any, Row, Transaction};
use tarn_schemas::profile::{Violation, is_identifier};
use tarn_schemas::{DatasetName, DatasetRef, LabName, Record, Tier};

/// The rules that `derived_from` of a record breaks.
pub(crate) async fn check(
    database: &Database,
    lab: &LabName,
    transaction: &mut Transaction<'static, Any>,
    record: &Record,
) -> Result<Vec<Violation>, CatalogError> {
    let inputs = record.provenance.iter().flat_map(|origin| &origin.derived_from);
    let mut violations = Vec::new();
    for (place, text) in inputs.enumerate() {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let problem = match find(database, lab, transaction, text).await? {
            Input::Elsewhere => None,
            Input::Missing(fix) => Some(("provenance.inputs", format!("{text:?}"), fix)),
            Input::Here(name, _) if name == record.name && !text.contains('@') => Some((
                "provenance.inputs",
                format!("{text:?}"),
                "a dataset is not made from itself: name the version that it was made from, or \
                 leave the entry out"
                    .to_owned(),
            )),
            Input::Here(_, tier) => record.tier.filter(|own| *own < tier).map(|own| {
                (
                    "provenance.tier",
                    format!("{text:?}, which is {tier}"),
                    format!(
                        "what is made from {tier} data is not {own}: give this record the tier \
                         {tier} or a stricter one"
                    ),
                )
            }),
        };
        if let Some((rule, found, fix)) = problem {
            let pointer = format!("/provenance/derived_from/{place}");
            violations.push(Violation { pointer, rule: rule.to_owned(), found, fix });
        }
    }
    Ok(violations)
}

/// An input by what is known of it.
enum Input {
    /// A dataset of this lab.
    Here(DatasetName, Tier),
    /// Something with an identifier that others resolve, or a dataset of a peer.
    Elsewhere,
    /// Nothing that is known, with what to do.
    Missing(String),
}

async fn find(
    database: &Database,
    lab: &LabName,
    transaction: &mut Transaction<'static, Any>,
    text: &str,
) -> Result<Input, CatalogError> {
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
        return here(database, lab, transaction, &name, None).await;
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
        _ => here(database, lab, transaction, &reference.name, reference.version).await,
    }
}

async fn here(
    database: &Database,
    lab: &LabName,
    transaction: &mut Transaction<'static, Any>,
    name: &DatasetName,
    version: Option<u32>,
) -> Result<Input, CatalogError> {
    let stored = load(database, lab, transaction, name, version).await?;
    Ok(match stored {
        Some(stored) => Input::Here(stored.dataset.name, stored.dataset.tier),
        None => Input::Missing(format!(
            "{lab} has no such dataset or version: register it first, or name it by an identifier \
             (`tarn search` lists what there is)"
        )),
    })
}
