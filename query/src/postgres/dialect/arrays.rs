//! `x = ANY(…)`, `x <> ALL(…)` and `ARRAY(SELECT …)`.

use super::super::array::items;
use super::empty;
use super::tree::{cast, form, function_name, null, parameter_of, query, taken, text, truth};
use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, BinaryOperator, DataType, Expr, Function, FunctionArguments, Ident,
    OrderByKind, Query, SelectItem, SetExpr, Value,
};

/// Elements of an array that stands as such, or as text.
fn elements(array: &mut Expr, data_type: Option<&DataType>) -> Option<Vec<Expr>> {
    match array {
        Expr::Array(array) => Some(std::mem::take(&mut array.elem)),
        Expr::Nested(array) => elements(array, data_type),
        Expr::Cast { expr, data_type, .. } => {
            let DataType::Array(
                ArrayElemTypeDef::SquareBracket(element, _)
                | ArrayElemTypeDef::AngleBracket(element)
                | ArrayElemTypeDef::Parenthesis(element),
            ) = data_type
            else {
                return None;
            };
            let element = element.as_ref().clone();
            // Only text is taken apart: whatever else is cast as a whole.
            matches!(expr.as_ref(), Expr::Value(_)).then(|| elements(expr, Some(&element)))?
        }
        Expr::Value(value) => {
            let Value::SingleQuotedString(array) = &value.value else { return None };
            let element = |item: Option<String>| {
                let item = item.map_or_else(|| Expr::value(Value::Null), text);
                match data_type {
                    // Types of the catalog are texts.
                    Some(data_type) if !matches!(data_type, DataType::Char(_)) => {
                        cast(item, data_type.clone())
                    }
                    _ => item,
                }
            };
            Some(items(array).ok()?.into_iter().map(element).collect())
        }
        _ => None,
    }
}

/// A list in the place of `x = ANY(ARRAY['a', 'b'])` and `x = ANY('{a,b}')`, an array in that of other texts; before
/// what is in it is looked at. Of a parameter that is to be described, what its elements are compared with.
pub(super) fn quantified(expr: &mut Expr, describing: bool) -> Option<Expr> {
    let (any, op, left, right) = match expr {
        Expr::AnyOp { left, compare_op, right, .. } => (true, &*compare_op, left, right),
        Expr::AllOp { left, compare_op, right } => (false, &*compare_op, left, right),
        _ => return None,
    };
    if any
        && matches!(right.as_ref(), Expr::Function(function)
            if function_name(function).as_deref() == Some("current_schemas"))
    {
        // What is found without its schema: everything is.
        return Some(truth(true));
    }
    if describing && parameter_of(right).is_some() {
        return Some(Expr::BinaryOp {
            left: Box::new(taken(left)),
            op: op.clone(),
            right: Box::new(taken(right)),
        });
    }
    let elements = elements(right, None)?;
    if elements.is_empty() {
        return Some(truth(!any));
    }
    let (left, compare_op) = (Box::new(taken(left)), op.clone());
    if any && compare_op == BinaryOperator::Eq {
        return Some(Expr::InList { expr: left, list: elements, negated: false });
    }
    let right = Box::new(Expr::Array(Array { elem: elements, named: true }));
    Some(if any {
        Expr::AnyOp { left, compare_op, right, is_some: false }
    } else {
        Expr::AllOp { left, compare_op, right }
    })
}

/// The number of a parameter that is an array of which elements are compared.
pub(super) fn parameter_of_elements(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => parameter_of(right),
        _ => None,
    }
}

/// What stands in the place of `ARRAY(SELECT …)`, whose query was looked at.
pub(super) fn of_rows(function: &mut Function) -> Option<Expr> {
    if function_name(function)? != "array" {
        return None;
    }
    let FunctionArguments::Subquery(rows) = &mut function.args else { return None };
    if empty::is_blank_query(rows) {
        let texts = ArrayElemTypeDef::SquareBracket(Box::new(DataType::Varchar(None)), None);
        return Some(null(DataType::Array(texts)));
    }
    let order = order_of(rows)?;
    let bounded = rows.limit_clause.is_some() || rows.fetch.is_some();
    let SetExpr::Select(select) = rows.body.as_mut() else { return None };
    let plain = empty::is_plain(select) && rows.with.is_none() && !bounded;
    let [item] = select.projection.as_mut_slice() else { return None };
    let expr = match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => taken(expr),
        _ => return None,
    };
    let alias = Ident::new("tarn_value");
    // The order is that in which values are gathered; the one of the rows within is lost on the way.
    if plain {
        // Values are gathered where they are: what the query around this one has may be asked for there.
        rows.order_by = None;
        let gathered = form(&gathered("tarn_argument", order), expr)?;
        *item = SelectItem::ExprWithAlias { expr: gathered, alias };
        let rows = std::mem::replace(rows.as_mut(), query("SELECT 1", None)?);
        return Some(Expr::Subquery(Box::new(rows)));
    }
    *item = SelectItem::ExprWithAlias { expr, alias };
    if order.is_some() {
        rows.order_by = None;
    }
    let rows = std::mem::replace(rows.as_mut(), query("SELECT 1", None)?);
    let gathered = format!(
        "SELECT {} FROM (SELECT 'tarn_argument') AS tarn_rows",
        gathered("tarn_value", order)
    );
    query(&gathered, Some(rows)).map(|query| Expr::Subquery(Box::new(query)))
}

/// Values as an array, which is empty where there are none.
fn gathered(value: &str, order: Option<&str>) -> String {
    let array = match order {
        None => format!("array_agg({value})"),
        Some("DESC") => format!("array_sort(array_agg({value}), 'DESC', 'NULLS FIRST')"),
        Some(_) => format!("array_sort(array_agg({value}), 'ASC', 'NULLS LAST')"),
    };
    format!("coalesce({array}, make_array())")
}

/// How rows of one column are ordered: by it, or not at all.
fn order_of(rows: &Query) -> Option<Option<&'static str>> {
    if rows.limit_clause.is_some() || rows.fetch.is_some() {
        return rows.order_by.is_none().then_some(None);
    }
    let Some(order) = &rows.order_by else { return Some(None) };
    let OrderByKind::Expressions(by) = &order.kind else { return None };
    let [by] = by.as_slice() else { return None };
    let SetExpr::Select(select) = rows.body.as_ref() else { return None };
    let of_item = match (&by.expr, select.projection.as_slice()) {
        (Expr::Value(value), _) => {
            matches!(&value.value, Value::Number(number, _) if number == "1")
        }
        (by, [SelectItem::UnnamedExpr(expr)]) => by == expr,
        (by, [SelectItem::ExprWithAlias { expr, alias }]) => {
            by == expr || matches!(by, Expr::Identifier(ident) if ident == alias)
        }
        _ => false,
    };
    let plain = of_item && by.with_fill.is_none() && by.options.nulls_first.is_none();
    plain.then_some(Some(if by.options.asc == Some(false) { "DESC" } else { "ASC" }))
}
