//! A batch whose lease would pass while it is at work keeps it.

use std::time::Duration;

use anyhow::{Result, ensure};
use chaos::Job;
use serde_json::json;
use world::faults::Fault;

use crate::bench::{Bench, Work};

/// The least lease of a batch of ten seconds; it is renewed each third of it. What is under way when
/// its time is up has eight seconds more.
const LEASE_S: f64 = 25.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_at_work_renews_its_lease_and_that_of_its_files_before_it_passes() -> Result<()> {
    let bench = Bench::set(Job::Archive).await?;
    let (_host, caller) = bench
        .stage
        .replica(&[
            ("archive_batch_seconds", "10"),
            ("archive_lease_seconds", "25"),
        ])
        .await?;
    let (_other_host, other) = bench.stage.replica(&[]).await?;
    bench.work(Work::Small)?;
    // Nothing ends: without renewal, nothing would write to the ledger.
    let uploads = Fault::on("/object/odoo-archive").method("POST");
    bench.stage.storage.faults().add(uploads.hold());
    let ticking = {
        let caller = caller.clone();
        tokio::spawn(async move {
            caller
                .post(Job::Archive.path(), stage::SERVICE_KEY, "{}")
                .await
        })
    };
    let held = "select count(*) from public.odoo_attachments where lease_id is not null";
    while bench.stage.count(held).await? < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // As if most of it were over: it would pass in 10 s, while the uploads are under way.
    bench
        .stage
        .owner
        .batch_execute(
            "update odoo_sync.runs set leased_until = now() + interval '10 seconds' where outcome = 'running';
             update public.odoo_attachments set leased_until = now() + interval '10 seconds', next_attempt_at = now() + interval '10 seconds'
              where lease_id is not null",
        )
        .await?;
    let renewed = format!(
        "select (select count(*) from odoo_sync.runs where outcome = 'running' and leased_until > now() + interval '{} seconds')
              + (select count(*) from public.odoo_attachments where lease_id is not null
                  and least(leased_until, next_attempt_at) > now() + interval '{} seconds')",
        LEASE_S / 2.0,
        LEASE_S / 2.0
    );
    while bench.stage.count(&renewed).await? < 3 {
        ensure!(
            !ticking.is_finished(),
            "it ended without renewing its lease"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Nobody else gets in, and nothing is taken from it.
    let answer = bench.call(&other).await?;
    ensure!(
        answer.json().get("status") == Some(&json!("running")),
        "{}",
        answer.text()
    );
    bench.stage.storage.faults().clear();
    let report = ticking.await??.json();
    ensure!(report.get("migrated") == Some(&json!(2)), "{report:#}");
    bench.nobody_holds_anything().await?;
    bench.done(&other).await
}
