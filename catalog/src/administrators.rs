//! Administrators: the first becomes one by a token that works once.

use crate::audit::{Act, Said};
use crate::logins::PREFIX;
use crate::policy::subject;
use crate::register::timestamp;
use crate::{Catalog, CatalogError, secret};
use chrono::{Days, TimeDelta, Utc};
use tarn_schemas::{Principal, Scope};

/// Most refused attempts of one person that the log has of an hour: strangers do not fill it.
const MOST_REFUSALS: i64 = 10;
/// Days for which a one-time token works.
const DAYS: u64 = 7;

/// Refuses whoever is no administrator of this node.
pub(crate) fn may_administer(who: &Principal) -> Result<(), CatalogError> {
    if who.has_scope(Scope::Admin) {
        return Ok(());
    }
    Err(CatalogError::Denied(
        "people and tokens are for administrators: it takes a token with scope admin, or the login of an \
         administrator"
            .to_owned(),
    ))
}

impl Catalog {
    /// Makes a one-time token for an administrator, which works for seven days. Only its hash is
    /// stored.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever is no administrator.
    pub async fn invite_administrator(&self, who: &Principal) -> Result<String, CatalogError> {
        may_administer(who)?;
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
        write.note(Said::new(Act::InviteAdministrator, subject(who)).with("until", until)).await?;
        write.commit().await?;
        Ok(token)
    }

    /// Makes somebody who logged in an administrator, by a one-time token. The log has every attempt, of
    /// those who are refused again and again ten in an hour.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for a token that was used, has expired or is unknown, for principals who
    /// did not log in, and for those whose access token limits itself to less.
    pub async fn become_administrator(
        &self,
        who: &Principal,
        token: &str,
    ) -> Result<(), CatalogError> {
        let name = match who {
            Principal::Person { name, by: Some(_), .. } if name.starts_with(PREFIX) => name,
            _ => {
                return self
                    .refuse_claim(
                        who,
                        "administrators log in at an issuer: do that first (/login, `tarn login`); \
                         API tokens have scopes of their own",
                    )
                    .await;
            }
        };
        if who.is_limited_below(Scope::Admin) {
            let problem = "this access token may not be used for that: it says so itself (scope \
                           `tarn:read` or `tarn:write`); send one without such scopes";
            return self.refuse_claim(who, problem).await;
        }
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
            drop(write);
            let problem = "this one-time token was used before, has expired or is unknown; the owner \
                           of the node makes another with `tarn user invite`";
            return self.refuse_claim(who, problem).await;
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

    /// Refuses an attempt, and writes it to the log unless it has enough of them.
    async fn refuse_claim(&self, who: &Principal, why: &str) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let person = subject(who);
        let row = sqlx::query(
            "SELECT count(*) AS number FROM audit WHERE at > $1 AND person = $2 AND act = $3",
        )
        .bind(timestamp(Utc::now() - TimeDelta::hours(1)))
        .bind(&person)
        .bind(Act::ClaimAdministrator.name())
        .fetch_one(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        if database.number::<i64>(&row, "number")? < MOST_REFUSALS {
            let mut write = database.write().await?;
            write.note(Said::new(Act::ClaimAdministrator, person).refused()).await?;
            write.commit().await?;
        }
        Err(CatalogError::Denied(why.to_owned()))
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
