//! Sessions: what a browser or a terminal has of a login.

use crate::audit::{Act, Said};
use crate::register::timestamp;
use crate::said::{Said as Claims, put_said, told};
use crate::{Catalog, CatalogError, LoginPerson, secret};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use sqlx::Row;
use tarn_connectors::oidc::{Assertion, OidcError, SKEW, fingerprint_of};
use tarn_schemas::Principal;

/// A session that has just begun. Its token is stored nowhere.
#[derive(Clone)]
pub struct Session {
    /// The token: `tarn_s_…`.
    pub token: String,
    /// Until when, RFC 3339.
    pub expires_at: String,
    /// Whose it is.
    pub person: LoginPerson,
}

impl std::fmt::Debug for Session {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("person", &self.person.name).finish_non_exhaustive()
    }
}

impl Catalog {
    /// Begins a session for somebody whose login was accepted, by a door (`browser`, `terminal`), for
    /// some hours. A token logs in once.
    ///
    /// # Errors
    /// [`OidcError::Replayed`] for a token that somebody logged in with before; [`OidcError::LockedOut`]
    /// for one that was issued before its person was locked out. Both are in the log once.
    pub async fn begin_session(
        &self,
        assertion: &Assertion,
        door: &str,
        hours: u32,
    ) -> Result<Session, CatalogError> {
        // Looked up first: nobody waits for the turn to write who shows the same token again and again.
        let begun = if self.is_used(&assertion.token).await? {
            Err(OidcError::Replayed.into())
        } else {
            self.begin(assertion, door, hours).await
        };
        if let Err(CatalogError::Login(why)) = &begun {
            let named = (assertion.name.as_str(), assertion.token.as_str());
            self.note_refused_login(named, &assertion.issuer, door, why).await?;
        }
        begun
    }

    /// Whether somebody logged in with a token, by its SHA-256.
    async fn is_used(&self, token: &str) -> Result<bool, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT 1 FROM login_used WHERE token_hash = $1 AND expires_at > $2")
            .bind(token)
            .bind(timestamp(Utc::now()))
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        Ok(row.is_some())
    }

    /// Whether somebody logged in with a token before, which does not say that it is a good one: what
    /// need not be asked of an issuer once more.
    pub async fn logged_in_with(&self, token: &str) -> Result<bool, CatalogError> {
        match fingerprint_of(token) {
            Some(fingerprint) => self.is_used(&fingerprint).await,
            None => Ok(false),
        }
    }

    async fn begin(
        &self,
        assertion: &Assertion,
        door: &str,
        hours: u32,
    ) -> Result<Session, CatalogError> {
        let database = &self.inner.database;
        let now = Utc::now();
        let expires_at = timestamp(now + TimeDelta::hours(i64::from(hours.max(1))));
        let over = assertion.expires.saturating_add(SKEW);
        // As text times have an order up to the year 9999; no token that is accepted goes near it.
        let over = DateTime::from_timestamp(over, 0).filter(|over| over.year() < 9999);
        let over = over.map(timestamp).ok_or(OidcError::TooLong)?;
        let mut write = database.write().await?;
        for statement in [
            "DELETE FROM login_used WHERE expires_at <= $1",
            "DELETE FROM login_session WHERE expires_at <= $1",
        ] {
            sqlx::query(statement)
                .bind(timestamp(now))
                .execute(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?;
        }
        let first = sqlx::query(
            "INSERT INTO login_used (token_hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(&assertion.token)
        .bind(over)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if first.rows_affected() == 0 {
            return Err(OidcError::Replayed.into());
        }
        let token = secret::new_session();
        let said = Claims::of(secret::hash(&token), assertion, expires_at.clone());
        put_said(database, &mut write, &said).await?;
        let person = said.person;
        sqlx::query(
            "INSERT INTO login_session (secret_hash, name, door, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&said.id)
        .bind(&person.name)
        .bind(door)
        .bind(timestamp(now))
        .bind(&expires_at)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.note(told(&person, door).with("until", expires_at.as_str())).await?;
        write.commit().await?;
        Ok(Session { token, expires_at, person })
    }

    /// Writes to the log that a login was refused that names a person: once for each token, by its
    /// SHA-256, so that nobody fills the log with one. The token is none the less good for a login, if it
    /// is refused for something that passes.
    pub async fn note_refused_login(
        &self,
        (name, token): (&str, &str),
        issuer: &str,
        door: &str,
        why: &OidcError,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mark = format!("refused {token}");
        if self.is_used(&mark).await? {
            return Ok(());
        }
        let until = timestamp(Utc::now() + TimeDelta::days(1));
        let mut write = database.write().await?;
        let first = sqlx::query(
            "INSERT INTO login_used (token_hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(mark)
        .bind(until)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if first.rows_affected() == 0 {
            return Ok(());
        }
        write.note(refused(name, issuer, door, why)).await?;
        write.commit().await
    }

    /// The principal of a session.
    pub(crate) async fn authenticate_session(
        &self,
        token: &str,
    ) -> Result<Principal, CatalogError> {
        const UNKNOWN: CatalogError = CatalogError::Unauthenticated("it is unknown here");
        let database = &self.inner.database;
        // Looked up by the hash of what was sent: how long that takes says nothing of the token.
        let row = sqlx::query(
            "SELECT name, expires_at, ended_at FROM login_session WHERE secret_hash = $1",
        )
        .bind(secret::hash(token))
        .fetch_optional(database.pool())
        .await
        .map_err(|error| database.error(&error))?
        .ok_or(UNKNOWN)?;
        let ended: Option<String> =
            row.try_get("ended_at").map_err(|error| database.error(&error))?;
        if ended.is_some() {
            return Err(CatalogError::Unauthenticated("this session was logged out; log in again"));
        }
        if database.text(&row, "expires_at")? <= timestamp(Utc::now()) {
            return Err(CatalogError::Unauthenticated(
                "the login has expired; log in again (`tarn login`)",
            ));
        }
        let name = database.text(&row, "name")?;
        self.principal_by(&name, &secret::hash(token)).await?.ok_or(CatalogError::Unauthenticated(
            "logins of its issuer do not count here any more, or what they say is read otherwise now; \
             log in again (`tarn login`)",
        ))
    }

    /// Ends the session of a token. False if there is none that lasts.
    pub async fn end_session(&self, token: &str) -> Result<bool, CatalogError> {
        let database = &self.inner.database;
        let (now, hash) = (timestamp(Utc::now()), secret::hash(token));
        // Looked up first: nobody waits for the turn to write who has nothing to end.
        let row = sqlx::query(
            "SELECT name FROM login_session WHERE secret_hash = $1 AND ended_at IS NULL AND expires_at > $2",
        )
        .bind(&hash)
        .bind(&now)
        .fetch_optional(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(false) };
        let name = database.text(&row, "name")?;
        let mut write = database.write().await?;
        let ended = sqlx::query(
            "UPDATE login_session SET ended_at = $2 WHERE secret_hash = $1 AND ended_at IS NULL",
        )
        .bind(&hash)
        .bind(&now)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("DELETE FROM login_said WHERE id = $1")
            .bind(&hash)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        // What runs for the person ends too, unless another login of theirs goes on.
        sqlx::query(
            "UPDATE login SET valid_until = coalesce(
                 (SELECT max(valid_until) FROM login_said WHERE login_said.name = login.name), $2)
             WHERE name = $1",
        )
        .bind(&name)
        .bind(&now)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.note(Said::new(Act::Logout, format!("person:{name}"))).await?;
        write.commit().await?;
        Ok(true)
    }
}

/// What the log says of a login that names a person and is refused.
fn refused(name: &str, issuer: &str, door: &str, why: &OidcError) -> Said {
    Said::new(Act::Login, format!("person:{name}"))
        .refused()
        .with("issuer", issuer)
        .with("door", door)
        .with("why", why.to_string())
}
