//! `--check`: one look at everything that has to be right. Nothing is moved.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use stage::Caller;

use crate::fault::in_the_callers_names;
use crate::scene::Scene;
use crate::terminal::{Terminal, Tone};

#[derive(Deserialize)]
struct Report {
    ok: bool,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    state: String,
    found: String,
    remedy: Option<String>,
}

/// Asks the components, and shows what they found; whether all is right.
pub async fn everything(scene: &Scene, terminal: &mut Terminal) -> Result<bool> {
    let key = "select odoo_sync.new_key('cargo demo -- --check', 'admin')";
    let key: String = scene.owner.query_one(key, &[]).await?.try_get(0)?;
    terminal.doing("check", "looking");
    let answer = Caller::new(scene.address())
        .post("/check", &key, "")
        .await?;
    ensure!(
        answer.status == 200,
        "the app answered {}: {}",
        answer.status,
        answer.text()
    );
    let report: Report = serde_json::from_slice(&answer.body).context("the app's list")?;
    let names = report.lines.iter().map(|line| line.name.chars().count());
    let widest = names.max().unwrap_or_default();
    for line in report.lines {
        let (tone, sign) = match line.state.as_str() {
            "ok" => (Tone::Good, "✓"),
            "failed" => (Tone::Bad, "✗"),
            "not_tried" => (Tone::Plain, "–"),
            _ => (Tone::Plain, "!"),
        };
        let found = in_the_callers_names(&line.found);
        terminal.told(tone, &format!("{sign} {:<widest$}", line.name), &found);
        if let Some(remedy) = line.remedy {
            terminal.line(&format!("    {}", in_the_callers_names(&remedy)));
        }
    }
    Ok(report.ok)
}
