//! What policies know of who asks.

use super::failed;
use super::resource::{assurance, set};
use crate::register::timestamp;
use crate::{Catalog, CatalogError, PersonAttributes};
use cedar_policy::{Entity, EntityUid, RestrictedExpression};
use chrono::Utc;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;
use tarn_schemas::{Principal, Scope};

/// A principal with everything that its rights depend on, as it was when it was looked up.
#[derive(Debug, Clone)]
pub(crate) struct Rights {
    pub(crate) who: Principal,
    pub(super) id: String,
    kind: &'static str,
    lab: String,
    scope: i64,
    attributes: PersonAttributes,
    grants: BTreeSet<String>,
    /// The principal as Cedar has it, once it was asked about.
    entity: OnceLock<Entity>,
}

/// The text by which grants and attributes name somebody. A person of this lab and one of a peer
/// never have the same.
pub fn subject(who: &Principal) -> String {
    match who {
        Principal::Owner => "owner".to_owned(),
        Principal::Person { name, .. } => format!("person:{name}"),
        Principal::Visitor { lab, name: Some(name) } => format!("visitor:{lab}:{name}"),
        Principal::Anonymous | Principal::Visitor { name: None, .. } => "anonymous".to_owned(),
    }
}

impl Rights {
    /// A principal of whom nothing else is known.
    pub(crate) fn bare(who: &Principal, own_lab: &str) -> Self {
        let (kind, lab, scope) = match who {
            Principal::Owner => ("owner", own_lab, 4),
            Principal::Anonymous => ("anonymous", "", 1),
            Principal::Person { scope: Scope::Read, .. } => ("person", own_lab, 1),
            Principal::Person { scope: Scope::Write, .. } => ("person", own_lab, 2),
            Principal::Person { scope: Scope::Admin, .. } => ("person", own_lab, 3),
            Principal::Visitor { lab, .. } => ("visitor", lab.as_str(), 1),
        };
        Self {
            who: who.clone(),
            id: subject(who),
            kind,
            lab: lab.to_owned(),
            scope,
            attributes: PersonAttributes::default(),
            grants: BTreeSet::new(),
            entity: OnceLock::new(),
        }
    }

    /// The same principal with these attributes and grants.
    pub(crate) fn with(mut self, attributes: PersonAttributes, grants: BTreeSet<String>) -> Self {
        self.attributes = attributes;
        self.grants = grants;
        self.entity = OnceLock::new();
        self
    }

    /// What is known of them, and the datasets that they have a grant for.
    pub(crate) fn known(&self) -> (&PersonAttributes, &BTreeSet<String>) {
        (&self.attributes, &self.grants)
    }

    /// Whether they are of a group.
    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.attributes.groups.contains(group)
    }

    /// The principal as Cedar has it.
    pub(super) fn entity(
        &self,
        uid: impl FnOnce(&str) -> EntityUid,
    ) -> Result<Entity, CatalogError> {
        if let Some(made) = self.entity.get() {
            return Ok(made.clone());
        }
        let made = Entity::new(uid(&self.id), self.attributes(), HashSet::new()).map_err(failed)?;
        Ok(self.entity.get_or_init(|| made).clone())
    }

    /// The attributes of the entity.
    fn attributes(&self) -> HashMap<String, RestrictedExpression> {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let person = &self.attributes;
        // Whoever is signed in was given a token by somebody who knows them: that is low, and not none.
        let least = i64::from(self.who.is_signed_in());
        let assurance = person.assurance.as_deref().map_or(least, assurance);
        // A level that is not known is none here, and more than anyone has where it is asked for.
        let assurance = if assurance > 3 { 0 } else { assurance };
        HashMap::from([
            ("kind".to_owned(), text(self.kind)),
            ("id".to_owned(), text(&self.id)),
            ("lab".to_owned(), text(&self.lab)),
            ("signed_in".to_owned(), RestrictedExpression::new_bool(self.who.is_signed_in())),
            ("scope".to_owned(), RestrictedExpression::new_long(self.scope)),
            ("assurance".to_owned(), RestrictedExpression::new_long(assurance)),
            ("groups".to_owned(), set(&person.groups)),
            ("grants".to_owned(), set(&self.grants)),
            ("terms".to_owned(), set(&person.terms)),
            ("clearances".to_owned(), set(&person.clearances)),
            ("training".to_owned(), set(&person.training)),
            ("affiliations".to_owned(), set(&person.affiliations)),
            ("countries".to_owned(), set(&person.countries)),
            ("us_person".to_owned(), RestrictedExpression::new_bool(person.us_person)),
        ])
    }
}

impl Catalog {
    /// Looks up what the rights of a principal depend on.
    pub(crate) async fn rights(&self, who: &Principal) -> Result<Rights, CatalogError> {
        let bare = Rights::bare(who, self.lab().as_str());
        if !who.is_signed_in() || *who == Principal::Owner {
            return Ok(bare);
        }
        let (mut attributes, mut grants) = self.known_of(&bare.id, &timestamp(Utc::now())).await?;
        if let Principal::Person { name, by, .. } = who
            && let Some(login) = self.current_login(name, by.as_ref()).await?
        {
            login.add_to(&mut attributes, &mut grants, Utc::now());
        }
        let grants = grants.into_iter().map(|name| format!("{}.{name}", self.lab())).collect();
        Ok(bare.with(attributes, grants))
    }
}
