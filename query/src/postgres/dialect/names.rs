//! Names of columns, as PostgreSQL gives them to clients. Two columns of an answer may have one name there.

use super::tree::{function_name, taken};
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, SetExpr, Value};
use std::collections::BTreeSet;

fn plain(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// What is called nothing.
pub(super) const UNNAMED: &str = "?column?";

/// How PostgreSQL calls a column that has no name, after what makes it; none where it is `?column?`.
pub(super) fn column_name(expr: &Expr) -> Option<String> {
    let said = |name: &str| Some(name.to_owned());
    match expr {
        Expr::Identifier(ident) => Some(plain(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().map(plain),
        Expr::Function(function) => function_name(function),
        Expr::Case { .. } => Some("case".to_owned()),
        Expr::Cast { expr, data_type, .. } => {
            column_name(expr).or_else(|| Some(data_type.to_string().to_lowercase()))
        }
        Expr::Nested(expr) | Expr::Collate { expr, .. } => column_name(expr),
        Expr::TypedString(typed) => Some(typed.data_type.to_string().to_lowercase()),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => said("bool"),
        Expr::Interval(_) => said("interval"),
        Expr::Array(_) => said("array"),
        Expr::Exists { .. } => said("exists"),
        Expr::Extract { .. } => said("extract"),
        Expr::Position { .. } => said("position"),
        Expr::Substring { .. } => said("substring"),
        Expr::Trim { .. } => said("btrim"),
        Expr::Ceil { .. } => said("ceil"),
        Expr::Floor { .. } => said("floor"),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.as_slice() {
                [SelectItem::UnnamedExpr(expr)] => column_name(expr),
                [SelectItem::ExprWithAlias { alias, .. }] => Some(plain(alias)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The select whose columns are those of an answer.
fn outermost(query: &mut Query) -> Option<&mut Select> {
    let mut body = query.body.as_mut();
    loop {
        match body {
            SetExpr::Select(select) => return Some(select),
            SetExpr::Query(query) => body = query.body.as_mut(),
            SetExpr::SetOperation { left, .. } => body = left.as_mut(),
            _ => return None,
        }
    }
}

/// What clients are told the columns are called; none where the engine says it. Nothing at all where they are not
/// counted.
pub(super) fn told(query: &mut Query) -> Vec<Option<String>> {
    let Some(select) = outermost(query) else { return Vec::new() };
    let name = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) => {
            Some(Some(column_name(expr).unwrap_or_else(|| UNNAMED.to_owned())))
        }
        SelectItem::ExprWithAlias { alias, .. } => Some(Some(plain(alias))),
        _ => None,
    };
    select.projection.iter().map(name).collect::<Option<_>>().unwrap_or_default()
}

/// Gives columns of an answer that the engine would call the same names of their own; whether there were such.
pub(super) fn tell_apart(query: &mut Query) -> bool {
    let Some(select) = outermost(query) else { return false };
    let mut taken_names = BTreeSet::new();
    let mut changed = false;
    for item in &mut select.projection {
        let name = match item {
            SelectItem::UnnamedExpr(expr) => expr.to_string(),
            SelectItem::ExprWithAlias { alias, .. } => plain(alias),
            _ => continue,
        };
        if taken_names.insert(name.clone()) {
            continue;
        }
        let alias = Ident::with_quote('"', free(&mut taken_names, &name));
        match item {
            SelectItem::UnnamedExpr(expr) => {
                *item = SelectItem::ExprWithAlias { expr: taken(expr), alias };
            }
            SelectItem::ExprWithAlias { alias: old, .. } => *old = alias,
            _ => {}
        }
        changed = true;
    }
    changed
}

/// A name that no other column has.
pub(super) fn free(taken: &mut BTreeSet<String>, name: &str) -> String {
    let mut number = taken.len();
    loop {
        number = number.saturating_add(1);
        let free = format!("{name} {number}");
        if taken.insert(free.clone()) {
            return free;
        }
    }
}

/// Gives columns of a query within another the names that PostgreSQL does, where they are the only ones.
pub(super) fn name(select: &mut Select) {
    let mut taken_names: BTreeSet<String> = BTreeSet::new();
    for item in &mut select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => {
                taken_names.insert(plain(alias));
            }
            SelectItem::UnnamedExpr(expr)
                if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) =>
            {
                taken_names.extend(column_name(expr));
            }
            _ => {}
        }
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item
            && matches!(expr, Expr::Function(_) | Expr::Cast { .. } | Expr::Case { .. })
            && let Some(name) = column_name(expr)
            && taken_names.insert(name.clone())
        {
            let alias = Ident::with_quote('"', name);
            *item = SelectItem::ExprWithAlias { expr: taken(expr), alias };
        }
    }
}
