//! What a lab knows of whoever asks.

use crate::{Catalog, CatalogError, PersonAttributes};
use serde::Serialize;
use std::collections::BTreeSet;
use tarn_schemas::{Principal, Scope, Tier};

/// Who somebody is to this lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// As grants and the audit log name them: `person:ann`, `anonymous`.
    pub subject: String,
    /// Whether somebody vouches for them.
    pub signed_in: bool,
    /// How people call them, where they logged in at an issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// The issuer where they logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The widest thing that they may do.
    pub scope: Scope,
    /// Groups, assurance and what else decisions know.
    #[serde(flatten)]
    pub attributes: PersonAttributes,
    /// Datasets that they have a grant for, as `lab.name`.
    pub grants: BTreeSet<String>,
    /// Tiers whose data they may read without a grant, where no condition of a dataset forbids it.
    pub tiers: Vec<Tier>,
}

impl Catalog {
    /// Who somebody is to this lab.
    pub async fn about(&self, who: &Principal) -> Result<About, CatalogError> {
        let rights = self.rights(who).await?;
        let login = match who {
            Principal::Person { name, by, .. } => self.current_login(name, by.as_ref()).await?,
            _ => None,
        };
        let scope = [Scope::Admin, Scope::Write].into_iter().find(|scope| who.has_scope(*scope));
        let mut tiers = vec![Tier::Public];
        if who.is_signed_in() {
            tiers.push(Tier::Registered);
        }
        let (attributes, grants) = rights.known();
        Ok(About {
            subject: crate::subject(who),
            signed_in: who.is_signed_in(),
            called: login.as_ref().map(|login| login.called.clone()),
            issuer: login.map(|login| login.issuer),
            scope: scope.unwrap_or(Scope::Read),
            attributes: attributes.clone(),
            grants: grants.clone(),
            tiers,
        })
    }
}
