//! The report of a batch, for the answer and the log.

use ledger::runs::Log;
use run::Status;
use serde::Serialize;
use serde_json::{Value, json};

/// The report of a batch.
pub type Report = run::Report<Figures>;

/// The figures of a batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Files moved.
    pub migrated: u32,
    /// Files that failed.
    pub failed: u32,
    /// Files still to be moved; absent if the query failed.
    pub remaining: Option<i64>,
    /// Files skipped because there is nothing to move.
    pub skipped: u32,
    /// Attachments new in the catalogue.
    pub discovered: u32,
    /// Attachments found to be gone from Odoo.
    pub deleted: u32,
    /// What a dry run counted.
    #[serde(rename = "census", skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<crate::dry_run::DryRun>,
    /// What a verification found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<crate::verify::Verified>,
    /// Bytes moved.
    pub bytes: u64,
    /// Requests to Odoo.
    pub odoo_calls: u64,
    /// Requests to Storage.
    pub storage_calls: u64,
    /// Where contents are sent, and whether the key is a legacy one; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<storage::Summary>,
}

impl run::Figures for Figures {
    const MOST_ERRORS: usize = 20;

    fn counts(report: &Report) -> Value {
        let figures = &report.figures;
        json!({
            "moved": figures.migrated, "failed": figures.failed, "skipped": figures.skipped,
            "bytes": figures.bytes, "discovered": figures.discovered, "deleted": figures.deleted,
            "odoo_calls": figures.odoo_calls, "storage_calls": figures.storage_calls,
            "storage": figures.storage,
        })
    }

    fn log(report: &Report) -> Option<Log> {
        let figures = &report.figures;
        let worth_a_row = report.status == Status::Error
            || figures.migrated > 0
            || figures.failed > 0
            || figures.skipped > 0
            || figures.discovered > 0
            || figures.deleted > 0
            || figures.verified.is_some()
            || !report.errors.is_empty();
        worth_a_row.then(|| Log {
            migrated: figures.migrated,
            failed: figures.failed,
            skipped: figures.skipped,
            bytes: figures.bytes,
            detail: json!({
                "mode": report.mode,
                "discovered": figures.discovered,
                "deleted": figures.deleted,
            }),
            ..Log::default()
        })
    }

    fn line(report: &Report) -> String {
        let figures = &report.figures;
        format!(
            "migrated {} failed {} skipped {}",
            figures.migrated, figures.failed, figures.skipped
        )
    }

    fn remaining(&mut self, remaining: i64) {
        self.remaining = Some(remaining);
    }
}
