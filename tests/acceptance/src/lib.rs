//! What a user may rely on, through the compiled components: a folder of `tests/` for each of them, and for what concerns
//! them all. Here is what several of these need.

pub mod card;

use std::io::Write;

use anyhow::Result;
use stage::Stage;

/// Says by name what a test leaves out, also where the test's own output is not shown.
pub fn skipped(test: &str, why: &str) {
    // Nothing can be done about a closed stderr.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// Lets the leases of runs pass.
pub async fn leases_pass(stage: &Stage) -> Result<()> {
    let pass = "update odoo_sync.runs set leased_until = now() - interval '1 second' where outcome = 'running'";
    Ok(stage.owner.batch_execute(pass).await?)
}

/// A date of Odoo, so many minutes ago, by the database's clock.
pub async fn minutes_ago(stage: &Stage, minutes: i32) -> Result<String> {
    let query = format!(
        "select to_jsonb(to_char((now() - interval '{minutes} minutes') at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'))"
    );
    Ok(stage
        .value(&query)
        .await?
        .as_str()
        .unwrap_or_default()
        .to_owned())
}
