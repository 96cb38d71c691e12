//! The scans of a SPEC file.

use crate::elements;
use crate::error::FormatError;
use crate::source::ByteSource;
use chrono::NaiveDateTime;

/// Bytes read at a time.
const WINDOW: u64 = 1024 * 1024;
/// Longest line that is kept; control lines are far shorter.
const LONGEST_LINE: usize = 1024 * 1024;

/// One scan.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) number: i64,
    pub(super) command: String,
    pub(super) arguments: String,
    /// Microseconds since 1970 on the clock of the instrument, whose zone the file does not tell.
    pub(super) started: Option<i64>,
}

/// A whole file, without the measured points.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// First `#F`, `#E`, `#D` and `#C` line before the first scan.
    pub(super) header: Vec<(&'static str, String)>,
    pub(super) scans: Vec<Scan>,
}

impl Log {
    /// Reads a file from end to end, a window at a time.
    pub(super) fn read(source: &dyn ByteSource) -> Result<Self, FormatError> {
        let mut log = Self::default();
        let (mut at, mut line, mut number) = (0, Vec::new(), 0_u64);
        let access = source.access();
        let length = if access.is_remote() { access.run } else { WINDOW };
        while at < source.len() {
            let end = at.saturating_add(length).min(source.len());
            // The next window is on its way while this one is read.
            let ahead = end..end.saturating_add(length).min(source.len());
            source.announce(std::slice::from_ref(&ahead));
            let window = source.read(at..end)?;
            let mut pieces = window.split(|byte| *byte == b'\n').peekable();
            while let Some(piece) = pieces.next() {
                let room = LONGEST_LINE.saturating_sub(line.len());
                line.extend(piece.iter().take(room));
                if pieces.peek().is_some() {
                    number += 1;
                    log.line(source.location(), number, &line)?;
                    line.clear();
                }
            }
            at = end;
        }
        log.line(source.location(), number + 1, &line)?;
        Ok(log)
    }

    fn line(&mut self, location: &str, number: u64, line: &[u8]) -> Result<(), FormatError> {
        let [b'#', key @ (b'S' | b'D' | b'F' | b'E' | b'C'), b' ' | b'\t', rest @ ..] = line else {
            return Ok(());
        };
        let text = elements::text(rest);
        let text = text.trim();
        match (key, self.scans.last_mut()) {
            (b'S', _) => self.scans.push(scan(location, number, text)?),
            (b'D', Some(scan)) => scan.started = scan.started.or_else(|| microseconds(text)),
            (_, Some(_)) => {}
            (key, None) => {
                let name = match key {
                    b'F' => "file",
                    b'E' => "epoch",
                    b'D' => "date",
                    _ => "comment",
                };
                if self.header.iter().all(|(known, _)| *known != name) {
                    self.header.push((name, text.to_owned()));
                }
            }
        }
        Ok(())
    }
}

fn scan(location: &str, line: u64, text: &str) -> Result<Scan, FormatError> {
    let (number, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let number = number.parse().map_err(|_| {
        let problem = format!("a scan begins with {number:?} in place of its number");
        FormatError::corrupt(location, format!("line {line}"), problem)
    })?;
    let rest = rest.trim_start();
    let (command, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Ok(Scan {
        number,
        command: command.to_owned(),
        arguments: arguments.trim_start().to_owned(),
        started: None,
    })
}

/// `Wed Feb 03 17:04:18 2016`; the name of the day is not checked.
fn microseconds(text: &str) -> Option<i64> {
    let (_, date) = text.split_once(char::is_whitespace)?;
    NaiveDateTime::parse_from_str(date.trim(), "%b %d %H:%M:%S %Y")
        .ok()
        .map(|date| date.and_utc().timestamp_micros())
}
