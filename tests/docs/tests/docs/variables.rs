//! Each component is handed the variables that its libraries ask for, and no other.

use std::cell::RefCell;
use std::collections::BTreeSet;

use access::Policy;
use anyhow::{Context, Result};
use docs_tests::read;
use fault::Fault;
use futures::executor::block_on;
use outbound::Variables;
use run::{Job, Logging};

/// Answers with the defaults of the manifest, and notes what it is asked for.
struct Asked {
    defaults: toml::Table,
    names: RefCell<BTreeSet<String>>,
}

impl Variables for Asked {
    async fn get(&self, name: &str) -> Result<String, Fault> {
        self.names.borrow_mut().insert(name.to_owned());
        // Without these the rest is not asked for.
        if matches!(name, "db_host" | "storage_key") {
            return Ok("set".to_owned());
        }
        let default = self.defaults.get(name).and_then(|v| v.get("default"));
        let default = default.and_then(toml::Value::as_str);
        Ok(default.unwrap_or_default().to_owned())
    }
}

impl Asked {
    fn new() -> Result<Self> {
        let manifest: toml::Table = read("spin.toml")?.parse()?;
        let defaults = manifest.get("variables").and_then(toml::Value::as_table);
        let mut defaults = defaults.context("no variables")?.clone();
        for (name, host) in [
            ("odoo_url", "https://odoo.example.com"),
            ("storage_url", "https://project.example.com"),
        ] {
            let known = toml::Table::from_iter([("default".to_owned(), host.into())]);
            defaults.insert(name.to_owned(), known.into());
        }
        Ok(Self {
            defaults,
            names: RefCell::default(),
        })
    }

    /// What every component asks for: the database, who may call, which pages may read the answer, its log.
    fn guard(&self) -> Result<()> {
        block_on(ledger::Settings::read(self))?;
        block_on(Policy::read(self))?;
        block_on(Logging::read(self))?;
        block_on(self.list("allowed_origins"))?;
        Ok(())
    }

    fn job<J: Job>(job: &J) -> Result<(&'static str, BTreeSet<String>)> {
        let asked = Self::new()?;
        asked.guard()?;
        block_on(job.settings(&asked))?;
        Ok((job.name(), asked.names.into_inner()))
    }

    /// The archive's component looks at the settings of the others too, for `POST /check`.
    fn archive() -> Result<(&'static str, BTreeSet<String>)> {
        let asked = Self::new()?;
        asked.guard()?;
        block_on(check::other_settings_of(&asked))?;
        Ok((archive::ARCHIVE.name(), asked.names.into_inner()))
    }

    fn status_api() -> Result<(&'static str, BTreeSet<String>)> {
        let asked = Self::new()?;
        asked.guard()?;
        let own = ["status_public", "frame_ancestors"].map(str::to_owned);
        asked.names.borrow_mut().extend(own);
        Ok(("status-api", asked.names.into_inner()))
    }
}

#[test]
fn each_component_is_handed_what_its_libraries_ask_for_and_no_more() -> Result<()> {
    let manifest: toml::Table = read("spin.toml")?.parse()?;
    let components = manifest.get("component").context("no components")?;
    for (component, asked) in [
        Asked::archive()?,
        Asked::job(&sync::crm::CRM)?,
        Asked::job(&sync::chatter::CHATTER)?,
        Asked::status_api()?,
    ] {
        let handed = components.get(component).and_then(|c| c.get("variables"));
        let handed = handed.and_then(toml::Value::as_table).context(component)?;
        let handed: BTreeSet<_> = handed.keys().cloned().collect();
        assert_eq!(asked, handed, "{component}");
    }
    Ok(())
}
