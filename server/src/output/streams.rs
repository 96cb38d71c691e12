//! Standard output and standard error of a process whose reader may go away (`tarn … | head`).
//!
//! What is printed holds words of others: of nodes, issuers, registrars, records. A terminal is shown them
//! without the characters that it would obey; a file or a pipe gets what was said, byte by byte.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use tarn_schemas::shown::is_obeyed;

/// Standard output. Where its reader has gone, nobody wants the rest: the process ends without a
/// word, as other programs in a pipe do, and with success, because nothing failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_gone(io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_gone(io::stdout().flush())
    }
}

/// Standard output for text that holds words of others: a terminal is shown them without what it would obey.
pub(crate) fn text() -> Box<dyn Write + Send> {
    if io::stdout().is_terminal() { Box::new(Screen::default()) } else { Box::new(Stdout) }
}

/// A terminal.
#[derive(Debug, Default)]
struct Screen {
    /// The beginning of a character whose end is still to come.
    rest: Vec<u8>,
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let rest = self.rest.split_off(whole);
        let text = std::mem::replace(&mut self.rest, rest);
        Stdout.write_all(shown(&String::from_utf8_lossy(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Stdout.flush()
    }
}

fn unless_gone<T>(outcome: io::Result<T>) -> io::Result<T> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        other => other,
    }
}

/// Prints on standard output; ends the process where that cannot be written, such as on a full disk.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    let mut out = Stdout;
    let written = if io::stdout().is_terminal() {
        out.write_all(shown(&text.to_string()).as_bytes())
    } else {
        out.write_fmt(text)
    };
    if let Err(error) = written.and_then(|()| out.flush()) {
        tell(format_args!("error: standard output: {error}\n"));
        std::process::exit(1);
    }
}

/// Prints on standard error. Where that cannot be written there is nobody left to tell.
pub(crate) fn tell(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(shown(&text.to_string()).as_bytes());
}

/// A text as people are shown it: lines stay, and nothing in it is obeyed.
fn shown(text: &str) -> String {
    let plain = |character| match character {
        '\n' | '\t' => character,
        obeyed if is_obeyed(obeyed) => char::REPLACEMENT_CHARACTER,
        other => other,
    };
    text.chars().map(plain).collect()
}

/// `println!` for a standard output that may be closed.
macro_rules! say {
    () => { $crate::output::print(format_args!("\n")) };
    ($($arguments:tt)*) => {
        $crate::output::print(format_args!("{}\n", format_args!($($arguments)*)))
    };
}

/// `print!` for a standard output that may be closed.
macro_rules! say_part {
    ($($arguments:tt)*) => { $crate::output::print(format_args!($($arguments)*)) };
}

/// `eprintln!` for a standard error that may be closed.
macro_rules! tell {
    ($($arguments:tt)*) => {
        $crate::output::tell(format_args!("{}\n", format_args!($($arguments)*)))
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_stay_and_nothing_is_obeyed() {
        let text = "error: \u{1b}]0;PWN\u{7}x\u{202e}y\n\tnext\r";
        assert_eq!(super::shown(text), "error: \u{fffd}]0;PWN\u{fffd}x\u{fffd}y\n\tnext\u{fffd}");
    }
}
