//! The suite on PostgreSQL: one server for the process, one database for each folder.

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
mod server;
#[path = "../stores.rs"]
mod stores;
#[path = "../support.rs"]
mod support;
#[path = "../tables.rs"]
mod tables;

use std::path::Path;

/// The database of a catalog's folder; it is made, empty, if it is not there.
pub(crate) fn url(folder: &Path) -> Option<String> {
    Some(server::database(folder))
}

/// Runs statements behind the catalog's back.
pub(crate) async fn tamper(folder: &Path, statements: &[&str]) {
    let pool = sqlx::PgPool::connect(&server::database(folder)).await.unwrap();
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe((*statement).to_owned())).execute(&pool).await.unwrap();
    }
    pool.close().await;
}
