//! What the parser of the engine does not read, in words that it reads, before it does: `TABLE a` where a statement
//! begins, and `FETCH FIRST (…) ROWS ONLY`. Only these words change, found as tokens: what stands in quotes or comments
//! stays as it is.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use std::borrow::Cow;

/// Where words stand that are to be others.
type Change = (Location, Location, &'static str);

/// A statement that the parser reads.
pub(super) fn readable(sql: &str) -> Cow<'_, str> {
    let says = |word: &str| {
        let (word, mut text) = (word.as_bytes(), sql.as_bytes().windows(word.len()));
        text.any(|part| part.eq_ignore_ascii_case(word))
    };
    if !says("table") && !says("fetch") {
        return Cow::Borrowed(sql);
    }
    // Of what has an open quote, the parser says what is wrong.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else {
        return Cow::Borrowed(sql);
    };
    let tokens: Vec<&TokenWithSpan> =
        tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut changes = Vec::new();
    if let [first, second, ..] = tokens.as_slice()
        && is(first, &["table"])
        && matches!(second.token, Token::Word(_))
    {
        changes.push((first.span.start, first.span.end, "SELECT * FROM"));
    }
    changes.extend(fetches(&tokens).into_iter().flatten());
    changed(sql, &changes).map_or(Cow::Borrowed(sql), Cow::Owned)
}

/// Where a place of a text is among its bytes; none where it is not in it.
pub(super) fn place(sql: &str, wanted: Location) -> Option<usize> {
    let (mut line, mut column) = (1_u64, 1_u64);
    for (at, letter) in sql.char_indices().chain([(sql.len(), ' ')]) {
        if (Location { line, column }) == wanted {
            return Some(at);
        }
        if letter == '\n' {
            (line, column) = (line.saturating_add(1), 1);
        } else {
            column = column.saturating_add(1);
        }
    }
    None
}

/// Whether a token is one of these words, without quotes.
fn is(token: &TokenWithSpan, words: &[&str]) -> bool {
    matches!(&token.token, Token::Word(word)
        if word.quote_style.is_none() && words.iter().any(|one| word.value.eq_ignore_ascii_case(one)))
}

/// Each `FETCH FIRST (…) ROWS ONLY`, in order: LIMIT in the place of its first words, nothing in that of its last.
fn fetches(tokens: &[&TokenWithSpan]) -> Vec<[Change; 2]> {
    let mut found = Vec::new();
    // Parentheses that are open, with the two words before them if these are FETCH FIRST.
    let mut open: Vec<Option<(Location, Location)>> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => {
                let before = at.checked_sub(2).and_then(|from| tokens.get(from..at));
                open.push(match before {
                    Some([fetch, first])
                        if is(fetch, &["fetch"]) && is(first, &["first", "next"]) =>
                    {
                        Some((fetch.span.start, first.span.end))
                    }
                    _ => None,
                });
            }
            Token::RParen => {
                let after = tokens.get(at.saturating_add(1)..).unwrap_or_default();
                if let (Some(Some((start, end))), [rows, only, ..]) = (open.pop(), after)
                    && is(rows, &["row", "rows"])
                    && is(only, &["only"])
                {
                    found.push([(start, end, "LIMIT"), (rows.span.start, only.span.end, "")]);
                }
            }
            _ => {}
        }
    }
    found
}

/// The text with other words where these stand; none if there are no such, or their places are not found.
fn changed(sql: &str, changes: &[Change]) -> Option<String> {
    if changes.is_empty() {
        return None;
    }
    let mut places = Vec::with_capacity(changes.len());
    let wanted: std::collections::BTreeSet<Location> =
        changes.iter().flat_map(|(start, end, _)| [*start, *end]).collect();
    let mut bytes = std::collections::BTreeMap::new();
    let (mut line, mut column) = (1_u64, 1_u64);
    for (at, letter) in sql.char_indices().chain([(sql.len(), ' ')]) {
        let here = Location { line, column };
        if wanted.contains(&here) {
            bytes.insert(here, at);
        }
        if letter == '\n' {
            (line, column) = (line.saturating_add(1), 1);
        } else {
            column = column.saturating_add(1);
        }
    }
    for (start, end, words) in changes {
        places.push((*bytes.get(start)?, *bytes.get(end)?, *words));
    }
    places.sort_unstable();
    let (mut text, mut from) = (String::with_capacity(sql.len()), 0);
    for (start, end, words) in places {
        text.push_str(sql.get(from..start)?);
        text.push_str(words);
        from = end;
    }
    text.push_str(sql.get(from..)?);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_the_parser_does_not_read_are_others() {
        for (sql, made) in [
            ("TABLE a.t", "SELECT * FROM a.t"),
            ("/* ü\n */ table \"T\" LIMIT 1", "/* ü\n */ SELECT * FROM \"T\" LIMIT 1"),
            (
                "SELECT x FROM t FETCH FIRST ($1::INTEGER) ROWS ONLY",
                "SELECT x FROM t LIMIT ($1::INTEGER) ",
            ),
            (
                "SELECT 'ü\n', a FROM (SELECT a FROM t FETCH NEXT ((1)) ROW ONLY) FETCH FIRST (2) ROWS ONLY",
                "SELECT 'ü\n', a FROM (SELECT a FROM t LIMIT ((1)) ) LIMIT (2) ",
            ),
        ] {
            assert_eq!(readable(sql), made);
        }
        for sql in [
            "SELECT 'FETCH FIRST (1) ROWS ONLY', \"table\" FROM t -- FETCH FIRST (1) ROWS ONLY",
            "SELECT x FROM t FETCH FIRST 2 ROWS ONLY",
            "SELECT x FROM t FETCH FIRST (2) ROWS WITH TIES",
            "\"table\" a",
            "SELECT 'table",
        ] {
            assert_eq!(readable(sql), sql);
        }
    }
}
