//! What datasets take over, computed anew where an older program computed it: by its rules something may have been
//! handed on by nobody. It is done once, when a home is opened. Nothing is loosened so.

use crate::lineage::{join, nothing, passed_on};
use crate::policy::Rights;
use crate::{Catalog, CatalogError};
use tarn_schemas::{DatasetName, Principal};

/// Goes up when datasets hand on what they did not before.
const RULES: i64 = 1;

impl Catalog {
    /// Computes anew what all datasets take over, if that was not done by these rules yet.
    pub(crate) async fn renew_limits(&self) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let known = "SELECT limits_by FROM lab";
        let row = sqlx::query(known)
            .fetch_one(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        if database.number::<i64>(&row, "limits_by")? >= RULES {
            return Ok(());
        }
        let owner = Rights::bare(&Principal::Owner, self.lab().as_str());
        let mut write = database.write().await?;
        // Looked up again: another process may have done it meanwhile.
        let row = sqlx::query(known)
            .fetch_one(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if database.number::<i64>(&row, "limits_by")? >= RULES {
            return Ok(());
        }
        let rows = sqlx::query(
            "SELECT v.dataset FROM dataset d JOIN version v ON v.dataset = d.name AND v.version = d.newest
             WHERE v.record LIKE '%\"derived_from\"%'
             UNION SELECT dataset FROM derived_table WHERE dropped_in IS NULL",
        )
        .fetch_all(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        let mut names: Vec<DatasetName> = Vec::with_capacity(rows.len());
        for row in &rows {
            names.push(database.dataset_name(&database.text(row, "dataset")?)?);
        }
        for name in names {
            let Some(stored) = self.load(&mut write.transaction, &name, None).await? else {
                continue;
            };
            let mut made = stored.dataset;
            let mut inputs = self.inputs(&owner, &mut write.transaction, &made.record).await?;
            let newest = (&made.name, made.version);
            self.add_sources(&mut write.transaction, newest, &mut inputs).await?;
            inputs.here.extend(self.inputs_of(&mut write.transaction, &name).await?);
            let (own, limits) = (passed_on(&made), &inputs.limits);
            if join(own.clone(), limits) != own {
                let before = made.inherited.clone().unwrap_or_else(nothing);
                let after = join(before, limits);
                self.put_inherited(&mut write, &name, Some(&after)).await?;
                self.note_change(&mut write, &made, "inherited").await?;
                made.tier = made.tier.max(after.tier);
                made.inherited = Some(after);
                self.note_published(&mut write, &made).await?;
            }
            // What was made from it takes this over in turn, whichever of them comes first here.
            self.hand_on(&mut write, &name, &inputs.here).await?;
        }
        sqlx::query("UPDATE lab SET limits_by = $1")
            .bind(RULES)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.commit().await
    }
}
