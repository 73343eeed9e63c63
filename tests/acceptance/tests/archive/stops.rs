//! What would fail every file stops the batch: one line in the log with the remedy in words, no
//! attempt used, and when it is mended, the next tick goes on.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stage::{SERVICE_KEY, Stage};
use world::faults::Fault;
use world::odoo::{Attachments, EdgeCase, NewAttachment};
use world::storage::{self, Bucket, QuotaSignal};

use crate::scene::{
    PATH, all_is_well, attempted, errors, finish, in_state, log_rows, odoo_with, set, small,
    stopped_tick, tick, tick_with, waits_pass,
};

/// A tick was stopped as it should: this kind, this blame, these words, one row, no attempt.
async fn told(stage: &Stage, report: &Value, kind: &str, blame: &str, words: &str) -> Result<()> {
    let fault = report.get("fault").context("no fault is told")?;
    assert_eq!(
        (fault.get("kind"), fault.get("blame")),
        (Some(&json!(kind)), Some(&json!(blame))),
        "{report}"
    );
    let rows = log_rows(stage).await?;
    let row = rows.last().context("nothing is in the log")?;
    assert_eq!(row.get("status"), Some(&json!("error")), "{row}");
    let lines = errors(row);
    assert!(
        lines.first().is_some_and(|line| line.contains(words)),
        "{row}"
    );
    assert_eq!(lines, errors(report));
    assert_eq!(attempted(stage).await?, 0);
    all_is_well(stage).await
}

#[tokio::test]
async fn a_used_up_quota_stops_the_batch_until_there_is_room_again() -> Result<()> {
    for quota_signal in [
        QuotaSignal::EntityTooLarge,
        QuotaSignal::Restricted,
        QuotaSignal::DiskFull,
    ] {
        for attachments in [small(60), Attachments::of(0).with(1, EdgeCase::Url)] {
            let large = attachments.count == 0;
            let attachments = if large {
                small(3).with(2, EdgeCase::Size(20_000_000))
            } else {
                attachments
            };
            let files = i64::try_from(attachments.count)?;
            let stage = set(odoo_with(attachments))
                .storage(storage::Options {
                    quota_signal,
                    quota_bytes: Some(100_000),
                    ..storage::Options::default()
                })
                .start()
                .await?;
            let report = stopped_tick(&stage).await?;
            let line = errors(&report).first().cloned().unwrap_or_default();
            let (upload, said) = line.split_once(": ").unwrap();
            assert!(
                upload.starts_with("Upload ") && said.starts_with("bucket quota exceeded"),
                "{line}"
            );
            told(
                &stage,
                &report,
                "quota_exceeded",
                "destination",
                "bucket quota exceeded",
            )
            .await?;
            // It is tried anew at each tick, and told anew.
            stopped_tick(&stage).await?;
            assert!(log_rows(&stage).await?.len() == 2);
            stage.storage.set_quota(None);
            finish(&stage, 3).await?;
            assert_eq!(in_state(&stage, "moved").await?, files);
            assert_eq!(attempted(&stage).await?, 0);
            all_is_well(&stage).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_bucket_is_told_before_any_file_is_touched() -> Result<()> {
    let stage = set(odoo_with(small(20))).start().await?;
    stage.storage.remove_bucket("odoo-archive");
    let report = stopped_tick(&stage).await?;
    told(
        &stage,
        &report,
        "bucket_missing",
        "configuration",
        "create it as a private bucket",
    )
    .await?;
    assert_eq!(stage.odoo.counters().of("ir.attachment/read").calls, 0);
    stage.storage.set_bucket(Bucket::private("odoo-archive"));
    finish(&stage, 2).await?;
    all_is_well(&stage).await
}

/// Each setting that may be wrong: its name, a wrong value, and what is said.
const WRONG: [(&str, &str, &str, &str); 13] = [
    (
        "storage_key",
        "wrong-storage-key",
        "storage_login",
        "check storage_key",
    ),
    (
        "storage_key",
        "anon-key",
        "bucket_missing",
        "the key may not see it",
    ),
    ("storage_key", "", "setting", "storage_key is not set"),
    (
        "storage_bucket",
        "nowhere",
        "bucket_missing",
        "set storage_bucket",
    ),
    (
        "storage_path",
        "/nowhere",
        "storage_protocol",
        "check storage_url and storage_path",
    ),
    (
        "odoo_api_key",
        "wrong-odoo-key",
        "source_login",
        "check odoo_login and odoo_api_key",
    ),
    ("odoo_login", "nobody", "source_login", "check odoo_login"),
    (
        "odoo_database",
        "nowhere",
        "source_login",
        "check odoo_database",
    ),
    ("odoo_database", "", "setting", "odoo_database is not set"),
    ("odoo_login", "", "setting", "odoo_login is not set"),
    (
        "odoo_protocol",
        "smoke signals",
        "setting",
        "odoo_protocol must be",
    ),
    ("archive_domain", "{", "setting", "archive_domain must be"),
    (
        "odoo_url",
        "http://127.0.0.1:1",
        "source_unreachable",
        "check odoo_url",
    ),
];

#[tokio::test]
async fn a_wrong_setting_is_named_in_the_log_and_costs_no_attempt() -> Result<()> {
    let stage = set(odoo_with(small(20))).start().await?;
    tick_with(&stage, r#"{"mode":"discover"}"#).await?;
    for (name, value, kind, words) in WRONG {
        let (_host, caller) = stage.replica(&[(name, value)]).await?;
        let rows = log_rows(&stage).await?.len();
        let answer = caller.post(PATH, SERVICE_KEY, "{}").await?;
        let blame = if kind == "source_unreachable" {
            "source"
        } else if kind == "storage_protocol" {
            "destination"
        } else {
            "configuration"
        };
        told(&stage, &answer.json(), kind, blame, words)
            .await
            .map_err(|error| error.context(name))?;
        assert_eq!(log_rows(&stage).await?.len(), rows + 1, "{name}");
        assert!(
            !answer.text().contains(value) || !name.contains("key") || value.is_empty(),
            "{name}: {}",
            answer.text()
        );
    }
    assert_eq!(in_state(&stage, "moved").await?, 0);
    finish(&stage, 2).await?;
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_database_that_odoo_19_does_not_have_is_named_as_the_fault() -> Result<()> {
    let odoo = world::odoo::Options {
        version: 19,
        ..odoo_with(small(5))
    };
    let stage = set(odoo)
        .variable("odoo_database", "nowhere")
        .start()
        .await?;
    for path in [PATH, "/crm-sync", "/chatter-sync"] {
        let report = stage.post(path, "{}").await?.json();
        told(
            &stage,
            &report,
            "source_login",
            "configuration",
            "check odoo_database",
        )
        .await
        .map_err(|error| error.context(path))?;
    }
    Ok(())
}

#[tokio::test]
async fn an_odoo_or_a_storage_that_is_away_is_told_and_waited_for() -> Result<()> {
    let stage = set(odoo_with(small(20))).start().await?;
    stage.odoo.stop().await;
    let report = stopped_tick(&stage).await?;
    told(
        &stage,
        &report,
        "source_unreachable",
        "source",
        "check odoo_url, and that Odoo is up",
    )
    .await?;
    stage.odoo.restart().await?;
    stage.storage.stop().await;
    let report = stopped_tick(&stage).await?;
    told(
        &stage,
        &report,
        "storage_unreachable",
        "destination",
        "check storage_url, and that it is up",
    )
    .await?;
    stage.storage.restart().await?;
    finish(&stage, 2).await?;
    assert_eq!(attempted(&stage).await?, 0);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_storage_that_fails_at_every_file_stops_the_batch_and_no_file_has_used_an_attempt()
-> Result<()> {
    let internal = r#"{"statusCode":"500","error":"Internal","message":"Internal Server Error","code":"InternalError"}"#;
    for effect in [
        Fault::on("/object/odoo-archive").method("POST").answer(
            500,
            &[("content-type", "application/json")],
            internal,
        ),
        Fault::on("/object/odoo-archive").method("POST").refuse(),
    ] {
        let stage = set(odoo_with(small(60))).start().await?;
        stage.storage.faults().add(effect);
        let report = stopped_tick(&stage).await?;
        assert!(
            errors(&report)[0].starts_with("many files in a row: "),
            "{report}"
        );
        assert_eq!(attempted(&stage).await?, 0);
        all_is_well(&stage).await?;
        stage.storage.faults().clear();
        finish(&stage, 2).await?;
        assert_eq!(in_state(&stage, "moved").await?, 60);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_gateway_before_the_storage_refuses_is_told_like_the_storages_own_refusals()
-> Result<()> {
    let gateway = storage::Options {
        requires_apikey: true,
        ..storage::Options::default()
    };
    let stage = set(odoo_with(small(20))).storage(gateway).start().await?;
    tick_with(&stage, r#"{"mode":"discover"}"#).await?;
    let (_host, caller) = stage
        .replica(&[("storage_key", "wrong-storage-key")])
        .await?;
    let answer = caller.post(PATH, SERVICE_KEY, "{}").await?;
    let words = "check storage_key";
    told(
        &stage,
        &answer.json(),
        "storage_login",
        "configuration",
        words,
    )
    .await?;
    assert_eq!(tick_with(&stage, "{}").await?["migrated"], 20);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_buckets_name_may_hold_what_an_address_may_not() -> Result<()> {
    let name = "Odoo Archive (1)?";
    let files = small(20)
        .with(2, EdgeCase::Size(900_000))
        .with(3, EdgeCase::Size(8_000_000));
    let stage = set(odoo_with(files))
        .storage(storage::Options {
            buckets: vec![Bucket::private(name)],
            ..storage::Options::default()
        })
        .variable("storage_bucket", name)
        .start()
        .await?;
    assert_eq!(tick_with(&stage, "{}").await?["migrated"], 20);
    assert!(
        stage
            .storage
            .objects()
            .iter()
            .all(|object| object.bucket == name)
    );
    let verified = tick_with(&stage, r#"{"mode":"verify"}"#).await?;
    assert_eq!(verified["verified"]["signs"], json!({"=": 20}));
    all_is_well(&stage).await
}

#[tokio::test]
async fn bad_files_that_nothing_else_is_left_beside_stop_no_batch_and_die_one_by_one() -> Result<()>
{
    let stage = set(odoo_with(small(40))).start().await?;
    for id in 1..=12 {
        stage.odoo.faults().add(Fault::on_id(id).html_500());
    }
    let bad = "select count(*) from public.odoo_attachments where id <= 12 and state";
    let mut batches = 0;
    while stage.count(&format!("{bad} = 'dead'")).await? < 12 {
        waits_pass(&stage).await?;
        stage.post(PATH, "{}").await?;
        batches += 1;
        assert!(batches <= 12, "they are tried for ever");
    }
    assert_eq!(in_state(&stage, "moved").await?, 28);
    all_is_well(&stage).await
}

#[tokio::test]
async fn an_odoo_that_gives_no_content_costs_no_attempt_however_much_was_moved_before() -> Result<()>
{
    let stage = set(odoo_with(small(20))).start().await?;
    tick(&stage).await?;
    for _ in 0..15 {
        stage.odoo.attachments().insert(NewAttachment::default());
    }
    stage
        .odoo
        .faults()
        .add(Fault::on_call("ir.attachment", "read").html_500());
    for _ in 0..4 {
        waits_pass(&stage).await?;
        let report = stopped_tick(&stage).await?;
        let line = errors(&report).first().cloned().unwrap_or_default();
        assert!(line.starts_with("many files in a row: "), "{report}");
    }
    assert_eq!(attempted(&stage).await?, 0);
    stage.odoo.faults().clear();
    finish(&stage, 2).await?;
    assert_eq!(in_state(&stage, "moved").await?, 35);
    all_is_well(&stage).await
}
