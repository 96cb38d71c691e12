//! One decision for everything.

use crate::model::Dataset;
use chrono::{DateTime, NaiveTime, Utc};
use tarn_schemas::profile::parse_date;
use tarn_schemas::{Principal, Scope, Tier};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Know that it exists, see its record.
    Discover,
    /// Read its data: SQL, streams, previews, files.
    Read,
    /// Change its record or its data.
    Write,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No, with a reason that may be shown to the caller.
    Deny {
        /// Why, and what to do.
        reason: String,
    },
}

fn deny(reason: impl Into<String>) -> Decision {
    Decision::Deny { reason: reason.into() }
}

/// Tiers whose records this principal may see. Embargoed records are seen as well: an embargo holds
/// back data, not the record.
pub(crate) fn visible_tiers(who: &Principal) -> &'static [Tier] {
    if *who == Principal::Owner {
        &[Tier::Public, Tier::Registered, Tier::Controlled, Tier::Restricted, Tier::AggregatesOnly]
    } else {
        // Metadata of both are open to everyone; the others are not enforced yet, so not shown.
        &[Tier::Public, Tier::Registered]
    }
}

/// The decision at a moment. Time is an input: an embargo ends by the clock, not by a job.
pub(crate) fn decide(
    who: &Principal,
    action: Action,
    dataset: &Dataset,
    now: DateTime<Utc>,
) -> Decision {
    if *who == Principal::Owner {
        return Decision::Allow;
    }
    let name = format!("{}.{}", dataset.lab, dataset.name);
    match action {
        Action::Discover if visible_tiers(who).contains(&dataset.tier) => Decision::Allow,
        Action::Discover => deny(format!("no dataset {name}")),
        Action::Write => may_write(who, dataset.tier, &name),
        Action::Read => may_read(who, dataset, &name, now),
    }
}

/// Whether this principal may change records and data of the lab at all.
pub(crate) fn may_write_here(who: &Principal) -> Decision {
    if who.has_scope(Scope::Write) {
        Decision::Allow
    } else {
        deny(
            "writing needs a token of this lab with scope write: ask its operator for one \
             (`tarn token create --scope write`)",
        )
    }
}

fn may_write(who: &Principal, tier: Tier, name: &str) -> Decision {
    if visible_tiers(who).contains(&tier) {
        may_write_here(who)
    } else {
        deny(format!("no dataset {name}"))
    }
}

fn may_read(who: &Principal, dataset: &Dataset, name: &str, now: DateTime<Utc>) -> Decision {
    let embargoes = dataset.record.embargo.iter().chain(&dataset.newest_embargo);
    for embargo in embargoes.filter(|_| !who.has_scope(Scope::Admin)) {
        // An end that cannot be read has not come.
        let over = parse_date(&embargo.until)
            .is_some_and(|day| now >= day.and_time(NaiveTime::MIN).and_utc());
        if !over {
            return deny(format!(
                "{name} is under embargo until {} ({}): its record is open, its data are not yet",
                embargo.until, embargo.reason
            ));
        }
    }
    match dataset.tier {
        Tier::Public => Decision::Allow,
        Tier::Registered if who.is_signed_in() => Decision::Allow,
        Tier::Registered => deny(format!(
            "{name} is a registered dataset: sign in with a token of {} (`tarn token create`) to read it",
            dataset.lab
        )),
        tier @ (Tier::Controlled | Tier::Restricted | Tier::AggregatesOnly) => deny(format!(
            "{name} has the tier {tier}, which this version of Tarn does not open to anyone"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;
    use tarn_schemas::record::Embargo;
    use tarn_schemas::{Extent, LabName};

    fn dataset(tier: Tier, embargo: Option<&str>) -> Dataset {
        let mut record: tarn_schemas::Record = serde_json::from_str(r#"{"name": "x"}"#).unwrap();
        record.tier = Some(tier);
        record.embargo = embargo
            .map(|until| Embargo { until: until.to_owned(), reason: "in review".to_owned() });
        Dataset {
            lab: LabName::new("ornl").unwrap(),
            name: record.name.clone(),
            version: 1,
            ark: "ark:/99999/x".to_owned(),
            record,
            tier,
            newest_embargo: None,
            files: Vec::new(),
            extent: Extent::default(),
            tables: Vec::new(),
            fair_score: 0.0,
            registered_at: String::new(),
        }
    }

    fn people() -> [(&'static str, Principal); 8] {
        let person = |scope| Principal::Person { name: "ada".to_owned(), scope };
        let visitor = |name: Option<&str>| Principal::Visitor {
            lab: LabName::new("anl").unwrap(),
            name: name.map(str::to_owned),
        };
        [
            ("owner", Principal::Owner),
            ("admin", person(Scope::Admin)),
            ("writer", person(Scope::Write)),
            ("reader", person(Scope::Read)),
            ("visitor", visitor(Some("bob"))),
            ("nameless visitor", visitor(None)),
            ("anonymous", Principal::Anonymous),
            // The name of the owner's label is a name like any other.
            (
                "person called owner",
                Principal::Person { name: "owner".to_owned(), scope: Scope::Read },
            ),
        ]
    }

    /// Who may do it, by name.
    fn allowed(action: Action, dataset: &Dataset, now: &str) -> Vec<&'static str> {
        let now = DateTime::parse_from_rfc3339(now).unwrap().to_utc();
        people()
            .into_iter()
            .filter(|(_, who)| decide(who, action, dataset, now) == Decision::Allow)
            .map(|(name, _)| name)
            .collect()
    }

    const NOW: &str = "2026-11-22T12:00:00Z";
    const EVERYONE: [&str; 8] = [
        "owner",
        "admin",
        "writer",
        "reader",
        "visitor",
        "nameless visitor",
        "anonymous",
        "person called owner",
    ];
    const SIGNED_IN: [&str; 6] =
        ["owner", "admin", "writer", "reader", "visitor", "person called owner"];

    #[test]
    fn records_of_public_and_registered_data_are_seen_by_everyone() {
        for tier in [Tier::Public, Tier::Registered] {
            for embargo in [None, Some("2030-01-01")] {
                assert_eq!(allowed(Action::Discover, &dataset(tier, embargo), NOW), EVERYONE);
            }
        }
    }

    #[test]
    fn public_data_are_read_by_everyone_and_registered_by_the_signed_in() {
        assert_eq!(allowed(Action::Read, &dataset(Tier::Public, None), NOW), EVERYONE);
        assert_eq!(allowed(Action::Read, &dataset(Tier::Registered, None), NOW), SIGNED_IN);
    }

    #[test]
    fn tiers_that_are_not_enforced_yet_are_open_to_the_owner_only() {
        for tier in [Tier::Controlled, Tier::Restricted, Tier::AggregatesOnly] {
            for action in [Action::Discover, Action::Read, Action::Write] {
                assert_eq!(
                    allowed(action, &dataset(tier, None), NOW),
                    ["owner"],
                    "{tier} {action:?}"
                );
            }
        }
    }

    #[test]
    fn writing_needs_scope_write_of_this_lab() {
        for tier in [Tier::Public, Tier::Registered] {
            assert_eq!(
                allowed(Action::Write, &dataset(tier, None), NOW),
                ["owner", "admin", "writer"]
            );
        }
    }

    #[test]
    fn an_embargo_ends_at_midnight_utc_of_its_day_by_the_clock() {
        let embargoed = dataset(Tier::Public, Some("2026-11-23"));
        assert_eq!(
            allowed(Action::Read, &embargoed, "2026-11-22T23:59:59.999Z"),
            ["owner", "admin"]
        );
        assert_eq!(allowed(Action::Read, &embargoed, "2026-11-23T00:00:00Z"), EVERYONE);
        // Half past midnight in Berlin is before midnight in UTC.
        assert_eq!(
            allowed(Action::Read, &embargoed, "2026-11-23T00:30:00+01:00"),
            ["owner", "admin"]
        );
        let registered = dataset(Tier::Registered, Some("2026-11-23"));
        assert_eq!(allowed(Action::Read, &registered, "2026-11-24T00:00:00Z"), SIGNED_IN);
    }

    #[test]
    fn an_embargo_whose_end_cannot_be_read_does_not_end() {
        for until in ["", "soon", "2026-13-01"] {
            let embargoed = dataset(Tier::Public, Some(until));
            assert_eq!(
                allowed(Action::Read, &embargoed, "2099-01-01T00:00:00Z"),
                ["owner", "admin"]
            );
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let now = Utc::now();
        let Decision::Deny { reason } =
            decide(&Principal::Anonymous, Action::Read, &dataset(Tier::Registered, None), now)
        else {
            panic!("allowed");
        };
        assert!(reason.contains("tarn token create"), "{reason}");
    }
}
