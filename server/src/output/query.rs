//! Progress of a query on a terminal.

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tarn_query::{Progress, State};

/// Before this, nobody wonders.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line with rows, bytes, their rates and, where it is known how much there is, the time left.
#[derive(Debug)]
pub(crate) struct QueryLine {
    bar: ProgressBar,
    ended: AtomicBool,
}

impl QueryLine {
    /// A line, hidden unless standard error is a terminal and `quiet` is false.
    pub(crate) fn new(quiet: bool) -> Self {
        let hidden = quiet || !std::io::stderr().is_terminal();
        let bar = ProgressBar::hidden();
        Self { bar, ended: AtomicBool::new(hidden) }
    }

    /// Shows how far the query is.
    pub(crate) fn show(&self, progress: &Progress) {
        if self.ended.load(Ordering::Relaxed) || progress.elapsed < PATIENCE {
            return;
        }
        if self.bar.is_hidden() {
            self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        let known = progress.estimate.filter(|estimate| estimate.rows > 0 && !estimate.beyond);
        let template = match known {
            Some(estimate) => {
                self.bar.set_length(estimate.rows.max(progress.scanned_rows));
                self.bar.set_position(progress.scanned_rows);
                "{spinner} {bar:24} {msg} ETA {eta}"
            }
            None => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_message(said(progress));
        self.bar.tick();
    }

    /// Takes the line away, for good.
    pub(crate) fn end(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.bar.finish_and_clear();
        }
    }
}

fn said(progress: &Progress) -> String {
    let seconds = progress.elapsed.as_secs();
    match progress.state {
        State::Waiting => return format!("waits for its turn, {seconds} s"),
        State::Planning | State::Planned => return format!("is planned, {seconds} s"),
        _ => {}
    }
    let whole = u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = |count: u64| count.saturating_mul(1000) / whole;
    let (rows, bytes) = (progress.scanned_rows, progress.scanned_bytes);
    format!(
        "{seconds} s, {} rows read, {}/s, {}, {}/s",
        HumanCount(rows),
        HumanCount(rate(rows)),
        HumanBytes(bytes),
        HumanBytes(rate(bytes)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_rates() {
        let progress = Progress {
            state: State::Running,
            began: chrono::Utc::now(),
            elapsed: Duration::from_secs(4),
            rows: 0,
            bytes: 0,
            scanned_rows: 10_000_000,
            scanned_bytes: 8 << 30,
            estimate: None,
            problem: None,
        };
        let text = said(&progress);
        assert_eq!(text, "4 s, 10,000,000 rows read, 2,500,000/s, 8.00 GiB, 2.00 GiB/s");
        let waiting = Progress { state: State::Waiting, ..progress };
        assert_eq!(said(&waiting), "waits for its turn, 4 s");
    }
}
