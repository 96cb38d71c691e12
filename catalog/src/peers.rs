//! Peer labs: who they are, the secret both share, what they last said of their tables.

use crate::audit::{Act, Said, hash_of};
use crate::model::Peer;
use crate::register::timestamp;
use crate::{Catalog, CatalogError, OWNER, secret};
use chrono::Utc;
use sqlx::Row;
use sqlx::any::AnyRow;
use tarn_schemas::LabName;

impl Catalog {
    /// Remembers a peer (an upsert by lab). A secret belongs to one peer and has at least 20
    /// characters.
    pub async fn put_peer(&self, peer: Peer) -> Result<(), CatalogError> {
        if peer.lab == *self.lab() {
            return Err(CatalogError::Argument(format!(
                "{} is this lab itself: a peer is another lab, with a name of its own",
                peer.lab
            )));
        }
        if peer.secret.len() < secret::SHORTEST {
            return Err(CatalogError::Argument(format!(
                "the secret of peer {} is too short to be one",
                peer.lab
            )));
        }
        if peer.key.as_deref().is_some_and(|key| hash_of(key).is_none()) {
            return Err(CatalogError::Argument(format!(
                "the key of peer {} is none: it has 64 hexadecimal digits",
                peer.lab
            )));
        }
        let database = &self.inner.database;
        let mut write = database.write().await?;
        sqlx::query(
            "INSERT INTO peer (lab, flight, http, secret, since, public_key)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (lab) DO UPDATE SET flight = excluded.flight, http = excluded.http,
                 secret = excluded.secret, since = excluded.since, public_key = excluded.public_key",
        )
        .bind(peer.lab.as_str())
        .bind(&peer.flight)
        .bind(&peer.http)
        .bind(&peer.secret)
        .bind(&peer.since)
        .bind(&peer.key)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| match &error {
            sqlx::Error::Database(inner) if inner.is_unique_violation() => CatalogError::Conflict(
                format!("the secret of peer {} belongs to another peer: invite it anew", peer.lab),
            ),
            _ => database.error(&error),
        })?;
        let said = Said::new(Act::ChangePeer, OWNER)
            .with("peer", peer.lab.as_str())
            .with("flight", peer.flight.as_str())
            .with("http", peer.http.as_str());
        write.note(said).await?;
        write.commit().await
    }

    /// All peers, by lab.
    pub async fn peers(&self) -> Result<Vec<Peer>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM peer ORDER BY lab")
            .fetch_all(self.inner.database.pool())
            .await
            .map_err(|error| self.inner.database.error(&error))?;
        rows.iter().map(|row| self.peer_from_row(row)).collect()
    }

    /// Forgets a peer and what it told; false if there was none.
    pub async fn remove_peer(&self, lab: &LabName) -> Result<bool, CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let removed = sqlx::query("DELETE FROM peer WHERE lab = $1")
            .bind(lab.as_str())
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if removed.rows_affected() > 0 {
            self.forget_replicas(&mut write, lab).await?;
            write.note(Said::new(Act::RemovePeer, OWNER).with("peer", lab.as_str())).await?;
        }
        write.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    /// The peer that a secret belongs to.
    pub async fn authenticate_peer(&self, secret: &str) -> Result<Peer, CatalogError> {
        // Every peer is compared, so that the time says nothing about which one fits.
        let mut found = None;
        for peer in self.peers().await? {
            if secret::equal(secret, &peer.secret) {
                found = Some(peer);
            }
        }
        found.ok_or(CatalogError::Unauthenticated("no peer has this secret"))
    }

    /// Keeps what a peer last said of its tables (JSON), so that planning works while it is away.
    pub async fn put_peer_tables(
        &self,
        lab: &LabName,
        tables_json: &str,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        sqlx::query(
            "INSERT INTO peer_tables (lab, tables, at) VALUES ($1, $2, $3)
             ON CONFLICT (lab) DO UPDATE SET tables = excluded.tables, at = excluded.at",
        )
        .bind(lab.as_str())
        .bind(tables_json)
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| match &error {
            sqlx::Error::Database(inner) if inner.is_foreign_key_violation() => {
                CatalogError::NotFound {
                    kind: "peer",
                    name: lab.to_string(),
                    hint: "; `tarn peer list` shows who is known".to_owned(),
                }
            }
            _ => database.error(&error),
        })?;
        write.commit().await
    }

    /// What a peer last said of its tables, and when (RFC 3339).
    pub async fn peer_tables(
        &self,
        lab: &LabName,
    ) -> Result<Option<(String, String)>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT tables, at FROM peer_tables WHERE lab = $1")
            .bind(lab.as_str())
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        row.map(|row| Ok((row.try_get("tables")?, row.try_get("at")?)))
            .transpose()
            .map_err(|error: sqlx::Error| database.error(&error))
    }

    fn peer_from_row(&self, row: &AnyRow) -> Result<Peer, CatalogError> {
        let database = &self.inner.database;
        let text =
            |column: &str| row.try_get::<String, _>(column).map_err(|error| database.error(&error));
        Ok(Peer {
            lab: LabName::new(text("lab")?)
                .map_err(|error| database.unreadable("the name of a peer", &error))?,
            flight: text("flight")?,
            http: text("http")?,
            secret: text("secret")?,
            since: text("since")?,
            key: database.optional_text(row, "public_key")?,
        })
    }
}
