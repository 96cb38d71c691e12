//! What a dataset was made from: the inputs exist, and none is stricter than what was made of it.

use crate::data_use::{in_words, is_within, limits_use, may_meet};
use crate::datasets::Stored;
use crate::decision::Action;
use crate::lineage::{MadeFrom, join, limits_of, nothing, own_limits, passed_on, said};
use crate::model::Inherited;
use crate::named_inputs::{Input, Named};
use crate::policy::Rights;
use crate::releases::{released, unfounded};
use crate::{Catalog, CatalogError};
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::profile::Violation;
use tarn_schemas::record::DataUse;
use tarn_schemas::{DatasetName, Record, Tier};

/// What was found of the inputs of a record.
pub(crate) struct Inputs {
    /// The rules that `derived_from` breaks.
    pub(crate) violations: Vec<Violation>,
    /// Inputs that are datasets of this lab, by version; of an input without one that which was the newest.
    pub(crate) here: MadeFrom,
    /// The strictest of their limits.
    pub(crate) limits: Inherited,
    /// Tables that keep the limits of versions before, and these.
    pub(crate) carried: BTreeSet<String>,
    pub(crate) of_carried: Inherited,
    /// Inputs that were withdrawn, as the record names them.
    pub(crate) withdrawn: BTreeSet<String>,
}

impl Inputs {
    /// Of a record that names none.
    pub(crate) fn none() -> Self {
        Self {
            violations: Vec::new(),
            here: MadeFrom::new(),
            limits: nothing(),
            carried: BTreeSet::new(),
            of_carried: nothing(),
            withdrawn: BTreeSet::new(),
        }
    }

    /// What the steward should know of them although it breaks no rule.
    pub(crate) fn told(&self, record: &Record) -> Vec<String> {
        let mut told: Vec<String> = self
            .withdrawn
            .iter()
            .map(|input| {
                format!("{input} was withdrawn: see why, and whether what was made of it is right")
            })
            .collect();
        let own = limits_of(record);
        if join(own.clone(), &self.of_carried) == own {
            return told;
        }
        let tables: Vec<&str> = self.carried.iter().map(String::as_str).collect();
        told.push(format!(
            "table(s) {} have rows of files of an earlier version and keep its limits, and so does the dataset: name \
             these files in the record too if all of them may be opened, or register the others as another dataset",
            tables.join(", ")
        ));
        told
    }
}

impl Catalog {
    /// All that limits a record that it was made from: what it names, what tables of it that queries made were made
    /// from, and versions before whose files tables of it came from.
    pub(crate) async fn all_inputs(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        (record, files): (&Record, &[FileFacts]),
        earlier: Option<&Stored>,
    ) -> Result<Inputs, CatalogError> {
        let mut inputs = self.inputs(rights, transaction, record).await?;
        if let Some(Stored { dataset, .. }) = earlier {
            self.add_sources(transaction, (&dataset.name, dataset.version), &mut inputs).await?;
            self.add_carried(transaction, dataset.tables_for(files), &mut inputs).await?;
        }
        Ok(inputs)
    }

    /// Looks up what a record was made from. Inputs that the principal may not know of are not there, unless
    /// the dataset has them already: what those limit is not shed by somebody who does not see it.
    pub(crate) async fn inputs(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        record: &Record,
    ) -> Result<Inputs, CatalogError> {
        self.inputs_at(rights, transaction, record, None).await
    }

    /// As [`Catalog::inputs`], at a moment that has passed: an input without a version is what was the newest then.
    pub(crate) async fn inputs_at(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        record: &Record,
        at: Option<&str>,
    ) -> Result<Inputs, CatalogError> {
        let mut found = Inputs::none();
        let texts = record.provenance.iter().flat_map(|origin| &origin.derived_from);
        let (mut made, mut uses) = (None, Vec::new());
        let released = released(record);
        found.violations.extend(unfounded(record));
        for (place, text) in texts.enumerate() {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let named = self.named(rights, transaction, (&record.name, at), text).await?;
            let problems = match named {
                Named::Elsewhere => Vec::new(),
                Named::Missing(fix) => vec![("provenance.inputs", format!("{text:?}"), fix)],
                Named::Here(inputs) => {
                    let mut problems = Vec::new();
                    for input in inputs {
                        let version = (input.dataset.name.clone(), input.dataset.version);
                        if input.dataset.withdrawn.is_some() && !input.hidden {
                            found.withdrawn.insert(text.to_owned());
                        }
                        if released.contains(text) {
                            found.here.entry(version).or_insert(true);
                            continue;
                        }
                        found.here.insert(version, false);
                        let made = match &mut made {
                            Some(made) => made,
                            None => {
                                made.insert(self.made_from_now(transaction, &record.name).await?)
                            }
                        };
                        let limits = limits_from(&input, record);
                        found.limits = join(found.limits, &limits);
                        // Of what the principal may not know nothing is told.
                        if input.hidden {
                            continue;
                        }
                        let told =
                            self.decide_as(rights, Action::Describe, &input.dataset)?.allowed;
                        uses.push(Use { place, text, told, allowed: limits.data_use.clone() });
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
        for violation in wider(record, &uses) {
            if !found.violations.contains(&violation) {
                found.violations.push(violation);
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
        let mut problems = laxer(record, limits, text);
        // Of what is shown in part, no more is told here.
        if !self.decide_as(rights, Action::Describe, dataset)?.allowed {
            for problem in &mut problems {
                *problem = holds_more(text);
            }
            problems.dedup();
        }
        Ok(problems)
    }
}

/// What an input hands on to a record. An older version of the same dataset hands on what it limits by itself:
/// what holds for the newest would feed itself.
fn limits_from(input: &Input, record: &Record) -> Inherited {
    if input.dataset.name == record.name {
        own_limits(&input.dataset)
    } else {
        passed_on(&input.dataset)
    }
}

/// A rule, what was found and what to do.
type Problem = (&'static str, String, String);

/// What is told of an input that is shown in part: the name of a rule would tell what it holds back.
fn holds_more(text: &str) -> Problem {
    (
        "provenance.inputs",
        format!("{text:?}, which holds back more than this record"),
        "ask its contact what it passes on".to_owned(),
    )
}

/// What an input may be used for.
struct Use<'a> {
    /// Its place under `derived_from`, and how it is named there.
    place: usize,
    text: &'a str,
    /// Whether the principal may hear what it says.
    told: bool,
    allowed: BTreeSet<DataUse>,
}

/// Where a record about people may be used for more than its inputs. Nothing lies within two inputs for two diseases, or
/// for two places: what is made of both lies within one of them, and requests are held against all.
fn wider(record: &Record, uses: &[Use<'_>]) -> Vec<Violation> {
    let within = |allowed: &DataUse| {
        !limits_use(allowed) || record.data_use.as_ref().is_some_and(|own| is_within(own, allowed))
    };
    let all = || uses.iter().flat_map(|input| &input.allowed);
    let mut violations = Vec::new();
    for Use { place, text, told, allowed } in uses {
        for allowed in allowed.iter().filter(|allowed| !within(allowed)) {
            let mut apart = all().filter(|other| !may_meet(allowed, other)).peekable();
            let meets_all = apart.peek().is_none();
            if apart.any(within) {
                continue;
            }
            let (rule, found, fix) = if *told {
                let fix = if meets_all {
                    "give this record the same `data_use`, or one within it"
                } else {
                    "no use lies within all of its inputs: give this record the `data_use` of one of them, and \
                     requests are held against each"
                };
                (
                    "provenance.data_use",
                    format!("{text:?}, which may be used for {}", in_words(allowed)),
                    format!(
                        "what is made from data about people may be used for no more than they: {fix}"
                    ),
                )
            } else {
                holds_more(text)
            };
            let pointer = format!("/provenance/derived_from/{place}");
            violations.push(Violation { pointer, rule: rule.to_owned(), found, fix });
        }
    }
    violations
}

/// Where a record is laxer than an input.
fn laxer(record: &Record, limits: &Inherited, text: &str) -> Vec<Problem> {
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
    // What stands within CUI is taken over without a word of the record, as conditions are. And CUI stands alone in a
    // record: what else limits its inputs is taken over with it.
    let is_missing = |code: &str| !own.contains(code) && !code.starts_with("CUI//");
    let missing: Vec<&str> = if own.contains("CUI") {
        Vec::new()
    } else {
        limits.markings.iter().map(String::as_str).filter(|code| is_missing(code)).collect()
    };
    if !missing.is_empty() {
        let fix = if missing.contains(&"CUI") {
            "what is made from marked data carries its markings: write CUI alone into this record, which stands \
             for the others"
        } else {
            "what is made from marked data carries its markings: add them to this record"
        };
        let found = format!("{text:?}, which is marked {}", missing.join(", "));
        problems.push(("provenance.markings", found, fix.to_owned()));
    }
    problems
}
