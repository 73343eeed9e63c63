//! The report of a run, for the answer and the log.

use std::collections::BTreeMap;

use ledger::runs::{Log, RunId};
use ledger::sync::Written;
use ledger::validation::Verdict;
use run::Status;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Mode, Reason};

/// The figures of one entity.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Copied {
    /// Records that Odoo sent.
    pub read: u64,
    /// How they were written.
    #[serde(flatten)]
    pub written: Written,
    /// How many seconds the copy is behind Odoo's newest record; absent if that was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_s: Option<i64>,
    /// Columns that stay empty, as this Odoo or this user has no field for them. Reported once, when found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<&'static str>,
    /// Fields that are not copied, by reason. Reported once, when found.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<Reason, Vec<String>>,
    /// The entity is left out, as the Odoo user may not read it. Reported once, when found.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forbidden: bool,
    /// The entity is left out, as this Odoo has no such model. Reported once, when found.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// Attachments added to the archive's catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalogued: Option<u64>,
    /// The result of a comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// The report of a run.
pub type Report = run::Report<Figures>;

/// The figures of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// The requested mode.
    pub mode: &'static str,
    /// Records that Odoo sent.
    pub read: u64,
    /// How they were written; in a dry run, how they would have been.
    #[serde(flatten)]
    pub written: Written,
    /// The most seconds that an entity is behind Odoo; absent if that was not asked.
    pub lag_s: Option<i64>,
    /// Requests to Odoo.
    pub odoo_calls: u64,
    /// The figures per entity.
    pub entities: BTreeMap<String, Copied>,
    /// Entities that the next run continues with.
    pub unfinished: Vec<String>,
    /// For each entity of the job, the run as of whose start the copy is complete; `None` if this run knows of none.
    #[serde(skip)]
    pub as_of: BTreeMap<String, Option<RunId>>,
    /// The requested entities, if not all.
    #[serde(skip)]
    pub only: Option<Vec<String>>,
}

impl Figures {
    /// Adds the figures of an entity.
    pub(crate) fn add(&mut self, entity: &str, copied: Copied) {
        self.read += copied.read;
        self.written += copied.written;
        self.lag_s = self.lag_s.max(copied.lag_s);
        self.entities.insert(entity.to_owned(), copied);
    }

    /// Rows that changed.
    fn changed(&self) -> u64 {
        self.written.inserted + self.written.updated + self.written.deleted
    }
}

impl run::Figures for Figures {
    const MOST_ERRORS: usize = 100;

    fn of_mode(mode: &'static str) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    fn counts(report: &Report) -> Value {
        let figures = &report.figures;
        let written = figures.written;
        json!({
            "read": figures.read, "inserted": written.inserted, "updated": written.updated,
            "unchanged": written.unchanged, "deleted": written.deleted, "lag_s": figures.lag_s,
            "odoo_calls": figures.odoo_calls, "entities": figures.entities,
            "unfinished": figures.unfinished, "as_of": figures.as_of, "only": figures.only,
        })
    }

    fn log(report: &Report) -> Option<Log> {
        let figures = &report.figures;
        let worth_a_row = report.status == Status::Error
            || figures.changed() > 0
            || figures.written.unreadable > 0
            || figures.entities.values().any(|copied| {
                copied.forbidden
                    || copied.absent
                    || !copied.lacking.is_empty()
                    || !copied.left_out.is_empty()
            });
        let written = if report.mode == Mode::DryRun.name() {
            0
        } else {
            figures.changed()
        };
        worth_a_row.then(|| Log {
            migrated: u32::try_from(written).unwrap_or(u32::MAX),
            failed: u32::try_from(report.errors.len()).unwrap_or(u32::MAX),
            detail: json!({
                "mode": report.mode, "entities": figures.entities, "unfinished": figures.unfinished,
            }),
            ..Log::default()
        })
    }

    fn line(report: &Report) -> String {
        let figures = &report.figures;
        let written = figures.written;
        format!(
            "{} read {} inserted {} updated {} deleted {}",
            report.mode, figures.read, written.inserted, written.updated, written.deleted
        )
    }
}
