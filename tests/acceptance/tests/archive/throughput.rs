//! How fast: as fast as both sides like it, and never faster.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use world::faults::Fault;
use world::odoo::{self, EdgeCase, Limit, Sizes};
use world::serve::Entry;

use crate::scene::{
    all_is_well, attempted, begin_tick, finish, in_state, odoo_with, report, set, small, tick,
    tick_with, until_stored,
};

const UPLOAD: &str = "POST /object";

#[tokio::test]
async fn uploads_grow_in_number_up_to_the_variables_limit() -> Result<()> {
    for most in [1, 7, 16] {
        let stage = set(odoo_with(small(300)))
            .variable("archive_parallel_uploads", most)
            .start()
            .await?;
        // So long that the next ones begin before the first is done, also where the machine is slow.
        stage.storage.set_latency_ms(20 * most);
        assert_eq!(tick(&stage).await?["migrated"], 300);
        assert_eq!(stage.storage.counters().of(UPLOAD).max_in_flight, most);
        all_is_well(&stage).await?;
    }
    Ok(())
}

/// Checks that requests, of which `most` may be under way at once, kept the pause of two seconds that
/// one of them was answered with by this status; how many were under way at once before it, and all
/// that came after it.
fn around_the_pause(mut log: Vec<Entry>, status: u16, most: usize) -> Result<(usize, Vec<Entry>)> {
    log.sort_by_key(|entry| entry.at_ms);
    let refused = log.iter().find(|entry| entry.status == status);
    let refused = refused.with_context(|| format!("nothing was answered {status}"))?;
    let told_at = refused.at_ms + refused.took_ms;
    let (before, mut after): (Vec<_>, Vec<_>) =
        log.into_iter().partition(|entry| entry.at_ms <= told_at);
    let full = before
        .iter()
        .map(|one| {
            let meets = |other: &&Entry| {
                other.at_ms <= one.at_ms && one.at_ms < other.at_ms + other.took_ms
            };
            before.iter().filter(meets).count()
        })
        .max()
        .unwrap_or_default();
    // What had begun before the answer was heard may arrive after it was given.
    let mut last = told_at;
    let again = after.iter().position(|entry| {
        let gap = entry.at_ms - last;
        last = entry.at_ms;
        gap >= 1_500
    });
    let again = again.with_context(|| format!("{status}: there was no pause"))?;
    ensure!(
        again < most,
        "{status}: {again} began though it had asked for a pause"
    );
    let after = after.split_off(again);
    let early = |entry: &Entry| entry.at_ms + 100 < told_at + 2_000;
    ensure!(
        !after.iter().any(early),
        "{status}: it was asked again too early"
    );
    Ok((full, after))
}

#[tokio::test]
async fn an_overloaded_storage_is_left_alone_as_long_as_it_asks_and_then_asked_for_half()
-> Result<()> {
    for status in [429, 503, 544] {
        let stage = set(odoo_with(small(300))).start().await?;
        // So long that the next ones begin before the first is done, also where the machine is slow.
        stage.storage.set_latency_ms(200);
        stage.storage.counters().record(true);
        // By then as many are under way as ever will be.
        stage.storage.faults().add(
            Fault::on("/object/odoo-archive")
                .method("POST")
                .nth(200)
                .retry_after(status, 2),
        );
        let report = tick(&stage).await?;
        assert_eq!(
            (&report["migrated"], &report["failed"]),
            (&json!(300), &json!(0)),
            "{report}"
        );
        let mut log = stage.storage.counters().take_log();
        log.retain(|entry| entry.method == "POST");
        let (full, again) = around_the_pause(log, status, 32)?;
        // Before any of them is answered, no more begin than the half, and one for the successes of those
        // that were under way.
        let answered = again.iter().map(|entry| entry.at_ms + entry.took_ms).min();
        let half = again.iter().filter(|entry| Some(entry.at_ms) < answered);
        let half = half.count();
        assert!(
            full > 8 && half <= full / 2 + 1,
            "{status}: {full} at once, then {half}"
        );
        assert_eq!(attempted(&stage).await?, 0);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_storage_that_stays_overloaded_stops_the_batch_without_an_attempt() -> Result<()> {
    let stage = set(odoo_with(small(40).with(40, EdgeCase::Size(8_000_000))))
        .start()
        .await?;
    stage
        .storage
        .faults()
        .add(Fault::on("/storage/v1/").method("POST").status(544));
    let report = crate::scene::stopped_tick(&stage).await?;
    assert_eq!(report["fault"]["kind"], "storage_busy", "{report}");
    assert_eq!(attempted(&stage).await?, 0);
    stage.storage.faults().clear();
    finish(&stage, 2).await?;
    assert_eq!(in_state(&stage, "moved").await?, 40);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_busy_odoo_is_waited_for_as_long_as_it_asks() -> Result<()> {
    for (status, call, nth) in [(429, "read", 2), (503, "read", 2), (429, "search_read", 2)] {
        let stage = set(odoo_with(small(300))).start().await?;
        stage.odoo.counters().record(true);
        stage.odoo.faults().add(
            Fault::on_call("ir.attachment", call)
                .nth(nth)
                .retry_after(status, 2),
        );
        let report = tick(&stage).await?;
        assert_eq!(
            (&report["migrated"], &report["failed"]),
            (&json!(300), &json!(0)),
            "{report}"
        );
        let mut log = stage.odoo.counters().take_log();
        let name = format!("ir.attachment/{call}");
        log.retain(|entry| entry.call.as_deref() == Some(&*name));
        around_the_pause(log, status, 4)?;
        assert_eq!(attempted(&stage).await?, 0);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn odoo_online_is_called_once_a_second_and_never_twice_at_once() -> Result<()> {
    // A little more than agreed: on a busy machine calls arrive closer to each other than they left.
    let options = odoo::Options {
        limit: Some(Limit {
            calls_per_second: 2,
            parallel_calls: 1,
        }),
        ..odoo_with(small(130))
    };
    let stage = set(options)
        .variable("odoo_calls_per_second", 1)
        .variable("odoo_parallel_calls", 1)
        .start()
        .await?;
    stage.odoo.counters().record(true);
    // The second tick follows at once: the pace is kept across ticks.
    tick(&stage).await?;
    stage
        .odoo
        .attachments()
        .insert(odoo::NewAttachment::default());
    finish(&stage, 2).await?;
    let log = stage.odoo.counters().take_log();
    let refused = log.iter().filter(|entry| entry.status == 429).count();
    assert_eq!(refused, 0, "calls were too fast");
    let began = log.iter().map(|entry| entry.at_ms);
    let span_ms = began.clone().max().unwrap() - began.min().unwrap();
    let calls = u64::try_from(log.len())?;
    assert!(
        span_ms >= (calls - 1) * 1_000,
        "{calls} calls in {span_ms} ms"
    );
    assert_eq!(in_state(&stage, "moved").await?, 131);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_tick_stops_to_begin_work_when_its_time_is_up_and_gives_back_what_it_has_not_begun()
-> Result<()> {
    let attachments = small(400).sized(Sizes::Fixed(100_000));
    let stage = set(odoo_with(attachments))
        .variable("archive_batch_seconds", 2)
        .start()
        .await?;
    tick_with(&stage, r#"{"mode":"discover"}"#).await?;
    stage.storage.set_latency_ms(400);
    let report = tick(&stage).await?;
    assert!(report["elapsed_s"].as_f64().unwrap() >= 2.0, "{report}");
    let moved = report["migrated"].as_i64().unwrap();
    assert!(moved > 0 && moved < 400, "{report}");
    assert_eq!(report["remaining"], json!(400 - moved));
    // Nothing of what is left waits for anything.
    let due = stage
        .count("select count(*) from public.odoo_attachments where state = 'pending' and lease_id is null and next_attempt_at <= now()")
        .await?;
    assert_eq!(due, 400 - moved);
    all_is_well(&stage).await?;
    stage.storage.set_latency_ms(0);
    finish(&stage, 5).await?;
    all_is_well(&stage).await
}

#[tokio::test]
async fn discovery_and_moving_starve_neither_of_each_other() -> Result<()> {
    // Many pages to read and slow uploads: both go on in every tick.
    let stage = set(odoo_with(small(12_000)))
        .variable("archive_batch_seconds", 4)
        .start()
        .await?;
    stage.odoo.set_latency_ms(500);
    stage.storage.set_latency_ms(500);
    for _ in 0..2 {
        let report = tick(&stage).await?;
        assert!(report["discovered"].as_i64().unwrap() > 0, "{report}");
        assert!(report["migrated"].as_i64().unwrap() > 0, "{report}");
    }
    all_is_well(&stage).await
}

#[tokio::test]
async fn files_that_wait_to_be_hashed_together_do_not_wait_for_a_call_that_hangs() -> Result<()> {
    let three = small(3)
        .with(1, EdgeCase::Size(900_001))
        .with(2, EdgeCase::Size(900_002))
        .with(3, EdgeCase::Size(900_003));
    let stage = set(odoo_with(three))
        .variable("archive_batch_seconds", 2)
        .start()
        .await?;
    tick_with(&stage, r#"{"mode": "discover"}"#).await?;
    stage.odoo.faults().add(Fault::on("/web/content/2").hold());
    let ticking = begin_tick(&stage);
    until_stored(&stage, 2).await?;
    stage.odoo.faults().clear();
    let report = report(&stage, &ticking.await??)?;
    assert_eq!(report["failed"], 0, "{report}");
    finish(&stage, 3).await?;
    assert_eq!(in_state(&stage, "moved").await?, 3);
    all_is_well(&stage).await
}
