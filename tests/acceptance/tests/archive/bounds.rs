//! What one file, one connection or one answer may cost at most.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stage::Stage;
use stage::wire::{Moment, Then, Wire};
use world::faults::Fault;
use world::odoo::{self, EdgeCase, EdgeCaseMix, NewAttachment};
use world::storage::{self, Age};

use crate::scene::{
    PATH, all_is_well, all_is_well_but_for_the_log, attempted, begin_tick, begin_tick_at, errors,
    finish, in_state, leases_pass, odoo_with, path_of, row, set, small, tick, until, user,
    waits_pass,
};

const PIECE: u64 = 6 * 1024 * 1024;
const APPEND: &str = "PATCH /upload/resumable";

/// How far a file came, as the catalogue has it.
async fn offset(stage: &Stage, id: i64) -> Result<u64> {
    let file = row(stage, id).await?;
    let offset = file.pointer("/upload/offset").and_then(Value::as_u64);
    Ok(offset.unwrap_or_default())
}

#[tokio::test]
async fn a_large_file_that_gets_no_further_in_a_batch_uses_an_attempt_and_says_which_setting_helps()
-> Result<()> {
    // 14 and 15 give no part of a content.
    for (version, again) in [(18, false), (15, true)] {
        let options = odoo::Options {
            version,
            ..odoo_with(small(3).with(2, EdgeCase::Size(40_000_000)))
        };
        let stage = set(options)
            .variable("archive_batch_seconds", 2)
            .start()
            .await?;
        let slow = Fault::on("/upload/resumable").method("PATCH");
        let slow = stage.storage.faults().add(slow.delay_ms(700));
        until("a part of it is there", async || {
            tick(&stage).await?;
            Ok(offset(&stage, 2).await? > 0)
        })
        .await?;
        stage.storage.faults().remove(slow);
        assert_eq!(attempted(&stage).await?, 0);
        let came = offset(&stage, 2).await?;
        let stalled = Fault::on("/web/content").stall_at(1000);
        let stalled = stage.odoo.faults().add(stalled);
        waits_pass(&stage).await?;
        let report = tick(&stage).await?;
        let file = row(&stage, 2).await?;
        assert_eq!(
            (&file["state"], &file["reason"], &file["attempts"]),
            (&json!("pending"), &json!("no_progress"), &json!(1)),
            "{version}: {report:#} {file:#}"
        );
        let said = file["message"].as_str().unwrap_or_default();
        assert!(
            said.contains("raise archive_batch_seconds")
                && said.contains("gives no part of a content") == again,
            "{version}: {said}"
        );
        assert_eq!(errors(&report), [format!("Upload 2: {said}")]);
        // What was there before is gone on with.
        assert_eq!(file["upload"]["offset"], json!(came));
        stage.odoo.faults().remove(stalled);
        finish(&stage, 20).await?;
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_answered_a_large_file_that_gets_no_further_has_used_no_attempt()
-> Result<()> {
    let stage = set(odoo_with(small(1).with(1, EdgeCase::Size(20_000_000))))
        .variable("archive_batch_seconds", 2)
        .start()
        .await?;
    let faults = stage.storage.faults();
    // The bucket is looked at before.
    let silent = faults.add(Fault::on("/storage/v1/").from_nth(2).hold());
    let report = tick(&stage).await?;
    assert_eq!(attempted(&stage).await?, 0, "{report:#}");
    ensure!(
        errors(&report)
            .iter()
            .any(|line| line.contains("File 1 got no further until the time was up")),
        "{report:#}"
    );
    faults.remove(silent);
    finish(&stage, 3).await?;
    all_is_well(&stage).await
}

#[tokio::test]
async fn an_instance_that_is_killed_loses_a_few_pieces_of_a_large_file_and_no_more() -> Result<()> {
    const SIZE: u64 = 100_000_000;
    let mut stage = set(odoo_with(small(3).with(2, EdgeCase::Size(SIZE))))
        .variable("archive_batch_seconds", 300)
        .start()
        .await?;
    let pieces = || Fault::on("/upload/resumable").method("PATCH");
    let faults = stage.storage.faults().clone();
    faults.add(pieces().delay_ms(300));
    faults.add(pieces().from_nth(13).hold());
    let tick = begin_tick(&stage);
    until("its twelve first pieces are sent", async || {
        Ok(stage.storage.counters().of(APPEND).calls == 13)
    })
    .await?;
    until("most of that is on record", async || {
        Ok(offset(&stage, 2).await? >= 8 * PIECE)
    })
    .await?;
    stage.stop_app().await;
    drop(tick.await);
    faults.clear();
    // Else the last piece may arrive while the next batch sends it.
    until("nothing of the killed instance is under way", async || {
        Ok(stage.storage.counters().of(APPEND).in_flight == 0)
    })
    .await?;
    let kept = offset(&stage, 2).await?;
    let read_before = stage.odoo.counters().of("GET /web/content").bytes_out;
    leases_pass(&stage).await?;
    stage.restart_app().await?;
    finish(&stage, 3).await?;
    let sent = stage.storage.counters().of(APPEND);
    assert!(
        sent.bytes_in <= SIZE + PIECE,
        "{} bytes were sent",
        sent.bytes_in
    );
    // Read from Odoo again is what was not on record, and no more.
    let again = stage.odoo.counters().of("GET /web/content").bytes_out - read_before;
    assert!(
        again <= SIZE - kept + PIECE,
        "{again} bytes were read again, of {kept} on record"
    );
    assert_eq!(in_state(&stage, "moved").await?, 3);
    Ok(())
}

#[tokio::test]
async fn no_more_calls_are_under_way_at_odoo_than_agreed_streams_among_them() -> Result<()> {
    for most in [1, 2, 4] {
        // So many that the list goes on while the first ones are streamed.
        let attachments = (10..16).fold(small(2_100), |files, id| {
            let size = if id % 2 == 0 { 900_000 } else { 20_000_000 };
            files.with(id, EdgeCase::Size(size))
        });
        let stage = set(odoo_with(attachments))
            .variable("archive_batch_seconds", 300)
            .variable("odoo_parallel_calls", most)
            .start()
            .await?;
        // So long that the next calls would begin beside a stream.
        let pieces = Fault::on("/upload/resumable").method("PATCH");
        stage.storage.faults().add(pieces.delay_ms(150));
        let list = Fault::on_call("ir.attachment", "search_read");
        stage.odoo.faults().add(list.delay_ms(300));
        finish(&stage, 2).await?;
        let total = stage.odoo.counters().total();
        assert!(
            total.max_in_flight <= most,
            "{} at once where {most} are agreed",
            total.max_in_flight
        );
        assert_eq!(attempted(&stage).await?, 0);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_question_whose_answer_breaks_off_is_asked_once_more_before_it_counts() -> Result<()> {
    let options = odoo_with(small(60).with(2, EdgeCase::Size(900_000)));
    let stage = set(options).start().await?;
    stage.odoo.fill_pipeline(20);
    let odoo = stage.odoo.faults();
    for (model, method) in [
        ("ir.attachment", "search_read"),
        ("crm.lead", "fields_get"),
        ("crm.lead", "search_read"),
        ("mail.message", "search_read"),
    ] {
        odoo.add(Fault::on_call(model, method).nth(1).refuse());
        odoo.add(Fault::on_call(model, method).nth(3).reset_at(20));
    }
    odoo.add(Fault::on("/web/content").nth(1).reset_at(1000));
    let html = [("content-type", "text/html")];
    let storage = stage.storage.faults();
    storage.add(Fault::on("/bucket/").nth(1).refuse());
    storage.add(
        Fault::on("/object/list/")
            .nth(1)
            .answer(502, &html, "<html></html>"),
    );
    storage.add(Fault::on("/object/info/").nth(1).refuse());
    for path in [PATH, "/crm-sync", "/chatter-sync"] {
        let answer = stage.post(path, "{}").await?;
        let report = answer.json();
        assert_eq!(answer.status, 200, "{path}: {report:#}");
        assert_eq!(errors(&report), [""; 0], "{path}");
    }
    assert_eq!(attempted(&stage).await?, 0);
    finish(&stage, 1).await?;
    all_is_well_but_for_the_log(&stage).await
}

#[tokio::test]
async fn what_writes_to_odoo_is_never_sent_twice() -> Result<()> {
    let user = odoo::User {
        password: None,
        ..user()
    };
    let options = odoo::Options {
        users: vec![user],
        ..odoo_with(small(1).with(1, EdgeCase::Size(900_000)))
    };
    let stage = set(options)
        .variable("odoo_access_tokens", "true")
        .start()
        .await?;
    let write = || Fault::on_call("ir.attachment", "write");
    stage.odoo.faults().add(write().times(1).lose_answer());
    let report = tick(&stage).await?;
    let writes = stage.odoo.counters().of("ir.attachment/write").calls;
    // It was done, and nobody knows; that it was not asked again at once shows in the report.
    ensure!(
        writes >= 1 && !errors(&report).is_empty(),
        "{writes}: {report:#}"
    );
    Ok(())
}

/// So many files of one content, and a few others; in how much memory.
async fn of_one_content(copies: u64, most_mib: u64) -> Result<()> {
    let attachments = odoo::Attachments {
        edge_case_mix: EdgeCaseMix {
            one_in: 1,
            edge_cases: vec![EdgeCase::SameContentAs(1)],
        },
        ..small(copies)
    };
    let stage = set(odoo_with(attachments))
        .memory_limit_mib(128)
        .start()
        .await?;
    for _ in 0..20 {
        stage.odoo.attachments().insert(NewAttachment::default());
    }
    let begun = Instant::now();
    finish(&stage, 40).await?;
    let took = begun.elapsed().as_secs_f64();
    println!("{copies} copies of one content in {took:.1} s");
    assert_eq!(stage.storage.verify_all().objects, 21);
    assert_eq!(
        in_state(&stage, "moved").await?,
        i64::try_from(copies)? + 20
    );
    stage.check_peak_memory("archive-batch", most_mib * 1024 * 1024)?;
    all_is_well(&stage).await
}

#[tokio::test]
async fn thousands_of_files_of_one_content_are_moved_once_in_bounded_memory() -> Result<()> {
    of_one_content(20_000, 12).await
}

#[tokio::test]
#[ignore = "takes minutes: cargo test --test archive -- --ignored"]
async fn hundreds_of_thousands_of_files_of_one_content_take_no_more_memory() -> Result<()> {
    of_one_content(300_000, 12).await
}

#[tokio::test]
async fn an_older_storage_works_and_one_that_takes_nothing_in_pieces_is_named() -> Result<()> {
    for age in [Age::RowAsInfo, Age::NoInfo, Age::NoCodes, Age::NoResumable] {
        let files = small(40)
            .with(2, EdgeCase::Size(900_000))
            .with(3, EdgeCase::Size(13_000_000));
        let options = storage::Options {
            age,
            ..storage::Options::default()
        };
        let stage = set(odoo_with(files)).storage(options).start().await?;
        // What a batch left behind that was cut off between upload and record, and what nobody stored.
        assert!(
            tick(&stage).await?["migrated"].as_u64() >= Some(39),
            "{age:?}"
        );
        stage.owner.batch_execute("update public.odoo_attachments set state = 'pending', moved_at = null where id in (2, 4, 5); delete from public.migration_logs").await?;
        stage.storage.remove("odoo-archive", &path(&stage, 5)?);
        tick(&stage).await?;
        let pieces = row(&stage, 3).await?;
        let named = pieces["message"].as_str().unwrap_or_default();
        if age < Age::NoResumable {
            assert_eq!(in_state(&stage, "moved").await?, 40, "{age:?}: {pieces:#}");
        } else {
            assert_eq!(in_state(&stage, "moved").await?, 39, "{age:?}");
            assert_eq!(pieces["state"], "dead", "{pieces:#}");
            assert!(
                named.contains("before 0.35 (April 2023): update it"),
                "{named}"
            );
        }
        assert_eq!(stage.storage.verify_all().misnamed, [""; 0]);
    }
    Ok(())
}

/// Where a file's object lies.
fn path(stage: &Stage, id: i64) -> Result<String> {
    let file = stage.odoo.attachments().get(id).context("no file")?;
    Ok(path_of(&file.checksum.context("no checksum")?))
}

#[tokio::test]
async fn a_connection_to_postgres_that_falls_silent_costs_at_most_40_seconds() -> Result<()> {
    const MOST: Duration = Duration::from_secs(40);
    let silent = async |mark: &'static str, batch_s: u32, told: &'static str| {
        let stage = set(odoo_with(small(20)))
            .variable("archive_batch_seconds", batch_s)
            .start()
            .await?;
        let wire = Wire::to(stage.database.port()).await?;
        let port = wire.port().to_string();
        let (_host, caller) = stage.replica(&[("db_port", &port)]).await?;
        wire.strike(mark, Moment::Before, Then::Hold, 1);
        let tick = begin_tick_at(caller.clone());
        wire.until_struck().await?;
        let struck = Instant::now();
        let report = tick.await??.text();
        let took = struck.elapsed();
        println!("{mark} {:.1} s {report}", took.as_secs_f64());
        ensure!(took < MOST, "{mark}: {took:?}");
        ensure!(report.contains(told), "{mark}: {report}");
        leases_pass(&stage).await?;
        finish(&stage, 2).await?;
        all_is_well(&stage).await
    };
    tokio::try_join!(
        silent("\"limit\":", 20, "\"kind\":\"ledger_unreachable\""),
        // The batch ends before the statement is given up.
        silent("\"limit\":", 3, "Postgres had not answered a statement"),
        silent("\"settled\":[", 20, "\"migrated\":20,"),
        silent("\"counts\":{", 20, "\"migrated\":20,"),
    )?;
    Ok(())
}
