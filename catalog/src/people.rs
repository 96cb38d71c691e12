//! People: what decisions know of them, and what they were granted.

use crate::administrators::may_administer;
use crate::audit::{Act, Said};
use crate::logins::{LoginPerson, lock_out};
use crate::policy::{assurance, subject as subject_of};
use crate::register::timestamp;
use crate::same_person::identity;
use crate::{Catalog, CatalogError, Grant, PersonAttributes};
use chrono::Utc;
use serde::Serialize;
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, BTreeSet};
use tarn_schemas::{DatasetName, LabName, Principal};

/// Longest text of an attribute, and most values of one.
const LONGEST: usize = 200;
const MOST: usize = 200;

/// What is known of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownPerson {
    /// Who it is: `person:ann`, `visitor:anl:bob`.
    pub subject: String,
    /// What an administrator said.
    pub attributes: PersonAttributes,
    /// What an issuer said, of somebody who logs in at one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginPerson>,
}

impl Catalog {
    /// What is known of a person (`person:ann`, `visitor:anl:bob`).
    pub async fn person_attributes(
        &self,
        subject: &str,
    ) -> Result<Option<PersonAttributes>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT attributes FROM person WHERE subject = $1")
            .bind(subject)
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        row.map(|row| self.read_attributes(&row)).transpose()
    }

    fn read_attributes(&self, row: &AnyRow) -> Result<PersonAttributes, CatalogError> {
        let database = &self.inner.database;
        serde_json::from_str(&database.text(row, "attributes")?)
            .map_err(|error| database.unreadable("the attributes of a person", &error))
    }

    /// Everybody of whom an administrator or an issuer said something, by subject.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever is no administrator.
    pub async fn people(&self, who: &Principal) -> Result<Vec<KnownPerson>, CatalogError> {
        may_administer(who)?;
        let mut known: BTreeMap<String, (PersonAttributes, Option<LoginPerson>)> = BTreeMap::new();
        for (subject, attributes) in self.attributed_people().await? {
            known.entry(subject).or_default().0 = attributes;
        }
        for login in self.logins().await? {
            let subject = format!("person:{}", login.name);
            known.entry(subject).or_default().1 = Some(login);
        }
        let known = known.into_iter();
        Ok(known
            .map(|(subject, (attributes, login))| KnownPerson { subject, attributes, login })
            .collect())
    }

    /// One of them; none of whom nothing is known.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever is no administrator.
    pub async fn person(
        &self,
        who: &Principal,
        person: &str,
    ) -> Result<Option<KnownPerson>, CatalogError> {
        Ok(self.people(who).await?.into_iter().find(|known| known.subject == person))
    }

    pub(crate) async fn attributed_people(
        &self,
    ) -> Result<Vec<(String, PersonAttributes)>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT subject, attributes FROM person ORDER BY subject")
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        rows.iter()
            .map(|row| Ok((database.text(row, "subject")?, self.read_attributes(row)?)))
            .collect()
    }

    /// Says what is known of a person, in place of what was known, and gives what is known now. Who somebody is
    /// only grows: two names that are one human stay so until the person is forgotten.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever is no administrator, and for what somebody says of themselves:
    /// nobody clears themselves. [`CatalogError::Argument`] for a person or attributes that are none.
    pub async fn put_person(
        &self,
        who: &Principal,
        subject: &str,
        attributes: &PersonAttributes,
    ) -> Result<PersonAttributes, CatalogError> {
        may_administer(who)?;
        check_subject(subject)?;
        self.is_somebody_else(who, subject).await?;
        self.check_no_program(subject).await?;
        let mut attributes = checked(attributes)?;
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let row = sqlx::query("SELECT attributes FROM person WHERE subject = $1")
            .bind(subject)
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if let Some(row) = row {
            let known = self.read_attributes(&row)?.identities;
            attributes.identities.extend(known.iter().cloned());
            // What is there stays, and is in nobody's way.
            if attributes.identities.len() > known.len() {
                check_attributes(&attributes)?;
            }
        }
        let text = serde_json::to_string(&attributes)
            .map_err(|error| database.unreadable("the attributes of a person", &error))?;
        sqlx::query(
            "INSERT INTO person (subject, attributes, changed_at) VALUES ($1, $2, $3)
             ON CONFLICT (subject) DO UPDATE SET attributes = excluded.attributes,
                 changed_at = excluded.changed_at",
        )
        .bind(subject)
        .bind(&text)
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        let said = Said::new(Act::ChangePerson, subject_of(who)).with("who", subject);
        write.note(said.with("attributes", text)).await?;
        write.commit().await?;
        Ok(attributes)
    }

    /// Forgets what is known of a person: they are of no group any more, and cleared for nothing. Who
    /// logged in is locked out: their sessions end, they are no administrator, and nothing that their
    /// issuer has said of them until now counts any more. False if nothing was known.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever is no administrator.
    pub async fn remove_person(
        &self,
        who: &Principal,
        subject: &str,
    ) -> Result<bool, CatalogError> {
        may_administer(who)?;
        self.is_somebody_else(who, subject).await?;
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let removed = sqlx::query("DELETE FROM person WHERE subject = $1")
            .bind(subject)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let locked_out = lock_out(database, &mut write, subject).await?;
        let removed = removed.rows_affected() > 0 || locked_out;
        if removed {
            let said = Said::new(Act::RemovePerson, subject_of(who));
            write.note(said.with("who", subject)).await?;
        }
        write.commit().await?;
        Ok(removed)
    }

    /// Refuses what somebody says of themselves, or of a program of their own.
    async fn is_somebody_else(&self, who: &Principal, person: &str) -> Result<(), CatalogError> {
        if *who == Principal::Owner {
            return Ok(());
        }
        if self.is_same_person(who, person).await? {
            return Err(CatalogError::Denied(format!(
                "nobody says what they, or programs whose tokens they made, are cleared for, nor by another of their \
                 own names: ask another administrator, or the owner of the node, about {person}"
            )));
        }
        Ok(())
    }

    /// What is known of somebody, and the datasets that they have a grant for at a moment: what every
    /// decision depends on, in one statement.
    pub(crate) async fn known_of(
        &self,
        subject: &str,
        at: &str,
    ) -> Result<(PersonAttributes, BTreeSet<DatasetName>), CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query(
            "SELECT attributes AS text, 0 AS is_grant FROM person WHERE subject = $1
             UNION ALL
             SELECT dataset AS text, 1 AS is_grant FROM access_grant
             WHERE subject = $1 AND expires_at > $2 AND revoked_at IS NULL",
        )
        .bind(subject)
        .bind(at)
        .fetch_all(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        let (mut attributes, mut grants) = (PersonAttributes::default(), BTreeSet::new());
        for row in rows {
            let text = database.text(&row, "text")?;
            if database.number::<i64>(&row, "is_grant")? == 1 {
                grants.insert(database.dataset_name(&text)?);
            } else {
                attributes = serde_json::from_str(&text)
                    .map_err(|error| database.unreadable("the attributes of a person", &error))?;
            }
        }
        Ok((attributes, grants))
    }

    /// All grants for a dataset, those that ended as well, newest first.
    pub async fn grants(&self, dataset: &DatasetName) -> Result<Vec<Grant>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query(
            "SELECT * FROM access_grant WHERE dataset = $1 ORDER BY granted_at DESC, id",
        )
        .bind(dataset.as_str())
        .fetch_all(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        rows.iter().map(|row| self.grant_from_row(row)).collect()
    }

    /// Stores a grant as it is. Whether it may be given is for the caller.
    pub async fn put_grant(&self, grant: &Grant) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        insert_grant(database, &mut write, grant).await?;
        write.note(granted(self.lab(), grant)).await?;
        write.commit().await
    }

    fn grant_from_row(&self, row: &AnyRow) -> Result<Grant, CatalogError> {
        let database = &self.inner.database;
        Ok(Grant {
            id: database.text(row, "id")?,
            dataset: database.dataset_name(&database.text(row, "dataset")?)?,
            subject: database.text(row, "subject")?,
            purpose: database.text(row, "purpose")?,
            agreement: database.text(row, "agreement")?,
            granted_by: database.text(row, "granted_by")?,
            granted_at: database.text(row, "granted_at")?,
            expires_at: database.text(row, "expires_at")?,
            revoked_at: database.optional_text(row, "revoked_at")?,
        })
    }
}

/// What is said of a grant.
pub(crate) fn granted(lab: &LabName, grant: &Grant) -> Said {
    Said::new(Act::ApproveAccess, grant.granted_by.as_str())
        .on(format!("{lab}.{}", grant.dataset))
        .with("who", grant.subject.as_str())
        .with("grant", grant.id.as_str())
        .with("purpose", grant.purpose.as_str())
        .with("until", grant.expires_at.as_str())
}

/// Adds a grant to a transaction.
pub(crate) async fn insert_grant(
    database: &crate::store::Database,
    write: &mut crate::store::Write<'_>,
    grant: &Grant,
) -> Result<(), CatalogError> {
    sqlx::query(
        "INSERT INTO access_grant (id, dataset, subject, purpose, agreement, granted_by, granted_at,
                                   expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&grant.id)
    .bind(grant.dataset.as_str())
    .bind(&grant.subject)
    .bind(&grant.purpose)
    .bind(&grant.agreement)
    .bind(&grant.granted_by)
    .bind(&grant.granted_at)
    .bind(&grant.expires_at)
    .execute(&mut *write.transaction)
    .await
    .map(drop)
    .map_err(|error| database.error(&error))
}

/// Somebody that attributes and grants may be for.
pub(crate) fn check_subject(subject: &str) -> Result<(), CatalogError> {
    let fits = match subject.split_once(':') {
        Some(("person", name)) => is_plain(name),
        Some(("visitor", rest)) => rest
            .split_once(':')
            .is_some_and(|(lab, name)| tarn_schemas::LabName::new(lab).is_ok() && is_plain(name)),
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(CatalogError::Argument(format!(
            "{subject:?} names nobody: write person:NAME for one with a token of this lab, \
             visitor:LAB:NAME for one of a peer"
        )))
    }
}

fn is_plain(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
}

/// Attributes that may be kept, with what tells who somebody is in one way.
fn checked(attributes: &PersonAttributes) -> Result<PersonAttributes, CatalogError> {
    check_attributes(attributes)?;
    let known = attributes.identities.iter().take(MOST.saturating_add(1)).map(|text| {
        identity(text).ok_or_else(|| {
            CatalogError::Argument(format!(
                "{text:?} tells of nobody who it is: write orcid:0000-0002-1825-0097, mailto:ann@lab.gov, or another \
                 name that they have here, such as person:ann"
            ))
        })
    });
    Ok(PersonAttributes { identities: known.collect::<Result<_, _>>()?, ..attributes.clone() })
}

fn check_attributes(attributes: &PersonAttributes) -> Result<(), CatalogError> {
    let sets: [(&str, &BTreeSet<String>); 7] = [
        ("group", &attributes.groups),
        ("clearance", &attributes.clearances),
        ("training", &attributes.training),
        ("affiliation", &attributes.affiliations),
        ("country", &attributes.countries),
        ("terms", &attributes.terms),
        ("identity", &attributes.identities),
    ];
    for (kind, values) in sets {
        if values.len() > MOST || values.iter().any(|value| !is_plain(value)) {
            return Err(CatalogError::Argument(format!(
                "every {kind} is a text of 1 to {LONGEST} bytes, and there are at most {MOST}"
            )));
        }
    }
    let is_code = |code: &String| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
    if let Some(country) = attributes.countries.iter().find(|code| !is_code(code)) {
        return Err(CatalogError::Argument(format!(
            "{country:?} is no country: write its two letters of ISO 3166-1, such as US"
        )));
    }
    // A clearance for a marking that nothing carries would clear nobody, without a word.
    let is_marking = |code: &&String| tarn_schemas::profile::is_marking(code);
    if let Some(code) = attributes.clearances.iter().find(|code| !is_marking(code)) {
        return Err(CatalogError::Argument(format!(
            "{code:?} is no marking: write an access limitation code of OSTI E-Link, such as CUI"
        )));
    }
    match attributes.assurance.as_deref() {
        Some(level) if assurance(level) > 3 => Err(CatalogError::Argument(format!(
            "{level:?} is no assurance: write low, medium or high"
        ))),
        _ => Ok(()),
    }
}
