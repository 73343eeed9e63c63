//! axe-core, which looks for what keeps people out. It comes from npm, once.

use std::process::{Command, Stdio};

use anyhow::Result;
use serde_json::Value;

use super::Browser;

const VERSION: &str = "4.11.0";

/// axe-core's own script.
pub struct Axe(String);

impl Axe {
    /// Fetches it by npm, unless it is there; `Err` says why it could not be had.
    pub fn fetch() -> Result<Self, String> {
        let folder = stage::root().join("target/axe-core");
        let script = folder.join("node_modules/axe-core/axe.min.js");
        if !script.is_file() {
            std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
            let installed = Command::new("npm")
                .args([
                    "install",
                    "--no-save",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    "--prefix",
                ])
                .arg(&folder)
                .arg(format!("axe-core@{VERSION}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            match installed {
                Ok(status) if status.success() => {}
                Ok(status) => return Err(format!("npm could not fetch axe-core ({status})")),
                Err(_) => return Err("there is no npm to fetch axe-core".to_owned()),
            }
        }
        std::fs::read_to_string(script)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// What it finds wrong with the page as it is now, a line each.
    pub async fn violations(&self, browser: &Browser) -> Result<Vec<String>> {
        if browser.run("return Boolean(window.axe)").await? != Value::Bool(true) {
            // By the driver: the page's own policy lets no script in.
            browser
                .run(&format!("{}; window.axe ??= axe;", self.0))
                .await?;
        }
        let found = browser
            .run(
                "const found = await axe.run(document, { resultTypes: ['violations'] });
                 return found.violations.flatMap((v) => v.nodes.map((n) =>
                   `${v.id} (${v.impact}): ${n.target.flat().join(' ')}: ${n.failureSummary}`))",
            )
            .await?;
        let found = found.as_array().cloned().unwrap_or_default();
        Ok(found
            .iter()
            .map(|line| line.as_str().unwrap_or_default().to_owned())
            .collect())
    }
}
