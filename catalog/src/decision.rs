//! One decision for everything.

use crate::model::Dataset;
use crate::obligation::Obligation;
use crate::policy::{Policies, Resource, Rights};
use crate::sources;
use crate::{Catalog, CatalogError};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tarn_schemas::{Principal, Scope, Tier};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Know that it exists, see its identifier, title and whom to ask.
    Discover,
    /// See its whole record, its tables and their columns.
    Describe,
    /// Ask for access.
    Request,
    /// Read its data: SQL, streams, previews, files.
    Read,
    /// Change its record or its data.
    Write,
    /// Decide about requests for access.
    Review,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Discover, Self::Describe, Self::Request, Self::Read, Self::Write, Self::Review];

    /// The name that policies use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Describe => "describe",
            Self::Request => "request",
            Self::Read => "read",
            Self::Write => "write",
            Self::Review => "review",
        }
    }
}

/// Where data leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Answers of SQL, over HTTP and Flight and to peers.
    Sql,
    /// Training streams.
    Stream,
    /// Files as they are.
    File,
}

impl Door {
    /// The name in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Stream => "stream",
            Self::File => "file",
        }
    }

    /// Whether it can meet obligations: the plan of a query can, the others hand out what is there.
    fn meets_obligations(self) -> bool {
        self == Self::Sql
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether it is allowed, if the obligations are met.
    pub allowed: bool,
    /// Why not and what to do, in words that may be shown to the caller.
    pub reasons: Vec<String>,
    /// The policies that decided.
    pub policies: BTreeSet<String>,
    /// What has to be done to data before they leave.
    pub obligations: BTreeSet<Obligation>,
}

impl Decision {
    pub(crate) fn deny(reason: impl Into<String>) -> Self {
        Self {
            allowed: false,
            reasons: vec![reason.into()],
            policies: BTreeSet::new(),
            obligations: BTreeSet::new(),
        }
    }

    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<String> {
        if self.allowed { None } else { Some(self.reasons.join("; ")) }
    }

    /// The refusal of a door. One that can meet no obligation refuses where one is owed.
    pub fn refusal_at(&self, door: Door) -> Option<String> {
        if self.allowed && !self.obligations.is_empty() && !door.meets_obligations() {
            return Some(
                "your access to these data is limited (masked or filtered rows, or aggregates only), \
                 which only SQL can keep to: ask by `POST /api/v1/sql` or Flight SQL"
                    .to_owned(),
            );
        }
        self.refusal()
    }
}

/// Whether this principal may change records and data of the lab at all.
pub(crate) fn may_write_here(who: &Principal) -> Result<(), CatalogError> {
    if who.has_scope(Scope::Write) {
        Ok(())
    } else {
        Err(CatalogError::Denied(
            "writing needs a token of this lab with scope write: ask its operator for one \
             (`tarn token create --scope write`)"
                .to_owned(),
        ))
    }
}

/// Whether this principal may have something kept here: a request for access, a search of their own. API
/// tokens with scope `read` may, because people have no others; but an access token that limits itself to
/// reading was asked for to read with, and agrees to nothing in its person's name.
pub(crate) fn may_be_kept_for(who: &Principal) -> Result<(), CatalogError> {
    if who.is_limited_below(Scope::Write) {
        return Err(CatalogError::Denied(
            "this access token may be used for reading alone: it says so itself (scope `tarn:read`); \
             asking for access and keeping searches or queries need one with `tarn:write`, or without such scopes"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Whether this principal may decide about others at all. Members of committees often have API tokens
/// with scope `read`, because what they may decide comes of their groups and not of what they may write;
/// but an access token that limits itself to reading was asked for to read with.
pub(crate) fn may_decide_here(who: &Principal) -> Result<(), CatalogError> {
    if who.is_limited_below(Scope::Write) {
        return Err(CatalogError::Denied(
            "this access token may be used for reading alone: it says so itself (scope `tarn:read`); \
             deciding about others needs one with `tarn:write`, or without such scopes"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The decision at a moment. Time is an input: an embargo ends by the clock, not by a job.
///
/// What may not be known of may not be read, changed or reviewed either, whatever policies say; and
/// what may not be seen whole may not be read. An older version is held by what holds the newest.
pub(crate) fn decide(
    policies: &Policies,
    rights: &Rights,
    action: Action,
    dataset: &Dataset,
    now: DateTime<Utc>,
) -> Result<Decision, CatalogError> {
    // What is left of a redacted dataset says too little to decide more about it.
    if dataset.redacted && !matches!(action, Action::Discover | Action::Request) {
        return Ok(Decision::deny(format!(
            "{0}.{1} is shown in part: the rest is for those who were granted access; ask for it \
             with `tarn access request {0}.{1}`",
            dataset.lab, dataset.name
        )));
    }
    let own = policies.resource(dataset);
    let name = format!("{}.{}", dataset.lab, dataset.name);
    let mut decision = Decision {
        allowed: true,
        reasons: Vec::new(),
        policies: BTreeSet::new(),
        obligations: BTreeSet::new(),
    };
    let newest = dataset.newest.as_deref().map(|newest| &newest.resource);
    for resource in newest.into_iter().chain([&own]) {
        let case = policies.case(rights, resource, now)?;
        if !matches!(action, Action::Request | Action::Discover)
            && !case.ask(Action::Discover)?.allowed
        {
            return Ok(Decision::deny(format!("no dataset {name}")));
        }
        if action == Action::Read {
            let seen = case.ask(Action::Describe)?;
            if !seen.allowed {
                return Ok(Decision::deny(format!(
                    "the data of {name} are for those who were granted access: ask for it with \
                     `tarn access request {name}`"
                )));
            }
        }
        let verdict = case.ask(action)?;
        decision.policies.extend(verdict.policies.clone());
        decision.obligations.extend(verdict.obligations.clone());
        if !verdict.allowed {
            if action == Action::Discover {
                return Ok(Decision::deny(format!("no dataset {name}")));
            }
            decision.allowed = false;
            decision.reasons = reasons(rights, action, dataset, resource, &verdict.policies);
            decision.obligations.clear();
            return Ok(decision);
        }
    }
    let refused = sources::refusal(policies, rights, action, dataset, now)?;
    Ok(refused.unwrap_or(decision))
}

/// A refusal in words.
fn reasons(
    rights: &Rights,
    action: Action,
    dataset: &Dataset,
    resource: &Resource,
    policies: &BTreeSet<String>,
) -> Vec<String> {
    let name = format!("{}.{}", dataset.lab, dataset.name);
    if action != Action::Read {
        let needed = match action {
            Action::Write if rights.who.has_scope(Scope::Write) => {
                "not everyone may read it or know of it, so that changing it is for who registered it and the owner of the node: ask its contact"
            }
            Action::Write => {
                "changing it needs a token of this lab with scope write: ask its operator for one (`tarn token create --scope write`)"
            }
            Action::Request => "it takes no requests from you: sign in first, or ask its contact",
            _ => "that is for the committee that decides about its access",
        };
        return vec![format!("{name}: {needed}")];
    }
    // Of somebody who is not signed in nothing is known: that is what to say, and not that it is little.
    let said = |policy: &&String| rights.who.is_signed_in() || policy.as_str() != "assurance";
    let mut reasons: Vec<String> =
        policies.iter().filter(said).map(|policy| forbidden(policy, &name, dataset)).collect();
    if reasons.is_empty() {
        reasons.push(match resource.tier() {
            Tier::Public => format!("{name} may not be read"),
            Tier::Registered => format!(
                "{name} is a registered dataset: sign in at {} (`tarn login`), or send a token of it \
                 (`tarn token create`), to read it",
                dataset.lab
            ),
            tier if rights.who.is_signed_in() => format!(
                "{name} has the tier {tier}: its data are for those who were granted access, and a \
                 grant ends; ask for one with `tarn access request {name}`"
            ),
            tier => format!(
                "{name} has the tier {tier}: sign in at {} (`tarn login`), or send a token of it, and \
                 ask for access (`tarn access request {name}`)",
                dataset.lab
            ),
        });
    }
    reasons
}

/// What a policy that forbids means.
fn forbidden(policy: &str, name: &str, dataset: &Dataset) -> String {
    match policy {
        "withdrawn" => {
            let why = dataset.withdrawn.as_ref().map(|withdrawal| withdrawal.reason.clone());
            let instead = dataset.withdrawn.as_ref().and_then(|w| w.replaced_by.clone());
            let instead = instead.map_or_else(String::new, |name| format!("; use {name}"));
            format!("{name} was withdrawn ({}){instead}", why.unwrap_or_default())
        }
        "embargo" => {
            let embargo = dataset.record.embargo.as_ref().or(dataset.newest_embargo.as_ref());
            let inherited = dataset.inherited.as_ref().and_then(|taken| taken.embargo.as_ref());
            if let (None, Some(until)) = (embargo, inherited) {
                return format!(
                    "{name} was made from data that are under embargo until {until}: its data are not \
                     open yet"
                );
            }
            let (until, reason) = embargo
                .map(|embargo| (embargo.until.clone(), embargo.reason.clone()))
                .unwrap_or_default();
            format!(
                "{name} is under embargo until {until} ({reason}): its record is open, its data are \
                 not yet"
            )
        }
        "markings" => format!("{name} carries markings that you are not cleared for"),
        "assurance" => format!("{name} asks for a higher assurance of who you are"),
        "training" => format!("{name} asks for training that is not on record for you"),
        "affiliation" => format!("{name} is for people of other institutions"),
        "country" | "us-person" => format!("{name} may not be released to you under export rules"),
        other => format!("{name}: the policy {other} of {} forbids it", dataset.lab),
    }
}

/// How much of a dataset somebody may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    Redacted,
    Whole,
}

impl Seen {
    /// What is seen of a dataset.
    pub(crate) fn of(self, dataset: Dataset) -> Option<Dataset> {
        match self {
            Self::Nothing => None,
            Self::Redacted => Some(dataset.redacted()),
            Self::Whole => Some(dataset),
        }
    }
}

impl Dataset {
    /// Whether a newer version of the dataset is there.
    pub fn is_older(&self) -> bool {
        self.newest.is_some()
    }

    /// The same, without what tells of its rows unless that may be told: how many there are, the least and
    /// greatest value of each variable, how many are missing, and the checksums of the bytes, by which
    /// somebody who guesses them would know.
    pub(crate) fn counted(mut self, told: bool) -> Self {
        if told {
            return self;
        }
        self.tables.iter_mut().for_each(|table| table.rows = None);
        for file in &mut self.files {
            (file.bytes, file.sha256) = (0, String::new());
            for variable in &mut file.variables {
                (variable.min, variable.max, variable.missing) = (None, None, None);
                variable.shape.clear();
            }
        }
        self
    }
}

impl Catalog {
    /// May `who` do `action` on this dataset, now? A failure to find out is no permission.
    pub async fn decide(
        &self,
        who: &Principal,
        action: Action,
        dataset: &Dataset,
    ) -> Result<Decision, CatalogError> {
        let rights = self.rights(who).await?;
        self.decide_as(&rights, action, dataset)
    }

    /// The decision for a principal that was looked up.
    pub(crate) fn decide_as(
        &self,
        rights: &Rights,
        action: Action,
        dataset: &Dataset,
    ) -> Result<Decision, CatalogError> {
        decide(&self.inner.policies, rights, action, dataset, Utc::now())
    }

    /// How much of a dataset a principal may see.
    pub(crate) fn seen(&self, rights: &Rights, dataset: &Dataset) -> Result<Seen, CatalogError> {
        // What describing it says holds for knowing of it too.
        Ok(if self.decide_as(rights, Action::Describe, dataset)?.allowed {
            Seen::Whole
        } else if self.decide_as(rights, Action::Discover, dataset)?.allowed {
            Seen::Redacted
        } else {
            Seen::Nothing
        })
    }

    /// The dataset as a principal may see it. Who may see only some of its rows is not told what tells of
    /// the others.
    pub(crate) fn shown(
        &self,
        rights: &Rights,
        dataset: Dataset,
    ) -> Result<Option<Dataset>, CatalogError> {
        let counted = self.may_count(rights, &dataset)?;
        let seen = self.seen(rights, &dataset)?.of(dataset);
        Ok(seen.map(|dataset| dataset.counted(counted)))
    }

    /// Whether a principal may be told how many rows the tables of a dataset have, and between which values
    /// they lie.
    pub(crate) fn may_count(
        &self,
        rights: &Rights,
        dataset: &Dataset,
    ) -> Result<bool, CatalogError> {
        if dataset.tier != Tier::AggregatesOnly && !self.inner.policies.lab_owes() {
            return Ok(true);
        }
        let read = self.decide_as(rights, Action::Read, dataset)?;
        Ok(read.allowed && read.obligations.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;
    use std::sync::LazyLock;
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
            doi: None,
            record,
            tier,
            newest_embargo: None,
            newest: None,
            sources: Vec::new(),
            inherited: None,
            withdrawn: None,
            registrant: None,
            committee: None,
            redacted: false,
            files: Vec::new(),
            extent: Extent::default(),
            tables: Vec::new(),
            views: Vec::new(),
            fair_score: 0.0,
            registered_at: String::new(),
        }
    }

    fn ask(who: &Principal, action: Action, dataset: &Dataset, now: DateTime<Utc>) -> Decision {
        static POLICIES: LazyLock<Policies> =
            LazyLock::new(|| Policies::load(std::path::Path::new("/no/home")).unwrap());
        decide(&POLICIES, &Rights::bare(who, "ornl"), action, dataset, now).unwrap()
    }

    fn people() -> [(&'static str, Principal); 8] {
        let person = |scope| Principal::person("ada", scope);
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
            ("person called owner", Principal::person("owner", Scope::Read)),
        ]
    }

    /// Who may do it, by name.
    fn allowed(action: Action, dataset: &Dataset, now: &str) -> Vec<&'static str> {
        let now = DateTime::parse_from_rfc3339(now).unwrap().to_utc();
        people()
            .into_iter()
            .filter(|(_, who)| ask(who, action, dataset, now).allowed)
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
    fn stricter_tiers_are_for_the_owner_only_without_a_grant_and_not_known_unless_exposed() {
        for tier in [Tier::Controlled, Tier::Restricted, Tier::AggregatesOnly] {
            for action in Action::ALL {
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
        let decision =
            ask(&Principal::Anonymous, Action::Read, &dataset(Tier::Registered, None), now);
        let reason = decision.refusal().unwrap();
        assert!(reason.contains("tarn token create"), "{reason}");
    }
}
