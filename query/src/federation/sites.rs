//! Counting what each lab gave to one answer.

use super::error::PeerError;
use crate::engine::Sites;
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tarn_schemas::{LabName, SiteReport, SiteStatus};

/// Adds up what the fragments of each lab gave. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    sites: Sites,
    reports: Arc<Mutex<BTreeMap<LabName, SiteReport>>>,
}

impl Tally {
    pub(crate) fn new(sites: Sites) -> Self {
        Self { sites, reports: Arc::default() }
    }

    /// Adds the part of one fragment: rows and bytes add up, the longest time counts, and one
    /// fragment that failed makes the lab's part incomplete.
    fn add(&self, part: SiteReport) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let report = match reports.remove(&part.lab) {
            None => part,
            Some(known) => SiteReport {
                lab: part.lab,
                status: if known.status == SiteStatus::Ok { part.status } else { known.status },
                rows: known.rows.saturating_add(part.rows),
                bytes: known.bytes.saturating_add(part.bytes),
                ms: known.ms.max(part.ms),
                as_of: known.as_of.or(part.as_of),
                state: None,
                age_seconds: None,
                error: known.error.or(part.error),
            },
        };
        self.sites.put(report.clone());
        reports.insert(report.lab.clone(), report);
    }
}

/// Measures one fragment; reports when it is dropped, however its stream ends.
#[derive(Debug)]
pub(crate) struct Meter {
    tally: Tally,
    started: Instant,
    report: SiteReport,
}

impl Meter {
    pub(crate) fn start(tally: &Tally, lab: &LabName) -> Self {
        let report = SiteReport {
            lab: lab.clone(),
            status: SiteStatus::Ok,
            rows: 0,
            bytes: 0,
            ms: 0,
            as_of: Some(now()),
            state: None,
            age_seconds: None,
            error: None,
        };
        Self { tally: tally.clone(), started: Instant::now(), report }
    }

    pub(crate) fn count(&mut self, batch: &RecordBatch) {
        let add =
            |sum: u64, more: usize| sum.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        self.report.rows = add(self.report.rows, batch.num_rows());
        self.report.bytes = add(self.report.bytes, batch.get_array_memory_size());
    }

    pub(crate) fn fail(&mut self, error: &PeerError) {
        self.report.status = error.site_status();
        self.report.error = Some(error.problem.clone());
        self.report.as_of = None;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.report.ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.tally.add(self.report.clone());
    }
}

/// This moment, RFC 3339.
pub(crate) fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
