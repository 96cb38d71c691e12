//! What the user sees when something fails: a message, a code, an exit code.

use std::fmt;
use std::process::ExitCode;
use tarn_schemas::ErrorCode;
use tarn_schemas::code::Coded;

/// A failure on its way to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    code: ErrorCode,
    message: String,
}

impl Failure {
    /// A failure of the command line itself.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Its code.
    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    /// The same failure with where it happened in front.
    #[must_use]
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The same failure with what to do at the end.
    #[must_use]
    pub(crate) fn and(mut self, more: impl fmt::Display) -> Self {
        self.message = format!("{}; {more}", self.message);
        self
    }

    /// Prints it on standard error and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if json {
            let problem =
                serde_json::json!({"error": {"code": self.code, "message": self.message}});
            tell!("{problem}");
        } else {
            tell!("error: {}", self.message);
        }
        ExitCode::from(self.code.exit_code())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl<E: Coded + fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

/// A failure to read or write something of the user's.
pub(crate) fn io(place: impl fmt::Display, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorCode::NotFound,
        _ => ErrorCode::Unavailable,
    };
    Failure::new(code, format!("{place}: {error}"))
}
