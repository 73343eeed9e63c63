//! A fault at every place where work becomes durable. Whatever is cut off, the next ticks go on, all
//! files arrive verified, each counts once, and none has used an attempt for what was not its fault.

use anyhow::{Result, ensure};
use stage::wire::{Moment, Then, Wire};
use stage::{Caller, Host, SERVICE_KEY, Stage, of_database};
use world::faults::{Fault, FaultId, Trigger};
use world::odoo::{Attachments, EdgeCase, NewAttachment};
use world::postgres::{Database, Postgres};

use crate::scene::{
    PATH, all_is_well, attempted, begin_tick, begin_tick_at, finish, hold_uploads, in_state,
    leases_pass, log_rows, odoo_with, path_of, set, small, tick, tick_with, until, until_stored,
    waits_pass,
};

const UPLOAD: &str = "/object/odoo-archive";

async fn all_moved_without_an_attempt(stage: &Stage, files: i64) -> Result<()> {
    assert_eq!(in_state(stage, "moved").await?, files);
    assert_eq!(attempted(stage).await?, 0);
    all_is_well(stage).await
}

/// Files of all sorts: many to a call, streamed by itself, in pieces.
fn of_all_sorts() -> Attachments {
    small(60)
        .with(20, EdgeCase::Size(900_000))
        .with(40, EdgeCase::Size(14_000_000))
}

/// Strikes the first upload of each of three files. A second fault would use an attempt of a file, and
/// which of its uploads come first is up to the machine.
fn strike_uploads(stage: &Stage, effect: impl Fn(Trigger) -> Fault) -> [FaultId; 3] {
    [3, 20, 40].map(|id| {
        let attachment = stage.odoo.attachments().get(id);
        let checksum = attachment.and_then(|attachment| attachment.checksum);
        let upload = Fault::on(&path_of(&checksum.unwrap_or_default())).method("POST");
        stage.storage.faults().add(effect(upload.times(1)))
    })
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_counts_once_and_uses_no_attempt() -> Result<()> {
    let stage = set(odoo_with(small(60))).start().await?;
    let lost = strike_uploads(&stage, Trigger::lose_answer);
    let report = tick(&stage).await?;
    assert_eq!(report["migrated"], 60, "{report}");
    for lost in lost {
        assert_eq!(stage.storage.faults().struck(lost), 1);
    }
    all_moved_without_an_attempt(&stage, 60).await
}

/// One fault a file: a second one would use an attempt, so they come in two batches.
#[tokio::test]
async fn an_upload_that_breaks_off_is_done_again() -> Result<()> {
    let stage = set(odoo_with(small(60))).start().await?;
    let faults = stage.storage.faults();
    strike_uploads(&stage, |upload| upload.cut_upload_at(500));
    let report = tick(&stage).await?;
    assert_eq!(report["migrated"], 60, "{report}");
    for _ in 0..20 {
        stage.odoo.attachments().insert(NewAttachment::default());
    }
    let refused = faults.add(Fault::on(UPLOAD).method("POST").nth(5).refuse());
    let report = tick(&stage).await?;
    assert_eq!(report["migrated"], 20, "{report}");
    assert_eq!(faults.struck(refused), 1);
    all_moved_without_an_attempt(&stage, 80).await
}

#[tokio::test]
async fn each_step_of_an_upload_in_pieces_may_fail() -> Result<()> {
    type Effect = fn(Trigger) -> Fault;
    let effects: [Effect; 3] = [Trigger::refuse, Trigger::lose_answer, |at| {
        at.cut_upload_at(3_000_000)
    }];
    for (method, path) in [
        ("POST", "/upload/resumable"),
        ("PATCH", "/upload/resumable"),
        ("GET", "/object/info"),
    ] {
        for (effect, nth) in effects.iter().zip([1, 2, 3]) {
            let stage = set(odoo_with(small(5).with(3, EdgeCase::Size(14_000_000))))
                .start()
                .await?;
            stage
                .storage
                .faults()
                .add(effect(Fault::on(path).method(method).nth(nth)));
            finish(&stage, 4).await?;
            assert_eq!(in_state(&stage, "moved").await?, 5);
            all_is_well(&stage).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_storage_goes_in_mid_batch_and_comes_back() -> Result<()> {
    let stage = set(odoo_with(small(200))).start().await?;
    hold_uploads(&stage, 21);
    let ticking = begin_tick(&stage);
    until_stored(&stage, 20).await?;
    stage.storage.stop().await;
    let answer = ticking.await??;
    assert_eq!(answer.json()["status"], "error", "{}", answer.text());
    assert_eq!(attempted(&stage).await?, 0, "{}", answer.text());
    stage.storage.faults().clear();
    stage.storage.restart().await?;
    finish(&stage, 3).await?;
    all_moved_without_an_attempt(&stage, 200).await
}

#[tokio::test]
async fn odoo_goes_in_mid_batch_and_comes_back() -> Result<()> {
    let stage = set(odoo_with(of_all_sorts()))
        .variable("odoo_parallel_calls", 2)
        .start()
        .await?;
    tick_with(&stage, r#"{"mode":"discover"}"#).await?;
    // Uploads still end well when Odoo is gone already: they say nothing of the files it did not give.
    stage.storage.set_latency_ms(30);
    // The second call of contents is under way when Odoo goes.
    let contents = Fault::on_call("ir.attachment", "read");
    stage.odoo.faults().add(contents.from_nth(2).hold());
    let ticking = begin_tick(&stage);
    until_stored(&stage, 10).await?;
    stage.odoo.stop().await;
    let answer = ticking.await??;
    assert_eq!(
        answer.json()["fault"]["kind"],
        "source_unreachable",
        "{}",
        answer.text()
    );
    assert_eq!(attempted(&stage).await?, 0, "{}", answer.text());
    stage.odoo.faults().clear();
    stage.odoo.restart().await?;
    stage.storage.set_latency_ms(0);
    finish(&stage, 3).await?;
    all_moved_without_an_attempt(&stage, 60).await
}

#[tokio::test]
async fn the_program_is_killed_in_mid_batch() -> Result<()> {
    let mut stage = set(odoo_with(of_all_sorts())).start().await?;
    hold_uploads(&stage, 21);
    let ticking = begin_tick(&stage);
    until_stored(&stage, 20).await?;
    stage.restart_app().await?;
    assert!(ticking.await?.is_err());
    stage.storage.faults().clear();
    // Its lease stands: whoever comes now leaves its work alone.
    assert_eq!(tick(&stage).await?["status"], "running");
    leases_pass(&stage).await?;
    let report = tick(&stage).await?;
    assert_eq!(report["remaining"], 0, "{report}");
    let rows = log_rows(&stage).await?;
    let crashes: Vec<_> = rows.iter().filter(|row| row["status"] == "error").collect();
    assert_eq!(crashes.len(), 1, "{rows:#?}");
    assert!(
        crashes[0]["errors"][0]
            .as_str()
            .unwrap()
            .contains("cut off")
    );
    all_moved_without_an_attempt(&stage, 60).await
}

/// A stage whose app reaches Postgres by a wire that can be cut.
async fn wired(attachments: Attachments) -> Result<(Stage, Wire, Host, Caller)> {
    let stage = set(odoo_with(attachments)).start().await?;
    let wire = Wire::to(stage.database.port()).await?;
    let (host, caller) = stage
        .replica(&[("db_port", &wire.port().to_string())])
        .await?;
    Ok((stage, wire, host, caller))
}

/// The statements of a batch, by what only their argument holds.
const STATEMENTS: [(&str, &str); 5] = [
    ("begin", "\"slots\":"),
    ("catalogue", "\"found\":["),
    ("claim", "\"limit\":"),
    ("record", RECORD),
    ("end", "\"counts\":{"),
];
const RECORD: &str = "\"settled\":[";

#[tokio::test]
async fn the_wire_to_postgres_is_cut_at_any_statement_before_or_after_it() -> Result<()> {
    for (statement, mark) in STATEMENTS {
        for moment in Moment::BOTH {
            let (stage, wire, _host, caller) = wired(of_all_sorts()).await?;
            wire.strike(mark, moment, Then::Cut, 1);
            let answer = caller.post(PATH, SERVICE_KEY, "{}").await?;
            ensure!(wire.struck() == 1, "{statement} was never sent");
            ensure!(
                answer.status != 200 || answer.json()["migrated"] == 60,
                "{statement} {moment:?}: {}",
                answer.text()
            );
            leases_pass(&stage).await?;
            finish(&stage, 3).await?;
            all_moved_without_an_attempt(&stage, 60)
                .await
                .map_err(|error| {
                    error.context(format!(
                        "{statement} {moment:?}, answered {}",
                        answer.text()
                    ))
                })?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_of_postgres_does_not_stop_a_batch() -> Result<()> {
    for moment in Moment::BOTH {
        let (stage, wire, _host, caller) = wired(small(60)).await?;
        wire.strike(RECORD, moment, Then::Cut, 1);
        let answer = caller.post(PATH, SERVICE_KEY, "{}").await?;
        assert_eq!(
            answer.json()["migrated"],
            60,
            "{moment:?}: {}",
            answer.text()
        );
        assert_eq!(answer.json()["status"], "success");
        all_moved_without_an_attempt(&stage, 60).await?;
    }
    Ok(())
}

/// A stage on a Postgres of its own, which may be crashed.
async fn on_a_server_of_its_own(
    attachments: Attachments,
) -> Result<(Stage, Postgres, Database, Host, Caller)> {
    let mut stage = set(odoo_with(attachments)).start().await?;
    let server = Postgres::start_throw_away().await?;
    let database = server.database().await?;
    stage.owner = database.connect().await?;
    let variables = of_database(&database);
    let more: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let (host, caller) = stage.replica(&more).await?;
    Ok((stage, server, database, host, caller))
}

#[tokio::test]
async fn postgres_is_restarted_in_mid_batch() -> Result<()> {
    let (mut stage, server, database, _host, caller) = on_a_server_of_its_own(small(200)).await?;
    hold_uploads(&stage, 21);
    let ticking = begin_tick_at(caller.clone());
    until_stored(&stage, 20).await?;
    server.restart().await?;
    stage.storage.faults().clear();
    let answer = ticking.await??;
    stage.owner = database.connect().await?;
    finish_at(&stage, &caller).await?;
    all_moved_without_an_attempt(&stage, 200)
        .await
        .map_err(|error| error.context(answer.text()))
}

#[tokio::test]
async fn postgres_crashes_in_mid_batch_and_comes_back() -> Result<()> {
    let (mut stage, server, database, _host, caller) =
        on_a_server_of_its_own(of_all_sorts()).await?;
    hold_uploads(&stage, 21);
    let ticking = begin_tick_at(caller.clone());
    until_stored(&stage, 20).await?;
    server.crash().await?;
    stage.storage.faults().clear();
    let answer = ticking.await??;
    assert_eq!(
        answer.json()["fault"]["kind"],
        "ledger_unreachable",
        "{}",
        answer.text()
    );
    let while_away = caller.post(PATH, SERVICE_KEY, "{}").await?;
    assert!(while_away.status.is_server_error(), "{}", while_away.text());
    server.start_again().await?;
    stage.owner = database.connect().await?;
    finish_at(&stage, &caller).await?;
    all_moved_without_an_attempt(&stage, 60).await
}

async fn finish_at(stage: &Stage, caller: &Caller) -> Result<()> {
    leases_pass(stage).await?;
    until("all is moved", async || {
        waits_pass(stage).await?;
        let report = caller.post(PATH, SERVICE_KEY, "{}").await?.json();
        Ok(report.get("remaining") == Some(&0.into()))
    })
    .await
}

#[tokio::test]
async fn faults_everywhere_at_random_only_slow_it_down() -> Result<()> {
    let stage = set(odoo_with(of_all_sorts()))
        .variable("archive_batch_seconds", 5)
        .start()
        .await?;
    for faults in [stage.odoo.faults(), stage.storage.faults()] {
        faults.add(Fault::on_any().probability(0.04).refuse());
        faults.add(Fault::on_any().probability(0.04).lose_answer());
        faults.add(Fault::on_any().probability(0.04).reset_at(700));
        faults.add(Fault::on_any().probability(0.04).truncate(300));
        faults.add(Fault::on_any().probability(0.04).wrong_bytes());
        faults.add(Fault::on_any().probability(0.04).status(503));
    }
    for _ in 0..12 {
        waits_pass(&stage).await?;
        stage.post(PATH, "{}").await?;
        // What is said to be moved is so at any time.
        all_is_well(&stage).await?;
    }
    stage.odoo.faults().clear();
    stage.storage.faults().clear();
    stage
        .owner
        .batch_execute("select odoo_sync.retry()")
        .await?;
    finish(&stage, 4).await?;
    assert_eq!(in_state(&stage, "moved").await?, 60);
    all_is_well(&stage).await
}
