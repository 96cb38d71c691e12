//! One file a command.

mod access;
mod audit;
mod backup;
mod datasets;
mod dev;
mod doctor;
mod doi;
mod draft;
mod export;
mod ingest;
mod init;
mod inspect;
mod login;
mod optimize;
mod peer;
mod query;
mod receipts;
mod record;
mod register;
mod search;
mod serve;
mod sql;
mod stream;
mod token;
mod user;
mod wrong;

pub(crate) use audit::moment;
pub(crate) use record::facts_of;
pub(crate) use user::principal;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use std::path::PathBuf;
use std::process::ExitCode;

/// What every command knows of the command line.
#[derive(Debug)]
pub(crate) struct Context {
    /// `--home` or `TARN_HOME`
    pub home: Option<PathBuf>,
    /// `--json`
    pub json: bool,
    /// `--quiet`
    pub quiet: bool,
}

impl Context {
    /// Prints a note for people, on standard error, unless `--quiet` or `--json`.
    pub(crate) fn note(&self, text: impl std::fmt::Display) {
        if !self.quiet && !self.json {
            tell!("{text}");
        }
    }
}

/// `TARN_HOME`; an empty one is none, as in a shell. Not read by clap, which would refuse that, and
/// would show `--home` in every usage line as if it were required.
fn home_of_environment() -> Option<PathBuf> {
    std::env::var_os("TARN_HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// Runs the command.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let home = cli.home.or_else(home_of_environment);
    let context = Context { home, json: cli.json, quiet: cli.quiet };
    match cli.command {
        Command::Init(args) => init::run(&context, &args).await,
        Command::Inspect(args) => inspect::run(&context, &args).await,
        Command::Record(args) => record::run(&context, args).await,
        Command::Register(args) => Box::pin(register::run(&context, &args)).await,
        Command::Ingest(args) => Box::pin(ingest::run(&context, args)).await,
        Command::Optimize(args) => Box::pin(optimize::run(&context, args)).await,
        Command::Search(args) => search::run(&context, args).await,
        Command::Show(args) => datasets::show(&context, &args).await,
        Command::Versions(args) => datasets::versions(&context, &args).await,
        Command::Export(args) => export::run(&context, &args).await,
        Command::Query(args) => Box::pin(query::run(&context, args)).await,
        Command::Sql(args) => sql::run(&context, &args).await,
        Command::Stream(args) => stream::run(&context, args).await,
        Command::Serve(_) => Box::pin(serve::run(&context)).await,
        Command::Access(args) => access::run(&context, args).await,
        Command::Doi(args) => Box::pin(doi::run(&context, args)).await,
        Command::Doctor(args) => Box::pin(doctor::run(&context, &args)).await,
        Command::Draft(args) => Box::pin(draft::run(&context, args)).await,
        Command::Audit(args) => audit::run(&context, args).await,
        Command::User(args) => user::run(&context, args).await,
        Command::Retract(args) => access::retract(&context, &args).await,
        Command::Backup(args) => backup::backup(&context, &args).await,
        Command::Restore(args) => backup::restore(&context, &args).await,
        Command::Login(args) => Box::pin(login::login(&context, &args)).await,
        Command::Logout(args) => login::logout(&context, &args).await,
        Command::Token(args) => token::run(&context, args).await,
        Command::Peer(args) => peer::run(&context, args).await,
        Command::Dev(args) => dev::run(&context, args).await,
    }
    .map(|()| ExitCode::SUCCESS)
    .or_else(Outcome::into_exit)
}

/// A command that did not simply succeed.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It failed.
    Failed(Failure),
    /// It did its work and the exit code says more, such as 6 for a partial result.
    Exit(u8),
}

impl Outcome {
    fn into_exit(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Failed(failure) => Err(failure),
            Self::Exit(code) => Ok(ExitCode::from(code)),
        }
    }
}

impl<E> From<E> for Outcome
where
    Failure: From<E>,
{
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
