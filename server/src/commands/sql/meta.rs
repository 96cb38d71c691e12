//! What the prompt understands beside SQL: lines that begin with a backslash.

use crate::cli::SqlFormat;
use crate::failure::Failure;
use clap::ValueEnum;
use std::path::PathBuf;
use tarn_schemas::ErrorCode;

/// What `\?` prints.
pub(super) const HELP: &str = "\
\\d              tables          \\d NAME   columns of a table, or tables of a dataset
\\df [WORD]      functions, those with WORD in their name
\\format FORMAT  how answers are printed: table, csv, json; arrow and parquet go to a file
\\o FILE         the next answer goes to FILE, in the format of its ending
\\timing         say how long answers take, or no longer; \\timing on|off
\\q              leave (or Ctrl-D)
A statement ends with ; and may have several lines. Tab completes names; Ctrl-C stops what runs.";

/// A line that is no SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meta {
    /// `\d`
    Tables,
    /// `\d NAME`
    Describe(String),
    /// `\df`
    Functions(String),
    /// `\format`
    Format(SqlFormat),
    /// `\o FILE`
    Output(PathBuf),
    /// `\timing`; without a word the other of the two
    Timing(Option<bool>),
    /// `\?`
    Help,
    /// `\q`
    Quit,
}

impl Meta {
    /// What a line asks for; `None` if it is SQL.
    ///
    /// # Errors
    /// A failure that says what there is.
    pub(super) fn of(line: &str) -> Option<Result<Self, Failure>> {
        let line = line.trim();
        // What people type who do not know the prompt yet.
        match line.strip_suffix(';').unwrap_or(line) {
            "quit" | "exit" => return Some(Ok(Self::Quit)),
            "help" | "?" => return Some(Ok(Self::Help)),
            _ => {}
        }
        let line = line.strip_prefix('\\')?;
        let line = line.strip_suffix(';').unwrap_or(line);
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        Some(Self::parse(word, rest.trim()))
    }

    fn parse(word: &str, rest: &str) -> Result<Self, Failure> {
        let wrong = |problem: String| Err(Failure::new(ErrorCode::InvalidArgument, problem));
        match (word, rest) {
            ("d" | "dt" | "dv", "") => Ok(Self::Tables),
            ("d", name) => Ok(Self::Describe(name.to_owned())),
            ("df", word) => Ok(Self::Functions(word.to_lowercase())),
            ("format", name) => SqlFormat::from_str(name, true)
                .map(Self::Format)
                .or_else(|_| wrong("\\format takes table, csv, json, arrow or parquet".to_owned())),
            ("o", "") => wrong("\\o takes the name of a file".to_owned()),
            ("o", path) => Ok(Self::Output(PathBuf::from(path))),
            ("timing", "") => Ok(Self::Timing(None)),
            ("timing", "on") => Ok(Self::Timing(Some(true))),
            ("timing", "off") => Ok(Self::Timing(Some(false))),
            ("timing", _) => wrong("\\timing takes on or off".to_owned()),
            ("?" | "h" | "help", "") => Ok(Self::Help),
            ("q" | "quit", "") => Ok(Self::Quit),
            _ => wrong(format!("\\{word} is not known; \\? lists what is")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslashes_are_commands_and_all_else_is_sql() {
        let of = |line| Meta::of(line).map(|meta| meta.map_err(|problem| problem.to_string()));
        assert_eq!(of("SELECT 1"), None);
        assert_eq!(of("SELECT '\\d'"), None);
        assert_eq!(of("\\d"), Some(Ok(Meta::Tables)));
        assert_eq!(of(" \\d lab.a.b; "), Some(Ok(Meta::Describe("lab.a.b".to_owned()))));
        assert_eq!(of("\\df Units"), Some(Ok(Meta::Functions("units".to_owned()))));
        assert_eq!(of("\\timing"), Some(Ok(Meta::Timing(None))));
        assert_eq!(of("\\timing off"), Some(Ok(Meta::Timing(Some(false)))));
        assert_eq!(of("\\format CSV"), Some(Ok(Meta::Format(SqlFormat::Csv))));
        assert_eq!(of("\\o a b.csv"), Some(Ok(Meta::Output(PathBuf::from("a b.csv")))));
        assert_eq!(of("exit"), Some(Ok(Meta::Quit)));
        assert_eq!(of("help;"), Some(Ok(Meta::Help)));
        assert_eq!(of("\\dt"), Some(Ok(Meta::Tables)));
        for (line, word) in [
            ("\\format xml", "parquet"),
            ("\\o", "file"),
            ("\\timing maybe", "on or off"),
            ("\\dx", "\\?"),
        ] {
            assert!(of(line).unwrap().unwrap_err().contains(word), "{line}");
        }
    }
}
