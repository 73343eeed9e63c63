//! The settings of a sync job.

use std::time::Duration;

use chrono::TimeDelta;
use fault::{Fault, Kind};
use odoo::attachment::Selection;
use outbound::Variables;

use crate::chatter::CHATTER;
use crate::crm::CRM;
use crate::{Entity, Job, Scope};

/// The settings of a sync job.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to reach Odoo.
    pub odoo: odoo::Settings,
    /// How long a run starts new pages.
    pub batch: Duration,
    /// The overlap between readings; must exceed the duration of Odoo's slowest transaction.
    pub overlap: TimeDelta,
    /// The language of translated names, such as `de_DE`; empty for untranslated.
    pub language: String,
    /// The models whose chatter is copied.
    pub models: Vec<String>,
    /// Models that are copied as a whole, beside the job's own entities.
    pub records: Vec<String>,
    /// Whether all contacts are copied, not only those that something refers to.
    pub all_partners: bool,
    /// The archive's selection: attachments outside of it are catalogued as skipped.
    pub selection: Selection,
    /// Whether remote images within HTML are held back until the reader loads them.
    pub hold_remote_images: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            odoo: odoo::Settings::default(),
            batch: Duration::from_secs(45),
            overlap: TimeDelta::minutes(10),
            language: String::new(),
            models: vec!["crm.lead".to_owned()],
            records: Vec::new(),
            all_partners: true,
            selection: Selection::default(),
            hold_remote_images: false,
        }
    }
}

impl Settings {
    /// Reads the variables `odoo_*` and those of the job; for a job that copies the chatter, also the archive's
    /// selection.
    pub(crate) async fn read(job: &Job, variables: &impl Variables) -> Result<Self, Fault> {
        let prefix = job.variables;
        let of_job = |name: &str| format!("{prefix}_{name}");
        let batch_s = variables.number(&of_job("batch_seconds"), 1..=3600).await?;
        let overlap = variables
            .number(&of_job("overlap_minutes"), 1..=1440)
            .await?;
        let settings = Self {
            odoo: odoo::Settings::read(variables).await?,
            batch: Duration::from_secs(batch_s),
            overlap: TimeDelta::minutes(overlap),
            language: variables.text(&of_job("language")).await?,
            hold_remote_images: match variables.text("remote_images").await?.as_str() {
                "show" => false,
                "hold" => true,
                _ => {
                    let words = "remote_images must be show or hold";
                    return Err(Fault::new(Kind::Setting, words));
                }
            },
            ..Self::default()
        };
        if !job.copies_chatter {
            return Ok(Self {
                records: records(variables).await?,
                all_partners: match variables.text("crm_partners").await?.as_str() {
                    "all" => true,
                    "referred" => false,
                    _ => {
                        let words = "crm_partners must be all or referred";
                        return Err(Fault::new(Kind::Setting, words));
                    }
                },
                ..settings
            });
        }
        let models = variables.list(&of_job("models")).await?;
        if models.is_empty() {
            return Err(Fault::new(
                Kind::Setting,
                "chatter_models must name a model at least, such as crm.lead",
            ));
        }
        Ok(Self {
            models,
            selection: archive::read_selection(variables).await?,
            ..settings
        })
    }

    /// Which records of an entity are copied, given the setting for contacts.
    pub(crate) fn scope(&self, entity: &Entity) -> Scope {
        match entity.scope {
            Scope::Referred if self.all_partners => Scope::All,
            scope => scope,
        }
    }

    /// How many seconds a run may be silent before it counts as crashed: work begun in time may take one more slow
    /// answer.
    pub(crate) fn lease_s(&self) -> u32 {
        u32::try_from(self.batch.as_secs())
            .unwrap_or(u32::MAX)
            .saturating_add(120)
    }
}

/// The models of `crm_models`, without duplicates.
async fn records(variables: &impl Variables) -> Result<Vec<String>, Fault> {
    let mut models: Vec<String> = Vec::new();
    for model in variables.list("crm_models").await? {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        let entities = CRM.entities.iter().chain(CHATTER.entities);
        let mut tables = entities.map(|entity| entity.model).chain(["ir.attachment"]);
        if !model.chars().all(is_name) {
            let words = "crm_models must be models of Odoo, comma separated, such as sale.order";
            return Err(Fault::new(Kind::Setting, words));
        }
        if tables.any(|own| own == model) {
            let words =
                format!("crm_models names {model}, which has a table of its own: take it out");
            return Err(Fault::told(Kind::Setting, words));
        }
        if !models.contains(&model) {
            models.push(model);
        }
    }
    Ok(models)
}
