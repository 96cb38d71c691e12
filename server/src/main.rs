//! The `tarn` binary: it reads the command line and the configuration and wires the crates.

// First, because the others print with its macros.
#[macro_use]
mod output;
mod registrar;

mod cli;
mod commands;
mod config;
mod derived;
mod doors;
mod failure;
mod fallback;
mod home;
mod http;
mod local;
mod logins;
mod maker;
mod neighbours;
#[cfg(feature = "postgres")]
mod postgres;
mod saved_queries;
mod tls;
mod views;
mod writing;

use clap::Parser;
use cli::Cli;
use failure::Failure;
use std::io::IsTerminal;
use std::process::ExitCode;
use tarn_schemas::ErrorCode;

/// Exit code of a panic, as the Rust runtime gives it.
const PANICKED: u8 = 101;

fn main() -> ExitCode {
    // Before any thread, log or configuration: a child has none.
    if fallback::is_child() {
        return tarn_connectors::fallback::serve();
    }
    // The main thread's stack is as large as the shell said; the deepest statement that is let through
    // needs more.
    let started = std::thread::Builder::new()
        .name("main".to_owned())
        .stack_size(tarn_query::STACK_BYTES)
        .spawn(command_line);
    match started.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // A panic has said what happened.
        Ok(Err(_)) => ExitCode::from(PANICKED),
        Err(error) => no_threads(&error, false),
    }
}

/// What the command line asks for.
fn command_line() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.verbose, cli.quiet);
    let json = cli.json;
    // Conditions of streams are planned and evaluated, and plans dropped, on these threads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(tarn_query::STACK_BYTES)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return no_threads(&error, json),
    };
    let outcome = runtime.block_on(commands::run(cli));
    // Blocking readers of an abandoned query may still run; the process does not wait for them.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}

fn no_threads(error: &std::io::Error, json: bool) -> ExitCode {
    let problem = format!("no threads: {error}; raise the limit of processes (ulimit -u)");
    Failure::new(ErrorCode::Internal, problem).report(json)
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
