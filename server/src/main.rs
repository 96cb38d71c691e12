//! The `tarn` binary: it reads the command line and the configuration and wires the crates.

// First, because the others print with its macros.
#[macro_use]
mod output;
mod registrar;

mod cli;
mod commands;
mod config;
mod failure;
mod fallback;
mod home;
mod http;
mod logins;

use clap::Parser;
use cli::Cli;
use failure::Failure;
use std::io::IsTerminal;
use std::process::ExitCode;
use tarn_schemas::ErrorCode;

fn main() -> ExitCode {
    // Before any thread, log or configuration: a child has none.
    if fallback::is_child() {
        return tarn_connectors::fallback::serve();
    }
    let cli = Cli::parse();
    start_logging(cli.verbose, cli.quiet);
    let json = cli.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::new(ErrorCode::Internal, format!("no threads: {error}")).report(json);
        }
    };
    let outcome = runtime.block_on(commands::run(cli));
    // Blocking readers of an abandoned query may still run; the process does not wait for them.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}

/// Logs go to standard error; `RUST_LOG` refines what `-v` and `--quiet` choose.
fn start_logging(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn,tarn=info",
        (false, 1) => "info,tarn=debug",
        (false, _) => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Standard error may be closed, and a log about the log would end the process then.
        .log_internal_errors(false)
        .init();
}
