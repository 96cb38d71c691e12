//! Pieces of a syntax tree. Nothing of a client's is ever written down and read again: text that stands in the wrong
//! quotes would be SQL.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, SelectItem,
    SetExpr, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::ops::ControlFlow;

/// What stands in a form where its argument is to stand.
const ARGUMENT: &str = "tarn_argument";

/// Text.
pub(super) fn text(text: impl Into<String>) -> Expr {
    Expr::value(Value::SingleQuotedString(text.into()))
}

/// True or false.
pub(super) fn truth(value: bool) -> Expr {
    Expr::value(Value::Boolean(value))
}

/// A whole number.
pub(super) fn number(value: i64) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

/// NULL of a type.
pub(super) fn null(data_type: DataType) -> Expr {
    cast(Expr::value(Value::Null), data_type)
}

/// NULL where there is no text.
pub(super) fn no_text() -> Expr {
    null(DataType::Varchar(None))
}

/// A cast.
pub(super) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// A call of a function.
pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let arguments = arguments.into_iter().map(FunctionArgExpr::Expr).map(FunctionArg::Unnamed);
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// Two expressions that are compared.
pub(super) fn compared(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// An expression, of which something else is left in its place.
pub(super) fn taken(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

/// A form of our own, with an expression where its text says `tarn_argument`, once.
pub(super) fn form(text: &str, argument: Expr) -> Option<Expr> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(text);
    let expr = parser.and_then(|mut parser| parser.parse_expr()).ok()?;
    Some(put(expr, ARGUMENT, argument))
}

/// A form with an expression in the first place where it has this name.
pub(super) fn put(mut form: Expr, name: &str, argument: Expr) -> Expr {
    let mut filling = Filling(name, Some(argument));
    let _ = VisitMut::visit(&mut form, &mut filling);
    form
}

/// A query of our own; around another, for which its text says `(SELECT 'tarn_argument')`, once.
pub(super) fn query(text: &str, argument: Option<Query>) -> Option<Query> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(text);
    let mut query = parser.and_then(|mut parser| parser.parse_query()).ok()?;
    let mut filling = FillingQuery(argument);
    let _ = VisitMut::visit(query.as_mut(), &mut filling);
    Some(*query)
}

/// Puts an argument where it belongs, and does not look into it.
struct Filling<'a>(&'a str, Option<Expr>);

impl VisitorMut for Filling<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(ident) if ident.value == self.0)
            && let Some(argument) = self.1.take()
        {
            *expr = argument;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

struct FillingQuery(Option<Query>);

impl VisitorMut for FillingQuery {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if matches!(query.body.as_ref(), SetExpr::Select(select)
            if matches!(select.projection.as_slice(),
                [SelectItem::UnnamedExpr(expr)] if text_of(expr) == Some(ARGUMENT)))
            && let Some(argument) = self.0.take()
        {
            *query = argument;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// The text of an expression that is a literal text.
pub(super) fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        Expr::Cast { expr, .. } | Expr::Nested(expr) => text_of(expr),
        _ => None,
    }
}

/// The number of a parameter, `$1`, that an expression is.
pub(super) fn parameter_of(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(text) => parameter(text),
            _ => None,
        },
        Expr::Nested(expr) => parameter_of(expr),
        _ => None,
    }
}

/// The number of a parameter.
pub(super) fn parameter(text: &str) -> Option<usize> {
    text.strip_prefix('$')?.parse().ok()
}

/// The parts of a name, in lower case where they are not in quotes.
pub(super) fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .filter_map(ObjectNamePart::as_ident)
        .map(|ident| match ident.quote_style {
            Some(_) => ident.value.clone(),
            None => ident.value.to_lowercase(),
        })
        .collect()
}

/// The name of a function without its schema, if that is none or the catalog's.
pub(super) fn function_name(function: &Function) -> Option<String> {
    let mut names = parts(&function.name);
    let name = names.pop()?;
    match names.as_slice() {
        [] => Some(name),
        [schema] if schema == "pg_catalog" => Some(name),
        _ => None,
    }
}

/// Its arguments, where they are nothing but expressions.
pub(super) fn arguments(function: &mut Function) -> Vec<&mut Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return Vec::new() };
    let arguments = list.args.iter_mut().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    arguments.collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_stands_in_its_place_and_is_not_looked_into() {
        let argument = text("it's tarn_argument \\' -- ");
        let made = form("replace(tarn_argument, 'a', tarn_argument)", argument.clone()).unwrap();
        let Expr::Function(mut made) = made else { panic!() };
        let arguments = arguments(&mut made);
        assert_eq!(*arguments[0], argument);
        assert!(matches!(arguments[2], Expr::Identifier(_)), "once");
    }
}
