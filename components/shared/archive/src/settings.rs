//! How to archive.

use std::time::Duration;

use odoo::attachment::Selection;

/// How to archive, and between which two.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to reach Odoo.
    pub odoo: odoo::Settings,
    /// How to reach the Storage.
    pub storage: storage::Settings,
    /// How long one batch begins new work.
    pub batch: Duration,
    /// For how long what is claimed stays claimed after a crash, in seconds.
    pub lease_s: u32,
    /// How many batches may work at once.
    pub parallel_runs: u32,
    /// The most uploads at once.
    pub parallel_uploads: usize,
    /// Larger files are catalogued as skipped.
    pub max_file_bytes: u64,
    /// Larger files come by RPC only if nothing better is at hand, and not at all above this: an RPC
    /// answer costs Odoo one and a half times the file in memory (seen on 18).
    pub max_rpc_bytes: u64,
    /// A sweep that would mark more than this share of the catalogue as deleted stops instead.
    pub max_deleted_share: f64,
    /// Which attachments.
    pub selection: Selection,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            odoo: odoo::Settings::default(),
            storage: storage::Settings::default(),
            batch: Duration::from_secs(45),
            lease_s: 180,
            parallel_runs: 1,
            parallel_uploads: 32,
            max_file_bytes: 5 * 1024 * 1024 * 1024,
            max_rpc_bytes: 64 * 1024 * 1024,
            max_deleted_share: 0.05,
            selection: Selection::default(),
        }
    }
}
