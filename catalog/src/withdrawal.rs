//! Datasets that are withdrawn.

use crate::access::check_text;
use crate::audit::{Act, Said};
use crate::datasets::no_dataset;
use crate::decision::Action;
use crate::model::Dataset;
use crate::policy::subject;
use crate::register::timestamp;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use tarn_schemas::{DatasetName, Principal};

impl Catalog {
    /// Withdraws a dataset: its page stays as a tombstone, its data are for nobody, search finds it
    /// no more, its identifier is never used again. Returns the datasets that were made
    /// from it, and those that were made from these, in the order of their names.
    pub async fn withdraw(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        reason: &str,
        replaced_by: Option<&str>,
    ) -> Result<Vec<DatasetName>, CatalogError> {
        check_text("a reason", reason)?;
        if let Some(replaced_by) = replaced_by {
            check_text("what replaces it", replaced_by)?;
        }
        // It cannot be undone.
        self.check_person(who).await?;
        let (database, rights) = (&self.inner.database, self.rights(who).await?);
        let mut write = database.write().await?;
        let stored = self.load(&mut write.transaction, dataset, None).await?;
        let found =
            stored.map(|stored| stored.dataset).ok_or_else(|| no_dataset(dataset.as_str()))?;
        if !self.decide_as(&rights, Action::Discover, &found)?.allowed {
            return Err(no_dataset(dataset.as_str()));
        }
        if let Some(reason) = self.decide_as(&rights, Action::Write, &found)?.refusal() {
            return Err(CatalogError::Denied(reason));
        }
        if found.withdrawn.is_some() {
            return Err(CatalogError::Conflict(format!("{dataset} was withdrawn before")));
        }
        let withdrawal = crate::Withdrawal {
            reason: reason.to_owned(),
            replaced_by: replaced_by.map(str::to_owned),
            by: who.label(),
            at: timestamp(Utc::now()),
        };
        let text = serde_json::to_string(&withdrawal)
            .map_err(|error| database.unreadable("the withdrawal", &error))?;
        sqlx::query("UPDATE dataset SET withdrawn = $2 WHERE name = $1")
            .bind(dataset.as_str())
            .bind(text)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        self.note_change(&mut write, &found, "withdrawn").await?;
        let gone = Dataset { withdrawn: Some(withdrawal), ..found.clone() };
        self.note_published(&mut write, &gone).await?;
        let mut made = Vec::new();
        let mut all = self.all_made_from(&mut write.transaction, dataset).await?;
        all.remove(dataset);
        for name in all {
            let of = self.load(&mut write.transaction, &name, None).await?;
            if let Some(of) = of
                && self.decide_as(&rights, Action::Discover, &of.dataset)?.allowed
            {
                made.push(name);
            }
        }
        let said = Said::new(Act::Withdraw, subject(who)).on(found.full_name());
        write.note(said.with("reason", reason)).await?;
        write.commit().await?;
        Ok(made)
    }
}
