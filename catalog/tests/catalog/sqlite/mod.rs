//! The suite on SQLite, and what is particular to files.

#[path = "../access.rs"]
mod access;
#[path = "../audit.rs"]
mod audit;
#[path = "../derived.rs"]
mod derived;
#[path = "../dois.rs"]
mod dois;
#[path = "../drafts.rs"]
mod drafts;
#[path = "../durability.rs"]
mod durability;
#[path = "../formulas.rs"]
mod formulas;
#[path = "../hidden.rs"]
mod hidden;
#[path = "../identity.rs"]
mod identity;
#[path = "../logins.rs"]
mod logins;
#[path = "../policy.rs"]
mod policy;
#[path = "../queries.rs"]
mod queries;
#[path = "../receipts.rs"]
mod receipts;
#[path = "../registration.rs"]
mod registration;
#[path = "../saved.rs"]
mod saved;
#[path = "../search.rs"]
mod search;
#[path = "../stores.rs"]
mod stores;
#[path = "../support.rs"]
mod support;
#[path = "../tables.rs"]
mod tables;

use std::path::Path;

/// The database of a catalog's folder: the file in it.
pub(crate) fn url(_folder: &Path) -> Option<String> {
    None
}

/// Runs statements behind the catalog's back.
pub(crate) async fn tamper(folder: &Path, statements: &[&str]) {
    let url = format!("sqlite://{}", folder.join("catalog.sqlite").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe((*statement).to_owned())).execute(&pool).await.unwrap();
    }
    pool.close().await;
}
