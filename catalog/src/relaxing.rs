//! What opens a dataset further, and what only closes it: closing is immediate, opening takes two people.
//!
//! All that limits is compared, not tiers alone: what a record says and what it takes over, as one
//! (`lineage::join`), and what stands beside it: agreement, decontrol and release dates, export control, terms. The
//! words among these that nobody can weigh are to stay as they are.

use crate::CatalogError;
use crate::datasets::Stored;
use crate::inputs::Inputs;
use crate::lineage::{join, limits_of, passed_on};
use crate::model::{Dataset, Inherited};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::record::{
    Agreement, Cui, DOMINANCE_PERCENT, Disclosure, ExportControl, MarkingDetails,
};
use tarn_schemas::{Record, Tier};

/// Codes that protect until a date where one is given.
const DATED: [&str; 4] = ["OUO", "PROT", "SBIR", "STTR"];

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

/// Whether a record with its limits lets nobody do what another keeps from them. Sets of countries, controls and
/// purposes, and dates, may become stricter; of words that nobody can weigh, what limits stays.
pub(crate) fn is_as_closed(
    (before, were): (&Record, &Inherited),
    (record, are): (&Record, &Inherited),
) -> bool {
    // Who names a committee gives it a say: that goes with what closes, and waits for a second person then.
    let names = before.agreement.is_none() && record.agreement.is_some();
    // Somebody may have accepted other terms who has not accepted these. Beyond a stricter tier it takes more than that.
    let accepts_anew =
        record.terms.is_some() && are.tier > were.tier && are.tier >= Tier::Controlled;
    let stays = (accepts_anew || stays(before.terms.as_ref(), record.terms.as_ref()))
        && agrees_to_no_more(before.agreement.as_ref(), record.agreement.as_ref())
        && discloses_no_more(before.disclosure.as_ref(), record.disclosure.as_ref(), were)
        && is_decontrolled_no_earlier(before.cui.as_ref(), record.cui.as_ref(), were)
        && is_controlled_alike(before.export_control.as_ref(), record.export_control.as_ref())
        && is_released_no_earlier(before, record, were)
        && (before.human_data != Some(true) || record.human_data == Some(true));
    stays && (!names || record.tier > before.tier) && join(are.clone(), were) == *are
}

/// The limits of inputs, with the markings of the version before that a record leaves out because it says CUI, which
/// stands alone: whoever had to be cleared for them still has to be, until a second person agrees with the record.
pub(crate) fn under_cui(limits: Inherited, record: &Record, earlier: Option<&Stored>) -> Inherited {
    let Some(Stored { dataset, .. }) = earlier else { return limits };
    if record.cui.is_none() {
        return limits;
    }
    let own = limits_of(record).markings;
    let mut limits = limits;
    let before = passed_on(dataset).markings;
    let others = before.difference(&own).filter(|code| !code.starts_with("CUI"));
    limits.markings.extend(others.cloned());
    limits
}

/// What is to be known of a record that says CUI: markings of the version before that count until a second person agrees
/// with it, or do no longer.
pub(crate) fn ends_under_cui(
    limits: &Inherited,
    record: &Record,
    earlier: Option<&Stored>,
    agreed: bool,
) -> Option<String> {
    let kept = under_cui(limits.clone(), record, earlier);
    let ended: Vec<&str> = kept.markings.difference(&limits.markings).map(String::as_str).collect();
    let ended = (!ended.is_empty()).then(|| ended.join(", "))?;
    Some(if agreed {
        format!(
            "the record is CUI alone: who reads it need not be cleared for {ended} besides, as before"
        )
    } else {
        format!(
            "until a second person, or the owner of the node, agrees with the record, who reads it has to be cleared for \
             {ended} besides CUI, as before; whoever agrees ends that"
        )
    })
}

/// The same for who looks at a record that waits, before its files and inputs are looked at: an input may keep some.
pub(crate) fn may_end_under_cui(record: &Record, before: &Dataset) -> Option<String> {
    record.cui.as_ref()?;
    let (own, were) = (limits_of(record).markings, passed_on(before).markings);
    let ended = were.difference(&own).filter(|code| !code.starts_with("CUI"));
    let ended: Vec<&str> = ended.map(String::as_str).collect();
    (!ended.is_empty()).then(|| {
        format!(
            "whoever agrees with the record ends that its readers have to be cleared for {} besides CUI, where no input asks \
             for it",
            ended.join(", ")
        )
    })
}

/// Whether what limits access is what it was; to begin to limit is always possible.
fn stays<T: PartialEq>(before: Option<&T>, now: Option<&T>) -> bool {
    before.is_none() || before == now
}

/// The same agreement, for no longer and no other purposes.
fn agrees_to_no_more(before: Option<&Agreement>, now: Option<&Agreement>) -> bool {
    let (Some(before), Some(now)) = (before, now) else { return before.is_none() };
    let purposes = now.purposes.iter().all(|purpose| before.purposes.contains(purpose));
    let same =
        Agreement { months: before.months, purposes: before.purposes.clone(), ..now.clone() };
    same == *before && now.months <= before.months && purposes && !now.purposes.is_empty()
}

/// Numbers of as many units at least, by fewer functions. Columns to group by stay what they are: sums by fewer tell what
/// sums by more have left out. With noise all stays, because anything else draws it anew from one budget. What may give
/// aggregates alone, by an input, and says nothing of them gives nothing.
fn discloses_no_more(
    before: Option<&Disclosure>,
    now: Option<&Disclosure>,
    were: &Inherited,
) -> bool {
    let (Some(before), Some(now)) = (before, now) else {
        return before.is_none() && (now.is_none() || were.tier < Tier::AggregatesOnly);
    };
    if before.privacy.is_some() || now.privacy.is_some() {
        return before == now;
    }
    let share = |disclosure: &Disclosure| disclosure.dominance_percent.unwrap_or(DOMINANCE_PERCENT);
    now.unit == before.unit
        && now.group_by == before.group_by
        && now.minimum_cell >= before.minimum_cell
        && share(now) <= share(before)
        && (before.rounding.is_none() || now.rounding == before.rounding)
        && now.functions.iter().all(|name| before.functions.contains(name))
}

/// Its categories and dissemination controls are compared as markings. What is CUI by an input has no day of its own.
fn is_decontrolled_no_earlier(before: Option<&Cui>, now: Option<&Cui>, were: &Inherited) -> bool {
    let (Some(before), Some(now)) = (before, now) else {
        let ends = now.is_some_and(|now| now.decontrol.is_some());
        return before.is_none() && !(ends && were.markings.contains("CUI"));
    };
    now.decontrol.is_none() || now.decontrol == before.decontrol
}

/// Its countries and persons are compared as conditions.
fn is_controlled_alike(before: Option<&ExportControl>, now: Option<&ExportControl>) -> bool {
    let (Some(before), Some(now)) = (before, now) else { return before.is_none() };
    before.regime == now.regime && before.classification == now.classification
}

/// The day on which protection by markings ends is no earlier, and what is said of them in words stays. The markings are
/// those of inputs too.
fn is_released_no_earlier(before: &Record, record: &Record, were: &Inherited) -> bool {
    let (had, has) = (before.marking_details.as_ref(), record.marking_details.as_ref());
    let day = |details: Option<&MarkingDetails>| details?.release_date.clone();
    let (was, is) = (day(had), day(has));
    let dated = match (was, is) {
        (_, None) => true,
        (Some(was), Some(is)) => is >= was,
        // The day holds for every such code; without any there was nothing to end.
        (None, Some(_)) => !DATED.iter().any(|code| were.markings.contains(*code)),
    };
    let words = had.and_then(|details| details.other.as_ref());
    let exemption = had.and_then(|details| details.exemption.as_ref());
    dated
        && stays(words, has.and_then(|details| details.other.as_ref()))
        && stays(exemption, has.and_then(|details| details.exemption.as_ref()))
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

/// Whether a record limits more than the one before, by what it says or by what it is made from, and opens nothing.
/// Texts may change with it: they are no reason to leave data open until a second person has time. The licence goes
/// with the tier, and no input is left out.
pub(crate) fn tightens(
    (before, were): (&Record, &Inherited),
    (record, are): (&Record, &Inherited),
) -> bool {
    let stricter = record.tier > before.tier;
    let licensed = before.license == record.license && before.rights == record.rights;
    let kept = named(before).is_subset(&named(record));
    let more = are != were || words(before) != words(record);
    more && kept && (stricter || licensed) && is_as_closed((before, were), (record, are))
}

/// What limits beside what can be compared.
fn words(record: &Record) -> Value {
    let cui = record.cui.as_ref();
    let details = record.marking_details.as_ref();
    json!([
        record.terms.is_some(),
        record.agreement,
        record.disclosure,
        cui.map(|cui| &cui.decontrol),
        record.export_control,
        details.map(|details| &details.release_date),
        record.human_data == Some(true),
    ])
}

/// What a record says that it was made from.
fn named(record: &Record) -> BTreeSet<&str> {
    let named = record.provenance.iter().flat_map(|origin| &origin.derived_from);
    named.map(|text| text.trim()).filter(|text| !text.is_empty()).collect()
}

/// Whether a record is one that everyone may read at once: nothing to be looked at by a second person.
pub(crate) fn is_for_everyone(record: &Record) -> bool {
    let limited = record.markings.iter().any(|marking| marking != "UNL");
    record.tier == Some(Tier::Public)
        && !limited
        && limits_of(record).embargo.is_none()
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

    fn terms(sha256: &str) -> Value {
        json!({"id": "https://a.example", "sha256": sha256})
    }

    fn export(countries: &[&str]) -> Value {
        json!({"regime": "EAR", "classification": "3A001", "countries": countries})
    }

    fn cui(dissemination: &[&str]) -> Value {
        json!({"banner": "CUI", "designation": "desk", "dissemination": dissemination})
    }

    fn closes(before: &Value, now: &Value) -> bool {
        let (before, now) = (record(before.clone()), record(now.clone()));
        tightens((&before, &limits_of(&before)), (&now, &limits_of(&now)))
    }

    #[test]
    fn what_an_input_limits_is_not_opened_by_saying_how() {
        let of = |tier, markings: &[&str]| Inherited {
            tier,
            markings: markings.iter().map(|code| (*code).to_owned()).collect(),
            ..limits_of(&record(json!({})))
        };
        let told =
            json!({"unit": "site", "minimum_cell": 11, "functions": ["sum"], "group_by": ["site"]});
        for (were, now) in [
            (of(Tier::AggregatesOnly, &[]), json!({"tier": "aggregates_only", "disclosure": told})),
            (
                of(Tier::Public, &["OUO"]),
                json!({"markings": ["OUO"], "marking_details": {"release_date": "2050-01-01"}}),
            ),
            (
                of(Tier::Public, &["CUI"]),
                json!({"cui": {"banner": "CUI", "designation": "desk", "decontrol": "2050-01-01"}}),
            ),
        ] {
            let (before, now) = (record(json!({})), record(now));
            let are = join(limits_of(&now), &were);
            assert!(!is_as_closed((&before, &were), (&now, &are)), "{now:?}");
            let alone = limits_of(&before);
            assert!(is_as_closed((&before, &alone), (&now, &limits_of(&now))), "{now:?}");
        }
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
            // What stands beside it holds nothing back.
            (json!({}), json!({"title": "Another", "markings": ["OUO"]})),
            (
                json!({"tier": "registered", "terms": terms("0")}),
                json!({"tier": "controlled", "terms": terms("1"), "agreement": agreement("dac")}),
            ),
            // Sets, controls and dates.
            (
                json!({"export_control": export(&["US", "CA"])}),
                json!({"export_control": export(&["US"])}),
            ),
            (json!({"cui": cui(&[])}), json!({"cui": cui(&["NOFORN"])})),
            (
                json!({}),
                json!({"markings": ["PROT"], "marking_details": {"release_date": "2050-01-01"}}),
            ),
            (
                json!({"markings": ["PROT"], "marking_details": {"release_date": "2050-01-01"}}),
                json!({"markings": ["PROT"], "marking_details": {"release_date": "2051-01-01"}}),
            ),
        ] {
            assert!(closes(&before, &now), "{before} {now}");
        }
        for (before, now) in [
            // Nothing, or words alone.
            (json!({}), json!({"version_notes": "why"})),
            (json!({}), json!({"title": "Another"})),
            (
                json!({"tier": "registered", "terms": terms("0")}),
                json!({"tier": "registered", "terms": terms("1")}),
            ),
            (json!({"markings": ["OUO"]}), json!({"markings": ["OUO"], "license": "CC0-1.0"})),
            (
                json!({"markings": ["OUO"]}),
                json!({"markings": ["OUO"], "marking_details": {"release_date": "2050-01-01"}}),
            ),
            (
                json!({"markings": ["OUO"]}),
                json!({"markings": ["OUO", "PROT"], "marking_details": {"release_date": "2050-01-01"}}),
            ),
            (
                json!({"tier": "registered", "terms": terms("0")}),
                json!({"tier": "registered", "terms": terms("1"), "conditions": {"training": ["x"]}}),
            ),
            (
                json!({"export_control": export(&["US"])}),
                json!({"export_control": export(&["US", "CA"])}),
            ),
            (json!({"export_control": export(&["US"])}), json!({"export_control": export(&[])})),
            (
                json!({"cui": cui(&["NOFORN"])}),
                json!({"cui": cui(&[]), "conditions": {"training": ["x"]}}),
            ),
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
