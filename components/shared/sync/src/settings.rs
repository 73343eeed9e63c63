//! How to copy.

use std::time::Duration;

use chrono::TimeDelta;
use odoo::attachment::Selection;

/// How to copy, and from where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to reach Odoo.
    pub odoo: odoo::Settings,
    /// How long one run begins new pages.
    pub batch: Duration,
    /// How far each reading goes back behind the bound of the last one: longer than the slowest
    /// transaction of Odoo.
    pub overlap: TimeDelta,
    /// In which language translated names come, such as `de_DE`; empty: untranslated.
    pub language: String,
    /// Whose chatter is copied.
    pub models: Vec<String>,
    /// The archive's limit: attachments over it are catalogued as skipped.
    pub max_file_bytes: u64,
    /// The archive's selection: attachments outside of it are catalogued as skipped.
    pub selection: Selection,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            odoo: odoo::Settings::default(),
            batch: Duration::from_secs(45),
            overlap: TimeDelta::minutes(10),
            language: String::new(),
            models: vec!["crm.lead".to_owned()],
            max_file_bytes: 5 * 1024 * 1024 * 1024,
            selection: Selection::default(),
        }
    }
}

impl Settings {
    /// For how long a run may be silent before it counts as crashed, in seconds: what it began within
    /// its time may take one slow answer more.
    pub(crate) fn lease_s(&self) -> u32 {
        u32::try_from(self.batch.as_secs())
            .unwrap_or(u32::MAX)
            .saturating_add(120)
    }
}
