//! People who logged in at an issuer: what it said of them last.

use crate::policy::assurance;
use crate::register::timestamp;
use crate::store::{Database, Write};
use crate::{Catalog, CatalogError, PersonAttributes};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use std::collections::BTreeSet;
use tarn_connectors::oidc::{Assertion, Issuers, OidcError, SKEW, VisaGrants};
use tarn_schemas::{DatasetName, Scope};

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
    /// Until when anything that was said of them counts, RFC 3339.
    pub valid_until: String,
    /// Nothing counts that the issuer said up to this moment, in seconds: until then they were locked
    /// out. 0 if they never were.
    pub not_before: i64,
    /// By what rules of the configuration it was read.
    #[serde(skip)]
    pub(crate) rules: String,
}

impl LoginPerson {
    /// What an accepted token says of a person.
    pub(crate) fn of(assertion: &Assertion, until: String) -> Self {
        let Assertion { groups, affiliations, assurance, identities, .. } = assertion.clone();
        Self {
            name: assertion.name.clone(),
            issuer: assertion.issuer.clone(),
            sub: assertion.sub.clone(),
            called: assertion.called.clone(),
            attributes: PersonAttributes {
                groups,
                assurance,
                affiliations,
                identities,
                ..PersonAttributes::default()
            },
            visas: assertion.visas.clone(),
            scope: assertion.scope,
            issued_at: assertion.issued,
            valid_until: until,
            not_before: 0,
            rules: assertion.rules.clone(),
        }
    }

    /// What is left of it after something was said later: what both say.
    pub(crate) fn cut_by(self, newest: &Self) -> Self {
        let both = |own: BTreeSet<String>, other: &BTreeSet<String>| {
            own.into_iter().filter(|one| other.contains(one)).collect()
        };
        let (own, other) = (self.attributes, &newest.attributes);
        let level = |level: &Option<String>| level.as_deref().map_or(0, assurance);
        let lower = level(&own.assurance) <= level(&other.assurance);
        let datasets = self.visas.datasets.intersection(&newest.visas.datasets).cloned().collect();
        Self {
            attributes: PersonAttributes {
                groups: both(own.groups, &other.groups),
                affiliations: both(own.affiliations, &other.affiliations),
                assurance: if lower { own.assurance } else { other.assurance.clone() },
                // Who somebody is limits them, and is not taken away by what is said later.
                identities: own.identities.union(&other.identities).cloned().collect(),
                ..PersonAttributes::default()
            },
            visas: VisaGrants {
                datasets,
                affiliations: both(self.visas.affiliations, &newest.visas.affiliations),
                groups: both(self.visas.groups, &newest.visas.groups),
                until: self.visas.until.min(newest.visas.until),
            },
            scope: self.scope.min(newest.scope),
            ..self
        }
    }

    /// Whether somebody else would be described by it than by `other`: the times left aside.
    fn says_the_same(&self, other: &Self) -> bool {
        let still = |person: &Self| Self {
            issued_at: 0,
            valid_until: String::new(),
            not_before: 0,
            rules: String::new(),
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

    /// Whether what an issuer said of somebody counts: if its logins are accepted, and read by the same
    /// rules today. A process that takes none leaves that to the one that does.
    pub(crate) fn accepts(&self, said: &LoginPerson) -> bool {
        let Some(issuers) = self.inner.issuers.get() else { return true };
        issuers.of(&said.issuer).is_some_and(|issuer| issuer.rules() == said.rules)
    }

    /// The widest thing that a person may do here, by the groups that count: they are looked at each
    /// time, so that the configuration of today decides.
    pub(crate) async fn scope_of(&self, login: &LoginPerson) -> Result<Scope, CatalogError> {
        if self.is_administrator(&login.name).await? {
            return Ok(Scope::Admin);
        }
        let Some(issuers) = self.inner.issuers.get() else { return Ok(login.scope) };
        let issuer = issuers.of(&login.issuer);
        Ok(issuer.map_or(Scope::Read, |one| one.config().scope_in(&login.attributes.groups)))
    }
}

/// Keeps what is said of a person if it is said later than what was known, or `again` by the same
/// credential. Returns the person as described if that is news: something but the times is another.
///
/// # Errors
/// [`OidcError::LockedOut`] for what was said before its person was locked out.
pub(crate) async fn put_newest(
    database: &Database,
    write: &mut Write<'_>,
    said: &LoginPerson,
    again: bool,
) -> Result<Option<LoginPerson>, CatalogError> {
    let row = sqlx::query("SELECT * FROM login WHERE name = $1")
        .bind(&said.name)
        .fetch_optional(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
    let known = row.map(|row| from_row(database, &row)).transpose()?;
    if known.as_ref().is_some_and(|known| said.issued_at <= known.not_before) {
        return Err(OidcError::LockedOut.into());
    }
    // A group that somebody left does not come back by a token that is older; and of two tokens of one
    // moment the first stays, so that they do not take turns.
    let later = known.as_ref().is_none_or(|known| {
        known.issued_at < said.issued_at || (known.issued_at == said.issued_at && again)
    });
    let news = known
        .as_ref()
        .is_none_or(|known| known.issued_at <= said.issued_at && !known.says_the_same(said));
    let until = known.as_ref().map_or("", |known| &known.valid_until).max(&said.valid_until);
    let until = until.to_owned();
    let kept = if later { said.clone() } else { known.unwrap_or_else(|| said.clone()) };
    let login = LoginPerson { valid_until: until, ..kept };
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
    Ok(news.then(|| said.clone()))
}

/// Locks out somebody who logged in: their sessions end, they are no administrator, and nothing counts
/// that their issuer said of them so far. What counts again is what it says from two minutes later on,
/// because clocks may differ by one. Whether they are known.
pub(crate) async fn lock_out(
    database: &Database,
    write: &mut Write<'_>,
    subject: &str,
) -> Result<bool, CatalogError> {
    let Some(name) = subject.strip_prefix("person:").filter(|name| name.starts_with(PREFIX)) else {
        return Ok(false);
    };
    for statement in [
        "DELETE FROM login_session WHERE name = $1",
        "DELETE FROM login_said WHERE name = $1",
        "DELETE FROM administrator WHERE name = $1",
    ] {
        sqlx::query(statement)
            .bind(name)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
    }
    let json = |text: Result<String, serde_json::Error>| {
        text.map_err(|error| database.unreadable("what is left of a login", &error))
    };
    let now = Utc::now();
    // Their name at the issuer stays, and what they are called: the operator has to know who it is.
    let known = sqlx::query(
        "UPDATE login SET attributes = $2, visas = $3, scope = $4, valid_until = $5,
             not_before = CASE WHEN issued_at > $6 THEN issued_at ELSE $6 END,
             issued_at = CASE WHEN issued_at > $6 THEN issued_at ELSE $6 END
         WHERE name = $1",
    )
    .bind(name)
    .bind(json(serde_json::to_string(&PersonAttributes::default()))?)
    .bind(json(serde_json::to_string(&VisaGrants::default()))?)
    .bind(json(serde_json::to_string(&Scope::Read))?)
    .bind(timestamp(now))
    .bind(now.timestamp().saturating_add(SKEW))
    .execute(&mut *write.transaction)
    .await
    .map_err(|error| database.error(&error))?;
    Ok(known.rows_affected() > 0)
}

pub(crate) fn from_row(database: &Database, row: &AnyRow) -> Result<LoginPerson, CatalogError> {
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
        not_before: database.number(row, "not_before")?,
        // What is left of others depends on what each of them said, and by what rules that was read.
        rules: String::new(),
    })
}
