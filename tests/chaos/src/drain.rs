//! When all trouble is over: calls until nothing is left to do.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;
use stage::{Answer, SERVICE_KEY};

use crate::plan::Job;
use crate::scene::Scene;

/// How the leases of what was cut off pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leases {
    /// By themselves: `crm-sync`'s and `chatter-sync`'s take two minutes.
    InTime,
    /// By hand.
    AtOnce,
}

/// Longer than any lease, and than the work that is left.
const PATIENCE: Duration = Duration::from_mins(10);

/// Calls all components until all is moved, copied and compared. A file that waits for its next
/// attempt does not wait, and the dead get a new life, as by a person.
pub async fn drain(scene: &Scene, leases: Leases) -> Result<()> {
    let begun = Instant::now();
    scene.value("select to_jsonb(odoo_sync.retry())").await?;
    copied(scene, Job::Crm, leases, begun).await?;
    // The chatter knows of attachments that the archive may not have found.
    copied(scene, Job::Chatter, leases, begun).await?;
    moved(scene, leases, begun).await?;
    // As in production, so that what is said of the jobs is said of their own calls.
    for job in [Job::Crm, Job::Chatter, Job::Archive] {
        called_by_cron(scene, job, begun).await?;
    }
    // No clock strikes here: what pg_cron would have called for long would be said not to run.
    scene.supabase.tick("odoo-sync-alarm").await?;
    Ok(())
}

/// Calls the apps in turn.
async fn tick(scene: &Scene, job: Job, body: &str, turn: usize) -> Result<Answer> {
    let Some(app) = scene.apps.get(turn % scene.apps.len().max(1)) else {
        bail!("there is no app");
    };
    app.caller().post(job.path(), SERVICE_KEY, body).await
}

/// Two batches in a row with nothing left, each with all rests over: the second has seen what the
/// first changed.
async fn moved(scene: &Scene, leases: Leases, begun: Instant) -> Result<()> {
    let mut clean = 0;
    let mut turn = 0;
    let mut last = Value::Null;
    while clean < 3 {
        patient(begun, "the archive", &last)?;
        scene.time_passes().await?;
        let report = tick(scene, Job::Archive, "{}", turn).await?.json();
        turn += 1;
        let done = is(&report, "success") && report.get("remaining") == Some(&0.into());
        clean = if done { clean + 1 } else { 0 };
        if is(&report, "running") {
            wait(scene, leases).await?;
        }
        last = report;
    }
    Ok(())
}

/// A full pass, then a comparison that finds nothing.
async fn copied(scene: &Scene, job: Job, leases: Leases, begun: Instant) -> Result<()> {
    for mode in ["full", "missing"] {
        let mut body = format!("{{\"mode\": \"{mode}\"}}");
        let mut turn = 0;
        loop {
            let report = tick(scene, job, &body, turn).await?.json();
            turn += 1;
            let all = report
                .get("unfinished")
                .and_then(Value::as_array)
                .is_some_and(Vec::is_empty);
            if is(&report, "success") && all {
                break;
            }
            patient(begun, job.name(), &report)?;
            if is(&report, "running") {
                wait(scene, leases).await?;
            }
            // What was asked for once is gone on with; asked for again, it would begin anew, and where a run has no time
            // for all entities, never come to an end.
            if is(&report, "success") {
                "{}".clone_into(&mut body);
            }
        }
    }
    Ok(())
}

/// Has `pg_cron` call a job, and waits until the run of that very call has ended.
async fn called_by_cron(scene: &Scene, job: Job, begun: Instant) -> Result<()> {
    let ended = format!(
        "select count(*) from odoo_sync.runs where job = '{}' and outcome = 'success' and mode is not null
            and started_at > (select max(called_at) from odoo_sync.calls where job = '{}')",
        job.name(),
        job.cron(),
    );
    scene.supabase.tick(job.cron()).await?;
    while scene.count(&ended).await? == 0 {
        patient(begun, job.cron(), &Value::Null)?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn is(report: &Value, status: &str) -> bool {
    report.get("status").and_then(Value::as_str) == Some(status)
}

fn patient(begun: Instant, who: &str, last: &Value) -> Result<()> {
    if begun.elapsed() > PATIENCE {
        bail!("{who} does not come to an end: {last:#}");
    }
    Ok(())
}

/// Somebody's lease stands.
async fn wait(scene: &Scene, leases: Leases) -> Result<()> {
    if leases == Leases::AtOnce {
        scene.leases_pass().await?;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(())
}
