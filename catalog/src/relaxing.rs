//! What opens a dataset further, and what only closes it: closing is immediate, opening takes two people.
//!
//! All that limits is compared, not tiers alone: what a record says and what it takes over, as one
//! (`lineage::join`), and the words that nobody can weigh (terms, agreement, data use, disclosure, CUI, export
//! control), which are to stay as they are.

use crate::CatalogError;
use crate::datasets::Stored;
use crate::inputs::Inputs;
use crate::lineage::{join, limits_of, passed_on};
use crate::model::{Dataset, Inherited};
use std::collections::BTreeSet;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::{Record, Tier};

/// Refuses what opens a dataset further by the word of one person.
pub(crate) fn check_relaxing(
    earlier: Option<&Stored>,
    record: &Record,
    inputs: &Inputs,
) -> Result<(), CatalogError> {
    let Some(Stored { dataset, .. }) = earlier else { return Ok(()) };
    let now = join(limits_of(record), &inputs.limits);
    if is_as_closed((&dataset.record, &passed_on(dataset)), (record, &now)) {
        return Ok(());
    }
    Err(CatalogError::Denied(format!(
        "this opens {}.{} further, or may (tier, exposure, markings, embargo, conditions, export control, \
         terms, agreement, data use or disclosure), which takes two people: hand the record to the owner of \
         the node, who registers it",
        dataset.lab, dataset.name
    )))
}

/// Whether a record with its limits lets nobody do what another keeps from them.
pub(crate) fn is_as_closed(
    (before, were): (&Record, &Inherited),
    (record, are): (&Record, &Inherited),
) -> bool {
    // Who names a committee gives it a say: that goes with what closes, and waits for a second person then.
    let names = before.agreement.is_none() && record.agreement.is_some();
    let stays = stays(before.terms.as_ref(), record.terms.as_ref())
        && stays(before.agreement.as_ref(), record.agreement.as_ref())
        && stays(before.disclosure.as_ref(), record.disclosure.as_ref())
        && stays(before.data_use.as_ref(), record.data_use.as_ref())
        && stays(before.cui.as_ref(), record.cui.as_ref())
        && stays(before.export_control.as_ref(), record.export_control.as_ref());
    stays && (!names || record.tier > before.tier) && join(are.clone(), were) == *are
}

/// Whether what limits access is what it was; to begin to limit is always possible.
fn stays<T: PartialEq>(before: Option<&T>, now: Option<&T>) -> bool {
    before.is_none() || before == now
}

/// Whether a dataset is held back by what its record limits with these limits of inputs as it is already, and,
/// where two people agreed on the record, by its committee.
pub(crate) fn is_held_alike(
    dataset: &Dataset,
    inputs: &Inherited,
    agreed: Option<&Record>,
) -> bool {
    let anew = join(limits_of(&dataset.record), inputs);
    let committee = agreed.is_none_or(|record| dataset.committee == committee_of(record));
    committee && anew == passed_on(dataset)
}

/// The committee that a record names.
pub(crate) fn committee_of(record: &Record) -> Option<String> {
    let committee =
        record.agreement.as_ref().map(|agreement| agreement.committee.trim().to_owned());
    committee.filter(|committee| !committee.is_empty())
}

/// Whether a record differs from the one before in what limits access alone, and only begins to limit or limits
/// more. What of it would open something is found when it is registered. A stricter tier may need another
/// licence, an agreement, and a date at which it is looked at again.
pub(crate) fn only_closes(before: &Record, record: &Record) -> bool {
    let stricter = record.tier > before.tier;
    let mut same = Record {
        tier: record.tier,
        exposure: record.exposure,
        markings: record.markings.clone(),
        embargo: record.embargo.clone(),
        conditions: record.conditions.clone(),
        cui: before.cui.clone().or_else(|| record.cui.clone()),
        export_control: before.export_control.clone().or_else(|| record.export_control.clone()),
        terms: before.terms.clone().or_else(|| record.terms.clone()),
        human_data: before.human_data.filter(|data| *data).or(record.human_data),
        data_use: before.data_use.clone().or_else(|| record.data_use.clone()),
        disclosure: before.disclosure.clone().or_else(|| record.disclosure.clone()),
        version_notes: record.version_notes.clone(),
        ..before.clone()
    };
    if stricter {
        same.agreement = before.agreement.clone().or_else(|| record.agreement.clone());
        same.license.clone_from(&record.license);
        same.rights.clone_from(&record.rights);
        same.review.clone_from(&record.review);
        same.reviewed.clone_from(&record.reviewed);
    }
    let noted = Record { version_notes: record.version_notes.clone(), ..before.clone() };
    same == *record && noted != *record
}

/// Whether a record is one that everyone may read at once: nothing to be looked at by a second person.
pub(crate) fn is_for_everyone(record: &Record) -> bool {
    let limited = record.markings.iter().any(|marking| marking != "UNL");
    record.tier == Some(Tier::Public)
        && !limited
        && record.embargo.is_none()
        && record.cui.is_none()
        && record.export_control.is_none()
        && record.conditions.is_none()
}

/// Whether two lists of files are the same bytes under the same names.
pub(crate) fn same_files(one: &[FileFacts], other: &[FileFacts]) -> bool {
    let known = |files: &[FileFacts]| -> BTreeSet<(String, String)> {
        files.iter().map(|file| (file.location.clone(), file.sha256.clone())).collect()
    };
    known(one) == known(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(with: Value) -> Record {
        let mut whole = json!({"name": "a", "tier": "public"});
        for (key, value) in with.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    fn agreement(committee: &str) -> Value {
        json!({"id": "https://lab.example/a", "sha256": "1", "committee": committee, "months": 12,
               "purposes": ["research"]})
    }

    fn closes(before: &Value, now: &Value) -> bool {
        let (before, now) = (record(before.clone()), record(now.clone()));
        let alike = is_as_closed((&before, &limits_of(&before)), (&now, &limits_of(&now)));
        only_closes(&before, &now) && alike
    }

    #[test]
    fn what_closes_is_known_whatever_it_is_called() {
        let both = json!({"conditions": {"countries": ["US", "CA"], "training": ["x"]}});
        for (before, now) in [
            (
                json!({}),
                json!({"tier": "registered", "terms": {"id": "https://a.example", "sha256": "0"}}),
            ),
            (json!({}), json!({"tier": "controlled", "agreement": agreement("dac")})),
            (json!({}), json!({"markings": ["OUO"], "version_notes": "why"})),
            (both.clone(), json!({"conditions": {"countries": ["US"], "training": ["x", "y"]}})),
            (
                json!({"agreement": agreement("dac")}),
                json!({"agreement": agreement("dac"), "markings": ["OUO"]}),
            ),
        ] {
            assert!(closes(&before, &now), "{before} {now}");
        }
        for (before, now) in [
            // Nothing, or words alone.
            (json!({}), json!({"version_notes": "why"})),
            (json!({}), json!({"title": "Another", "markings": ["OUO"]})),
            // Somebody gets a say.
            (json!({}), json!({"agreement": agreement("dac")})),
            (json!({}), json!({"agreement": agreement("dac"), "markings": ["OUO"]})),
            (
                json!({"agreement": agreement("dac")}),
                json!({"tier": "controlled", "agreement": agreement("eves")}),
            ),
            // Something opens while something else closes.
            (both.clone(), json!({"conditions": {"countries": ["US"]}, "markings": ["OUO"]})),
            (both, json!({"markings": ["OUO"]})),
        ] {
            assert!(!closes(&before, &now), "{before} {now}");
        }
    }
}
