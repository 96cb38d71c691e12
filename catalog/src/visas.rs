//! Grants as GA4GH visas (Passport 1.2): what a person shows to other labs.

use crate::audit::{Act, Said};
use crate::policy::subject;
use crate::register::timestamp;
use crate::{Catalog, CatalogError};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tarn_schemas::{DatasetName, Principal};

/// Seconds for which a visa is good, if the grant does not end before: a grant that is revoked is not
/// known elsewhere before its visas have ended.
const LIFE: i64 = 3600;

impl Catalog {
    /// The public keys that visas of this node are signed with (RFC 7517).
    pub fn visa_keys(&self) -> Result<Value, CatalogError> {
        Ok(json!({"keys": [self.inner.visa_signer.public()?]}))
    }

    /// A visa for each grant that a person has now, good for an hour or as long as the grant. `base` is
    /// the address of this node: the issuer of its visas.
    pub async fn visas(&self, who: &Principal, base: &str) -> Result<Vec<String>, CatalogError> {
        if !who.is_signed_in() || *who == Principal::Owner {
            return Err(CatalogError::Unauthenticated(
                "visas are for people with grants: log in first",
            ));
        }
        let (database, now, base) = (&self.inner.database, Utc::now(), base.trim_end_matches('/'));
        let person = subject(who);
        let mut write = database.write().await?;
        let rows = sqlx::query(
            "SELECT * FROM access_grant WHERE subject = $1 AND expires_at > $2 AND revoked_at IS NULL
             ORDER BY granted_at, id",
        )
        .bind(&person)
        .bind(timestamp(now))
        .fetch_all(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        let keys = format!("{base}/.well-known/jwks.json");
        let (mut visas, mut grants) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in &rows {
            let dataset = database.dataset_name(&database.text(row, "dataset")?)?;
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
        if !grants.is_empty() {
            write.note(Said::new(Act::IssueVisas, person).with("grants", grants.join(" "))).await?;
            write.commit().await?;
        }
        Ok(visas)
    }

    /// The `value` of a visa for a dataset: the address of its page.
    fn visa_value(&self, base: &str, dataset: &DatasetName) -> String {
        format!("{base}/datasets/{}/{dataset}", self.lab())
    }
}
