//! What a run did, as it is answered and logged.

use std::collections::BTreeMap;

use ledger::runs::{Log, RunId};
use ledger::sync::Written;
use ledger::validation::Verdict;
use run::Status;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Mode, Reason};

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
    /// Fields that are not copied, by the reason. Told when they are found out, and not again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<Reason, Vec<String>>,
    /// The Odoo user may not read it, so that it is left out. Told when that is found out, and not
    /// again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forbidden: bool,
    /// This Odoo has no such model, so that it is left out. Told when that is found out, and not again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// Attachments that were put into the archive's catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalogued: Option<u64>,
    /// What a comparison came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// What a run did.
pub type Report = run::Report<Figures>;

/// What a run did, in figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// What it was asked to do.
    pub mode: &'static str,
    /// Records that Odoo sent.
    pub read: u64,
    /// What became of them. In a dry run: what would have.
    #[serde(flatten)]
    pub written: Written,
    /// By how many seconds the copy is behind Odoo, at most; nothing if that was not asked.
    pub lag_s: Option<i64>,
    /// Requests to Odoo.
    pub odoo_calls: u64,
    /// The same, entity by entity.
    pub entities: BTreeMap<String, Copied>,
    /// Entities that the next run goes on with.
    pub unfinished: Vec<String>,
    /// For each entity of the job the run, this one or an earlier one, as of whose beginning all of it is
    /// here; `None`: this run does not know of any.
    #[serde(skip)]
    pub as_of: BTreeMap<String, Option<RunId>>,
    /// The entities that were asked for, if not all.
    #[serde(skip)]
    pub only: Option<Vec<String>>,
}

impl Figures {
    /// Adds what was done for an entity.
    pub(crate) fn add(&mut self, entity: &str, copied: Copied) {
        self.read += copied.read;
        self.written += copied.written;
        self.lag_s = self.lag_s.max(copied.lag_s);
        self.entities.insert(entity.to_owned(), copied);
    }

    /// Rows that were written.
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
