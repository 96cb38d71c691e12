//! `tarn dev`

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// For tests, and to try things out
#[derive(Debug, Subcommand)]
pub(crate) enum Dev {
    /// Start several labs on this machine, every two of them peers, each with a small public dataset; until Ctrl-C
    #[command(
        after_help = "Example:\n  tarn dev federation --labs 5 --latency 50ms\n  tarn dev federation --labs 3 --down lab2"
    )]
    Federation(DevFederation),
}

/// Arguments of `tarn dev federation`.
#[derive(Debug, Args)]
pub(crate) struct DevFederation {
    /// How many labs
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub labs: u32,
    /// Folder of their homes; one that is there is started again as it is
    #[arg(long, default_value = "tarn-federation", value_name = "DIR")]
    pub folder: PathBuf,
    /// How much later everything arrives that a lab is sent by another, such as 50ms
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = time)]
    pub latency: Duration,
    /// Stop this lab once all are peers (repeatable)
    #[arg(long, value_name = "LAB")]
    pub down: Vec<String>,
    /// Remove the folder at the end
    #[arg(long)]
    pub remove: bool,
}

/// `50ms` or `2s`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is no time: write milliseconds or seconds, such as 50ms or 2s");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let number: u32 = number.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number.into())),
        "s" => Ok(Duration::from_secs(number.into())),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(time("2s"), Ok(Duration::from_secs(2)));
        for wrong in ["", "50", "ms", "-1s", "1h", "99999999999s"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
