//! What a run did, as it is answered and logged.

use std::collections::BTreeMap;

use fault::{Blame, Fault};
use job::Status;
use ledger::sync::Written;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// What was done for one entity.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Copied {
    /// Records that Odoo sent.
    pub read: u64,
    /// What became of them.
    #[serde(flatten)]
    pub written: Written,
    /// By how many seconds the copy is behind Odoo's newest record; absent if that was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_s: Option<i64>,
    /// Columns that stay empty, since this Odoo, or this user, has no field for them. Told when
    /// they are found out, and not again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<&'static str>,
    /// The Odoo user may not read it, so that it is left out. Told when that is found out, and not
    /// again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forbidden: bool,
    /// Attachments that were put into the archive's catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalogued: Option<u64>,
    /// What a comparison came to: `same`, `differs`, `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<&'static str>,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// How it ended.
    pub status: Status,
    /// What it was asked to do.
    pub mode: &'static str,
    /// The run's id in the ledger.
    pub run_id: Uuid,
    /// Records that Odoo sent.
    pub read: u64,
    /// What became of them. In a dry run: what would have.
    #[serde(flatten)]
    pub written: Written,
    /// By how many seconds the copy is behind Odoo, at most; nothing if that was not asked.
    pub lag_s: Option<i64>,
    /// Requests to Odoo.
    pub odoo_calls: u64,
    /// Seconds.
    pub elapsed_s: f64,
    /// The same, entity by entity.
    pub entities: BTreeMap<&'static str, Copied>,
    /// Entities that the next run goes on with.
    pub unfinished: Vec<&'static str>,
    /// For each entity of the job the run, this one or an earlier one, as of whose beginning all of it is
    /// here; `None`: this run does not know of any.
    #[serde(skip)]
    pub as_of: BTreeMap<&'static str, Option<Uuid>>,
    /// What went wrong, a line each.
    pub errors: Vec<String>,
    /// What stopped it, by kind and blame; the first, if several did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Value>,
    /// Whose fault that is.
    #[serde(skip)]
    pub blame: Option<Blame>,
}

impl Report {
    /// Adds what was done for an entity.
    pub(crate) fn add(&mut self, entity: &'static str, copied: Copied) {
        self.read += copied.read;
        self.written += copied.written;
        self.lag_s = self.lag_s.max(copied.lag_s);
        self.entities.insert(entity, copied);
    }

    /// A fault stopped the run, or an entity.
    pub(crate) fn stopped_by(&mut self, fault: &Fault) {
        self.status = Status::Error;
        self.errors.push(fault.message().to_owned());
        if self.fault.is_none() {
            self.blame = Some(fault.blame());
            self.fault = Some(job::told(fault));
        }
    }

    /// Rows that were written.
    pub(crate) fn changed(&self) -> u64 {
        self.written.inserted + self.written.updated + self.written.deleted
    }

    /// Whether there is anything that people should find in the log.
    pub(crate) fn worth_a_row(&self) -> bool {
        self.status == Status::Error
            || self.changed() > 0
            || self.written.unreadable > 0
            || self
                .entities
                .values()
                .any(|copied| copied.forbidden || !copied.lacking.is_empty())
    }
}
