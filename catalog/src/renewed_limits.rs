//! What datasets take over, computed anew where an older program computed it: by its rules something may have been
//! handed on by nobody. It is done once, when a home is opened. Nothing is loosened so.

use crate::carried_tables::Carried;
use crate::policy::Rights;
use crate::{Catalog, CatalogError};
use tarn_schemas::Principal;

/// Goes up when datasets hand on what they did not before.
const RULES: i64 = 2;

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
            "SELECT dataset, version, created_at FROM version WHERE record LIKE '%\"derived_from\"%'
             UNION SELECT v.dataset, v.version, v.created_at FROM version v
             JOIN derived_table t ON t.dataset = v.dataset AND t.made_in <= v.version
             UNION SELECT v.dataset, v.version, v.created_at FROM version v
             JOIN data_table t ON t.dataset = v.dataset AND t.version = v.version
             WHERE v.version > 1 ORDER BY dataset, version",
        )
        .fetch_all(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        for row in &rows {
            let name = database.dataset_name(&database.text(row, "dataset")?)?;
            let version: u32 = database.number(row, "version")?;
            let made_at = database.text(row, "created_at")?;
            let transaction = &mut write.transaction;
            let Some(stored) = self.load(transaction, &name, Some(version)).await? else {
                continue;
            };
            let made = stored.dataset;
            let mut inputs =
                self.inputs_at(&owner, transaction, &made.record, Some(&made_at)).await?;
            self.add_sources(transaction, (&name, version), &mut inputs).await?;
            let carried = Carried {
                dataset: &name,
                before: version.saturating_sub(1),
                tables: &made.tables,
                files: &made.files,
            };
            self.add_carried(transaction, carried, &mut inputs).await?;
            inputs.here.extend(self.inputs_of(transaction, (&name, version)).await?);
            let is_newest = version == self.newest_of(transaction, &name).await?;
            self.take_over(&mut write, made, &inputs.limits, is_newest).await?;
            // What was made from it takes this over in turn, whichever of them comes first here.
            self.hand_on(&mut write, (&name, version), &inputs.here).await?;
        }
        sqlx::query("UPDATE lab SET limits_by = $1")
            .bind(RULES)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.commit().await
    }
}
