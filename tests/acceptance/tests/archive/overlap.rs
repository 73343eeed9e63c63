//! Ticks that are doubled, overlap, come from several replicas, or are killed: no file twice in the
//! counts, none lost, none blocked for longer than its lease.

use anyhow::Result;
use serde_json::json;
use stage::SERVICE_KEY;
use world::faults::Fault;
use world::odoo::Attachments;

use crate::scene::{
    PATH, all_is_well, attempted, begin_tick, begin_tick_at, hold_uploads, in_state, leases_pass,
    log_rows, odoo_with, set, small, tick, tick_with, until, until_stored,
};

#[tokio::test]
async fn a_doubled_tick_is_one_tick() -> Result<()> {
    let stage = set(odoo_with(small(100))).start().await?;
    let held = hold_uploads(&stage, 1);
    // pg_net may send a request twice.
    let (mut one, mut other) = (begin_tick(&stage), begin_tick(&stage));
    let (told, working) = tokio::select! {
        told = &mut one => (told??, other),
        told = &mut other => (told??, one),
    };
    stage.storage.faults().remove(held);
    let answers = [told, working.await??];
    let told = answers.each_ref().map(|answer| {
        let report = answer.json();
        let figures = ["status", "migrated"].map(|figure| report[figure].clone());
        (answer.status.as_u16(), figures)
    });
    assert_eq!(
        told,
        [
            (200, [json!("running"), json!(0)]),
            (200, [json!("success"), json!(100)])
        ]
    );
    assert_eq!(log_rows(&stage).await?.len(), 1);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_tick_that_finds_another_at_work_says_so_and_changes_nothing() -> Result<()> {
    // So few that their contents are one call of Odoo.
    let stage = set(odoo_with(small(20))).start().await?;
    let held = hold_uploads(&stage, 6);
    let first = begin_tick(&stage);
    until_stored(&stage, 5).await?;
    let (_host, other) = stage.replica(&[]).await?;
    for caller in [stage.caller(), &other] {
        let asked = stage.odoo.counters().total().calls;
        let answer = caller.post(PATH, SERVICE_KEY, "{}").await?;
        assert_eq!(answer.status, 200);
        assert_eq!(
            (&answer.json()["status"], &answer.json()["migrated"]),
            (&json!("running"), &json!(0))
        );
        assert!(
            stage.odoo.counters().total().calls <= asked + 4,
            "it asked Odoo"
        );
    }
    assert_eq!(stage.count("select count(*) from odoo_sync.runs").await?, 1);
    stage.storage.faults().remove(held);
    assert_eq!(first.await??.json()["migrated"], 20);
    assert_eq!(log_rows(&stage).await?.len(), 1);
    all_is_well(&stage).await
}

#[tokio::test]
async fn replicas_that_may_work_at_once_share_the_work() -> Result<()> {
    let attachments = Attachments {
        shared_one_in: 4,
        ..small(900)
    };
    let stage = set(odoo_with(attachments))
        .variable("archive_parallel_runs", 2)
        .start()
        .await?;
    tick_with(&stage, r#"{"mode":"discover"}"#).await?;
    // Each claims what it can plan, and has to wait for the first contents.
    let contents = Fault::on_call("ir.attachment", "read");
    let held = stage.odoo.faults().add(contents.hold());
    let (_host, other) = stage.replica(&[]).await?;
    let (_third_host, third) = stage.replica(&[]).await?;
    let ticks = [begin_tick(&stage), begin_tick_at(other)];
    until("both are at work", async || {
        Ok(stage
            .count("select count(distinct slot) from odoo_sync.runs where outcome = 'running'")
            .await?
            == 2)
    })
    .await?;
    assert_eq!(
        third.post(PATH, SERVICE_KEY, "{}").await?.json()["status"],
        "running"
    );
    // Both have work of their own before either goes on.
    until("both have claimed files", async || {
        Ok(stage
            .count("select count(distinct lease_id) from public.odoo_attachments")
            .await?
            == 2)
    })
    .await?;
    stage.odoo.faults().remove(held);
    let mut moved = Vec::new();
    for tick in ticks {
        let report = tick.await??.json();
        assert_eq!(report["status"], "success", "{report}");
        moved.push(report["migrated"].as_i64().unwrap());
    }
    assert!(moved.iter().all(|moved| *moved > 0), "{moved:?}");
    let mut total: i64 = moved.iter().sum();
    while in_state(&stage, "pending").await? > 0 {
        total += tick(&stage).await?["migrated"].as_i64().unwrap();
    }
    assert_eq!(total, 900);
    assert_eq!(attempted(&stage).await?, 0);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_killed_batch_is_logged_by_the_next_tick_after_its_lease_which_goes_on() -> Result<()> {
    let mut stage = set(odoo_with(small(200)))
        // A lease is longer than its batch in any case.
        .variable("archive_batch_seconds", 5)
        .variable("archive_lease_seconds", 5)
        .start()
        .await?;
    hold_uploads(&stage, 21);
    let ticking = begin_tick(&stage);
    until_stored(&stage, 20).await?;
    stage.restart_app().await?;
    assert!(ticking.await?.is_err());
    stage.storage.faults().clear();
    // Nothing is forced here: the lease has to pass by itself.
    until("the next tick gets in", async || {
        Ok(tick(&stage).await?["status"] == "success")
    })
    .await?;
    until("all is moved", async || {
        Ok(tick(&stage).await?["remaining"] == 0)
    })
    .await?;
    let crashes = stage
        .count("select count(*) from public.migration_logs where status = 'error' and errors[1] like '%cut off%'")
        .await?;
    assert_eq!(crashes, 1);
    assert_eq!(
        stage
            .count("select count(*) from odoo_sync.runs where outcome = 'crashed'")
            .await?,
        1
    );
    assert_eq!(attempted(&stage).await?, 0);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_late_finisher_changes_nothing() -> Result<()> {
    let stage = set(odoo_with(small(30))).start().await?;
    // One upload keeps the first batch waiting, with others not yet on record.
    let upload = Fault::on("/object/odoo-archive").method("POST");
    let held = stage.storage.faults().add(upload.nth(10).hold());
    let late = begin_tick(&stage);
    until_stored(&stage, 20).await?;
    until("it is held up", async || {
        Ok(stage.storage.faults().struck(held) == 1)
    })
    .await?;
    leases_pass(&stage).await?;
    let (_host, other) = stage.replica(&[]).await?;
    let report = other.post(PATH, SERVICE_KEY, "{}").await?.json();
    assert_eq!(report["remaining"], 0, "{report}");
    let before = stage
        .value("select jsonb_agg(a order by a.id) from public.odoo_attachments a")
        .await?;
    stage.storage.faults().remove(held);
    let answer = late.await??;
    assert_eq!(
        answer.json()["fault"]["kind"],
        "out_of_time",
        "{}",
        answer.text()
    );
    let after = stage
        .value("select jsonb_agg(a order by a.id) from public.odoo_attachments a")
        .await?;
    assert_eq!(before, after);
    all_is_well(&stage).await
}

#[tokio::test]
async fn what_a_slow_batch_holds_is_nobody_elses_while_it_lives() -> Result<()> {
    let stage = set(odoo_with(small(6)))
        .variable("archive_batch_seconds", 3)
        .variable("archive_parallel_uploads", 1)
        .start()
        .await?;
    let held = hold_uploads(&stage, 1);
    let ticking = begin_tick(&stage);
    // Its time is up, and it has seconds more for what is under way.
    until("it is slow", async || {
        Ok(stage
            .count("select count(*) from odoo_sync.runs where started_at < now() - interval '4 seconds'")
            .await?
            == 1)
    })
    .await?;
    assert_eq!(tick(&stage).await?["status"], "running");
    let stolen = stage
        .count("select count(*) from public.odoo_attachments where state = 'pending' and next_attempt_at <= now()")
        .await?;
    assert_eq!(stolen, 0, "its files may be claimed by others");
    stage.storage.faults().remove(held);
    assert_eq!(ticking.await??.json()["migrated"], 6);
    assert_eq!(
        stage
            .count("select count(*) from odoo_sync.runs where outcome = 'crashed'")
            .await?,
        0
    );
    all_is_well(&stage).await
}
