//! What can be asked for in the body: dry run, verify, retry, named files.

use anyhow::Result;
use serde_json::{Value, json};
use stage::Stage;
use world::faults::Fault;
use world::odoo::{self, Attachments, EdgeCase};
use world::storage::{self, KeepBytes};

use crate::scene::{odoo_with, odoo_without_password, reading_rest_passes, set, small};

fn odoo(attachments: Attachments) -> odoo::Options {
    odoo::Options {
        attachments,
        ..odoo::Options::default()
    }
}

async fn ask(stage: &Stage, body: Value) -> Result<Value> {
    let answer = stage.post("/archive-batch", &body.to_string()).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(answer.json())
}

#[tokio::test]
async fn a_dry_run_counts_and_writes_nothing() -> Result<()> {
    let attachments = Attachments::of(60)
        .with(5, EdgeCase::EmptyFile)
        .with(6, EdgeCase::Url);
    let stage = Stage::builder().odoo(odoo(attachments)).start().await?;
    let report = ask(&stage, json!({"mode": "dry_run"})).await?;
    let census = &report["census"];
    assert_eq!(census["to_move"]["files"], 58);
    assert_eq!(census["skipped"]["empty"]["files"], 1);
    assert_eq!(census["skipped"]["url"]["files"], 1);
    assert_eq!(census["complete"], true);
    let by_model: u64 = census["by_model"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, tally)| tally["files"].as_u64())
        .sum();
    assert_eq!(by_model, 58);
    assert_eq!(stage.storage.objects().len(), 0);
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_attachments")
            .await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn verification_gives_each_file_its_sign() -> Result<()> {
    let kept = tempfile::tempdir()?;
    let stage = Stage::builder()
        .odoo(odoo(small(40)))
        .storage(storage::Options {
            keep_bytes: KeepBytes::Dir(kept.path().to_owned()),
            ..storage::Options::default()
        })
        .start()
        .await?;
    ask(&stage, json!({})).await?;
    let clean = ask(&stage, json!({"mode": "verify", "read_data": "1/1"})).await?;
    assert_eq!(clean["verified"]["complete"], true);
    assert_eq!(clean["verified"]["signs"], json!({"=": 40}));
    assert_eq!(clean["verified"]["read"], 40);

    let path = |id: i64| {
        let sha1 = stage
            .odoo
            .attachments()
            .get(id)
            .and_then(|found| found.checksum)
            .unwrap_or_default();
        format!("{}/{sha1}", &sha1[..2])
    };
    let (lost, shortened, rewritten) = (path(3), path(4), path(5));
    assert!(stage.storage.remove("odoo-archive", &lost));
    stage.storage.put(
        "odoo-archive",
        &shortened,
        "application/pdf",
        b"short".to_vec(),
    )?;
    let size = stage
        .storage
        .bytes("odoo-archive", &rewritten)
        .map_or(0, |bytes| bytes.len());
    stage
        .storage
        .put("odoo-archive", &rewritten, "application/pdf", vec![7; size])?;
    stage.odoo.attachments().delete([6]);
    stage.odoo.attachments().hide(7, true);

    let found = ask(&stage, json!({"mode": "verify"})).await?;
    assert_eq!(
        found["verified"]["signs"],
        json!({"=": 35, "+": 1, "*": 2, "-": 1, "~": 1})
    );
    let examples = found["verified"]["examples"].to_string();
    for example in [
        format!("+ 3 {lost}"),
        format!("* 4 {shortened}"),
        format!("* 5 {rewritten}"),
    ] {
        assert!(examples.contains(&example), "{example} in {examples}");
    }
    assert!(examples.contains("- 7 "), "{examples}");
    let row = stage
        .value(
            "select to_jsonb(v) from public.sync_validation_log v order by created_at desc limit 1",
        )
        .await?;
    assert_eq!(row["entity"], "attachments");
    assert_eq!(row["verdict"], "differs");
    assert_eq!(
        (&row["missing"], &row["extra"], &row["stale"]),
        (&json!(1), &json!(1), &json!(2))
    );
    Ok(())
}

#[tokio::test]
async fn a_verification_that_a_fault_stops_goes_on_where_it_was() -> Result<()> {
    // Three pages of a thousand.
    let stage = Stage::builder().odoo(odoo(small(2_500))).start().await?;
    crate::scene::finish(&stage, 5).await?;
    let listed = || stage.storage.counters().of("POST /object/list").calls;
    let before = listed();
    let lists = Fault::on("/object/list");
    let fault = stage.storage.faults().add(lists.nth(200).status(500));
    let verify = json!({"mode": "verify"}).to_string();
    let answer = stage.post("/archive-batch", &verify).await?;
    assert_eq!(answer.json()["status"], "error", "{}", answer.text());
    stage.storage.faults().remove(fault);
    let verified = ask(&stage, json!({"mode": "verify"})).await?;
    assert_eq!(verified["verified"]["signs"], json!({"=": 2_500}));
    let again = listed() - before - 256;
    assert!(
        (1..150).contains(&again),
        "{again} folders were listed twice"
    );
    Ok(())
}

#[tokio::test]
async fn what_reads_longer_than_a_batch_is_read_over_several() -> Result<()> {
    const FILES: u64 = 70;
    let stage = Stage::builder()
        .odoo(odoo(small(FILES)))
        .variable("archive_batch_seconds", 1)
        .start()
        .await?;
    crate::scene::finish(&stage, 5).await?;
    let slow = Fault::on("/object/odoo-archive/").method("GET");
    stage.storage.faults().add(slow.delay_ms(600));
    let mut ticks = 0;
    loop {
        let verified = ask(&stage, json!({"mode": "verify", "read_data": "1/1"})).await?;
        ticks += 1;
        if verified["verified"]["complete"] == true {
            assert_eq!(verified["verified"]["signs"], json!({"=": FILES}));
            assert_eq!(verified["verified"]["read"], FILES);
            break;
        }
        assert!(ticks < 60, "{verified}");
    }
    assert!(ticks >= 3, "no batch reads on when its time is up");
    Ok(())
}

#[tokio::test]
async fn content_that_was_replaced_in_odoo_is_verified_as_what_it_is_now() -> Result<()> {
    let stage = set(odoo_with(small(5))).start().await?;
    ask(&stage, json!({})).await?;
    let first = ask(&stage, json!({"mode": "verify"})).await?;
    assert_eq!(first["verified"]["signs"], json!({"=": 5}));
    stage.odoo.attachments().change_content(2);
    reading_rest_passes(&stage).await?;
    assert_eq!(ask(&stage, json!({})).await?["migrated"], 1);
    let second = ask(&stage, json!({"mode": "verify"})).await?;
    assert_eq!(second["verified"]["signs"], json!({"=": 5}), "{second}");
    Ok(())
}

#[tokio::test]
async fn named_files_are_moved_whether_known_or_not() -> Result<()> {
    let stage = Stage::builder()
        .odoo(odoo(Attachments::of(50)))
        .start()
        .await?;
    let report = ask(&stage, json!({"ids": [7, 9, 4711]})).await?;
    assert_eq!(report["migrated"], 2, "{report}");
    assert_eq!(
        stage.count("select count(*) from public.odoo_attachments where state = 'moved' and id in (7, 9)").await?,
        2
    );
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_attachments")
            .await?,
        2
    );
    let report = ask(&stage, json!({})).await?;
    assert_eq!(report["migrated"], 48);
    Ok(())
}

#[tokio::test]
async fn however_many_files_are_named_each_is_tried_once() -> Result<()> {
    let lost = (1..=450).fold(small(500), |all, id| all.with(id, EdgeCase::LostFile));
    let stage = set(odoo_with(lost))
        .variable("archive_batch_seconds", 20)
        .start()
        .await?;
    let ids: Vec<i64> = (1..=500).collect();
    let report = ask(&stage, json!({ "ids": ids })).await?;
    assert_eq!(
        (&report["migrated"], &report["failed"]),
        (&json!(50), &json!(450)),
        "{report}"
    );
    let once =
        "select count(*) from public.odoo_attachments where state = 'pending' and attempts = 1";
    assert_eq!(stage.count(once).await?, 450);
    Ok(())
}

#[tokio::test]
async fn what_failed_can_be_retried_at_once() -> Result<()> {
    let stage = Stage::builder()
        .odoo(odoo(Attachments::of(20)))
        .start()
        .await?;
    stage
        .odoo
        .attachments()
        .damage(8, Some(world::odoo::Damage::Lost));
    let report = ask(&stage, json!({})).await?;
    assert_eq!(
        (&report["migrated"], &report["failed"]),
        (&json!(19), &json!(1))
    );
    assert_eq!(
        report["errors"],
        json!(["File 8: Attachment not found or empty"])
    );
    // Not before its time, though the file is back.
    stage.odoo.attachments().damage(8, None);
    assert_eq!(ask(&stage, json!({})).await?["migrated"], 0);
    let report = ask(&stage, json!({"mode": "retry_failed"})).await?;
    assert_eq!(report["migrated"], 1, "{report}");
    assert_eq!(report["remaining"], 0);
    Ok(())
}

#[tokio::test]
async fn what_waited_for_a_password_is_moved_once_there_is_one() -> Result<()> {
    let options = odoo_without_password(small(3).with(2, EdgeCase::Size(7_000_000)));
    let stage = set(options)
        .variable("archive_max_rpc_bytes", 1_000_000)
        .start()
        .await?;
    let report = ask(&stage, json!({})).await?;
    assert_eq!(
        (&report["migrated"], &report["skipped"]),
        (&json!(2), &json!(1)),
        "{report}"
    );
    let waiting = "select count(*) from public.odoo_attachments where state = 'skipped' and reason = 'needs_password'";
    assert_eq!(stage.count(waiting).await?, 1);
    // Whatever lets it through does: here a higher limit.
    let (_host, caller) = stage
        .replica(&[("archive_max_rpc_bytes", "67108864")])
        .await?;
    let answer = caller
        .post(
            "/archive-batch",
            stage::SERVICE_KEY,
            r#"{"mode": "retry_failed"}"#,
        )
        .await?;
    assert_eq!(answer.json()["migrated"], 1, "{}", answer.text());
    assert_eq!(stage.count(waiting).await?, 0);
    Ok(())
}
