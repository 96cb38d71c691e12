//! API tokens: made, listed, revoked, checked.

use crate::administrators::may_administer;
use crate::audit::{Act, Said};
use crate::logins::PREFIX;
use crate::model::TokenInfo;
use crate::policy::subject;
use crate::register::timestamp;
use crate::standing::is_name;
use crate::{Catalog, CatalogError, secret};
use chrono::{DateTime, Days, Utc};
use sqlx::Row;
use sqlx::any::AnyRow;
use tarn_schemas::{Principal, Scope};

/// Longest life of a token in days: ten years.
const LONGEST: u32 = 3660;

/// A token as stored.
struct Stored {
    info: TokenInfo,
    secret_hash: String,
}

impl Catalog {
    /// Makes a token and returns its secret, which is not stored. `valid_days` from now, 1 to 3660.
    /// Administrators make those of programs, in names that nobody has; those of people, and of other
    /// administrators, are the owner's to make.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever is no administrator, and for what is the owner's; [`CatalogError::Argument`] for a name or a
    /// time that is none.
    pub async fn create_token(
        &self,
        who: &Principal,
        name: &str,
        scope: Scope,
        valid_days: u32,
    ) -> Result<String, CatalogError> {
        may_administer(who)?;
        if name.starts_with(PREFIX) {
            return Err(CatalogError::Argument(format!(
                "{name:?} is somebody who logs in at an issuer, and what their logins say is for those \
                 alone: make a token in a name of its own, and grant that what it needs"
            )));
        }
        if !is_name(name) {
            return Err(CatalogError::Argument(format!(
                "{name:?} is no name for a token: say in 1 to 128 letters, digits and .-_@+',() whose it is"
            )));
        }
        let by_owner = *who == Principal::Owner;
        if by_owner {
            self.check_no_program(&format!("person:{name}")).await?;
        }
        if scope == Scope::Admin && !by_owner {
            return Err(CatalogError::Denied(
                "tokens of administrators are made on the node itself (`tarn token create --scope admin`); over \
                 the network, invite one who logs in"
                    .to_owned(),
            ));
        }
        if !(1..=LONGEST).contains(&valid_days) {
            return Err(CatalogError::Argument(format!(
                "a token cannot be valid for {valid_days} days: use 1 to {LONGEST}"
            )));
        }
        let database = &self.inner.database;
        let now = Utc::now();
        let expires = now
            .checked_add_days(Days::new(u64::from(valid_days)))
            .ok_or_else(|| CatalogError::Argument("the token would never expire".to_owned()))?;
        let scope = serde_json::to_string(&scope)
            .map_err(|error| database.unreadable("the scope", &error))?;
        let mut write = database.write().await?;
        if !by_owner && !self.is_new_name(&mut write, name).await? {
            return Err(CatalogError::Denied(format!(
                "{name} is somebody here already or looks like it, or a policy speaks of them, and whoever has a \
                 token in that name is them: the owner of the node makes it (`tarn token create --name {name}`), \
                 or choose a name in plain letters that nobody has"
            )));
        }
        // The id is short, so it may be taken; then another one is drawn.
        for _ in 0..16 {
            let (id, token) = secret::new_token();
            let made = sqlx::query(
                "INSERT INTO token (id, name, scope, secret_hash, created_at, expires_at, made_by)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            )
            .bind(&id)
            .bind(name)
            .bind(&scope)
            .bind(secret::hash(&token))
            .bind(timestamp(now))
            .bind(timestamp(expires))
            .bind(subject(who))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
            if made.rows_affected() == 1 {
                let said = Said::new(Act::CreateToken, subject(who))
                    .with("token", id)
                    .with("name", name)
                    .with("scope", scope.trim_matches('"'))
                    .with("until", timestamp(expires));
                write.note(said).await?;
                write.commit().await?;
                return Ok(token);
            }
        }
        Err(CatalogError::Conflict("no free token id was found; try again".to_owned()))
    }

    /// All tokens, without secrets, newest first, as an administrator sees them.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever is none.
    pub async fn tokens(&self, who: &Principal) -> Result<Vec<TokenInfo>, CatalogError> {
        may_administer(who)?;
        self.all_tokens().await
    }

    async fn all_tokens(&self) -> Result<Vec<TokenInfo>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM token ORDER BY created_at DESC, id")
            .fetch_all(self.inner.database.pool())
            .await
            .map_err(|error| self.inner.database.error(&error))?;
        rows.iter().map(|row| self.token_from_row(row).map(|stored| stored.info)).collect()
    }

    /// Revokes the token of this id, or where it is none those of this name; says how many.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever is no administrator.
    pub async fn revoke_token(
        &self,
        who: &Principal,
        name_or_id: &str,
    ) -> Result<u64, CatalogError> {
        may_administer(who)?;
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let revoked = sqlx::query(
            "UPDATE token SET revoked_at = $2
             WHERE revoked_at IS NULL
               AND (id = $1 OR (name = $1 AND NOT EXISTS (SELECT 1 FROM token WHERE id = $1)))",
        )
        .bind(name_or_id)
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if revoked.rows_affected() > 0 {
            write.note(Said::new(Act::RevokeToken, subject(who)).with("token", name_or_id)).await?;
        }
        write.commit().await?;
        Ok(revoked.rows_affected())
    }

    /// Fails once nothing vouches for a principal any more: a person without a token or login of that
    /// scope that is neither ended nor expired, a visitor from a lab that is no peer any more.
    pub async fn check_current(&self, who: &Principal) -> Result<(), CatalogError> {
        const GONE: CatalogError =
            CatalogError::Unauthenticated("it was revoked or has expired; ask for a new one");
        let current = match who {
            Principal::Owner | Principal::Anonymous => true,
            Principal::Visitor { lab, .. } => {
                self.peers().await?.iter().any(|peer| peer.lab == *lab)
            }
            Principal::Person { name, scope, .. } => {
                let alive = |info: &TokenInfo| {
                    info.revoked_at.is_none()
                        && DateTime::parse_from_rfc3339(&info.expires_at)
                            .is_ok_and(|expires| Utc::now() < expires)
                };
                let tokens = self.all_tokens().await?;
                self.login_is_current(name, *scope).await?
                    || tokens
                        .iter()
                        .filter(|info| !info.name.starts_with(PREFIX))
                        .any(|info| info.name == *name && info.scope >= *scope && alive(info))
            }
        };
        if current { Ok(()) } else { Err(GONE) }
    }

    /// The principal behind a bearer token: an API token, the token of a session, or the access token
    /// of an issuer.
    pub async fn authenticate(&self, token: &str) -> Result<Principal, CatalogError> {
        const UNKNOWN: CatalogError = CatalogError::Unauthenticated("it is unknown here");
        if token.starts_with(secret::SESSION) {
            return self.authenticate_session(token).await;
        }
        // Every signed token begins with an object, `{`, in base64url.
        if token.starts_with("ey") && !self.issuers().all().is_empty() {
            return self.authenticate_login(token).await;
        }
        let id = secret::token_id(token).ok_or(UNKNOWN)?;
        let row = sqlx::query("SELECT * FROM token WHERE id = $1")
            .bind(id)
            .fetch_optional(self.inner.database.pool())
            .await
            .map_err(|error| self.inner.database.error(&error))?
            .ok_or(UNKNOWN)?;
        let Stored { info, secret_hash } = self.token_from_row(&row)?;
        // Whether it expired or was revoked is for its holder only.
        if !secret::has_hash(token, &secret_hash) {
            return Err(UNKNOWN);
        }
        if info.revoked_at.is_some() {
            return Err(CatalogError::Unauthenticated("it was revoked; ask for a new one"));
        }
        // A date that cannot be read counts as past.
        let alive = DateTime::parse_from_rfc3339(&info.expires_at)
            .is_ok_and(|expires| Utc::now() < expires);
        if !alive {
            return Err(CatalogError::Unauthenticated("it has expired; ask for a new one"));
        }
        // One of an older version, which would be taken for that person's newest login.
        if info.name.starts_with(PREFIX) {
            return Err(CatalogError::Unauthenticated(
                "API tokens in the name of somebody who logs in do not count; ask for one in another name",
            ));
        }
        Ok(Principal::person(info.name, info.scope))
    }

    fn token_from_row(&self, row: &AnyRow) -> Result<Stored, CatalogError> {
        let database = &self.inner.database;
        let text =
            |column: &str| row.try_get::<String, _>(column).map_err(|error| database.error(&error));
        let info = TokenInfo {
            id: text("id")?,
            name: text("name")?,
            scope: serde_json::from_str(&text("scope")?)
                .map_err(|error| database.unreadable("the scope of a token", &error))?,
            created_at: text("created_at")?,
            expires_at: text("expires_at")?,
            revoked_at: row.try_get("revoked_at").map_err(|error| database.error(&error))?,
            made_by: text("made_by")?,
        };
        Ok(Stored { info, secret_hash: text("secret_hash")? })
    }
}
