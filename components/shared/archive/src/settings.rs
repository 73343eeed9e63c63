//! Settings of the archive.

use std::time::Duration;

use chrono::TimeDelta;
use fault::{Fault, Kind};
use odoo::attachment::Selection;
use outbound::Variables;

/// The least seconds that a lease exceeds the batch's time, so that work under way can still finish.
const LEASE_BEYOND_BATCH_S: u32 = 15;

/// Settings of the archive.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to reach Odoo.
    pub odoo: odoo::Settings,
    /// How to reach Storage.
    pub storage: storage::Settings,
    /// How long a batch starts new work.
    pub batch: Duration,
    /// The lease in seconds: how long claimed files stay claimed after a crash.
    pub lease_s: u32,
    /// How many batches may work at once.
    pub parallel_runs: u32,
    /// The most uploads at once.
    pub parallel_uploads: usize,
    /// Larger files wait until this is raised.
    pub max_file_bytes: u64,
    /// Large files come by RPC only where streaming is not possible, and never above this size: an RPC answer costs
    /// Odoo one and a half times the file in memory (seen on 18).
    pub max_rpc_bytes: u64,
    /// A sweep that misses more than this share of the catalogue marks nothing as deleted.
    pub max_deleted_share: f64,
    /// The overlap between readings of changes; must exceed the duration of Odoo's slowest transaction.
    pub overlap: TimeDelta,
    /// Which attachments are archived.
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
            overlap: TimeDelta::minutes(10),
            selection: Selection::default(),
        }
    }
}

impl Settings {
    /// Reads the variables `odoo_*`, `storage_*` and `archive_*`.
    pub async fn read(variables: &impl Variables) -> Result<Self, Fault> {
        const MOST_BYTES: u64 = u64::MAX / 2;
        let batch_s: u32 = variables.number("archive_batch_seconds", 1..=3600).await?;
        let lease_s: u32 = variables
            .number("archive_lease_seconds", 5..=86_400)
            .await?;
        Ok(Self {
            odoo: odoo::Settings::read(variables).await?,
            storage: storage::Settings::read(variables).await?,
            batch: Duration::from_secs(batch_s.into()),
            // If the lease expired within the batch, the next run would take over while this one still works.
            lease_s: lease_s.max(batch_s + LEASE_BEYOND_BATCH_S),
            parallel_runs: variables.number("archive_parallel_runs", 1..=64).await?,
            parallel_uploads: variables
                .number("archive_parallel_uploads", 1..=256)
                .await?,
            max_file_bytes: variables
                .number("archive_max_file_bytes", 1..=MOST_BYTES)
                .await?,
            max_rpc_bytes: variables
                .number("archive_max_rpc_bytes", 1..=MOST_BYTES)
                .await?,
            max_deleted_share: variables
                .number("archive_max_deleted_share", 0.0..=1.0)
                .await?,
            overlap: TimeDelta::minutes(
                variables
                    .number("archive_overlap_minutes", 1..=1440)
                    .await?,
            ),
            selection: read_selection(variables).await?,
        })
    }
}

/// Reads from the variables `archive_*` which attachments are archived.
pub async fn read_selection(variables: &impl Variables) -> Result<Selection, Fault> {
    let domain = variables.text("archive_domain").await?;
    let domain = if domain.is_empty() { "[]" } else { &domain };
    let domain = serde_json::from_str(domain).map_err(|error| {
        Fault::told(
            Kind::Setting,
            format!("archive_domain must be an Odoo domain in JSON: {error}"),
        )
    })?;
    let companies = variables.list("archive_companies").await?;
    let companies = companies.iter().map(|id| id.parse());
    let companies = companies.collect::<Result<_, _>>().map_err(|_| {
        Fault::new(
            Kind::Setting,
            "archive_companies must be ids, comma separated",
        )
    })?;
    Ok(Selection {
        models: variables.list("archive_models").await?,
        fields: variables.list("archive_fields").await?,
        mimetypes: variables.list("archive_mimetypes").await?,
        companies,
        domain,
    })
}
