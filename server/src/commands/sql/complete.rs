//! Names that the prompt completes: tables, columns, functions, words of SQL, files.

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use tarn_query::Statements;

use super::meta::Meta;

/// Words of SQL that are completed, in the case of what was typed.
const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CROSS JOIN",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FILTER",
    "FROM",
    "FULL JOIN",
    "GROUP BY",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER JOIN",
    "INTERSECT",
    "INTERVAL",
    "IS NOT NULL",
    "IS NULL",
    "JOIN",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS LAST",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "QUALIFY",
    "RIGHT JOIN",
    "SELECT",
    "SHOW TABLES",
    "THEN",
    "TIMESTAMP",
    "UNION ALL",
    "UNNEST",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];
/// Words after which a table stands.
const BEFORE_TABLES: &[&str] = &["FROM", "JOIN", "DESCRIBE", "DESC", "\\D"];
/// Words that begin a part of a statement.
const CLAUSES: &[&str] =
    &["SELECT", "FROM", "JOIN", "WHERE", "ON", "BY", "HAVING", "QUALIFY", "LIMIT", "DESCRIBE"];

/// A table that may be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// As it may be written, shortest first.
    pub(super) names: Vec<String>,
    /// Its columns.
    pub(super) columns: Vec<String>,
}

/// Names that are known.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) tables: Vec<Table>,
    /// Functions of values.
    pub(super) functions: Vec<String>,
    /// Functions that stand in FROM.
    pub(super) table_functions: Vec<String>,
}

/// A name as SQL needs it: in quotes where it would be read otherwise without.
pub(super) fn spelled(name: &str) -> String {
    let plain = |character: char| {
        character.is_ascii_lowercase() || character == '_' || character.is_ascii_digit()
    };
    if name.chars().all(plain) && !name.starts_with(|first: char| first.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

impl Known {
    /// Where the word before the cursor begins, and what it may become.
    fn candidates(&self, text: &str, whole: &str) -> (usize, Vec<Pair>) {
        if let Some(open) = open_quote(text) {
            let path = text.get(open..).unwrap_or_default();
            return (open, files(path));
        }
        let in_word =
            |character: char| character.is_alphanumeric() || "_.@\"\\".contains(character);
        let word = text.rsplit(|character| !in_word(character)).next().unwrap_or_default();
        let start = text.len().saturating_sub(word.len());
        let before = text.get(..start).unwrap_or_default();
        let mut found = if stands_table(before) {
            self.tables_like(word)
        } else {
            self.values_like(word, whole)
        };
        found.dedup();
        (
            start,
            found
                .into_iter()
                .map(|text| Pair { display: text.clone(), replacement: text })
                .collect(),
        )
    }

    fn tables_like(&self, word: &str) -> Vec<String> {
        let fits = |table: &Table| table.names.iter().find(|name| begins(name, word)).cloned();
        let mut found: Vec<String> = self.tables.iter().filter_map(fits).collect();
        found.sort_unstable();
        let functions = self.table_functions.iter().filter(|name| begins(name, word));
        found.extend(functions.map(|name| format!("{name}(")));
        found
    }

    /// Columns of the tables that the statement names, functions, words.
    fn values_like(&self, word: &str, statement: &str) -> Vec<String> {
        let scope = self.scope(statement);
        if let Some((qualifier, column)) = word.rsplit_once('.') {
            let named = |(table, alias): &&(&Table, Option<String>)| {
                alias.as_deref().is_some_and(|alias| alias.eq_ignore_ascii_case(qualifier))
                    || table
                        .names
                        .iter()
                        .any(|name| name == qualifier || name.rsplit('.').next() == Some(qualifier))
            };
            let columns = scope.iter().filter(named).flat_map(|(table, _)| &table.columns);
            let like = columns.filter(|name| begins(name, column));
            return like.map(|name| format!("{qualifier}.{}", spelled(name))).collect();
        }
        let columns = scope.iter().flat_map(|(table, _)| &table.columns);
        let mut found: Vec<String> =
            columns.filter(|name| begins(name, word)).map(|name| spelled(name)).collect();
        found.sort_unstable();
        found.dedup();
        if word.is_empty() {
            return found;
        }
        let functions = self.functions.iter().filter(|name| begins(name, word));
        found.extend(functions.map(|name| format!("{name}(")));
        let lower = word.chars().all(|character| !character.is_ascii_uppercase());
        let words = KEYWORDS.iter().filter(|keyword| begins(keyword, word));
        found.extend(words.map(|keyword| {
            if lower { keyword.to_ascii_lowercase() } else { (*keyword).to_owned() }
        }));
        found
    }

    /// Tables that a statement names, with what it calls them.
    fn scope(&self, statement: &str) -> Vec<(&Table, Option<String>)> {
        let words = words(statement);
        let mut scope = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let named = |table: &&Table| table.names.iter().any(|name| name == word);
            let Some(table) = self.tables.iter().find(named) else { continue };
            let mut next = words.get(at.saturating_add(1)..).unwrap_or_default().iter();
            let alias = match next.next() {
                Some(word) if word.eq_ignore_ascii_case("as") => next.next(),
                other => other,
            };
            let keyword = |alias: &&&str| {
                let first =
                    |keyword: &&str| keyword.split(' ').next().unwrap_or_default().to_owned();
                !KEYWORDS.iter().any(|keyword| first(keyword).eq_ignore_ascii_case(alias))
            };
            scope.push((table, alias.filter(keyword).map(|alias| (*alias).to_owned())));
        }
        scope
    }
}

fn begins(name: &str, word: &str) -> bool {
    let word = word.replace('"', "").to_lowercase();
    name.replace('"', "").to_lowercase().starts_with(&word)
}

/// Words and names of a statement.
fn words(text: &str) -> Vec<&str> {
    text.split(|character: char| character.is_whitespace() || ",();".contains(character))
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether a table stands after this text.
fn stands_table(before: &str) -> bool {
    let words = words(before);
    let is = |list: &[&str], word: &&str| list.contains(&word.to_ascii_uppercase().as_str());
    if before.trim_end().ends_with(',') {
        return words
            .iter()
            .rfind(|word| is(CLAUSES, word))
            .is_some_and(|word| is(&["FROM"], word));
    }
    !before.trim_end().ends_with(['(', ')'])
        && words.last().is_some_and(|word| is(BEFORE_TABLES, word))
}

/// Where the text in quotes begins that the text ends in.
fn open_quote(text: &str) -> Option<usize> {
    let quotes = text.matches('\'').count();
    if quotes.is_multiple_of(2) { None } else { text.rfind('\'').map(|at| at.saturating_add(1)) }
}

/// Files and folders that begin like this path.
fn files(path: &str) -> Vec<Pair> {
    let (folder, begun) =
        path.rsplit_once('/').map_or(("", path), |(folder, begun)| (folder, begun));
    let place = match (folder, path.starts_with('/')) {
        ("", true) => Path::new("/"),
        ("", false) => Path::new("."),
        (folder, _) => Path::new(folder),
    };
    let Ok(entries) = std::fs::read_dir(place) else { return vec![] };
    let head = path.strip_suffix(begun).unwrap_or_default();
    let mut found: Vec<Pair> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let hidden = name.starts_with('.') && !begun.starts_with('.');
            if hidden || !name.starts_with(begun) || name.contains('\'') {
                return None;
            }
            let end = if entry.path().is_dir() { "/" } else { "" };
            Some(Pair {
                display: format!("{name}{end}"),
                replacement: format!("{head}{name}{end}"),
            })
        })
        .collect();
    found.sort_unstable_by(|left, right| left.display.cmp(&right.display));
    found
}

/// What the editor of lines asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Arc<RwLock<Known>>);

impl Names {
    /// Other names from now on.
    pub(super) fn set(&self, known: Known) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

impl Helper for Names {}
impl Highlighter for Names {}
impl Hinter for Names {
    type Hint = String;
}

impl Completer for Names {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(known.candidates(line.get(..at).unwrap_or_default(), line))
    }
}

impl Validator for Names {
    /// A line is complete when a semicolon ends it, or when it is no SQL.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let complete = Meta::of(text).is_some() || Statements::of(text).rest.is_empty();
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let table = |names: &[&str], columns: &[&str]| Table {
            names: texts(names),
            columns: texts(columns),
        };
        Known {
            tables: vec![
                table(&["sst.grid", "ornl.sst.grid"], &["lat", "lon", "Temp"]),
                table(&["llnl.scenarios.fields"], &["label", "mass"]),
            ],
            functions: texts(&["avg", "abs", "lower"]),
            table_functions: texts(&["read_netcdf", "read_any"]),
        }
    }

    fn at(text: &str) -> Vec<String> {
        let (line, rest) = text.split_once('|').unwrap_or((text, ""));
        let (start, found) = known().candidates(line, &format!("{line}{rest}"));
        let head = &line[..start];
        found.into_iter().map(|pair| format!("{head}{}", pair.replacement)).collect()
    }

    #[test]
    fn tables_stand_after_from() {
        assert_eq!(at("SELECT * FROM s"), ["SELECT * FROM sst.grid"]);
        assert_eq!(at("SELECT * FROM ornl."), ["SELECT * FROM ornl.sst.grid"]);
        assert_eq!(at("select 1 from read_n"), ["select 1 from read_netcdf("]);
        assert_eq!(at("SELECT * FROM a, ll"), ["SELECT * FROM a, llnl.scenarios.fields"]);
        assert_eq!(at("\\d l"), ["\\d llnl.scenarios.fields"]);
    }

    #[test]
    fn columns_are_those_of_the_tables_in_the_statement() {
        assert_eq!(at("SELECT la| FROM sst.grid"), ["SELECT lat"]);
        assert_eq!(at("SELECT te| FROM sst.grid"), ["SELECT \"Temp\""]);
        assert_eq!(at("SELECT la| FROM llnl.scenarios.fields"), ["SELECT label"]);
        assert_eq!(at("SELECT la"), Vec::<String>::new());
        assert_eq!(at("SELECT g.l| FROM sst.grid AS g"), ["SELECT g.lat", "SELECT g.lon"]);
        assert_eq!(at("SELECT grid.la| FROM sst.grid"), ["SELECT grid.lat"]);
        assert_eq!(
            at("SELECT f.m| FROM sst.grid g JOIN llnl.scenarios.fields f ON true"),
            ["SELECT f.mass"]
        );
        assert_eq!(
            at("SELECT x, | FROM sst.grid"),
            ["\"Temp\"", "lat", "lon"].map(|name| format!("SELECT x, {name}"))
        );
    }

    #[test]
    fn functions_and_words_keep_the_case_of_what_was_typed() {
        assert_eq!(at("SELECT av"), ["SELECT avg("]);
        assert_eq!(at("sel"), ["select"]);
        assert_eq!(at("SEL"), ["SELECT"]);
        assert_eq!(at("SELECT 1 FROM t GR"), ["SELECT 1 FROM t GROUP BY"]);
    }

    #[test]
    fn files_stand_in_quotes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a b.nc"), "").unwrap();
        std::fs::create_dir(folder.path().join("all")).unwrap();
        std::fs::write(folder.path().join(".hidden"), "").unwrap();
        let place = folder.path().display();
        let head = format!("SELECT * FROM read_any('{place}/");
        assert_eq!(at(&format!("{head}a")), [format!("{head}a b.nc"), format!("{head}all/")]);
        assert_eq!(at(&head), [format!("{head}a b.nc"), format!("{head}all/")]);
    }
}
