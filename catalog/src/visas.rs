//! Grants as GA4GH visas (Passport 1.2): what a person shows to other labs.

use crate::audit::{Act, AuditEntry, Said};
use crate::datasets::Stored;
use crate::decision::Action;
use crate::policy::subject;
use crate::register::timestamp;
use crate::{Catalog, CatalogError};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tarn_schemas::{DatasetName, Principal};

/// Seconds for which a visa is good, if the grant does not end before: a grant that is revoked is not
/// known elsewhere before its visas have ended.
const LIFE: i64 = 3600;

impl Catalog {
    /// The public keys that visas of this node are signed with (RFC 7517).
    pub fn visa_keys(&self) -> Result<Value, CatalogError> {
        Ok(json!({"keys": [self.inner.visa_signer.public()?]}))
    }

    /// A visa for each grant that a person has now and that lets them read here, good for an hour or as
    /// long as the grant. `base` is the address of this node: the issuer of its visas. The log has each
    /// grant once in an hour, however often its visa is asked for.
    pub async fn visas(&self, who: &Principal, base: &str) -> Result<Vec<String>, CatalogError> {
        if !who.is_signed_in() || *who == Principal::Owner {
            return Err(CatalogError::Unauthenticated(
                "visas are for people with grants: log in first",
            ));
        }
        let (database, now, base) = (&self.inner.database, Utc::now(), base.trim_end_matches('/'));
        let person = subject(who);
        let rights = self.rights(who).await?;
        let mut read = database.read().await?;
        let rows = sqlx::query(
            "SELECT * FROM access_grant WHERE subject = $1 AND expires_at > $2 AND revoked_at IS NULL
             ORDER BY granted_at, id",
        )
        .bind(&person)
        .bind(timestamp(now))
        .fetch_all(&mut *read)
        .await
        .map_err(|error| database.error(&error))?;
        let granted = rows.iter().map(|row| database.dataset_name(&database.text(row, "dataset")?));
        let granted: BTreeSet<DatasetName> = granted.collect::<Result<_, _>>()?;
        let granted: Vec<DatasetName> = granted.into_iter().collect();
        // What this lab does not let them read themselves, it vouches for nowhere.
        let mut readable = BTreeSet::new();
        for Stored { dataset, .. } in self.load_all(&mut read, &granted).await? {
            if self.decide_as(&rights, Action::Read, &dataset)?.allowed {
                readable.insert(dataset.name);
            }
        }
        drop(read);
        let keys = format!("{base}/.well-known/jwks.json");
        let (mut visas, mut grants) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in &rows {
            let dataset = database.dataset_name(&database.text(row, "dataset")?)?;
            if !readable.contains(&dataset) {
                continue;
            }
            let (id, asserted) = (database.text(row, "id")?, database.text(row, "granted_at")?);
            let seconds = |text: &str| {
                DateTime::parse_from_rfc3339(text)
                    .map(|at| at.timestamp())
                    .map_err(|error| database.unreadable("the time of a grant", &error))
            };
            let ends = seconds(&database.text(row, "expires_at")?)?;
            let expires = ends.min(now.timestamp().saturating_add(LIFE));
            if expires <= now.timestamp() {
                continue;
            }
            let visa = json!({
                "type": "ControlledAccessGrants",
                "asserted": seconds(&asserted)?,
                "value": self.visa_value(base, &dataset),
                "source": base,
                "by": "dac",
            });
            let claims = json!({
                "iss": base,
                "sub": person,
                "iat": now.timestamp(),
                "exp": expires,
                "jti": format!("{id}.{}", now.timestamp_millis()),
                "ga4gh_visa_v1": visa,
            });
            visas.push(self.inner.visa_signer.sign(&claims, &keys)?);
            grants.push(id);
        }
        let noted = self.noted_grants(&person, now).await?;
        grants.retain(|grant| !noted.contains(grant));
        if !grants.is_empty() {
            let mut write = database.write().await?;
            write.note(Said::new(Act::IssueVisas, person).with("grants", grants.join(" "))).await?;
            write.commit().await?;
        }
        Ok(visas)
    }

    /// Grants of which the log says that a person was given visas within the last hour.
    async fn noted_grants(
        &self,
        person: &str,
        now: DateTime<Utc>,
    ) -> Result<BTreeSet<String>, CatalogError> {
        let database = &self.inner.database;
        let rows =
            sqlx::query("SELECT entry FROM audit WHERE at > $1 AND person = $2 AND act = $3")
                .bind(timestamp(now - TimeDelta::seconds(LIFE)))
                .bind(person)
                .bind(Act::IssueVisas.name())
                .fetch_all(database.pool())
                .await
                .map_err(|error| database.error(&error))?;
        let mut noted = BTreeSet::new();
        for row in &rows {
            let entry: AuditEntry = serde_json::from_str(&database.text(row, "entry")?)
                .map_err(|error| database.unreadable("an entry of the audit log", &error))?;
            let grants = entry.details.get("grants").map(String::as_str).unwrap_or_default();
            noted.extend(grants.split(' ').map(str::to_owned));
        }
        Ok(noted)
    }

    /// The `value` of a visa for a dataset: the address of its page.
    fn visa_value(&self, base: &str, dataset: &DatasetName) -> String {
        format!("{base}/datasets/{}/{dataset}", self.lab())
    }
}
