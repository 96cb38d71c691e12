//! What one session or access token said of a person: it counts for itself alone, until it ends, and as
//! far as what was said last does not take it away.

use crate::audit::{Act, Said as Entry};
use crate::logins::{LoginPerson, PREFIX, from_row, put_newest};
use crate::register::timestamp;
use crate::store::{Database, Write};
use crate::{Catalog, CatalogError};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::any::AnyRow;
use tarn_connectors::oidc::{Assertion, OidcError, SKEW};
use tarn_schemas::{Credential, DatasetName, Principal, Scope};

/// What a credential said, until it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// The credential: the hash of a session's token, or the fingerprint of an access token.
    pub(crate) id: String,
    /// The person, as it describes them.
    pub(crate) person: LoginPerson,
    /// The widest thing that it may be used for, where it says so.
    pub(crate) limit: Option<Scope>,
}

impl Said {
    /// What an accepted token says until a moment.
    pub(crate) fn of(id: String, assertion: &Assertion, until: String) -> Self {
        Self { id, person: LoginPerson::of(assertion, until), limit: assertion.limit }
    }

    /// The principal who came by it, who may do no more than `scope`.
    pub(crate) fn principal(self, scope: Scope) -> Principal {
        Principal::Person {
            name: self.person.name,
            scope: self.limit.map_or(scope, |limit| limit.min(scope)),
            by: Some(Credential { id: self.id, limit: self.limit }),
        }
    }
}

impl Catalog {
    /// What still counts of what was said of a person: of one credential first, where it lasts, and
    /// then of what was issued last. Nothing counts of issuers that are not accepted any more.
    pub(crate) async fn living(
        &self,
        name: &str,
        first: Option<&Credential>,
        most: u32,
    ) -> Result<Vec<Said>, CatalogError> {
        if !name.starts_with(PREFIX) {
            return Ok(Vec::new());
        }
        let database = &self.inner.database;
        // The number is one of this program.
        let statement = format!(
            "SELECT login.*, s.id AS said_id, s.attributes AS said_attributes, s.visas AS said_visas,
                    s.scope AS said_scope, s.most AS said_most, s.issued_at AS said_at,
                    s.valid_until AS said_until, s.rules AS said_rules
             FROM login JOIN login_said AS s ON s.name = login.name
             WHERE login.name = $1 AND s.valid_until > $2
             ORDER BY CASE WHEN s.id = $3 THEN 0 ELSE 1 END, s.issued_at DESC, s.id LIMIT {most}"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(name)
            .bind(timestamp(Utc::now()))
            .bind(first.map_or("", |credential| &credential.id))
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let mut living = Vec::with_capacity(rows.len());
        for row in &rows {
            let newest = from_row(database, row)?;
            let said = said_from_row(database, row, &newest)?;
            if self.accepts(&said.person) {
                let later = newest.issued_at > said.person.issued_at;
                let person = if later { said.person.cut_by(&newest) } else { said.person };
                living.push(Said { person, ..said });
            }
        }
        Ok(living)
    }

    /// What counts of what was said of a person who came by this credential, or by any.
    pub(crate) async fn current_login(
        &self,
        name: &str,
        by: Option<&Credential>,
    ) -> Result<Option<LoginPerson>, CatalogError> {
        let living = self.living(name, by, 1).await?;
        Ok(living.into_iter().next().map(|said| said.person))
    }

    /// Whether some login still vouches for a person with this scope.
    pub(crate) async fn login_is_current(
        &self,
        name: &str,
        scope: Scope,
    ) -> Result<bool, CatalogError> {
        for said in self.living(name, None, u32::MAX).await? {
            let own = self.scope_of(&said.person).await?;
            if said.principal(own).has_scope(scope) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The principal behind a credential that counts now.
    pub(crate) async fn principal_by(
        &self,
        name: &str,
        id: &str,
    ) -> Result<Option<Principal>, CatalogError> {
        let wanted = Credential { id: id.to_owned(), limit: None };
        let living = self.living(name, Some(&wanted), 1).await?;
        let Some(said) = living.into_iter().find(|said| said.id == id) else { return Ok(None) };
        let scope = self.scope_of(&said.person).await?;
        Ok(Some(said.principal(scope)))
    }

    /// The principal behind an issuer's access token.
    pub(crate) async fn authenticate_login(&self, token: &str) -> Result<Principal, CatalogError> {
        let assertion = self.issuers().accept(token).await?;
        // It is let in for as long as clocks may differ, and says what it says for as long.
        let until = DateTime::from_timestamp(assertion.expires, 0).unwrap_or_default();
        let until = timestamp(until + TimeDelta::seconds(SKEW));
        let said = Said::of(assertion.token.clone(), &assertion, until);
        let database = &self.inner.database;
        let known = said_before(database, &said).await?;
        // Most calls tell nothing new, and write nothing; nor does who was locked out.
        if known.as_ref() != Some(&said) {
            let login = self.login(&said.person.name).await?;
            if login.is_some_and(|login| said.person.issued_at <= login.not_before) {
                return Err(OidcError::LockedOut.into());
            }
            let mut write = database.write().await?;
            if let Some(person) = put_said(database, &mut write, &said).await? {
                write.note(told(&person, "bearer")).await?;
            }
            write.commit().await?;
        }
        self.principal_by(&said.person.name, &said.id)
            .await?
            .ok_or(CatalogError::Unauthenticated("it has expired; log in again"))
    }
}

/// What the same credential said when it was last seen.
async fn said_before(database: &Database, said: &Said) -> Result<Option<Said>, CatalogError> {
    let row = sqlx::query(
        "SELECT s.id AS said_id, s.attributes AS said_attributes, s.visas AS said_visas,
                s.scope AS said_scope, s.most AS said_most, s.issued_at AS said_at,
                s.valid_until AS said_until, s.rules AS said_rules
         FROM login_said AS s WHERE s.id = $1 AND s.name = $2",
    )
    .bind(&said.id)
    .bind(&said.person.name)
    .fetch_optional(database.pool())
    .await
    .map_err(|error| database.error(&error))?;
    row.map(|row| said_from_row(database, &row, &said.person)).transpose()
}

/// What stands in the columns `said_…`, of a person.
fn said_from_row(
    database: &Database,
    row: &AnyRow,
    of: &LoginPerson,
) -> Result<Said, CatalogError> {
    let text = |column: &str| database.text(row, column);
    let unreadable = |error: serde_json::Error| database.unreadable("a login", &error);
    let most = database.optional_text(row, "said_most")?;
    Ok(Said {
        id: text("said_id")?,
        limit: most.map(|most| serde_json::from_str(&most)).transpose().map_err(unreadable)?,
        person: LoginPerson {
            attributes: serde_json::from_str(&text("said_attributes")?).map_err(unreadable)?,
            visas: serde_json::from_str(&text("said_visas")?).map_err(unreadable)?,
            scope: serde_json::from_str(&text("said_scope")?).map_err(unreadable)?,
            issued_at: database.number(row, "said_at")?,
            valid_until: text("said_until")?,
            rules: text("said_rules")?,
            ..of.clone()
        },
    })
}

/// Keeps what an accepted credential says. Returns the person if that is news of them; what is older than
/// what was said last is none.
///
/// # Errors
/// [`OidcError::LockedOut`] for what was said before its person was locked out.
pub(crate) async fn put_said(
    database: &Database,
    write: &mut Write<'_>,
    said: &Said,
) -> Result<Option<LoginPerson>, CatalogError> {
    let over = "DELETE FROM login_said WHERE valid_until <= $1";
    sqlx::query(over)
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
    let known = sqlx::query("SELECT id FROM login_said WHERE id = $1")
        .bind(&said.id)
        .fetch_optional(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
    // A credential that was seen before says something else where the configuration has changed.
    let news = put_newest(database, write, &said.person, known.is_some()).await?;
    let json = |what: &str, text: Result<String, serde_json::Error>| {
        text.map_err(|error| database.unreadable(what, &error))
    };
    let most =
        said.limit.map(|limit| json("a limit", serde_json::to_string(&limit))).transpose()?;
    sqlx::query(
        "INSERT INTO login_said (id, name, attributes, visas, scope, most, issued_at, valid_until,
                                 rules)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (id) DO UPDATE SET attributes = excluded.attributes, visas = excluded.visas,
             scope = excluded.scope, most = excluded.most, issued_at = excluded.issued_at,
             valid_until = excluded.valid_until, rules = excluded.rules",
    )
    .bind(&said.id)
    .bind(&said.person.name)
    .bind(json("the attributes of a login", serde_json::to_string(&said.person.attributes))?)
    .bind(json("the visas of a login", serde_json::to_string(&said.person.visas))?)
    .bind(json("the scope of a login", serde_json::to_string(&said.person.scope))?)
    .bind(most)
    .bind(said.person.issued_at)
    .bind(&said.person.valid_until)
    .bind(&said.person.rules)
    .execute(&mut *write.transaction)
    .await
    .map_err(|error| database.error(&error))?;
    Ok(news)
}

/// What the log says of a login.
pub(crate) fn told(login: &LoginPerson, door: &str) -> Entry {
    let attributes = serde_json::to_string(&login.attributes).unwrap_or_default();
    let visas: Vec<&str> = login.visas.datasets.iter().map(DatasetName::as_str).collect();
    let said = Entry::new(Act::Login, format!("person:{}", login.name))
        .with("issuer", login.issuer.as_str())
        .with("door", door)
        .with("attributes", attributes);
    if visas.is_empty() { said } else { said.with("visas", visas.join(" ")) }
}
