//! What datasets take over from those that they were made from: the strictest tier, exposure, markings,
//! embargo and conditions of their inputs.
//!
//! A record has no laxer tier and no fewer markings than its inputs when it is registered (`inputs`); all
//! else that limits them limits it too, whatever it says itself. When an input is
//! tightened later, all that was made from it is tightened with it, in the same transaction. Nothing
//! is loosened so: that takes a new version of the dataset itself.

use crate::data_use::{limits_use, narrowest};
use crate::lineage_edges::Edge;
use crate::model::{Dataset, Inherited};
use crate::policy::{Resource, assurance, own_exposure};
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use std::collections::{BTreeMap, BTreeSet};
use tarn_schemas::record::Exposure;
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
        data_use: BTreeSet::new(),
    }
}

/// What counts of the newest version for an older one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Newest {
    /// The newest version as policies see it.
    pub(crate) resource: Resource,
    /// What others take over from it.
    pub(crate) limits: Inherited,
}

impl Newest {
    pub(crate) fn of(newest: &Dataset, resource: Resource) -> Self {
        Self { resource, limits: passed_on(newest) }
    }
}

/// A version of a dataset.
pub(crate) type VersionOf = (DatasetName, u32);

/// Versions that something was made from, and of each whether it was released from its limits.
pub(crate) type MadeFrom = BTreeMap<VersionOf, bool>;

/// What others take over from a dataset: of an older version the stricter of what it says, of what it takes over
/// itself and of what the newest says.
pub(crate) fn passed_on(dataset: &Dataset) -> Inherited {
    let mut own = own_limits(dataset);
    own.tier = own.tier.max(dataset.tier);
    own.embargo = own.embargo.max(dataset.newest_embargo.as_ref().and_then(|e| held(&e.until)));
    match &dataset.newest {
        Some(newest) => join(own, &newest.limits),
        None => own,
    }
}

/// What a version limits by its record and by what it was made from, whatever the newest says.
pub(crate) fn own_limits(dataset: &Dataset) -> Inherited {
    let own = limits_of(&dataset.record);
    match &dataset.inherited {
        Some(inherited) => {
            let embargo = inherited.embargo.as_deref().and_then(held);
            join(own, &Inherited { embargo, ..inherited.clone() })
        }
        None => own,
    }
}

/// What a record limits by itself.
pub(crate) fn limits_of(record: &Record) -> Inherited {
    Inherited {
        tier: record.tier.unwrap_or(Tier::Public),
        exposure: own_exposure(record),
        embargo: record.embargo.as_ref().and_then(|embargo| held(&embargo.until)),
        data_use: record.data_use.iter().filter(|allowed| limits_use(allowed)).cloned().collect(),
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
        data_use: narrowest(one.data_use.union(&other.data_use)),
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
    /// Notes what a version was made from, and hands on what its dataset limits to all that was made from any
    /// version of it.
    pub(crate) async fn hand_on(
        &self,
        write: &mut Write<'_>,
        (dataset, version): (&DatasetName, u32),
        inputs: &MadeFrom,
    ) -> Result<(), CatalogError> {
        self.put_inputs(write, (dataset, version), inputs).await?;
        let mut waiting = vec![dataset.clone()];
        // Limits only grow and there are finitely many, so this ends for circles too.
        while let Some(input) = waiting.pop() {
            for Edge { of, made, is_newest, released } in
                self.edges_from(&mut write.transaction, &input).await?
            {
                if released {
                    continue;
                }
                let transaction = &mut write.transaction;
                // What holds for the newest would feed itself within a dataset.
                let limits = if made.0 == input {
                    let from = self.load(transaction, &input, Some(of)).await?;
                    from.map(|from| own_limits(&from.dataset))
                } else {
                    let from = self.held_version(transaction, &input, Some(of)).await?;
                    from.map(|from| passed_on(&from))
                };
                let found = self.load(transaction, &made.0, Some(made.1)).await?;
                let (Some(limits), Some(found)) = (limits, found) else { continue };
                if self.take_over(write, found.dataset, &limits, is_newest).await? {
                    waiting.push(made.0);
                }
            }
        }
        Ok(())
    }

    /// Lets a version take over limits besides those that it has. Returns whether it changed by that.
    pub(crate) async fn take_over(
        &self,
        write: &mut Write<'_>,
        mut made: Dataset,
        limits: &Inherited,
        is_newest: bool,
    ) -> Result<bool, CatalogError> {
        let database = &self.inner.database;
        let before = made.inherited.clone().unwrap_or_else(nothing);
        let after = join(before, limits);
        // What the record says by itself need not be taken over.
        let own = own_limits(&made);
        if join(own.clone(), &after) == own {
            return Ok(false);
        }
        let text = serde_json::to_string(&after)
            .map_err(|error| database.unreadable("what a dataset takes over", &error))?;
        sqlx::query("UPDATE version SET inherited = $3 WHERE dataset = $1 AND version = $2")
            .bind(made.name.as_str())
            .bind(i64::from(made.version))
            .bind(text)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if is_newest {
            self.note_change(write, &made, "inherited").await?;
            made.tier = made.tier.max(after.tier);
            made.inherited = Some(after);
            self.note_published(write, &made).await?;
        }
        Ok(true)
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
