//! What datasets take over from those that they were made from: the strictest tier, exposure and
//! markings of their inputs.
//!
//! A record may not be laxer than its inputs when it is registered (`inputs`). When an input is
//! tightened later, all that was made from it is tightened with it, in the same transaction. Nothing
//! is loosened so: that takes a new version of the dataset itself.

use crate::model::{Dataset, Inherited};
use crate::policy::exposure;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use std::collections::BTreeSet;
use tarn_schemas::record::Exposure;
use tarn_schemas::{DatasetName, Tier};

/// Nothing that limits.
pub(crate) fn nothing() -> Inherited {
    Inherited { tier: Tier::Public, exposure: Exposure::Full, markings: BTreeSet::new() }
}

/// What others take over from a dataset.
pub(crate) fn passed_on(dataset: &Dataset) -> Inherited {
    let mut markings: BTreeSet<String> = dataset.record.markings.iter().cloned().collect();
    markings.extend(dataset.inherited.iter().flat_map(|inherited| inherited.markings.clone()));
    markings.remove("UNL");
    if dataset.record.cui.is_some() {
        markings.insert("CUI".to_owned());
    }
    Inherited { tier: dataset.tier, exposure: exposure(dataset), markings }
}

/// The strictest of both.
pub(crate) fn join(one: Inherited, other: &Inherited) -> Inherited {
    Inherited {
        tier: one.tier.max(other.tier),
        exposure: one.exposure.max(other.exposure),
        markings: one.markings.union(&other.markings).cloned().collect(),
    }
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
            for name in self.made_from(write, &input).await? {
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
        write: &mut Write<'_>,
        input: &DatasetName,
    ) -> Result<Vec<DatasetName>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT dataset FROM derivation WHERE input = $1 ORDER BY dataset")
            .bind(input.as_str())
            .fetch_all(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        rows.iter().map(|row| database.dataset_name(&database.text(row, "dataset")?)).collect()
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
                    all.push(Inherited { tier, exposure, markings });
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
}
