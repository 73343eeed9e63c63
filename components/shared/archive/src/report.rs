//! What a batch did, as it is answered and logged.

use fault::Fault;
use job::Status;
use serde::Serialize;
use uuid::Uuid;

/// How many lines of errors are kept; the catalogue has them all.
const MAX_ERRORS: usize = 20;

/// What a batch did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// How it ended.
    pub status: Status,
    /// Files moved.
    pub migrated: u32,
    /// Files that failed once more.
    pub failed: u32,
    /// Files still to be moved; absent if that could not be asked.
    pub remaining: Option<i64>,
    /// Seconds.
    pub elapsed_s: f64,
    /// What went wrong, a line each, at most 20.
    pub errors: Vec<String>,
    /// Files found to have nothing to move.
    pub skipped: u32,
    /// Attachments that were not known before.
    pub discovered: u32,
    /// Attachments found to be gone from Odoo.
    pub deleted: u32,
    /// What a dry run counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub census: Option<crate::census::Census>,
    /// What a verification found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<crate::verify::Verified>,
    /// Bytes moved.
    pub bytes: u64,
    /// Requests to Odoo.
    pub odoo_calls: u64,
    /// Requests to the Storage.
    pub storage_calls: u64,
    /// The run's id in the ledger.
    pub run_id: Uuid,
    /// What stopped it, by kind and blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<serde_json::Value>,
    /// Whose fault that is.
    #[serde(skip)]
    pub blame: Option<fault::Blame>,
}

impl Report {
    /// Adds a line, unless there are enough.
    pub fn error(&mut self, line: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(line.into());
        }
    }

    /// A fault stopped the batch: its line comes first.
    pub fn stopped_by(&mut self, fault: &Fault) {
        self.status = Status::Error;
        self.errors.insert(0, fault.message().to_owned());
        self.errors.truncate(MAX_ERRORS);
        self.blame = Some(fault.blame());
        self.fault = Some(job::told(fault));
    }

    /// Whether it did or tried anything that people should find in the log.
    pub fn worth_a_row(&self) -> bool {
        self.status == Status::Error
            || self.migrated > 0
            || self.failed > 0
            || self.skipped > 0
            || self.discovered > 0
            || self.deleted > 0
            || self.verified.is_some()
            || !self.errors.is_empty()
    }
}
