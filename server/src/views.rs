//! Views: made and taken away.

use crate::failure::Failure;
use serde_json::{Value, json};
use tarn_catalog::Catalog;
use tarn_query::{Dropping, Query, Session, Stop, ViewCreation};

/// Makes a view, as whoever makes it sees what it reads now.
pub(crate) async fn create(
    catalog: &Catalog,
    session: &Session,
    query: &Query,
    view: ViewCreation,
) -> Result<Value, Failure> {
    let (who, ViewCreation { dataset, name, security_invoker, sql }) = (session.principal(), view);
    let may = Box::pin(catalog.check_view(who, &dataset, (&name, security_invoker))).await;
    if let Err(error) = may {
        // Nobody waits for it any more.
        query.stop(Stop::Abandoned);
        return Err(error.into());
    }
    let view = Box::pin(session.plan_view(query, (name, &sql), security_invoker)).await?;
    let lab = catalog.lab();
    let (called, sql) = (format!("{lab}.{dataset}.{}", view.name), view.sql.clone());
    let note = if security_invoker {
        "reads with the rights of whoever asks"
    } else {
        "reads with the rights of whoever made it, for everyone who may read its dataset"
    };
    Box::pin(catalog.put_view(who, &dataset, view)).await?;
    Ok(json!({ "view": called, "security_invoker": security_invoker, "sql": sql, "note": note }))
}

/// Takes a view away.
pub(crate) async fn drop_view(
    catalog: &Catalog,
    session: &Session,
    Dropping { dataset, name }: Dropping,
) -> Result<Value, Failure> {
    Box::pin(catalog.drop_view(session.principal(), &dataset, &name)).await?;
    Ok(json!({ "view": format!("{}.{dataset}.{name}", catalog.lab()), "note": "is taken away" }))
}
