//! Requests with a key of their client's, which may be sent again: what was done is not done twice.
//!
//! The header `Idempotency-Key` of draft-ietf-httpapi-idempotency-key-header: a client that does not know
//! whether its request arrived sends it again with the same key, and gets the answer that it missed.
//!
//! A request is noted before it runs, so that of two at once one runs. If the node dies while it runs, nobody
//! knows whether it took effect: it is not run again, and the client is told so.

use crate::policy::subject;
use crate::register::timestamp;
use crate::{Catalog, CatalogError, secret};
use chrono::{TimeDelta, Utc};
use tarn_schemas::Principal;

/// Hours for which a key is known.
const HOURS: i64 = 24;
/// Most keys of one person at a time: they are kept for everybody in one table.
const MOST: i64 = 2000;

/// An answer to be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptResponse {
    /// HTTP status.
    pub status: u16,
    /// Headers that belong to it, such as `Location`.
    pub headers: Vec<(String, String)>,
    /// The body; none where it is told once only, or too long to be kept.
    pub body: Option<String>,
}

/// A request with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRequest {
    subject: String,
    key_hash: String,
    request_hash: String,
}

/// What is known of a request before it runs.
#[derive(Debug)]
pub enum Known {
    /// Nothing: it may run now, and its end has to be told.
    New,
    /// It was done.
    Done(KeptResponse),
}

impl KeyedRequest {
    /// The request of a principal: its key, and everything that it asks for (method, address, body).
    pub fn new(who: &Principal, key: &str, parts: &[&[u8]]) -> Self {
        let mut hash = blake3::Hasher::new();
        for part in parts {
            // Lengths keep one part from running into the next.
            hash.update(part.len().to_string().as_bytes());
            hash.update(b":");
            hash.update(part);
        }
        Self {
            subject: subject(who),
            key_hash: secret::hash(key),
            request_hash: hash.finalize().to_hex().to_string(),
        }
    }
}

impl Catalog {
    /// Notes that a request begins.
    ///
    /// # Errors
    /// [`CatalogError::Argument`] if the key stands for another request; [`CatalogError::Conflict`] if the
    /// request has not ended, or nobody knows its end, and for a person with too many keys.
    pub async fn begin_keyed(&self, request: &KeyedRequest) -> Result<Known, CatalogError> {
        let database = &self.inner.database;
        let now = Utc::now();
        let mut write = database.write().await?;
        sqlx::query("DELETE FROM keyed_request WHERE begun_at < $1")
            .bind(timestamp(now - TimeDelta::hours(HOURS)))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let row = sqlx::query(
            "SELECT request_hash, begun_at, status, headers, body FROM keyed_request
             WHERE subject = $1 AND key_hash = $2",
        )
        .bind(&request.subject)
        .bind(&request.key_hash)
        .fetch_optional(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if let Some(row) = row {
            if database.text(&row, "request_hash")? != request.request_hash {
                return Err(CatalogError::Argument(
                    "this Idempotency-Key was sent with another request: every request has a key of its own"
                        .to_owned(),
                ));
            }
            let status: u16 = database.number(&row, "status")?;
            if status == 0 {
                return Err(CatalogError::Conflict(format!(
                    "the request with this Idempotency-Key began at {} and has not ended, or was cut: send it \
                     again in some seconds; if it still has not ended then, look whether it took effect, and \
                     use a new key if it did not",
                    database.text(&row, "begun_at")?
                )));
            }
            let headers = database.optional_text(&row, "headers")?.unwrap_or_default();
            let headers = serde_json::from_str(&headers)
                .map_err(|error| database.unreadable("the headers of an answer", &error))?;
            let body = database.optional_text(&row, "body")?;
            return Ok(Known::Done(KeptResponse { status, headers, body }));
        }
        let row = sqlx::query("SELECT count(*) AS number FROM keyed_request WHERE subject = $1")
            .bind(&request.subject)
            .fetch_one(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if database.number::<i64>(&row, "number")? >= MOST {
            return Err(CatalogError::Conflict(format!(
                "you sent {MOST} requests with an Idempotency-Key within {HOURS} hours: send this one without"
            )));
        }
        sqlx::query(
            "INSERT INTO keyed_request (subject, key_hash, request_hash, begun_at)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(&request.subject)
        .bind(&request.key_hash)
        .bind(&request.request_hash)
        .bind(timestamp(now))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.commit().await?;
        Ok(Known::New)
    }

    /// Notes how a request ended: with an answer to be given again, or without effect, and then it may be
    /// sent anew.
    pub async fn end_keyed(
        &self,
        request: &KeyedRequest,
        answer: Option<&KeptResponse>,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let statement = match answer {
            Some(answer) => {
                let headers = serde_json::to_string(&answer.headers)
                    .map_err(|error| database.unreadable("the headers of an answer", &error))?;
                sqlx::query(
                    "UPDATE keyed_request SET status = $3, headers = $4, body = $5
                     WHERE subject = $1 AND key_hash = $2",
                )
                .bind(&request.subject)
                .bind(&request.key_hash)
                .bind(i64::from(answer.status))
                .bind(headers)
                .bind(answer.body.clone())
            }
            None => sqlx::query("DELETE FROM keyed_request WHERE subject = $1 AND key_hash = $2")
                .bind(&request.subject)
                .bind(&request.key_hash),
        };
        statement.execute(&mut *write.transaction).await.map_err(|error| database.error(&error))?;
        write.commit().await
    }
}
