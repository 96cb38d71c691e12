//! Which versions were made from which: the edges that limits are handed on along, and that tell what was made of
//! data that turn out to be wrong.

use crate::lineage::{MadeFrom, VersionOf};
use crate::store::Write;
use crate::{Catalog, CatalogError};
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::DatasetName;

/// A version that was made from a version of one dataset.
pub(crate) struct Edge {
    /// The version that it was made from.
    pub(crate) of: u32,
    pub(crate) made: VersionOf,
    /// Whether it is the newest of its dataset.
    pub(crate) is_newest: bool,
    /// Whether it was released from the limits of what it was made from.
    pub(crate) released: bool,
}

impl Catalog {
    /// Notes what a version was made from, in place of what was noted.
    pub(crate) async fn put_inputs(
        &self,
        write: &mut Write<'_>,
        (dataset, version): (&DatasetName, u32),
        inputs: &MadeFrom,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        sqlx::query("DELETE FROM derivation WHERE dataset = $1 AND version = $2")
            .bind(dataset.as_str())
            .bind(i64::from(version))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        for ((input, of), released) in inputs {
            sqlx::query(
                "INSERT INTO derivation (input, input_version, dataset, version, released)
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(input.as_str())
            .bind(i64::from(*of))
            .bind(dataset.as_str())
            .bind(i64::from(version))
            .bind(i64::from(*released))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        }
        Ok(())
    }

    /// All that was made from any version of a dataset, directly.
    pub(crate) async fn edges_from(
        &self,
        transaction: &mut Transaction<'static, Any>,
        input: &DatasetName,
    ) -> Result<Vec<Edge>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query(
            "SELECT e.input_version, e.dataset, e.version, e.released, d.newest FROM derivation e
             JOIN dataset d ON d.name = e.dataset
             WHERE e.input = $1 ORDER BY e.dataset, e.version, e.input_version",
        )
        .bind(input.as_str())
        .fetch_all(&mut **transaction)
        .await
        .map_err(|error| database.error(&error))?;
        let mut edges = Vec::with_capacity(rows.len());
        for row in &rows {
            let name = database.dataset_name(&database.text(row, "dataset")?)?;
            let version: u32 = database.number(row, "version")?;
            edges.push(Edge {
                of: database.number(row, "input_version")?,
                is_newest: version == database.number::<u32>(row, "newest")?,
                made: (name, version),
                released: database.number::<i64>(row, "released")? != 0,
            });
        }
        Ok(edges)
    }

    /// Versions of datasets of this lab that a version was made from so far, older ones of its own dataset among
    /// them.
    pub(crate) async fn inputs_of(
        &self,
        transaction: &mut Transaction<'static, Any>,
        (dataset, version): (&DatasetName, u32),
    ) -> Result<MadeFrom, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query(
            "SELECT input, input_version, released FROM derivation WHERE dataset = $1 AND version = $2",
        )
        .bind(dataset.as_str())
        .bind(i64::from(version))
        .fetch_all(&mut **transaction)
        .await
        .map_err(|error| database.error(&error))?;
        let mut inputs = MadeFrom::new();
        for row in &rows {
            let name = database.dataset_name(&database.text(row, "input")?)?;
            let released = database.number::<i64>(row, "released")? != 0;
            inputs.insert((name, database.number(row, "input_version")?), released);
        }
        Ok(inputs)
    }

    /// Datasets of this lab of which any version was made from any version of this one, directly or through
    /// others.
    pub(crate) async fn all_made_from(
        &self,
        transaction: &mut Transaction<'static, Any>,
        input: &DatasetName,
    ) -> Result<BTreeSet<DatasetName>, CatalogError> {
        self.made_along(transaction, input, |_| true).await
    }

    /// Datasets of this lab whose newest versions were made from this one, directly or through others.
    pub(crate) async fn made_from_now(
        &self,
        transaction: &mut Transaction<'static, Any>,
        input: &DatasetName,
    ) -> Result<BTreeSet<DatasetName>, CatalogError> {
        self.made_along(transaction, input, |edge| edge.is_newest).await
    }

    async fn made_along(
        &self,
        transaction: &mut Transaction<'static, Any>,
        input: &DatasetName,
        counts: impl Fn(&Edge) -> bool,
    ) -> Result<BTreeSet<DatasetName>, CatalogError> {
        let (mut made, mut waiting) = (BTreeSet::new(), vec![input.clone()]);
        while let Some(input) = waiting.pop() {
            for edge in self.edges_from(transaction, &input).await? {
                let (name, _) = &edge.made;
                if *name != input && counts(&edge) && made.insert(name.clone()) {
                    waiting.push(name.clone());
                }
            }
        }
        Ok(made)
    }
}
