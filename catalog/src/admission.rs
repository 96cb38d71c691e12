//! Data that leave: a decision with its entry in the log.

use crate::audit::{Act, Said};
use crate::decision::{Action, Decision, Door};
use crate::model::Dataset;
use crate::policy::{Rights, subject};
use crate::{Catalog, CatalogError};
use tarn_schemas::Principal;

impl Catalog {
    /// May data of this dataset leave by a door to `who`, now? As
    /// [`Catalog::decide`] for [`Action::Read`]; about data that are not for everyone the answer is in
    /// the audit log before it is given. A failure to write it is no permission.
    pub async fn admit(
        &self,
        who: &Principal,
        dataset: &Dataset,
        door: Door,
    ) -> Result<Decision, CatalogError> {
        let rights = self.rights(who).await?;
        self.admit_as(&rights, dataset, door, None).await
    }

    /// As [`Catalog::admit`], for a principal that was looked up.
    pub(crate) async fn admit_as(
        &self,
        rights: &Rights,
        dataset: &Dataset,
        door: Door,
        view: Option<(&str, &Principal)>,
    ) -> Result<Decision, CatalogError> {
        let decision = self.decide_as(rights, Action::Read, dataset)?;
        if self.is_open(dataset) {
            return Ok(decision);
        }
        let policies: Vec<&str> = decision.policies.iter().map(String::as_str).collect();
        let said = Said::new(Act::Read, subject(&rights.who))
            .on(dataset.full_name())
            .with("door", door.as_str())
            .with("policies", policies.join(", "));
        let owed: Vec<String> = decision.obligations.iter().map(ToString::to_string).collect();
        let said = if owed.is_empty() { said } else { said.with("obligations", owed.join(", ")) };
        let said = match view {
            Some((view, reader)) => said.with("view", view).with("reader", subject(reader)),
            None => said,
        };
        let said = match decision.refusal_at(door) {
            Some(reason) => said.with("reason", reason).refused(),
            None => said,
        };
        let mut write = self.inner.database.write().await?;
        write.note(said).await?;
        write.commit().await?;
        Ok(decision)
    }
}
