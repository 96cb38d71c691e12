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
    if let Some(embargo) = &dataset.record.embargo
        && !who.has_scope(Scope::Admin)
    {
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
