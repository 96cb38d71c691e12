//! Lists of constants.
//!
//! DataFusion joins `x IN (…) AND x NOT IN (…)` to one list, and forgets that a NULL in either makes the
//! answer unknown: `NOT (x NOT IN (3) AND x IN (1, NULL))` is true of 3, and no row comes. What is no
//! plain constant is compared beside the list, which says the same.

use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Expr, lit};

/// One expression, the ones inside it not again.
pub(super) fn of_expression(expression: Expr) -> Transformed<Expr> {
    let Expr::InList(InList { expr, list, negated }) = expression else {
        return Transformed::no(expression);
    };
    if expr.is_volatile() || list.iter().all(is_constant) {
        return Transformed::no(Expr::InList(InList { expr, list, negated }));
    }
    let (plain, others): (Vec<Expr>, Vec<Expr>) = list.into_iter().partition(is_constant);
    let in_list = (!plain.is_empty())
        .then(|| Expr::InList(InList { expr: expr.clone(), list: plain, negated }));
    let beside = others.into_iter().map(|other| {
        let value = expr.as_ref().clone();
        if negated { value.not_eq(other) } else { value.eq(other) }
    });
    let join = if negated { Expr::and } else { Expr::or };
    let whole = in_list.into_iter().chain(beside).reduce(join);
    // A list has at least one value; of none nothing would be in it.
    Transformed::yes(whole.unwrap_or_else(|| lit(negated)))
}

/// A literal that is not NULL, or the cast of one.
fn is_constant(value: &Expr) -> bool {
    match value {
        Expr::Literal(value, _) => !value.is_null(),
        Expr::Cast(cast) => is_constant(&cast.expr),
        Expr::Negative(value) => is_constant(value),
        _ => false,
    }
}
