//! Progress of an ingest on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use tarn_ingest::Progress;

/// A bar over bytes, with rate and time left; silent where nobody looks.
#[derive(Debug)]
pub(crate) struct IngestBar {
    bar: ProgressBar,
}

impl IngestBar {
    /// A bar, hidden unless standard error is a terminal and `quiet` is false.
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = if quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::no_length()
        };
        let template = "{msg:<40!} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Shows what happened.
    pub(crate) fn show(&self, progress: &Progress) {
        match progress {
            Progress::Planned { bytes, .. } => self.bar.inc_length(*bytes),
            Progress::FileDone { location, bytes, .. } => {
                self.bar.inc(*bytes);
                let name = location.rsplit('/').next().unwrap_or(location);
                self.bar.set_message(name.to_owned());
            }
            Progress::Verifying => self.bar.set_message("verifying"),
            Progress::Committed { table, .. } => self.bar.set_message(format!("committed {table}")),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
