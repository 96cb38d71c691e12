//! Administrators: the first becomes one by a token that works once.

use crate::audit::{Act, Said};
use crate::logins::PREFIX;
use crate::policy::subject;
use crate::register::timestamp;
use crate::{Catalog, CatalogError, OWNER, secret};
use chrono::{Days, Utc};
use tarn_schemas::Principal;

/// Days for which a one-time token works.
const DAYS: u64 = 7;

impl Catalog {
    /// Makes a one-time token for an administrator, which works for seven days. Only its hash is
    /// stored.
    pub async fn invite_administrator(&self) -> Result<String, CatalogError> {
        let database = &self.inner.database;
        let now = Utc::now();
        let until = timestamp(now.checked_add_days(Days::new(DAYS)).unwrap_or(now));
        let token = secret::new_administrator();
        let mut write = database.write().await?;
        sqlx::query("INSERT INTO administrator_token (secret_hash, expires_at) VALUES ($1, $2)")
            .bind(secret::hash(&token))
            .bind(&until)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.note(Said::new(Act::InviteAdministrator, OWNER).with("until", until)).await?;
        write.commit().await?;
        Ok(token)
    }

    /// Makes somebody who logged in an administrator, by a one-time token. The log has every attempt.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for a token that was used, has expired or is unknown, and for
    /// principals who did not log in.
    pub async fn become_administrator(
        &self,
        who: &Principal,
        token: &str,
    ) -> Result<(), CatalogError> {
        let name = match who {
            Principal::Person { name, .. } if name.starts_with(PREFIX) => name,
            _ => {
                return Err(CatalogError::Denied(
                    "administrators log in at an issuer: do that first (/login, `tarn login`); API \
                     tokens have scopes of their own"
                        .to_owned(),
                ));
            }
        };
        let database = &self.inner.database;
        let now = timestamp(Utc::now());
        let said = Said::new(Act::ClaimAdministrator, subject(who));
        let mut write = database.write().await?;
        let used = sqlx::query(
            "UPDATE administrator_token SET used_at = $2, used_by = $3
             WHERE secret_hash = $1 AND used_at IS NULL AND expires_at > $2",
        )
        .bind(secret::hash(token))
        .bind(&now)
        .bind(name)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if used.rows_affected() == 0 {
            write.note(said.refused()).await?;
            write.commit().await?;
            return Err(CatalogError::Denied(
                "this one-time token was used before, has expired or is unknown; the owner of the \
                 node makes another with `tarn user invite`"
                    .to_owned(),
            ));
        }
        sqlx::query(
            "INSERT INTO administrator (name, since) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(name)
        .bind(&now)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.note(said).await?;
        write.commit().await
    }

    /// Whether somebody became an administrator.
    pub async fn is_administrator(&self, name: &str) -> Result<bool, CatalogError> {
        let database = &self.inner.database;
        let found = sqlx::query("SELECT name FROM administrator WHERE name = $1")
            .bind(name)
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        Ok(found.is_some())
    }
}
