//! Text of several statements, as people type it and as scripts hold it.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer, Whitespace};

/// Statements that end with a semicolon, and what follows the last of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statements {
    /// Text of each statement, without its semicolon. Comments alone are no statement.
    pub complete: Vec<String>,
    /// What has no semicolon yet; empty if that is nothing but space and comments.
    pub rest: String,
}

impl Statements {
    /// Splits text at the semicolons that end statements. Those in quotes and comments end nothing.
    ///
    /// While a quote or a comment is open, all that follows the last semicolon before it is `rest`.
    pub fn of(text: &str) -> Self {
        let mut tokens = Vec::new();
        // An error is an open quote or comment: what came before it is in the buffer.
        let open = Tokenizer::new(&GenericDialect {}, text)
            .tokenize_with_location_into_buf(&mut tokens)
            .is_err();
        let mut places = Places::new(text);
        let mut split = Self::default();
        let (mut start, mut says) = (0, false);
        for token in &tokens {
            match token.token {
                Token::SemiColon => {
                    let at = places.byte(token.span.start);
                    if says && let Some(statement) = text.get(start..at) {
                        split.complete.push(statement.trim().to_owned());
                    }
                    (start, says) = (at.saturating_add(1), false);
                }
                Token::Whitespace(
                    Whitespace::Space
                    | Whitespace::Newline
                    | Whitespace::Tab
                    | Whitespace::SingleLineComment { .. }
                    | Whitespace::MultiLineComment(_),
                ) => {}
                _ => says = true,
            }
        }
        if let Some(rest) = text.get(start..).filter(|_| says || open) {
            rest.trim().clone_into(&mut split.rest);
        }
        split
    }
}

/// Bytes of lines and columns, asked for in order.
struct Places<'a> {
    text: std::str::CharIndices<'a>,
    next: Location,
    length: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text: text.char_indices(),
            next: Location { line: 1, column: 1 },
            length: text.len(),
        }
    }

    /// The byte at which the character of this place begins. Lines and columns are counted as the
    /// tokenizer counts them: in characters, from 1, a line feed being the last of its line.
    fn byte(&mut self, place: Location) -> usize {
        for (byte, character) in self.text.by_ref() {
            let here = self.next;
            self.next = match character {
                '\n' => Location { line: here.line.saturating_add(1), column: 1 },
                _ => Location { line: here.line, column: here.column.saturating_add(1) },
            };
            if here == place {
                return byte;
            }
        }
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> (Vec<String>, String) {
        let Statements { complete, rest } = Statements::of(text);
        (complete, rest)
    }

    #[test]
    fn semicolons_end_statements_outside_of_quotes_and_comments() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (text, complete, rest) in [
            ("SELECT 1; SELECT 2;", &["SELECT 1", "SELECT 2"][..], ""),
            ("SELECT 1;\nSELECT", &["SELECT 1"], "SELECT"),
            ("SELECT ';', \"a;b\" FROM t;", &["SELECT ';', \"a;b\" FROM t"], ""),
            ("SELECT 'it''s;' -- no; end\n;", &["SELECT 'it''s;' -- no; end"], ""),
            ("/* a; b */ SELECT 1 /* ; */;", &["/* a; b */ SELECT 1 /* ; */"], ""),
            ("SELECT 'open; ;", &[], "SELECT 'open; ;"),
            ("SELECT 1; /* open; ", &["SELECT 1"], "/* open;"),
            ("SELECT 'größe;';SELECT 2", &["SELECT 'größe;'"], "SELECT 2"),
            (";;  ; -- nothing\n", &[], ""),
            ("", &[], ""),
        ] {
            assert_eq!(split(text), (texts(complete), rest.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn statements_come_back_as_they_were_put_together(
            parts in prop::collection::vec("[a-z0-9 äß∂\n]{0,8}", 1..5),
        ) {
            let text = parts.join(";");
            let (last, ended) = parts.split_last().unwrap();
            let said = |part: &&String| !part.trim().is_empty();
            let expected: Vec<String> =
                ended.iter().filter(said).map(|part| part.trim().to_owned()).collect();
            prop_assert_eq!(split(&text), (expected, last.trim().to_owned()));
        }
    }
}
