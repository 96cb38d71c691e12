//! Invitations: secrets that work once, for a day.

use crate::audit::{Act, Said};
use crate::register::timestamp;
use crate::{Catalog, CatalogError, OWNER, secret};
use chrono::{Days, Utc};

impl Catalog {
    /// Keeps an invitation until it is redeemed or a day has passed. Only its hash is stored. The
    /// secret has at least 20 characters.
    pub async fn put_invitation(&self, secret: &str) -> Result<(), CatalogError> {
        if secret.len() < secret::SHORTEST {
            return Err(CatalogError::Argument(
                "the secret of an invitation needs at least 20 characters".to_owned(),
            ));
        }
        let database = &self.inner.database;
        let now = Utc::now();
        let tomorrow = now.checked_add_days(Days::new(1)).unwrap_or(now);
        let mut write = database.write().await?;
        sqlx::query("DELETE FROM invitation WHERE expires_at <= $1")
            .bind(timestamp(now))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        sqlx::query(
            "INSERT INTO invitation (secret_hash, expires_at) VALUES ($1, $2)
             ON CONFLICT (secret_hash) DO NOTHING",
        )
        .bind(secret::hash(secret))
        .bind(timestamp(tomorrow))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.note(Said::new(Act::InvitePeer, OWNER).with("until", timestamp(tomorrow))).await?;
        write.commit().await
    }

    /// Whether an invitation could be redeemed now.
    pub async fn invitation_is_open(&self, secret: &str) -> Result<bool, CatalogError> {
        let found =
            sqlx::query("SELECT 1 FROM invitation WHERE secret_hash = $1 AND expires_at > $2")
                .bind(secret::hash(secret))
                .bind(timestamp(Utc::now()))
                .fetch_optional(self.inner.database.pool())
                .await
                .map_err(|error| self.inner.database.error(&error))?;
        Ok(found.is_some())
    }

    /// Redeems an invitation once: true the first time, false for anything else.
    pub async fn redeem_invitation(&self, secret: &str) -> Result<bool, CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        // Looked up by the hash of what was sent: how long that takes says nothing of the secret.
        let redeemed =
            sqlx::query("DELETE FROM invitation WHERE secret_hash = $1 AND expires_at > $2")
                .bind(secret::hash(secret))
                .bind(timestamp(Utc::now()))
                .execute(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?;
        write.commit().await?;
        Ok(redeemed.rows_affected() == 1)
    }
}
