//! What a dataset was made from: the inputs exist, and none is stricter than what was made of it.

use crate::decision::Action;
use crate::lineage::{join, limits_of, nothing, passed_on, said};
use crate::model::{Dataset, Inherited};
use crate::named_inputs::{Input, Named};
use crate::policy::Rights;
use crate::{Catalog, CatalogError};
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::profile::Violation;
use tarn_schemas::{DatasetName, Record, Tier};

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
    /// Looks up what a record was made from. Inputs that the principal may not know of are not there, unless
    /// the dataset has them already: what those limit is not shed by somebody who does not see it.
    pub(crate) async fn inputs(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        record: &Record,
    ) -> Result<Inputs, CatalogError> {
        let mut found = Inputs::none();
        let texts = record.provenance.iter().flat_map(|origin| &origin.derived_from);
        let mut made = None;
        for (place, text) in texts.enumerate() {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let named = self.named(rights, transaction, &record.name, text).await?;
            let problems = match named {
                Named::Elsewhere => Vec::new(),
                Named::Missing(fix) => vec![("provenance.inputs", format!("{text:?}"), fix)],
                Named::Here(inputs) => {
                    let mut problems = Vec::new();
                    for input in inputs {
                        let made = match &mut made {
                            Some(made) => made,
                            None => {
                                made.insert(self.all_made_from(transaction, &record.name).await?)
                            }
                        };
                        let limits = limits_from(&input, record);
                        found.limits = join(found.limits, &limits);
                        if input.dataset.name != record.name {
                            found.here.insert(input.dataset.name.clone());
                        }
                        // Of what the principal may not know nothing is told.
                        if input.hidden {
                            continue;
                        }
                        problems.extend(self.problems(
                            rights,
                            record,
                            (&input, &limits),
                            made,
                            text,
                        )?);
                    }
                    problems.dedup();
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

    /// The rules that a record breaks by one of its inputs.
    fn problems(
        &self,
        rights: &Rights,
        record: &Record,
        (input, limits): (&Input, &Inherited),
        made: &BTreeSet<DatasetName>,
        text: &str,
    ) -> Result<Vec<Problem>, CatalogError> {
        let dataset = &input.dataset;
        if dataset.name == record.name && !input.pinned {
            let fix = "a dataset is not made from itself: name the version that it was made from, \
                       or leave the entry out";
            return Ok(vec![("provenance.inputs", format!("{text:?}"), fix.to_owned())]);
        }
        if dataset.name != record.name && made.contains(&dataset.name) {
            let fix = format!(
                "{text} was made from {} itself, directly or through others, and nothing is made from what \
                 is made of it: leave the entry out, or register what was made as a dataset of its own",
                record.name
            );
            return Ok(vec![("provenance.circle", format!("{text:?}"), fix)]);
        }
        let mut problems = laxer(record, dataset, limits, text);
        // Of what is shown in part, no more is told here.
        if !self.decide_as(rights, Action::Describe, dataset)?.allowed {
            for (rule, what, fix) in &mut problems {
                // The name of a rule would tell what it holds back.
                *rule = "provenance.inputs";
                *what = format!("{text:?}, which holds back more than this record");
                "ask its contact what it passes on".clone_into(fix);
            }
            problems.dedup();
        }
        Ok(problems)
    }
}

/// What an input hands on to a record. An older version of the same dataset hands on what its own record says:
/// what holds for the newest would feed itself.
fn limits_from(input: &Input, record: &Record) -> Inherited {
    if input.dataset.name == record.name {
        limits_of(&input.dataset.record)
    } else {
        passed_on(&input.dataset)
    }
}

/// A rule, what was found and what to do.
type Problem = (&'static str, String, String);

/// Where a record is laxer than an input.
fn laxer(record: &Record, input: &Dataset, limits: &Inherited, text: &str) -> Vec<Problem> {
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
    let newest = input.newest.iter().filter_map(|newest| newest.data_use.as_ref());
    for of_input in input.record.data_use.iter().chain(newest) {
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
