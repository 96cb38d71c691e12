//! Statements in which a cast stands beside what it casts.
//!
//! DataFusion names `CAST(v AS DOUBLE)` as it names `v`, so `SELECT v, CAST(v AS DOUBLE)` and
//! `SELECT sum(v), sum(CAST(v AS DOUBLE))` have two columns of one name, which it refuses. Where a
//! statement with casts cannot be planned it is planned again with each cast inside [`CastAs`], which
//! gives it a name of its own; then the cast is put in its place again, and the name stays.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut, visit_expressions_mut};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// `tarn_cast_as(value, 'TYPE')`: the value, under a name that tells its type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CastAs {
    signature: Signature,
}

impl CastAs {
    const NAME: &str = "tarn_cast_as";

    fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for CastAs {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [value, _] => Ok(value.clone()),
            _ => internal_err!("{} takes a value and the name of its type", Self::NAME),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        arguments.args.into_iter().next().ok_or_else(|| {
            DataFusionError::Internal(format!("{} was called without a value", Self::NAME))
        })
    }
}

/// Plans a statement in which names of casts may be those of other columns, if it has casts.
///
/// # Errors
/// What the planner finds wrong with it then.
async fn plan(state: &SessionState, statement: &Statement) -> Option<Result<LogicalPlan>> {
    let statement = told_apart(statement)?;
    let mut state = state.clone();
    if let Err(error) = state.register_udf(Arc::new(ScalarUDF::from(CastAs::new()))) {
        return Some(Err(error));
    }
    let plan = state.statement_to_plan(statement).await;
    Some(plan.and_then(|plan| {
        plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            let bare = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                expr.transform_up(uncalled)?.map_data(|expr| Ok(name.restore(expr)))
            })?;
            bare.map_data(LogicalPlan::recompute_schema)
        })
        .data()
    }))
}

/// Plans a statement, once more with a name for each cast where it cannot be planned as it is.
///
/// # Errors
/// What is wrong with the statement as it was written.
pub(crate) async fn planned(state: &SessionState, statement: &Statement) -> Result<LogicalPlan> {
    match state.statement_to_plan(statement.clone()).await {
        Err(error) => match plan(state, statement).await {
            Some(Ok(plan)) => Ok(plan),
            _ => Err(error),
        },
        Ok(first) if clash(&first)? => {
            let told = plan(state, statement).await;
            Ok(told.and_then(Result::ok).unwrap_or(first))
        }
        Ok(plan) => Ok(plan),
    }
}

/// Whether a node of a plan has two expressions of one name. Groups may pass the planner so, and fail
/// where an optimizer projects them.
fn clash(plan: &LogicalPlan) -> Result<bool> {
    let mut clash = false;
    plan.apply_with_subqueries(|plan| {
        if matches!(
            plan,
            LogicalPlan::Aggregate(_) | LogicalPlan::Projection(_) | LogicalPlan::Window(_)
        ) {
            let mut names = HashSet::new();
            clash |=
                plan.expressions().iter().any(|expr| !names.insert(expr.schema_name().to_string()));
        }
        Ok(if clash { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(clash)
}

/// The value of a call of [`CastAs`].
fn uncalled(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(mut call) if call.func.name() == CastAs::NAME => {
            if call.args.is_empty() {
                return internal_err!("{} was called without a value", CastAs::NAME);
            }
            Ok(Transformed::yes(call.args.swap_remove(0)))
        }
        expr => Ok(Transformed::no(expr)),
    }
}

/// The statement with every cast inside [`CastAs`], if it has any. What of SELECT has no alias and
/// looks like something beside it once casts are left out is called by its own text, as DuckDB does;
/// other casts of that kind by what they cast, as DataFusion does.
fn told_apart(statement: &Statement) -> Option<Statement> {
    let mut statement = statement.clone();
    let inner = inner(&mut statement)?;
    let mut casts = Casts::default();
    let _ = VisitMut::visit(inner, &mut casts);
    casts.found.then_some(statement)
}

fn inner(statement: &mut Statement) -> Option<&mut ast::Statement> {
    match statement {
        Statement::Statement(inner) => Some(inner),
        Statement::Explain(explain) => inner(&mut explain.statement),
        _ => None,
    }
}

/// Names the items of SELECT before their casts are wrapped, and wraps casts once what is in them
/// has been seen.
#[derive(Default)]
struct Casts {
    found: bool,
}

impl VisitorMut for Casts {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        use ast::SelectItem::{ExprWithAlias, UnnamedExpr};
        // A name with its table and without are the same column here: both only cost an alias.
        let bare = |item: &ast::SelectItem| match item {
            UnnamedExpr(expr) => Some(without_casts(expr)),
            ExprWithAlias { alias, .. } => Some(alias.value.clone()),
            _ => None,
        };
        let names: Vec<Option<String>> = select.projection.iter().map(bare).collect();
        for item in &mut select.projection {
            let UnnamedExpr(expr) = item else { continue };
            let (text, name) = (expr.to_string(), without_casts(expr));
            if text == name {
                continue;
            }
            let alone = names.iter().filter(|other| other.as_ref() == Some(&name)).count() == 1;
            let alone = alone && names.iter().all(Option::is_some);
            let alias = ast::Ident::with_quote('"', if alone { name } else { text });
            let expr = std::mem::replace(expr, ast::Expr::value(ast::Value::Null));
            *item = ExprWithAlias { expr, alias };
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Cast { data_type, .. } = &*expr {
            self.found = true;
            let kind = ast::Expr::value(ast::Value::SingleQuotedString(data_type.to_string()));
            let cast = std::mem::replace(expr, ast::Expr::value(ast::Value::Null));
            *expr = call(vec![cast, kind]);
        }
        ControlFlow::Continue(())
    }
}

/// The text of an expression with every cast replaced by what it casts.
fn without_casts(expr: &ast::Expr) -> String {
    let mut expr = expr.clone();
    let _ = visit_expressions_mut(&mut expr, |part| {
        while let ast::Expr::Cast { expr, .. } = part {
            let cast = std::mem::replace(expr.as_mut(), ast::Expr::value(ast::Value::Null));
            *part = cast;
        }
        ControlFlow::<()>::Continue(())
    });
    expr.to_string()
}

fn call(arguments: Vec<ast::Expr>) -> ast::Expr {
    let arguments = arguments.into_iter().map(ast::FunctionArgExpr::Expr);
    ast::Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::new(CastAs::NAME)]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.map(ast::FunctionArg::Unnamed).collect(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::statement::parse;

    #[test]
    fn casts_beside_what_they_cast_get_names_of_their_own() {
        for (sql, expected) in [
            (
                "SELECT v, CAST(v AS DOUBLE) FROM t",
                "SELECT v, tarn_cast_as(CAST(v AS DOUBLE), 'DOUBLE') AS \"CAST(v AS DOUBLE)\" FROM t",
            ),
            (
                "SELECT sum(v) AS a, sum(v::INT) AS b, w::INT FROM t",
                "SELECT sum(v) AS a, sum(tarn_cast_as(v::INT, 'INT')) AS b, \
                 tarn_cast_as(w::INT, 'INT') AS \"w\" FROM t",
            ),
            (
                "SELECT *, TRY_CAST(v AS INT) FROM t WHERE CAST(v AS INT) > 1",
                "SELECT *, tarn_cast_as(TRY_CAST(v AS INT), 'INT') AS \"TRY_CAST(v AS INT)\" FROM t \
                 WHERE tarn_cast_as(CAST(v AS INT), 'INT') > 1",
            ),
        ] {
            let told = told_apart(&parse(sql).unwrap().statement).unwrap();
            assert_eq!(told.to_string(), expected);
        }
        assert!(told_apart(&parse("SELECT v, v FROM t").unwrap().statement).is_none());
    }
}
