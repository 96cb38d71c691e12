//! What policies know of a dataset.

use super::failed;
use crate::CatalogError;
use crate::lineage::{join, said};
use crate::model::Dataset;
use cedar_policy::RestrictedExpression;
use chrono::{DateTime, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use tarn_schemas::profile::parse_date;
use tarn_schemas::record::Exposure;
use tarn_schemas::{Record, Tier};

/// Changes when the JSON of a [`Resource`], or of what stands beside it in the index, does: indexes with the JSON
/// of before are made anew.
pub(super) const VERSION: &[u8] = b"resource 3";

/// The first moment of the last year that a date in a policy may have.
const NEVER: i64 = 253_370_764_800_000;

/// What a decision knows of a dataset, and all that it knows: datasets that are equal here are decided
/// alike. Its JSON stands in the search index, so that a search decides once for each kind of
/// dataset and not for each dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Resource {
    pub(super) key: String,
    tier: Tier,
    exposure: Exposure,
    withdrawn: bool,
    /// Milliseconds since 1970.
    embargo_until: i64,
    markings: BTreeSet<String>,
    terms: String,
    committee: String,
    insiders: BTreeSet<String>,
    assurance: i64,
    training: BTreeSet<String>,
    affiliations: BTreeSet<String>,
    countries: BTreeSet<String>,
    us_persons: bool,
}

/// Who may know of a dataset by what its record says. Where it says nothing: everyone where everyone may read
/// it, or everyone who signs in; those with need to know otherwise.
pub(crate) fn own_exposure(record: &Record) -> Exposure {
    let is_open = record.tier.is_none_or(|tier| tier <= Tier::Registered);
    let usual = if is_open { Exposure::Full } else { Exposure::None };
    record.exposure.unwrap_or(usual)
}

/// Who may know of a dataset: by its record, and by what it was made from. What it takes over of a tier says
/// nothing of it, because the inputs themselves may be shown.
fn exposure(dataset: &Dataset) -> Exposure {
    let own = own_exposure(&dataset.record);
    dataset.inherited.as_ref().map_or(own, |inherited| own.max(inherited.exposure))
}

/// Assurance of an identity by its name in REFEDS; an unknown name is one that nobody has.
pub(crate) fn assurance(name: &str) -> i64 {
    match name {
        "low" => 1,
        "medium" => 2,
        "high" => 3,
        _ => i64::from(u32::MAX),
    }
}

impl Resource {
    /// A dataset as policies see it. `named` says whether a policy names this very dataset.
    pub(super) fn new(dataset: &Dataset, named: impl Fn(&str) -> bool) -> Self {
        let record = &dataset.record;
        let exposure = exposure(dataset);
        let embargoes = record.embargo.iter().chain(&dataset.newest_embargo);
        let ends = embargoes.map(|embargo| end_of(&embargo.until));
        let limits = said(record);
        let limits = dataset.inherited.iter().fold(limits, join);
        let ends = ends.chain(limits.embargo.iter().map(|until| end_of(until)));
        let key = format!("{}.{}", dataset.lab, dataset.name);
        let plain = dataset.tier <= Tier::Registered
            && exposure == Exposure::Full
            && record.embargo.is_none()
            && dataset.newest_embargo.is_none()
            && limits.embargo.is_none()
            && !named(&key);
        Self {
            key: if plain { String::new() } else { key },
            tier: dataset.tier,
            exposure,
            withdrawn: dataset.withdrawn.is_some(),
            embargo_until: ends.max().unwrap_or(0),
            markings: limits.markings,
            terms: record.terms.as_ref().map(|terms| terms.sha256.clone()).unwrap_or_default(),
            committee: record
                .agreement
                .as_ref()
                .map(|agreement| agreement.committee.trim())
                .filter(|named| dataset.committee.as_deref() == Some(named))
                .unwrap_or_default()
                .to_owned(),
            insiders: dataset.registrant.iter().cloned().collect(),
            assurance: limits.assurance.as_deref().map_or(0, assurance),
            training: limits.training,
            affiliations: limits.affiliations,
            countries: limits.countries,
            us_persons: limits.us_persons,
        }
    }

    /// Whether nothing of it limits who reads its data. What was under embargo once is not: what was
    /// decided then and what is now stand in one log.
    pub(crate) fn is_open(&self) -> bool {
        self.tier == Tier::Public
            && !self.withdrawn
            && self.embargo_until == 0
            && self.markings.is_empty()
            && self.assurance == 0
            && self.training.is_empty()
            && self.affiliations.is_empty()
            && self.countries.is_empty()
            && !self.us_persons
    }

    /// The tier that counts.
    pub(crate) fn tier(&self) -> Tier {
        self.tier
    }

    /// When its embargo ends; none where it has none, or one that does not end.
    pub(crate) fn opens(&self) -> Option<DateTime<Utc>> {
        let ends = self.embargo_until;
        DateTime::from_timestamp_millis(ends).filter(|_| ends != 0 && ends < NEVER)
    }

    /// The attributes of the entity.
    pub(super) fn attributes(&self) -> Result<HashMap<String, RestrictedExpression>, CatalogError> {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let exposure = match self.exposure {
            Exposure::Full => "full",
            Exposure::Redacted => "redacted",
            Exposure::Existence => "existence",
            Exposure::None => "none",
        };
        Ok(HashMap::from([
            ("key".to_owned(), text(&self.key)),
            ("tier".to_owned(), text(self.tier.as_str())),
            ("exposure".to_owned(), text(exposure)),
            ("withdrawn".to_owned(), RestrictedExpression::new_bool(self.withdrawn)),
            ("embargo_until".to_owned(), moment(self.embargo_until)?),
            ("markings".to_owned(), set(&self.markings)),
            ("terms".to_owned(), text(&self.terms)),
            ("committee".to_owned(), text(&self.committee)),
            ("insiders".to_owned(), set(&self.insiders)),
            ("assurance".to_owned(), RestrictedExpression::new_long(self.assurance)),
            ("training".to_owned(), set(&self.training)),
            ("affiliations".to_owned(), set(&self.affiliations)),
            ("countries".to_owned(), set(&self.countries)),
            ("us_persons".to_owned(), RestrictedExpression::new_bool(self.us_persons)),
        ]))
    }
}

/// When an embargo ends: midnight UTC of its day. An end that cannot be read does not come.
fn end_of(until: &str) -> i64 {
    parse_date(until).map_or(NEVER, |day| day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
}

/// A set of texts.
pub(super) fn set(values: &BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(
        values.iter().map(|value| RestrictedExpression::new_string(value.clone())),
    )
}

/// A moment by its milliseconds since 1970.
pub(super) fn moment(milliseconds: i64) -> Result<RestrictedExpression, CatalogError> {
    let at: DateTime<Utc> = DateTime::from_timestamp_millis(milliseconds)
        .filter(|at| *at <= DateTime::<Utc>::from_timestamp_millis(NEVER).unwrap_or(*at))
        .ok_or_else(|| failed("a moment lies beyond the year 9999"))?;
    Ok(RestrictedExpression::new_datetime(at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()))
}
