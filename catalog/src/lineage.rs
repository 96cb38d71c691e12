//! What datasets take over from those that they were made from: the strictest tier, exposure, markings,
//! embargo and conditions of their inputs.
//!
//! A record has no laxer tier and no fewer markings than its inputs when it is registered (`inputs`); all
//! else that limits them limits it too, whatever it says itself. When an input is
//! tightened later, all that was made from it is tightened with it, in the same transaction. Nothing
//! is loosened so: that takes a new version of the dataset itself.

use crate::model::{Dataset, Inherited};
use crate::policy::{Resource, assurance, own_exposure};
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::record::{DataUse, Exposure};
use tarn_schemas::{DatasetName, Record, Tier};

/// What stands for nobody in a set of which one is needed: an empty set stands for everybody.
const NOBODY: &str = "none";

/// Nothing that limits.
pub(crate) fn nothing() -> Inherited {
    Inherited {
        tier: Tier::Public,
        exposure: Exposure::Full,
        markings: BTreeSet::new(),
        embargo: None,
        assurance: None,
        training: BTreeSet::new(),
        affiliations: BTreeSet::new(),
        countries: BTreeSet::new(),
        us_persons: false,
    }
}

/// What counts of the newest version for an older one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Newest {
    /// The newest version as policies see it.
    pub(crate) resource: Resource,
    /// What others take over from it.
    pub(crate) limits: Inherited,
    /// What its data may be used for.
    pub(crate) data_use: Option<DataUse>,
}

impl Newest {
    pub(crate) fn of(newest: &Dataset, resource: Resource) -> Self {
        let data_use = newest.record.data_use.clone();
        Self { resource, limits: passed_on(newest), data_use }
    }
}

/// What others take over from a dataset: of an older version the stricter of what it says and of what the
/// newest says.
pub(crate) fn passed_on(dataset: &Dataset) -> Inherited {
    let mut own = limits_of(&dataset.record);
    own.tier = own.tier.max(dataset.tier);
    own.embargo = own.embargo.max(dataset.newest_embargo.as_ref().and_then(|e| held(&e.until)));
    let own = match &dataset.inherited {
        Some(inherited) => {
            let embargo = inherited.embargo.as_deref().and_then(held);
            join(own, &Inherited { embargo, ..inherited.clone() })
        }
        None => own,
    };
    match &dataset.newest {
        Some(newest) => join(own, &newest.limits),
        None => own,
    }
}

/// What a record limits by itself.
pub(crate) fn limits_of(record: &Record) -> Inherited {
    Inherited {
        tier: record.tier.unwrap_or(Tier::Public),
        exposure: own_exposure(record),
        embargo: record.embargo.as_ref().and_then(|embargo| held(&embargo.until)),
        ..said(record)
    }
}

/// The end of an embargo; none of one that has ended, which holds nothing back.
fn held(until: &str) -> Option<String> {
    let today = Utc::now().date_naive().to_string();
    (*until > *today).then(|| until.to_owned())
}

/// What markings and conditions of a record limit; no tier, exposure or embargo.
pub(crate) fn said(record: &Record) -> Inherited {
    let mut markings: BTreeSet<String> = record.markings.iter().cloned().collect();
    markings.remove("UNL");
    if let Some(cui) = &record.cui {
        markings.insert("CUI".to_owned());
        let more = cui.categories.iter().chain(&cui.dissemination);
        markings.extend(more.map(|code| format!("CUI//{code}")));
    }
    let conditions = record.conditions.clone().unwrap_or_default();
    let export = record.export_control.as_ref();
    let allowed = export.map(|export| export.countries.iter().cloned().collect());
    let countries = conditions.countries.into_iter().collect();
    Inherited {
        markings,
        assurance: conditions.assurance,
        training: conditions.training.into_iter().collect(),
        affiliations: conditions.affiliations.into_iter().collect(),
        countries: both(countries, &allowed.unwrap_or_default()),
        us_persons: export.is_some_and(|export| export.us_persons),
        ..nothing()
    }
}

/// The strictest of both.
pub(crate) fn join(one: Inherited, other: &Inherited) -> Inherited {
    let strict = |name: &Option<String>| name.as_deref().map_or(0, assurance);
    Inherited {
        tier: one.tier.max(other.tier),
        exposure: one.exposure.max(other.exposure),
        markings: one.markings.union(&other.markings).cloned().collect(),
        embargo: one.embargo.clone().max(other.embargo.clone()),
        assurance: if strict(&one.assurance) >= strict(&other.assurance) {
            one.assurance.clone()
        } else {
            other.assurance.clone()
        },
        training: one.training.union(&other.training).cloned().collect(),
        affiliations: both(one.affiliations, &other.affiliations),
        countries: both(one.countries, &other.countries),
        us_persons: one.us_persons || other.us_persons,
    }
}

/// What two sets allow of which one is needed each.
fn both(one: BTreeSet<String>, other: &BTreeSet<String>) -> BTreeSet<String> {
    if one.is_empty() {
        return other.clone();
    }
    if other.is_empty() {
        return one;
    }
    let common: BTreeSet<String> = one.intersection(other).cloned().collect();
    if common.is_empty() { BTreeSet::from([NOBODY.to_owned()]) } else { common }
}

impl Catalog {
    /// Notes what a dataset was made from, and hands on what it limits to all that was made from it.
    pub(crate) async fn hand_on(
        &self,
        write: &mut Write<'_>,
        dataset: &DatasetName,
        inputs: &BTreeSet<DatasetName>,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        sqlx::query("DELETE FROM derivation WHERE dataset = $1")
            .bind(dataset.as_str())
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        for input in inputs {
            sqlx::query("INSERT INTO derivation (input, dataset) VALUES ($1, $2)")
                .bind(input.as_str())
                .bind(dataset.as_str())
                .execute(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?;
        }
        let mut waiting = vec![dataset.clone()];
        // Limits only grow and there are finitely many, so this ends for circles too.
        while let Some(input) = waiting.pop() {
            let Some(from) = self.load(&mut write.transaction, &input, None).await? else {
                continue;
            };
            let limits = passed_on(&from.dataset);
            for name in self.made_from(&mut write.transaction, &input).await? {
                let Some(made) = self.load(&mut write.transaction, &name, None).await? else {
                    continue;
                };
                let made = made.dataset;
                let before = made.inherited.clone().unwrap_or_else(nothing);
                let after = join(before.clone(), &limits);
                // What the record says by itself need not be taken over.
                let own = passed_on(&made);
                if join(own.clone(), &after) == own {
                    continue;
                }
                self.put_inherited(write, &name, Some(&after)).await?;
                self.note_change(write, &made, "inherited").await?;
                let mut made = made;
                made.inherited = Some(after);
                made.tier = made.tier.max(limits.tier);
                self.note_published(write, &made).await?;
                waiting.push(name);
            }
        }
        Ok(())
    }

    /// Datasets of this lab whose newest version was made from this one.
    pub(crate) async fn made_from(
        &self,
        transaction: &mut Transaction<'static, Any>,
        input: &DatasetName,
    ) -> Result<Vec<DatasetName>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT dataset FROM derivation WHERE input = $1 ORDER BY dataset")
            .bind(input.as_str())
            .fetch_all(&mut **transaction)
            .await
            .map_err(|error| database.error(&error))?;
        rows.iter().map(|row| database.dataset_name(&database.text(row, "dataset")?)).collect()
    }

    /// Datasets of this lab that were made from this one, directly or through others.
    pub(crate) async fn all_made_from(
        &self,
        transaction: &mut Transaction<'static, Any>,
        input: &DatasetName,
    ) -> Result<BTreeSet<DatasetName>, CatalogError> {
        let (mut made, mut waiting) = (BTreeSet::new(), vec![input.clone()]);
        while let Some(input) = waiting.pop() {
            for name in self.made_from(transaction, &input).await? {
                if made.insert(name.clone()) {
                    waiting.push(name);
                }
            }
        }
        Ok(made)
    }

    /// Stores what a dataset takes over.
    pub(crate) async fn put_inherited(
        &self,
        write: &mut Write<'_>,
        dataset: &DatasetName,
        inherited: Option<&Inherited>,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let text = inherited
            .map(serde_json::to_string)
            .transpose()
            .map_err(|error| database.unreadable("what a dataset takes over", &error))?;
        sqlx::query("UPDATE dataset SET inherited = $2 WHERE name = $1")
            .bind(dataset.as_str())
            .bind(text)
            .execute(&mut *write.transaction)
            .await
            .map(drop)
            .map_err(|error| database.error(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of tiers, exposures and two markings.
    fn all() -> Vec<Inherited> {
        let tiers = [
            Tier::Public,
            Tier::Registered,
            Tier::Controlled,
            Tier::Restricted,
            Tier::AggregatesOnly,
        ];
        let exposures = [Exposure::Full, Exposure::Redacted, Exposure::Existence, Exposure::None];
        let mut all = Vec::new();
        for tier in tiers {
            for exposure in exposures {
                for chosen in [&[][..], &["CUI"], &["OUO"], &["CUI", "OUO"]] {
                    let markings = chosen.iter().map(|code| (*code).to_owned()).collect();
                    all.push(Inherited { tier, exposure, markings, ..nothing() });
                }
            }
        }
        all
    }

    #[test]
    fn the_strictest_is_the_least_that_is_no_laxer_than_either() {
        let laxer = |one: &Inherited, other: &Inherited| {
            one.tier <= other.tier
                && one.exposure <= other.exposure
                && one.markings.is_subset(&other.markings)
        };
        let all = all();
        for one in &all {
            assert_eq!(join(one.clone(), one), *one);
            assert_eq!(join(nothing(), one), *one);
            for other in &all {
                let both = join(one.clone(), other);
                assert_eq!(both, join(other.clone(), one));
                assert!(laxer(one, &both) && laxer(other, &both));
                let least = all.iter().filter(|more| laxer(one, more) && laxer(other, more));
                assert!(least.into_iter().all(|more| laxer(&both, more)));
            }
        }
    }

    #[test]
    fn conditions_of_two_are_those_that_meet_both() {
        let of =
            |countries: &[&str], training: &[&str], assurance: &str, embargo: &str| Inherited {
                countries: countries.iter().map(|code| (*code).to_owned()).collect(),
                training: training.iter().map(|code| (*code).to_owned()).collect(),
                assurance: Some(assurance.to_owned()),
                embargo: Some(embargo.to_owned()),
                ..nothing()
            };
        let one = of(&["US", "CA"], &["radiation"], "low", "2040-01-01");
        let other = of(&["CA", "FR"], &["human"], "high", "2030-01-01");
        let both = of(&["CA"], &["human", "radiation"], "high", "2040-01-01");
        assert_eq!(join(one.clone(), &other), both);
        assert_eq!(join(other, &one), both);
        assert_eq!(join(nothing(), &one), one);
        let nobody = join(one.clone(), &of(&["RU"], &[], "low", "2030-01-01"));
        assert_eq!(nobody.countries, BTreeSet::from([NOBODY.to_owned()]));
        assert_eq!(join(nobody.clone(), &one).countries, nobody.countries);
    }
}
