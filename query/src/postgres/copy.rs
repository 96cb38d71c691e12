//! `COPY (SELECT …) TO STDOUT`: rows in one of the forms that `\copy` and drivers write into files.

use super::failure::Refusal;
use super::types::Format;
use bytes::{BufMut, BytesMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// What begins a copy in binary: a signature, no flags and no more of a header.
const BEGINNING: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    kind: Kind,
    delimiter: char,
    quote: char,
    escape: char,
    null: String,
    header: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Csv,
    Binary,
}

/// A copy that a statement asks for: what is read, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    /// The query whose rows they are.
    pub(super) sql: String,
    pub(super) form: Form,
}

fn refused(problem: impl Into<String>) -> Refusal {
    Refusal::new("0A000", problem)
}

/// The word of a token, in lower case, if it stands without quotes.
fn word(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
        _ => None,
    }
}

/// The copy that a statement is; none where it is none, or goes somewhere else than to the client.
pub(super) fn copy(sql: &str) -> Option<Result<Copy, Refusal>> {
    let begins = sql.trim_start().get(..4).is_some_and(|word| word.eq_ignore_ascii_case("copy"));
    if !begins {
        return None;
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let tokens: Vec<TokenWithSpan> = tokens
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon))
        .collect();
    // The last TO STDOUT outside of parentheses: what stands before is read, what follows says how.
    let mut depth = 0_usize;
    let mut to = None;
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen => depth = depth.saturating_add(1),
            Token::RParen => depth = depth.saturating_sub(1),
            token if depth == 0 && word(token).as_deref() == Some("to") => to = Some(at),
            _ => {}
        }
    }
    let to = to?;
    let (read, rest) = tokens.split_at_checked(to)?;
    let [_, stdout, options @ ..] = rest else { return None };
    if word(&stdout.token).as_deref() != Some("stdout") {
        return None;
    }
    Some(query(sql, read).and_then(|sql| Ok(Copy { sql, form: Form::of(options)? })))
}

/// What is read, as it stands in the statement: a query in parentheses, or a table with some of its columns.
fn query(sql: &str, tokens: &[TokenWithSpan]) -> Result<String, Refusal> {
    let unclear =
        || Refusal::new("42601", "write COPY (SELECT …) TO STDOUT, or COPY table TO STDOUT");
    let between = |tokens: &[TokenWithSpan]| {
        let (first, last) = tokens.first().zip(tokens.last()).ok_or_else(unclear)?;
        let start = super::written::place(sql, first.span.start).ok_or_else(unclear)?;
        let end = super::written::place(sql, last.span.end).ok_or_else(unclear)?;
        sql.get(start..end).ok_or_else(unclear)
    };
    let tokens = tokens.get(1..).unwrap_or_default();
    let is = |token: &TokenWithSpan, wanted: &Token| token.token == *wanted;
    let last = tokens.last().ok_or_else(unclear)?;
    let open = tokens.iter().position(|token| is(token, &Token::LParen));
    match open {
        Some(0) if is(last, &Token::RParen) => {
            let inner = tokens.get(1..tokens.len().saturating_sub(1)).unwrap_or_default();
            Ok(between(inner)?.to_owned())
        }
        Some(0) => Err(unclear()),
        open => {
            let (table, columns) = match open {
                Some(open) if is(last, &Token::RParen) => {
                    let (table, columns) = tokens.split_at_checked(open).ok_or_else(unclear)?;
                    let inner = columns.get(1..columns.len().saturating_sub(1));
                    (table, Some(inner.unwrap_or_default()))
                }
                Some(_) => return Err(unclear()),
                None => (tokens, None),
            };
            let names = |tokens: &[TokenWithSpan], between: &Token| {
                let mut tokens = tokens.iter().enumerate();
                tokens.all(|(at, token)| match at % 2 {
                    0 => matches!(token.token, Token::Word(_)),
                    _ => token.token == *between,
                })
            };
            let plain = names(table, &Token::Period)
                && columns.is_none_or(|columns| names(columns, &Token::Comma));
            if !plain {
                return Err(unclear());
            }
            let columns = columns.map_or(Ok("*"), between)?;
            Ok(format!("SELECT {columns} FROM {}", between(table)?))
        }
    }
}

impl Form {
    /// What options say, in either of the two ways to write them.
    fn of(options: &[TokenWithSpan]) -> Result<Self, Refusal> {
        let mut tokens: Vec<&Token> = options
            .iter()
            .map(|token| &token.token)
            .filter(|token| !matches!(token, Token::LParen | Token::RParen | Token::Comma))
            .collect();
        tokens.reverse();
        let (mut kind, mut header) = (Kind::Text, false);
        let (mut delimiter, mut null, mut quote, mut escape) = (None, None, None, None);
        while let Some(token) = tokens.pop() {
            let name = word(token).unwrap_or_default();
            let mut value = || {
                if tokens.last().and_then(|token| word(token)).as_deref() == Some("as") {
                    tokens.pop();
                }
                match tokens.pop() {
                    Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => {
                        Ok(text.clone())
                    }
                    Some(Token::Word(word)) => Ok(word.value.clone()),
                    _ => Err(refused(format!("the option {name} of COPY lacks a value"))),
                }
            };
            match name.as_str() {
                "with" => {}
                "csv" => kind = Kind::Csv,
                "binary" => kind = Kind::Binary,
                "format" => {
                    kind = match value()?.to_lowercase().as_str() {
                        "text" => Kind::Text,
                        "csv" => Kind::Csv,
                        "binary" => Kind::Binary,
                        other => {
                            let problem = format!(
                                "COPY has the formats text, csv and binary, and {other:?} is none"
                            );
                            return Err(refused(problem));
                        }
                    }
                }
                "header" => {
                    let said = tokens.last().and_then(|token| word(token));
                    header = !matches!(said.as_deref(), Some("false" | "off"));
                    if matches!(said.as_deref(), Some("true" | "on" | "false" | "off")) {
                        tokens.pop();
                    }
                }
                "delimiter" | "delimiters" => delimiter = Some(one(&name, &value()?)?),
                "quote" => quote = Some(one(&name, &value()?)?),
                "escape" => escape = Some(one(&name, &value()?)?),
                "null" => null = Some(value()?),
                "encoding" => {
                    let encoding = value()?;
                    if !matches!(encoding.to_lowercase().as_str(), "utf8" | "utf-8" | "unicode") {
                        return Err(refused("texts are UTF8 here, in COPY too"));
                    }
                }
                other => {
                    let problem = format!(
                        "COPY … TO STDOUT knows FORMAT, HEADER, DELIMITER, NULL, QUOTE, ESCAPE and ENCODING, and not {other:?}"
                    );
                    return Err(refused(problem));
                }
            }
        }
        let csv = kind == Kind::Csv;
        let quote = quote.unwrap_or('"');
        let form = Self {
            kind,
            delimiter: delimiter.unwrap_or(if csv { ',' } else { '\t' }),
            quote,
            escape: escape.unwrap_or(quote),
            null: null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() }),
            header,
        };
        if form.header && form.kind == Kind::Binary {
            return Err(refused("a binary copy has no header"));
        }
        let misread = |letter: char| matches!(letter, '\n' | '\r' | '\\') || letter == form.quote;
        if misread(form.delimiter) || form.null.contains(['\n', '\r']) {
            return Err(refused("this delimiter, or this text for NULL, could not be read again"));
        }
        Ok(form)
    }

    /// The format of its values.
    pub(super) fn format(&self) -> Format {
        if self.kind == Kind::Binary { Format::Binary } else { Format::Text }
    }

    /// What a file begins with.
    pub(super) fn beginning(&self) -> &'static [u8] {
        if self.kind == Kind::Binary { BEGINNING } else { &[] }
    }

    /// The line with the names of columns, if there is one.
    pub(super) fn header(&self, names: &[String]) -> Option<BytesMut> {
        let mut line = BytesMut::new();
        self.header.then(|| {
            self.row(&mut line, names.iter().map(|name| Some(name.as_bytes())));
            line
        })
    }

    /// What comes after them.
    pub(super) fn end(&self) -> Option<&'static [u8]> {
        (self.kind == Kind::Binary).then_some(&[0xff, 0xff])
    }

    /// A row of values.
    pub(super) fn row<'a>(
        &self,
        line: &mut BytesMut,
        values: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    ) {
        if self.kind == Kind::Binary {
            line.put_i16(i16::try_from(values.len()).unwrap_or(i16::MAX));
            for value in values {
                line.put_i32(value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(-1)));
                line.extend_from_slice(value.unwrap_or_default());
            }
            return;
        }
        let alone = values.len() == 1;
        let mut letter = [0; 4];
        let delimiter = self.delimiter.encode_utf8(&mut letter).as_bytes();
        for (place, value) in values.enumerate() {
            if place > 0 {
                line.extend_from_slice(delimiter);
            }
            match value {
                None => line.extend_from_slice(self.null.as_bytes()),
                Some(value) if self.kind == Kind::Csv => self.quoted(line, value, alone),
                Some(value) => Self::escaped(line, value, delimiter),
            }
        }
        line.put_u8(b'\n');
    }

    /// A value of a line of text, with backslashes before what would be read as something else.
    fn escaped(line: &mut BytesMut, value: &[u8], delimiter: &[u8]) {
        let [delimiter] = delimiter else { return line.extend_from_slice(value) };
        for byte in value {
            let name = match byte {
                b'\\' => b'\\',
                0x08 => b'b',
                0x0c => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x0b => b'v',
                byte if byte == delimiter => *byte,
                byte => {
                    line.put_u8(*byte);
                    continue;
                }
            };
            line.extend_from_slice(&[b'\\', name]);
        }
    }

    /// A value of a line of CSV: in quotes where it would be read as something else.
    fn quoted(&self, line: &mut BytesMut, value: &[u8], alone: bool) {
        let text = String::from_utf8_lossy(value);
        let needs = |letter: char| {
            matches!(letter, '\n' | '\r') || letter == self.delimiter || letter == self.quote
        };
        let plain = *text != *self.null && !text.contains(needs) && !(alone && text == "\\.");
        if plain {
            return line.extend_from_slice(value);
        }
        let mut letters = [0; 4];
        let mut put = |letter: char| {
            line.extend_from_slice(letter.encode_utf8(&mut letters).as_bytes());
        };
        put(self.quote);
        for letter in text.chars() {
            if letter == self.quote || letter == self.escape {
                put(self.escape);
            }
            put(letter);
        }
        put(self.quote);
    }
}

/// A character of one byte.
fn one(name: &str, text: &str) -> Result<char, Refusal> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii() => Ok(letter),
        _ => Err(refused(format!("the option {name} of COPY is one character of one byte"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(sql: &str) -> Copy {
        copy(sql).unwrap().unwrap()
    }

    fn line(form: &Form, values: &[Option<&str>]) -> String {
        let mut line = BytesMut::new();
        form.row(&mut line, values.iter().map(|value| value.map(str::as_bytes)));
        String::from_utf8(line.to_vec()).unwrap()
    }

    #[test]
    fn what_is_read_stands_as_it_stood() {
        for (sql, read) in [
            ("COPY  ( SELECT ')' , \"to\" FROM t ) TO STDOUT", "SELECT ')' , \"to\" FROM t"),
            ("copy open.t to stdout;", "SELECT * FROM open.t"),
            ("COPY \"A b\".t (x, \"Y\") TO STDOUT CSV", "SELECT x, \"Y\" FROM \"A b\".t"),
            ("COPY (SELECT 'ü\n' AS to) TO STDOUT (FORMAT csv)", "SELECT 'ü\n' AS to"),
        ] {
            assert_eq!(made(sql).sql, read, "{sql}");
        }
        for sql in ["COPY t FROM STDIN", "COPY t TO '/etc/x'", "COPY t TO PROGRAM 'x'", "SELECT 1"]
        {
            assert!(copy(sql).is_none(), "{sql}");
        }
        for sql in
            ["COPY t, u TO STDOUT", "COPY t WHERE x TO STDOUT", "COPY t TO STDOUT (FORCE_QUOTE *)"]
        {
            assert!(copy(sql).unwrap().is_err(), "{sql}");
        }
    }

    // As PostgreSQL 15 writes them.
    #[test]
    fn rows_are_written_as_postgresql_writes_them() {
        let text = made("COPY t TO STDOUT").form;
        assert_eq!(line(&text, &[Some("a\tb\\"), None, Some("")]), "a\\tb\\\\\t\\N\t\n");
        let csv = made("COPY t TO STDOUT WITH CSV HEADER").form;
        assert_eq!(
            line(&csv, &[Some("a,\"b\""), None, Some(""), Some("x")]),
            "\"a,\"\"b\"\"\",,\"\",x\n"
        );
        assert_eq!(csv.header(&["A b".to_owned(), "c".to_owned()]).unwrap(), &b"A b,c\n"[..]);
        assert_eq!(line(&csv, &[Some("\\.")]), "\"\\.\"\n");
        let other =
            made("COPY t TO STDOUT (FORMAT csv, DELIMITER ';', NULL 'nil', HEADER false)").form;
        assert_eq!(line(&other, &[Some("a,b"), None, Some("nil")]), "a,b;nil;\"nil\"\n");
        assert!(other.header(&[]).is_none());
        let binary = made("COPY t TO STDOUT BINARY").form;
        let mut row = BytesMut::new();
        binary.row(&mut row, [Some(&b"x"[..]), None].into_iter());
        assert_eq!(row, &b"\0\x02\0\0\0\x01x\xff\xff\xff\xff"[..]);
    }
}
