//! Whose word counts where two people are asked for: tokens that somebody made over the network, in a name that
//! they chose, do not make a second person of them.
//!
//! The owner of the node vouches for the people whose tokens they make. An administrator who makes a token over
//! the network makes one for a program, in a name that nobody has: it decides about nothing, is nobody's
//! second person, and whoever made it says nothing of it either.

use crate::policy::subject;
use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError, OWNER};
use chrono::Utc;
use std::collections::BTreeSet;
use tarn_schemas::{LabName, Principal};

impl Catalog {
    /// Who made the tokens of somebody over the network; nobody where the owner of the node made one.
    pub(crate) async fn makers(&self, person: &str) -> Result<BTreeSet<String>, CatalogError> {
        let Some(name) = person.strip_prefix("person:") else { return Ok(BTreeSet::new()) };
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT DISTINCT made_by FROM token WHERE name = $1")
            .bind(name)
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let makers: Result<BTreeSet<String>, _> =
            rows.iter().map(|row| database.text(row, "made_by")).collect();
        let makers = makers?;
        Ok(if makers.contains(OWNER) { BTreeSet::new() } else { makers })
    }

    /// Refuses decisions by the tokens of programs.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for a principal whose tokens were all made over the network.
    pub(crate) async fn check_person(&self, who: &Principal) -> Result<(), CatalogError> {
        let makers = self.makers(&subject(who)).await?;
        match makers.first() {
            None => Ok(()),
            Some(maker) => Err(CatalogError::Denied(format!(
                "{} is a program, whose token {maker} made over the network: people decide, who log in or have \
                 a token of the operator's (`tarn token create`)",
                who.label()
            ))),
        }
    }

    /// Refuses to say something of somebody, or to make them a token, in a name whose holder is a program now:
    /// whoever made that token would be who is meant.
    pub(crate) async fn check_no_program(&self, person: &str) -> Result<(), CatalogError> {
        let Some(name) = person.strip_prefix("person:") else { return Ok(()) };
        let database = &self.inner.database;
        let row = sqlx::query(
            "SELECT made_by FROM token
             WHERE name = $1 AND made_by <> $2 AND revoked_at IS NULL AND expires_at > $3 LIMIT 1",
        )
        .bind(name)
        .bind(OWNER)
        .bind(timestamp(Utc::now()))
        .fetch_optional(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(()) };
        Err(CatalogError::Denied(format!(
            "{name} is a program, whose token {} made over the network: choose another name for a person, or \
             revoke that token first (`tarn token revoke {name}`)",
            database.text(&row, "made_by")?
        )))
    }

    /// Whether nobody has or had this name here, in whatever case of letters, and no policy names it.
    /// What a program may be called is plain ASCII, so that it looks like nobody else.
    pub(crate) async fn is_new_name(
        &self,
        write: &mut Write<'_>,
        name: &str,
    ) -> Result<bool, CatalogError> {
        // A visitor is written NAME@LAB.
        let visits = name.rsplit_once('@').is_some_and(|(_, lab)| LabName::new(lab).is_ok());
        if visits || !name.is_ascii() || self.inner.policies.name_person(name) {
            return Ok(false);
        }
        let database = &self.inner.database;
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM token WHERE lower(name) = $1)
                  + (SELECT count(*) FROM person WHERE lower(subject) = $2)
                  + (SELECT count(*) FROM access_grant WHERE lower(subject) = $2)
                  + (SELECT count(*) FROM access_request WHERE lower(subject) = $2)
                  + (SELECT count(*) FROM dataset WHERE lower(registrant) = $2)
                  + (SELECT count(*) FROM draft WHERE lower(author) = $2)
                  + (SELECT count(*) FROM saved_search WHERE lower(subject) = $2)
                  + (SELECT count(*) FROM saved_query WHERE lower(subject) = $2)
                  + (SELECT count(*) FROM stream_receipt WHERE lower(subject) = $2)
                  + (SELECT count(*) FROM saved_query_reader WHERE lower(reader) = $2) AS number",
        )
        .bind(name.to_lowercase())
        .bind(format!("person:{}", name.to_lowercase()))
        .fetch_one(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        Ok(database.number::<i64>(&row, "number")? == 0)
    }
}

/// Whether a name of a token is one that a reader of the log takes for no other: letters, digits and a few signs.
pub(crate) fn is_name(name: &str) -> bool {
    let sign = |c: char| matches!(c, ' ' | '.' | '-' | '_' | '@' | '+' | '\'' | '(' | ')' | ',');
    (1..=128).contains(&name.chars().count())
        && name.trim() == name
        && name.chars().any(char::is_alphanumeric)
        && name.chars().all(|c| c.is_alphanumeric() || sign(c))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_look_like_themselves() {
        for name in
            ["ann", "Dr Ann O'Neil", "beamline-7", "ann@lab.gov", "Ärztin", "李", &"x".repeat(128)]
        {
            assert!(is_name(name), "{name:?}");
        }
        for name in [
            "",
            " ann",
            "ann ",
            "a\u{200b}",
            "\u{202e}root",
            "person:root",
            "login:x",
            "..",
            "a\nb",
            "a/b",
        ] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(!is_name(&"x".repeat(129)));
    }
}
