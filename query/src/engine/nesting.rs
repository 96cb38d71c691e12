//! How deep a statement may nest.
//!
//! `1+1+1+…` is a chain: each operator holds all before it. Parsing, planning, optimizing, running and
//! even freeing one calls a function within a function for every link, and a few kilobytes of SQL would
//! be more links than any stack has. So they are counted before anything is parsed, on the words of the
//! statement, and what passes fits [`STACK_BYTES`](super::STACK_BYTES). Lists do not nest: `IN (…)` and
//! `VALUES …` may be as long as a request.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::ops::ControlFlow;
use thiserror::Error;

/// Most operators that may hold one another.
const LONGEST_CHAIN: usize = 1_000;
/// Most operators of a statement: expressions that follow from one another are put together.
const MOST_OPERATORS: usize = 4_000;
/// Most brackets within one another: those of types are not counted by the parser.
const MOST_BRACKETS: usize = 128;
/// Most tables, joins and set operations. The time to plan them grows with their square.
const MOST_RELATIONS: usize = 256;

/// A statement that nests too deeply.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum NestingError {
    /// Too long a chain.
    #[error(
        "this statement chains more than {LONGEST_CHAIN} operators (such as +, ||, ::, AND, OR) in one \
         expression; write x IN (…) for many values, join a table or VALUES, or send several statements"
    )]
    Chain,
    /// Brackets within brackets.
    #[error(
        "this statement has more than {MOST_BRACKETS} brackets within one another; take steps apart with \
         WITH, or send several statements"
    )]
    Brackets,
    /// Too many operators.
    #[error(
        "this statement has more than {MOST_OPERATORS} operators; put the values into a table or VALUES, \
         or send several statements"
    )]
    Operators,
    /// Too many tables.
    #[error(
        "this statement has more than {MOST_RELATIONS} joins, set operations (UNION, EXCEPT, INTERSECT) \
         or tables; use one VALUES with many rows or one table over many files, or send several statements"
    )]
    Relations,
    /// Table expressions that use one another too often.
    #[error(
        "the WITH expressions of this statement stand for more than 4096 tables, because each is planned \
         as often as it is used; use each fewer times, or send several statements"
    )]
    Plan,
}

/// Refuses a statement or condition that nests too deeply. What is no SQL passes: the parser says why.
///
/// # Errors
/// [`NestingError`].
pub(crate) fn check(sql: &str) -> Result<(), NestingError> {
    check_share(sql, 1)
}

/// The same for a statement that others stand within, or that stands within others, as views do: it may have
/// one of so many parts of what a statement may.
///
/// # Errors
/// [`NestingError`].
pub(crate) fn check_share(sql: &str, parts: usize) -> Result<(), NestingError> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    let mut depth = Depth { parts, ..Depth::default() };
    for token in &tokens {
        if let ControlFlow::Break(error) = depth.take(token) {
            return Err(error);
        }
    }
    depth.close();
    depth.verdict()
}

/// Refuses more tables than may be joined; they may come without a word, as `FROM a, b, c`.
///
/// # Errors
/// [`NestingError::Relations`].
pub(crate) fn check_tables(tables: usize) -> Result<(), NestingError> {
    if tables > MOST_RELATIONS { Err(NestingError::Relations) } else { Ok(()) }
}

/// What stands between two brackets, up to the last word read.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// AND, OR and XOR since the last comma: they hold what stands between them.
    logical: usize,
    /// Other operators since the last of those.
    chain: usize,
    /// The longest such chain since the last comma.
    longest: usize,
    /// The deepest bracket since the last comma.
    inner: usize,
    /// The deepest item before the last comma.
    deepest: usize,
    /// Whether an item has begun: an operator before it is a sign, of which the parser takes few.
    begun: bool,
}

impl Level {
    fn item(&self) -> usize {
        self.logical + self.longest.max(self.chain) + self.inner
    }

    fn comma(&mut self) {
        *self = Self { deepest: self.deepest.max(self.item()), ..Self::default() };
    }
}

/// Counts as words come.
#[derive(Debug, Default)]
struct Depth {
    /// Brackets that are open around `here`.
    around: Vec<Level>,
    here: Level,
    operators: usize,
    relations: usize,
    /// Each bound is divided by this.
    parts: usize,
}

impl Depth {
    fn take(&mut self, token: &Token) -> ControlFlow<NestingError> {
        match weight(token) {
            Weight::Space => return ControlFlow::Continue(()),
            Weight::Open => self.around.push(std::mem::take(&mut self.here)),
            Weight::Close => self.close_one(),
            Weight::Index => {
                // `[` after something is taken from it; at the start of an item it is a list.
                self.operator();
                self.around.push(std::mem::take(&mut self.here));
            }
            Weight::Comma => self.here.comma(),
            Weight::Operator => self.operator(),
            Weight::Logical => {
                self.operators += 1;
                self.here.logical += 1;
                self.here.longest = self.here.longest.max(self.here.chain);
                self.here.chain = 0;
            }
            Weight::Relation => self.relations += 1,
            Weight::None => self.here.begun = true,
        }
        match self.verdict() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn operator(&mut self) {
        if self.here.begun {
            self.operators += 1;
            self.here.chain += 1;
        }
        self.here.begun = true;
    }

    fn close_one(&mut self) {
        self.here.comma();
        let deepest = self.here.deepest;
        // One bracket too many is for the parser to find.
        let mut outer = self.around.pop().unwrap_or_default();
        outer.inner = outer.inner.max(deepest);
        outer.begun = true;
        self.here = outer;
    }

    fn close(&mut self) {
        while !self.around.is_empty() {
            self.close_one();
        }
    }

    fn verdict(&self) -> Result<(), NestingError> {
        let above = |number: usize, most: usize| number.saturating_mul(self.parts) > most;
        if above(self.relations, MOST_RELATIONS) {
            Err(NestingError::Relations)
        } else if above(self.here.item().max(self.here.deepest), LONGEST_CHAIN) {
            Err(NestingError::Chain)
        } else if above(self.operators, MOST_OPERATORS) {
            Err(NestingError::Operators)
        } else if above(self.around.len(), MOST_BRACKETS) {
            Err(NestingError::Brackets)
        } else {
            Ok(())
        }
    }
}

/// What a word means for the depth.
enum Weight {
    Space,
    None,
    Open,
    Close,
    Index,
    Comma,
    Operator,
    Logical,
    Relation,
}

fn weight(token: &Token) -> Weight {
    match token {
        Token::Whitespace(_) | Token::EOF => Weight::Space,
        Token::LParen | Token::LBrace => Weight::Open,
        Token::RParen | Token::RBrace | Token::RBracket => Weight::Close,
        Token::LBracket => Weight::Index,
        Token::Comma | Token::SemiColon => Weight::Comma,
        Token::Word(word) => match word.keyword {
            Keyword::AND | Keyword::OR | Keyword::XOR => Weight::Logical,
            Keyword::UNION
            | Keyword::EXCEPT
            | Keyword::INTERSECT
            | Keyword::MINUS
            | Keyword::JOIN
            | Keyword::APPLY
            | Keyword::PIVOT
            | Keyword::UNPIVOT
            | Keyword::MATCH_RECOGNIZE => Weight::Relation,
            Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::SIMILAR
            | Keyword::BETWEEN
            | Keyword::COLLATE
            | Keyword::ZONE
            | Keyword::DIV
            | Keyword::OVERLAPS
            | Keyword::OPERATOR
            | Keyword::MEMBER
            | Keyword::NOTNULL
            | Keyword::INTERVAL
            | Keyword::PRIOR
            | Keyword::EXPLAIN
            | Keyword::DESCRIBE
            | Keyword::DESC
            | Keyword::ARRAY => Weight::Operator,
            _ => Weight::None,
        },
        Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::TripleSingleQuotedString(_)
        | Token::TripleDoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::SingleQuotedByteStringLiteral(_)
        | Token::DoubleQuotedByteStringLiteral(_)
        | Token::TripleSingleQuotedByteStringLiteral(_)
        | Token::TripleDoubleQuotedByteStringLiteral(_)
        | Token::SingleQuotedRawStringLiteral(_)
        | Token::DoubleQuotedRawStringLiteral(_)
        | Token::TripleSingleQuotedRawStringLiteral(_)
        | Token::TripleDoubleQuotedRawStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::QuoteDelimitedStringLiteral(_)
        | Token::NationalQuoteDelimitedStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::Placeholder(_)
        | Token::Period
        | Token::Colon
        | Token::RArrow
        | Token::Assignment => Weight::None,
        // All others are operators, those of other dialects too.
        _ => Weight::Operator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(link: &str, links: usize) -> String {
        format!("SELECT 1{}", link.repeat(links))
    }

    #[test]
    fn chains_of_every_operator_end_at_the_limit() {
        for link in [
            "+1",
            "||'a'",
            "::int",
            "=1",
            " OR true",
            " AND x",
            " IS NULL",
            " BETWEEN 0 AND 2",
            "[1]",
            "->'a'",
            " COLLATE c",
            " NOT IN (1)",
            " <> f(1, 2)",
            " AT TIME ZONE 'UTC'",
            " OR (a, b)",
            " INTERVAL",
        ] {
            assert_eq!(check(&chain(link, LONGEST_CHAIN / 3)), Ok(()), "{link}");
            assert_eq!(check(&chain(link, LONGEST_CHAIN + 1)), Err(NestingError::Chain), "{link}");
        }
        for link in [" UNION ALL SELECT 1", " EXCEPT SELECT 1", " CROSS JOIN a", " JOIN b ON x"] {
            assert_eq!(check(&chain(link, MOST_RELATIONS)), Ok(()), "{link}");
            let longer = check(&chain(link, MOST_RELATIONS + 1));
            assert_eq!(longer, Err(NestingError::Relations), "{link}");
        }
    }

    #[test]
    fn brackets_add_what_is_in_them() {
        let half = "+1".repeat(LONGEST_CHAIN / 2);
        assert_eq!(check(&format!("SELECT f(1{half})-(2{half})")), Ok(()));
        for deep in [
            format!("SELECT (1{half}+1){half}"),
            format!("SELECT 1{half} + f(a, 1{half})"),
            format!("SELECT * FROM (SELECT x{half}+1 AS x FROM (SELECT 1{half}))"),
        ] {
            assert_eq!(check(&deep), Err(NestingError::Chain));
        }
        let many = format!("WITH {} SELECT 1", format!("a AS (SELECT 1{half}), ").repeat(9));
        assert_eq!(check(&many), Err(NestingError::Operators));
    }

    #[test]
    fn lists_may_be_long() {
        for item in
            ["1", "-1", "'a'", "[1]", "[[-1.5], [2]]", "(1, -2)", "NULL", "DATE '2020-01-01'"]
        {
            let list = vec![item; 50_000].join(", ");
            assert_eq!(check(&format!("SELECT a IN ({list})")), Ok(()), "{item}");
            assert_eq!(check(&format!("VALUES ({list})")), Ok(()), "{item}");
        }
        let ors = vec!["a = 1"; LONGEST_CHAIN - 1].join(" OR ");
        assert_eq!(check(&format!("SELECT a FROM t WHERE {ors}")), Ok(()));
        assert_eq!(check("SELECT ))) 'not ended"), Ok(()));
        let types = format!("CAST(NULL AS {}INT{})", "MAP(INT, ".repeat(999), ")".repeat(999));
        assert_eq!(check(&format!("SELECT {types}")), Err(NestingError::Brackets));
    }
}
