//! Statements that are about the session and not about data: answered by the door itself.

use super::copy::Form;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// What a statement is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// A transaction begins. Nothing is written in one: a statement sees what there is when it begins.
    Begin,
    /// It ends well.
    Commit,
    /// It ends.
    Rollback,
    /// A point in it, which means nothing; the words that clients expect.
    Point(&'static str),
    /// A setting gets a value; until the end of the transaction, if that is said.
    Set(String, String, bool),
    /// A setting, or all of them, get back what they had.
    Reset(Option<String>),
    /// The value of a setting, or all of them.
    Show(Option<String>),
    /// A prepared statement, or all of them, are not needed any more.
    Deallocate(Option<String>),
    /// A cursor of this name is made.
    Declare(String),
    /// Rows of a cursor are wanted, so many or, for 0, all.
    Fetch(String, u32),
    /// A cursor, or all of them, are not needed any more.
    Close(Option<String>),
    /// Rows are written as a file, in this form.
    Copy(Form),
    /// Everything that the session holds is not needed any more.
    Discard,
    /// Whatever else: it is for the engine.
    Statement,
}

/// A word of a statement: in lower case, unless it stands in quotes.
fn words(sql: &str) -> Vec<String> {
    // Of what has an open quote, the parser says what is wrong.
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    tokens
        .into_iter()
        .filter_map(|token| match token {
            Token::Whitespace(_) | Token::SemiColon => None,
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
            Token::Word(word) => Some(word.value),
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text),
            other => Some(other.to_string()),
        })
        .collect()
}

/// Words that begin what this door answers itself.
const FIRST: [&str; 18] = [
    "declare",
    "fetch",
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "set",
    "reset",
    "show",
    "deallocate",
    "close",
    "discard",
    "unlisten",
    "checkpoint",
];

impl Command {
    /// What a statement is.
    pub(super) fn of(sql: &str) -> Self {
        // Most statements are long and no commands; a comment may come first.
        let first: String =
            sql.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
        let begins = first.is_empty() || FIRST.contains(&first.to_lowercase().as_str());
        if !begins {
            return Self::Statement;
        }
        let words = words(sql);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["begin", ..] | ["start", "transaction", ..] => Self::Begin,
            ["commit" | "end", ..] => Self::Commit,
            ["rollback", "to", ..] | ["rollback", "work" | "transaction", "to", ..] => {
                Self::Point("ROLLBACK")
            }
            ["rollback" | "abort", ..] => Self::Rollback,
            ["savepoint", _] => Self::Point("SAVEPOINT"),
            ["release", ..] => Self::Point("RELEASE"),
            ["unlisten", ..] => Self::Point("UNLISTEN"),
            ["set", "local", rest @ ..] => set(rest, true),
            ["set", "session", rest @ ..] | ["set", rest @ ..] => set(rest, false),
            ["declare", name, options @ ..] if is_cursor(options) => {
                Self::Declare((*name).to_owned())
            }
            ["fetch", direction @ .., "from" | "in", name] | ["fetch", direction @ .., name] => {
                match rows(direction) {
                    Some(rows) => Self::Fetch((*name).to_owned(), rows),
                    None => Self::Statement,
                }
            }
            ["reset", "all"] => Self::Reset(None),
            ["reset", name @ ..] => Self::Reset(Some(name.concat())),
            ["show", "all"] => Self::Show(None),
            ["show", "transaction", "isolation", "level"] => {
                Self::Show(Some("transaction_isolation".to_owned()))
            }
            ["show", "time", "zone"] => Self::Show(Some("timezone".to_owned())),
            // SHOW TABLES, SHOW COLUMNS … are the engine's.
            [
                "show",
                "tables" | "columns" | "functions" | "create" | "databases" | "schemas",
                ..,
            ] => Self::Statement,
            ["show", name @ ..] if !name.is_empty() => Self::Show(Some(name.concat())),
            ["deallocate", "prepare", "all"] | ["deallocate", "all"] => Self::Deallocate(None),
            ["deallocate", "prepare", name] | ["deallocate", name] => {
                Self::Deallocate(Some((*name).to_owned()))
            }
            ["close", "all"] => Self::Close(None),
            ["close", name] => Self::Close(Some((*name).to_owned())),
            ["discard", _] => Self::Discard,
            _ => Self::Statement,
        }
    }
}

/// Whether what follows a name says what a cursor is, of those that there are: they are read forward, in a transaction.
fn is_cursor(words: &[&str]) -> bool {
    let options = ["insensitive", "asensitive", "no", "scroll"];
    let mut words = words.iter().skip_while(|word| options.contains(word));
    let (cursor, next) = (words.next(), words.next());
    let without_hold = next == Some(&"without") && words.next() == Some(&"hold");
    cursor == Some(&"cursor")
        && (next == Some(&"for") || (without_hold && words.next() == Some(&"for")))
}

/// What a cursor that is declared reads: all after the first FOR.
pub(super) fn after_for(sql: &str) -> Option<&str> {
    let (mut in_quotes, mut word) = (false, None);
    for (at, letter) in sql.char_indices() {
        if letter == '"' {
            in_quotes = !in_quotes;
        }
        if !in_quotes && letter.is_ascii_alphabetic() {
            word = word.or(Some(at));
            continue;
        }
        if let Some(start) = word.take()
            && sql.get(start..at).is_some_and(|word| word.eq_ignore_ascii_case("for"))
            && letter.is_whitespace()
        {
            return sql.get(at..).map(str::trim);
        }
    }
    None
}

/// How many rows a FETCH wants, 0 for all; none for those that are not forward.
fn rows(direction: &[&str]) -> Option<u32> {
    match direction {
        [] | ["next" | "forward"] => Some(1),
        ["all"] | ["forward", "all"] => Some(0),
        ["forward", number] | [number] => number.parse().ok().filter(|number| *number > 0),
        _ => None,
    }
}

/// What follows SET.
fn set(words: &[&str], local: bool) -> Command {
    match words {
        ["time", "zone", value @ ..] => Command::Set("timezone".to_owned(), value.concat(), local),
        ["names", value @ ..] => Command::Set("client_encoding".to_owned(), value.concat(), local),
        ["transaction" | "characteristics", ..] => Command::Point("SET"),
        words => {
            let at = words.iter().position(|word| matches!(*word, "to" | "="));
            let (name, value) =
                at.and_then(|at| words.split_at_checked(at)).unwrap_or((words, &[]));
            match value {
                [_, value @ ..] if !name.is_empty() && !value.is_empty() => {
                    Command::Set(name.concat(), value.join(" ").replace(" ,", ","), local)
                }
                _ => Command::Statement,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_at_connect_is_understood() {
        let set = |name: &str, value: &str| Command::Set(name.to_owned(), value.to_owned(), false);
        for (sql, command) in [
            ("BEGIN READ ONLY", Command::Begin),
            ("start transaction isolation level repeatable read", Command::Begin),
            ("COMMIT;", Command::Commit),
            ("/* x */ rollback", Command::Rollback),
            ("ROLLBACK TO SAVEPOINT a", Command::Point("ROLLBACK")),
            ("SET extra_float_digits = 3", set("extra_float_digits", "3")),
            (
                "SET SESSION application_name TO 'DBeaver 1 - Main'",
                set("application_name", "DBeaver 1 - Main"),
            ),
            ("set search_path = a, \"B\"", set("search_path", "a, B")),
            ("SET LOCAL a.b = 1", Command::Set("a.b".to_owned(), "1".to_owned(), true)),
            (
                "DECLARE \"a for B\" NO SCROLL CURSOR FOR SELECT 1",
                Command::Declare("a for B".to_owned()),
            ),
            ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", Command::Statement),
            ("FETCH FORWARD 10 FROM \"c\"", Command::Fetch("c".to_owned(), 10)),
            ("FETCH NEXT IN c", Command::Fetch("c".to_owned(), 1)),
            ("FETCH ALL c", Command::Fetch("c".to_owned(), 0)),
            ("FETCH c", Command::Fetch("c".to_owned(), 1)),
            ("FETCH BACKWARD 1 FROM c", Command::Statement),
            ("SET TIME ZONE 'UTC'", set("timezone", "UTC")),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Command::Point("SET")),
            ("SET statement_timeout = '5s'", set("statement_timeout", "5s")),
            (
                "SHOW TRANSACTION ISOLATION LEVEL",
                Command::Show(Some("transaction_isolation".to_owned())),
            ),
            ("show server_version", Command::Show(Some("server_version".to_owned()))),
            ("SHOW TABLES", Command::Statement),
            ("DEALLOCATE \"S_1\"", Command::Deallocate(Some("S_1".to_owned()))),
            ("DEALLOCATE ALL", Command::Deallocate(None)),
            ("DISCARD ALL", Command::Discard),
            ("SELECT 1", Command::Statement),
            ("SET x", Command::Statement),
            ("WITH begin AS (SELECT 1) SELECT * FROM begin", Command::Statement),
        ] {
            assert_eq!(Command::of(sql), command, "{sql}");
        }
        let said = after_for("declare \"a for b\" CURSOR\nFOR\tSELECT 'x for y'");
        assert_eq!(said, Some("SELECT 'x for y'"));
    }
}
