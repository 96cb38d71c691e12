//! Searching what other labs told of their records. It has an index of its own, so that what is found is never counted
//! as this lab's own, and whoever may not see it here (a visitor from a third lab) is not asked about it.

use super::entry::{Entry, key_of, of_key};
use super::{BATCH, Batch, Cursor, HITS, MOST_HITS, Which, hit, query};
use crate::feed::{Kind, PeerRecord};
use crate::model::{SearchAnswer, SearchRequest};
use crate::{Catalog, CatalogError};
use std::collections::BTreeMap;
use tarn_schemas::Freshness;

impl Catalog {
    /// Searches what other labs told of their records, as [`Catalog::search`] does this lab's own. Each lab decided
    /// before it told.
    ///
    /// # Errors
    /// As [`Catalog::search`].
    pub async fn search_replicas(
        &self,
        request: &SearchRequest,
    ) -> Result<SearchAnswer, CatalogError> {
        let query = query::Query::new(request)?;
        let limit = if request.limit == 0 { HITS } else { request.limit.min(MOST_HITS) };
        let after: Option<Cursor> = request.cursor.as_deref().map(str::parse).transpose()?;
        let mut wanted = limit.saturating_add(1);
        let mut found = loop {
            let mut found = self.found_replicas(&query, wanted).await?;
            let all = found.hits.len() < wanted;
            found.hits.retain(|(score, key)| {
                let place = of_key(key);
                place.is_some_and(|(lab, name)| {
                    after.as_ref().is_none_or(|after| after.is_before(*score, lab, name))
                })
            });
            if all || found.hits.len() > limit {
                break found;
            }
            wanted = wanted.saturating_mul(4);
        };
        let more = found.hits.len() > limit;
        found.hits.truncate(limit);
        let mut records = self.replicas_of(&found.hits).await?;
        let states = self.replica_states().await?;
        let mut hits = Vec::with_capacity(found.hits.len());
        for (score, key) in found.hits {
            let Some(record) = records.remove(&key) else { continue };
            let stale = states.get(&record.lab).map(|state| state.state) == Some(Freshness::Stale);
            let mut hit = hit(record.dataset(), score, &query);
            hit.stale = stale;
            hits.push(hit);
        }
        let next = hits.last().filter(|_| more).map(|hit| Cursor::of(hit).to_string());
        Ok(SearchAnswer { hits, total: found.total, facets: found.facets, next })
    }

    async fn found_replicas(
        &self,
        query: &query::Query,
        limit: usize,
    ) -> Result<super::index::Found, CatalogError> {
        let run = async |anew: bool| {
            self.catch_up(Which::Replicas, anew).await?;
            let query = query.clone();
            let index = self.inner.peer_index.clone();
            index.blocking(move |index| index.search(&query, limit, |_| Ok(true))).await?
        };
        match run(false).await {
            // Damage shows when it is read.
            Err(CatalogError::Index { problem, .. }) => {
                tracing::warn!(problem, "the search index of other labs' records is made anew");
                run(true).await
            }
            found => found,
        }
    }

    /// The records of hits, by key.
    async fn replicas_of(
        &self,
        hits: &[(f32, String)],
    ) -> Result<BTreeMap<String, PeerRecord>, CatalogError> {
        let database = &self.inner.database;
        let keys: Vec<(&str, &str)> = hits.iter().filter_map(|(_, key)| of_key(key)).collect();
        let names: Vec<&str> = keys.iter().map(|(_, name)| *name).collect();
        let wanted: std::collections::BTreeSet<(&str, &str)> = keys.into_iter().collect();
        let mut read = database.read().await?;
        let query = "SELECT lab, dataset, kind, content FROM replica WHERE dataset IN";
        let mut found = BTreeMap::new();
        for row in database.rows_for(&mut read, query, &names).await? {
            let (lab, name) = (database.text(&row, "lab")?, database.text(&row, "dataset")?);
            let told = database.text(&row, "kind")? == Kind::Upsert.as_str();
            if told && wanted.contains(&(lab.as_str(), name.as_str())) {
                let record = serde_json::from_str(&database.text(&row, "content")?)
                    .map_err(|error| database.unreadable("a record of another lab", &error))?;
                found.insert(key_of(&lab, &name), record);
            }
        }
        Ok(found)
    }

    /// The last number by which records of other labs came.
    pub(super) async fn last_told(&self) -> Result<u64, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT coalesce(max(changed), 0) AS last FROM replica")
            .fetch_one(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        database.number(&row, "last")
    }

    /// The records of other labs that came after a number, and the number up to which these are all.
    pub(super) async fn told_since(&self, after: u64) -> Result<Batch, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query(
            "SELECT lab, dataset, kind, content, changed FROM replica WHERE changed > $1
             ORDER BY changed LIMIT $2",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(BATCH)
        .fetch_all(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        let (mut entries, mut to) = (Vec::with_capacity(rows.len()), after);
        for row in &rows {
            to = database.number(row, "changed")?;
            let key = key_of(&database.text(row, "lab")?, &database.text(row, "dataset")?);
            let dataset = if database.text(row, "kind")? == Kind::Upsert.as_str() {
                let record: PeerRecord = serde_json::from_str(&database.text(row, "content")?)
                    .map_err(|error| database.unreadable("a record of another lab", &error))?;
                Some(Box::new(record.dataset()))
            } else {
                None
            };
            entries.push(Entry::Told { key, dataset });
        }
        Ok((entries, to))
    }
}
