//! The key that tickets, handles and states of streams are sealed with.
//!
//! It is in the database and not in a file of the home: what one node of a catalog sealed another opens,
//! and whoever can write there can give themselves a token anyway. Replacing it ends all that was sealed before.

use crate::administrators::may_administer;
use crate::audit::{Act, Said, hash_of, hexadecimal};
use crate::policy::subject;
use crate::register::timestamp;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use tarn_schemas::Principal;

impl Catalog {
    /// The key, which is made when it is first asked for.
    pub async fn seal_key(&self) -> Result<[u8; 32], CatalogError> {
        if let Some(key) = self.kept_seal_key().await? {
            return Ok(key);
        }
        let database = &self.inner.database;
        let mut write = database.write().await?;
        // Another node may have made one meanwhile.
        sqlx::query(
            "INSERT INTO seal_key (only_row, secret, made_at) VALUES (1, $1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(new_key())
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.commit().await?;
        self.kept_seal_key()
            .await?
            .ok_or_else(|| database.problem("the key that tickets are sealed with is not kept"))
    }

    async fn kept_seal_key(&self) -> Result<Option<[u8; 32]>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT secret FROM seal_key")
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(None) };
        let key = hash_of(&database.text(&row, "secret")?);
        key.map(Some).ok_or_else(|| {
            database.problem(
                "the key that tickets are sealed with is none; make another with `tarn stream replace-key`",
            )
        })
    }

    /// Replaces the key: tickets and states of streams that were given out before are not taken any more.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever is no administrator.
    pub async fn replace_seal_key(&self, who: &Principal) -> Result<(), CatalogError> {
        may_administer(who)?;
        let database = &self.inner.database;
        let mut write = database.write().await?;
        sqlx::query(
            "INSERT INTO seal_key (only_row, secret, made_at) VALUES (1, $1, $2)
             ON CONFLICT (only_row) DO UPDATE SET secret = excluded.secret, made_at = excluded.made_at",
        )
        .bind(new_key())
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.note(Said::new(Act::ReplaceSealKey, subject(who))).await?;
        write.commit().await
    }
}

fn new_key() -> String {
    hexadecimal(&rand::random::<[u8; 32]>())
}
