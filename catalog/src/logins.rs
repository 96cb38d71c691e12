//! People who logged in at an issuer: what it said of them last.

use crate::audit::{Act, Said};
use crate::register::timestamp;
use crate::store::{Database, Write};
use crate::{Catalog, CatalogError, PersonAttributes};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use std::collections::BTreeSet;
use tarn_connectors::oidc::{Assertion, Issuers, VisaGrants};
use tarn_schemas::{DatasetName, Principal, Scope};

/// How names of people begin who logged in at an issuer.
pub(crate) const PREFIX: &str = "login:";

/// A person as their issuer described them last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginPerson {
    /// Their name here.
    pub name: String,
    /// URL of the issuer.
    pub issuer: String,
    /// Their name there.
    pub sub: String,
    /// How people call them. Nothing is decided by it.
    pub called: String,
    /// What the issuer says of them.
    pub attributes: PersonAttributes,
    /// What visas grant them.
    pub visas: VisaGrants,
    /// The widest thing that the issuer's groups let them do.
    pub scope: Scope,
    /// When the issuer said so, in seconds.
    pub issued_at: i64,
    /// Until when it counts, RFC 3339.
    pub valid_until: String,
}

impl LoginPerson {
    /// What an accepted token says of a person.
    fn of(assertion: &Assertion, until: String) -> Self {
        let Assertion { groups, affiliations, assurance, .. } = assertion.clone();
        Self {
            name: assertion.name.clone(),
            issuer: assertion.issuer.clone(),
            sub: assertion.sub.clone(),
            called: assertion.called.clone(),
            attributes: PersonAttributes {
                groups,
                assurance,
                affiliations,
                ..PersonAttributes::default()
            },
            visas: assertion.visas.clone(),
            scope: assertion.scope,
            issued_at: assertion.issued,
            valid_until: until,
        }
    }

    /// Whether somebody else would be described by it than by `other`: the times left aside.
    fn says_the_same(&self, other: &Self) -> bool {
        let still = |person: &Self| Self {
            issued_at: 0,
            valid_until: String::new(),
            visas: VisaGrants { until: 0, ..person.visas.clone() },
            ..person.clone()
        };
        still(self) == still(other)
    }

    /// Adds what the issuer says to what the operator says. Of the assurance the operator has the last
    /// word.
    pub(crate) fn add_to(
        self,
        attributes: &mut PersonAttributes,
        grants: &mut BTreeSet<DatasetName>,
        now: DateTime<Utc>,
    ) {
        attributes.groups.extend(self.attributes.groups);
        attributes.affiliations.extend(self.attributes.affiliations);
        if attributes.assurance.is_none() {
            attributes.assurance = self.attributes.assurance;
        }
        if self.visas.until > now.timestamp() {
            attributes.groups.extend(self.visas.groups);
            attributes.affiliations.extend(self.visas.affiliations);
            grants.extend(self.visas.datasets);
        }
    }
}

impl Catalog {
    /// Accepts the logins of these issuers from now on. The first call counts.
    pub fn accept_logins_of(&self, issuers: Issuers) {
        let _ = self.inner.issuers.set(issuers);
    }

    /// The issuers whose logins are accepted.
    pub fn issuers(&self) -> Issuers {
        self.inner.issuers.get().cloned().unwrap_or_default()
    }

    /// Everybody who logged in, and what their issuers said last.
    pub async fn logins(&self) -> Result<Vec<LoginPerson>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT * FROM login ORDER BY name")
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        rows.iter().map(|row| from_row(database, row)).collect()
    }

    /// What is known of somebody by their login, whether it still counts or not.
    pub async fn login(&self, name: &str) -> Result<Option<LoginPerson>, CatalogError> {
        if !name.starts_with(PREFIX) {
            return Ok(None);
        }
        let database = &self.inner.database;
        let row = sqlx::query("SELECT * FROM login WHERE name = $1")
            .bind(name)
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        row.map(|row| from_row(database, &row)).transpose()
    }

    /// The same, if it counts now.
    pub(crate) async fn current_login(
        &self,
        name: &str,
    ) -> Result<Option<LoginPerson>, CatalogError> {
        let now = timestamp(Utc::now());
        Ok(self.login(name).await?.filter(|login| login.valid_until > now))
    }

    /// Whether a login still vouches for a person with this scope.
    pub(crate) async fn login_is_current(
        &self,
        name: &str,
        scope: Scope,
    ) -> Result<bool, CatalogError> {
        match self.current_login(name).await? {
            Some(login) => Ok(self.scope_of(&login).await? >= scope),
            None => Ok(false),
        }
    }

    /// The widest thing that a person may do here.
    pub(crate) async fn scope_of(&self, login: &LoginPerson) -> Result<Scope, CatalogError> {
        Ok(if self.is_administrator(&login.name).await? { Scope::Admin } else { login.scope })
    }

    /// The principal behind an issuer's access token.
    pub(crate) async fn authenticate_login(&self, token: &str) -> Result<Principal, CatalogError> {
        let assertion = self.issuers().accept(token).await?;
        let until = DateTime::from_timestamp(assertion.expires, 0).unwrap_or_default();
        let said = LoginPerson::of(&assertion, timestamp(until));
        let known = self.login(&said.name).await?;
        // Most calls tell nothing new, and write nothing.
        let login = match known {
            Some(known)
                if known.valid_until >= said.valid_until
                    && (known.issued_at > said.issued_at || known == renewed(&said, &known)) =>
            {
                known
            }
            _ => {
                let database = &self.inner.database;
                let mut write = database.write().await?;
                let (login, changed) = put_login(database, &mut write, said).await?;
                if changed {
                    write.note(told(&login, "bearer")).await?;
                }
                write.commit().await?;
                login
            }
        };
        let scope = self.scope_of(&login).await?;
        let scope = assertion.limit.map_or(scope, |limit| limit.min(scope));
        Ok(Principal::Person { name: login.name, scope })
    }
}

/// What is said now with the times of what was known, where only they could differ.
fn renewed(said: &LoginPerson, known: &LoginPerson) -> LoginPerson {
    LoginPerson {
        issued_at: known.issued_at,
        valid_until: known.valid_until.clone(),
        ..said.clone()
    }
}

/// What the log says of a login.
pub(crate) fn told(login: &LoginPerson, door: &str) -> Said {
    let attributes = serde_json::to_string(&login.attributes).unwrap_or_default();
    let visas: Vec<&str> = login.visas.datasets.iter().map(DatasetName::as_str).collect();
    let said = Said::new(Act::Login, format!("person:{}", login.name))
        .with("issuer", login.issuer.as_str())
        .with("door", door)
        .with("attributes", attributes);
    if visas.is_empty() { said } else { said.with("visas", visas.join(" ")) }
}

/// Keeps what an accepted token says: the login as it is then, and whether something changed but its
/// times.
pub(crate) async fn put_login(
    database: &Database,
    write: &mut Write<'_>,
    said: LoginPerson,
) -> Result<(LoginPerson, bool), CatalogError> {
    let row = sqlx::query("SELECT * FROM login WHERE name = $1")
        .bind(&said.name)
        .fetch_optional(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
    let known = row.map(|row| from_row(database, &row)).transpose()?;
    let until = known.as_ref().map(|known| known.valid_until.clone());
    let until = until.map_or(said.valid_until.clone(), |until| until.max(said.valid_until.clone()));
    let (login, changed) = match known {
        // A group that somebody left does not come back by a token that is older.
        Some(known) if known.issued_at > said.issued_at => (known, false),
        Some(known) => {
            let changed = !known.says_the_same(&said);
            (said, changed)
        }
        None => (said, true),
    };
    let login = LoginPerson { valid_until: until, ..login };
    let json = |what: &str, text: Result<String, serde_json::Error>| {
        text.map_err(|error| database.unreadable(what, &error))
    };
    sqlx::query(
        "INSERT INTO login (name, issuer, sub, called, attributes, visas, scope, issued_at, valid_until)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (name) DO UPDATE SET called = excluded.called, attributes = excluded.attributes,
             visas = excluded.visas, scope = excluded.scope, issued_at = excluded.issued_at,
             valid_until = excluded.valid_until",
    )
    .bind(&login.name)
    .bind(&login.issuer)
    .bind(&login.sub)
    .bind(&login.called)
    .bind(json("the attributes of a login", serde_json::to_string(&login.attributes))?)
    .bind(json("the visas of a login", serde_json::to_string(&login.visas))?)
    .bind(json("the scope of a login", serde_json::to_string(&login.scope))?)
    .bind(login.issued_at)
    .bind(&login.valid_until)
    .execute(&mut *write.transaction)
    .await
    .map_err(|error| database.error(&error))?;
    Ok((login, changed))
}

/// A login that begins a session until a moment.
pub(crate) async fn put_session_login(
    database: &Database,
    write: &mut Write<'_>,
    assertion: &Assertion,
    until: String,
) -> Result<LoginPerson, CatalogError> {
    let said = LoginPerson::of(assertion, until);
    put_login(database, write, said).await.map(|(login, _)| login)
}

/// Forgets what the login of a person said, with their sessions and the right of an administrator.
/// Whether there was any of it.
pub(crate) async fn forget_login(
    database: &Database,
    write: &mut Write<'_>,
    subject: &str,
) -> Result<bool, CatalogError> {
    let Some(name) = subject.strip_prefix("person:").filter(|name| name.starts_with(PREFIX)) else {
        return Ok(false);
    };
    let mut forgotten = false;
    for statement in [
        "DELETE FROM login_session WHERE name = $1",
        "DELETE FROM administrator WHERE name = $1",
        "DELETE FROM login WHERE name = $1",
    ] {
        let done = sqlx::query(statement)
            .bind(name)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        forgotten |= done.rows_affected() > 0;
    }
    Ok(forgotten)
}

fn from_row(database: &Database, row: &AnyRow) -> Result<LoginPerson, CatalogError> {
    let text = |column: &str| database.text(row, column);
    let unreadable = |error: serde_json::Error| database.unreadable("a login", &error);
    Ok(LoginPerson {
        name: text("name")?,
        issuer: text("issuer")?,
        sub: text("sub")?,
        called: text("called")?,
        attributes: serde_json::from_str(&text("attributes")?).map_err(unreadable)?,
        visas: serde_json::from_str(&text("visas")?).map_err(unreadable)?,
        scope: serde_json::from_str(&text("scope")?).map_err(unreadable)?,
        issued_at: database.number(row, "issued_at")?,
        valid_until: text("valid_until")?,
    })
}
