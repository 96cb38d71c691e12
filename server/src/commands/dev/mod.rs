//! `tarn dev`: for tests, and for people who try things out.

mod federation;
mod proxy;
mod sample;

use super::{Context, Outcome};
use crate::cli::Dev;

/// Starts what somebody tries things out with.
pub(crate) async fn run(context: &Context, args: Dev) -> Result<(), Outcome> {
    match args {
        Dev::Federation(args) => federation::run(context, args).await,
    }
}
