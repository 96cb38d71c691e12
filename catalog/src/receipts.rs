//! Receipts of streams: what of which versions somebody was sent, signed by the lab.
//!
//! The key is that of the audit log. Whoever has a receipt and the lab's public key can show what a model was
//! trained on; whoever keeps a dataset finds the runs that a mistake in it touches.

use crate::audit::is_signed;
use crate::decision::Action;
use crate::model::Dataset;
use crate::policy::{Rights, subject};
use crate::register::timestamp;
use crate::store::Rows;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use tarn_schemas::{DatasetName, DatasetRef, LabName, Principal, Scope};

/// Receipts of one page of a listing.
const PAGE: usize = 100;
/// Rows that are looked at for a page at once.
const LOOK: i64 = 200;
/// Most receipts that are kept of those who are not signed in, who can make any number.
const MOST_OF_STRANGERS: i64 = 10_000;

/// A range of global positions of which one rank was sent its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptSegment {
    /// Rows of a batch of one rank.
    pub batch_size: u32,
    /// Global position of the first step.
    pub from: u64,
    /// Sum of the hashes of the samples, in hexadecimal.
    pub hash: String,
    /// The rank.
    pub rank: u32,
    /// Rows that were sent.
    pub rows: u64,
    /// Global position after the last step.
    pub to: u64,
    /// How many ranks shared each step.
    pub world_size: u32,
}

/// What of a stream was sent, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// When it was signed, RFC 3339 in UTC.
    pub at: String,
    /// What was streamed.
    #[serde(flatten)]
    pub what: NewReceipt,
    /// Public key of the lab, 64 hexadecimal digits.
    pub key: String,
    /// Whose data these are.
    pub lab: LabName,
    /// Ed25519 over the JSON of the other fields by the order of their names, 128 hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signature: String,
    /// Who was sent it: `person:ann`, `anonymous`.
    pub subject: String,
}

/// A receipt that is to be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewReceipt {
    /// Batches that were sent.
    pub batches: u64,
    /// Columns that were asked for; all of the table without.
    pub columns: Option<Vec<String>>,
    /// Whether every sample of the epoch is in it.
    pub complete: bool,
    /// The table.
    pub dataset: String,
    /// Epoch.
    pub epoch: u32,
    /// Condition on the rows.
    pub filter: Option<String>,
    /// Rows of a step over all ranks, of the last segment.
    pub global_batch: u64,
    /// Sum of the hashes of all samples that were sent, in hexadecimal.
    pub hash: String,
    /// Its number: those that were made later have greater ones.
    pub id: String,
    /// Global position after the last step.
    pub next_position: u64,
    /// The order: `fz1` or `table`.
    pub order: String,
    /// What is pinned.
    pub plan_id: String,
    /// The policies that decided.
    pub policies: Vec<String>,
    /// Checksum of what the policies decided.
    pub policy_digest: String,
    /// Rows that were sent.
    pub rows: u64,
    /// Seed of the order.
    pub seed: u64,
    /// The parts that it was sent in.
    pub segments: Vec<ReceiptSegment>,
    /// Rows of an epoch over all ranks.
    pub selected: u64,
    /// The part of the table that was asked for, as JSON.
    pub split: Option<String>,
    /// Global position of the first sample.
    pub start: u64,
    /// `lab.name` → version.
    pub versions: BTreeMap<String, u32>,
}

impl Receipt {
    /// The text that is signed. A map has its keys by their order.
    fn signed(&self) -> Vec<u8> {
        let bare = Self { signature: String::new(), ..self.clone() };
        let fields = serde_json::to_value(&bare).unwrap_or_default();
        let fields: BTreeMap<String, serde_json::Value> = match fields {
            serde_json::Value::Object(fields) => fields.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        // Texts and numbers: there is nothing that JSON could not hold.
        serde_json::to_vec(&fields).unwrap_or_default()
    }

    /// Whether the signature is that of the key that it names. Whether that is the lab's key somebody has to know
    /// otherwise: `tarn audit verify` and `GET /api/v1/audit/head` say it.
    pub fn is_signed(&self) -> bool {
        is_signed(&self.key, &self.signature, &self.signed())
    }
}

impl Catalog {
    /// Signs a receipt and keeps it. Of two with one number the one of more rows is kept, which goes on where the other
    /// ends.
    ///
    /// # Errors
    /// [`CatalogError::Argument`] for versions of another lab.
    pub async fn keep_receipt(
        &self,
        who: &Principal,
        what: NewReceipt,
    ) -> Result<Receipt, CatalogError> {
        let database = &self.inner.database;
        let mut receipt = Receipt {
            at: timestamp(Utc::now()),
            what,
            key: self.audit_key()?,
            lab: self.lab().clone(),
            signature: String::new(),
            subject: subject(who),
        };
        receipt.signature = self.inner.signer.sign(&receipt.signed())?;
        let (id, own) = (receipt.what.id.as_str(), receipt.subject.as_str());
        let mut inputs = Rows::new();
        for (name, version) in &receipt.what.versions {
            let dataset: DatasetRef =
                name.parse().map_err(|error| CatalogError::Argument(format!("{error}")))?;
            inputs.push([dataset.name.as_str().into(), i64::from(*version).into(), id.into()]);
        }
        let text = serde_json::to_string(&receipt)
            .map_err(|error| database.unreadable("a receipt", &error))?;
        let mut write = database.write().await?;
        let kept = sqlx::query(
            "INSERT INTO stream_receipt (id, subject, row_count, content) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET row_count = excluded.row_count, content = excluded.content
             WHERE stream_receipt.subject = excluded.subject
               AND stream_receipt.row_count < excluded.row_count",
        )
        .bind(id)
        .bind(own)
        .bind(i64::try_from(receipt.what.rows).unwrap_or(i64::MAX))
        .bind(text)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if kept.rows_affected() > 0 {
            sqlx::query("DELETE FROM stream_receipt_input WHERE receipt = $1")
                .bind(id)
                .execute(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?;
            inputs
                .insert(&mut write, "INTO stream_receipt_input (dataset, version, receipt)")
                .await?;
        }
        if !who.is_signed_in() {
            let many = "DELETE FROM stream_receipt WHERE subject = $1 AND id <= (
                            SELECT id FROM stream_receipt WHERE subject = $1
                            ORDER BY id DESC LIMIT 1 OFFSET $2)";
            sqlx::query(many)
                .bind(own)
                .bind(MOST_OF_STRANGERS)
                .execute(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?;
        }
        write.commit().await?;
        Ok(receipt)
    }

    /// Receipts of this principal, and of everybody of the datasets that they keep or decide about; for administrators
    /// all. With `affected` only those that a version of a dataset is in, or any version of it. The oldest first,
    /// from behind `after` on, and where the next page begins, if there is one.
    ///
    /// # Errors
    /// [`CatalogError::Argument`] for a dataset of another lab.
    pub async fn receipts(
        &self,
        who: &Principal,
        affected: Option<&DatasetRef>,
        after: Option<&str>,
    ) -> Result<(Vec<Receipt>, Option<String>), CatalogError> {
        if let Some(lab) = affected.and_then(|dataset| dataset.lab.as_ref())
            && lab != self.lab()
        {
            return Err(CatalogError::Argument(format!(
                "receipts of streams of lab {lab} are at its own node; this is lab {}",
                self.lab()
            )));
        }
        let rights = self.rights(who).await?;
        let own = if who.is_signed_in() { subject(who) } else { String::new() };
        let (mut kept_by, mut found) = (HashMap::new(), Vec::new());
        let mut after = after.unwrap_or_default().to_owned();
        let version = affected.and_then(|dataset| dataset.version).map_or(-1, i64::from);
        let database = &self.inner.database;
        loop {
            let rows = sqlx::query(
                "SELECT r.id, r.subject, r.content FROM stream_receipt r WHERE r.id > $1 AND ($2 = '' OR EXISTS (
                     SELECT 1 FROM stream_receipt_input i
                     WHERE i.receipt = r.id AND i.dataset = $2 AND ($3 < 0 OR i.version = $3)))
                 ORDER BY r.id LIMIT $4",
            )
            .bind(&after)
            .bind(affected.map_or("", |dataset| dataset.name.as_str()))
            .bind(version)
            .bind(LOOK)
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
            let Some(last) = rows.last() else { return Ok((found, None)) };
            for row in &rows {
                let receipt: Receipt = serde_json::from_str(&database.text(row, "content")?)
                    .map_err(|error| database.unreadable("a receipt", &error))?;
                let mine = database.text(row, "subject")? == own;
                if !mine && !self.keeps_all_of(&rights, &receipt, &mut kept_by).await? {
                    continue;
                }
                if found.len() == PAGE {
                    let next = found.last().map(|receipt: &Receipt| receipt.what.id.clone());
                    return Ok((found, next));
                }
                found.push(receipt);
            }
            after = database.text(last, "id")?;
        }
    }

    /// The public key that receipts are signed with, in hexadecimal: that of the audit log.
    pub fn receipt_key(&self) -> Result<String, CatalogError> {
        self.audit_key()
    }

    /// The receipt of this number that this principal was given, if there is one.
    pub async fn receipt(
        &self,
        who: &Principal,
        id: &str,
    ) -> Result<Option<Receipt>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT content FROM stream_receipt WHERE id = $1 AND subject = $2")
            .bind(id)
            .bind(subject(who))
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(None) };
        serde_json::from_str(&database.text(&row, "content")?)
            .map(Some)
            .map_err(|error| database.unreadable("a receipt", &error))
    }

    /// Whether all data of a receipt are in this principal's care.
    async fn keeps_all_of(
        &self,
        rights: &Rights,
        receipt: &Receipt,
        known: &mut HashMap<DatasetName, bool>,
    ) -> Result<bool, CatalogError> {
        if rights.who == Principal::Owner || rights.who.has_scope(Scope::Admin) {
            return Ok(true);
        }
        for name in receipt.what.versions.keys() {
            let Ok(dataset) = name.parse::<DatasetRef>() else { return Ok(false) };
            let keeps = if let Some(keeps) = known.get(&dataset.name) {
                *keeps
            } else {
                let keeps = self.keeps(rights, &dataset).await?;
                known.insert(dataset.name, keeps);
                keeps
            };
            if !keeps {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a principal keeps a dataset or decides about it; that it was withdrawn does not end that.
    async fn keeps(&self, rights: &Rights, dataset: &DatasetRef) -> Result<bool, CatalogError> {
        let found = match Box::pin(self.dataset_as(rights, dataset)).await {
            Ok(found) => Dataset { withdrawn: None, ..found },
            Err(CatalogError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(self.decide_as(rights, Action::Write, &found)?.allowed
            || self.decide_as(rights, Action::Review, &found)?.allowed)
    }
}
