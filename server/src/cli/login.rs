//! Commands on logins.

use clap::Args;

/// `tarn login`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tarn login --server https://lake.example.org
  tarn login --administrator -                          the first administrator: asks for what `tarn init` printed
  curl -H \"Authorization: Bearer $(tarn login --print-token)\" https://lake.example.org/api/v1/me")]
pub(crate) struct Login {
    /// HTTP address of the node [default: that of the home, or the only one with a login]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Name of the issuer, where the node accepts several
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// A one-time token that makes you an administrator; `-` reads it from standard input, because others
    /// on this machine see what stands in a command
    #[arg(long, value_name = "TOKEN")]
    pub administrator: Option<String>,
    /// Print the token of the login that there is, for other programs
    #[arg(long, conflicts_with_all = ["issuer", "administrator"])]
    pub print_token: bool,
}

/// `tarn logout`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tarn logout --server https://lake.example.org")]
pub(crate) struct Logout {
    /// HTTP address of the node [default: that of the home, or the only one with a login]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
}
