//! What a verification says may be relied on when Odoo is switched off: it begins with what Odoo has.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stage::Stage;
use world::faults::Fault;
use world::odoo::{Attachments, EdgeCase, NewAttachment, Sizes};
use world::storage::{self, Bucket};

use crate::scene::{
    PATH, all_is_well_but_for_the_log, finish, in_state, odoo_with, odoo_without_password, path_of,
    row, set, small, tick, tick_with, without_bytes,
};

/// Verifies until all is compared.
async fn verify(stage: &Stage, body: Value) -> Result<Value> {
    let mut body = body;
    for _ in 0..20 {
        let report = tick_with(stage, &body.to_string()).await?;
        let verified = report
            .get("verified")
            .cloned()
            .context("nothing was verified")?;
        if verified.get("complete") == Some(&json!(true)) {
            return Ok(verified);
        }
        body.as_object_mut().map(|body| body.remove("restart"));
    }
    anyhow::bail!("no end of it")
}

fn plainly() -> Value {
    json!({"mode": "verify"})
}

async fn last_verdict(stage: &Stage) -> Result<Value> {
    stage
        .value("select to_jsonb(v) from public.sync_validation_log v where entity = 'attachments' order by created_at desc limit 1")
        .await
}

fn examples(verified: &Value) -> Vec<String> {
    let lines = verified["examples"].as_array().into_iter().flatten();
    lines.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn path(stage: &Stage, id: i64) -> Result<String> {
    let attachment = stage.odoo.attachments().get(id).context("not in Odoo")?;
    Ok(path_of(&attachment.checksum.context("no checksum")?))
}

#[tokio::test]
async fn what_is_not_moved_counts_and_is_named_until_it_is_mended() -> Result<()> {
    // Of 210 files five are lost in Odoo's filestore, one is larger than the bucket takes, and three have no content.
    let lost = [3, 50, 51, 120, 200];
    let files = lost
        .iter()
        .fold(small(210), |files, id| files.with(*id, EdgeCase::LostFile))
        .with(77, EdgeCase::Size(2_000_000))
        .with(5, EdgeCase::Url)
        .with(6, EdgeCase::EmptyFile)
        .with(7, EdgeCase::CloudStorage);
    let bucket = Bucket {
        file_size_limit: Some(1_000_000),
        ..Bucket::private("odoo-archive")
    };
    let stage = set(odoo_with(files))
        .storage(storage::Options {
            buckets: vec![bucket],
            ..storage::Options::default()
        })
        .start()
        .await?;
    tick(&stage).await?;
    assert_eq!(
        (
            in_state(&stage, "pending").await?,
            in_state(&stage, "dead").await?
        ),
        (5, 1)
    );

    let found = verify(&stage, plainly()).await?;
    assert_eq!(found["signs"], json!({"=": 201, "+": 6}), "{found}");
    assert_eq!(found["listed"], 210);
    assert_eq!(found["not_moved"], json!({"pending": 5, "dead": 1}));
    assert_eq!(
        found["without_content"],
        json!({"url": 1, "empty": 1, "cloud_storage": 1})
    );
    let named = examples(&found);
    assert_eq!(named.len(), 6, "{named:?}");
    for id in lost {
        let line = format!("+ {id} pending: source_empty: ");
        assert!(
            named.iter().any(|named| named.starts_with(&line)),
            "{line} in {named:?}"
        );
    }
    assert!(
        named
            .iter()
            .any(|named| named.starts_with("+ 77 dead: too_large: ")),
        "{named:?}"
    );
    let verdict = last_verdict(&stage).await?;
    assert_eq!(
        (
            &verdict["verdict"],
            &verdict["source_count"],
            &verdict["destination_count"],
            &verdict["missing"]
        ),
        (&json!("differs"), &json!(210), &json!(201), &json!(6))
    );

    for id in lost {
        stage.odoo.attachments().damage(id, None);
    }
    stage.storage.set_bucket(Bucket::private("odoo-archive"));
    tick_with(&stage, r#"{"mode": "retry_failed"}"#).await?;
    let found = verify(&stage, plainly()).await?;
    assert_eq!(found["signs"], json!({"=": 207}), "{found}");
    assert_eq!(last_verdict(&stage).await?["verdict"], "same");
    Ok(())
}

#[tokio::test]
async fn what_waits_for_a_setting_or_was_never_catalogued_is_no_same() -> Result<()> {
    let files = small(12)
        .with(3, EdgeCase::Size(7_000_000))
        .with(4, EdgeCase::Size(20_000_000));
    let stage = set(odoo_without_password(files))
        .variable("archive_max_rpc_bytes", 1_000_000)
        .variable("archive_max_file_bytes", 10_000_000)
        .start()
        .await?;
    tick(&stage).await?;
    let new = stage.odoo.attachments().insert(NewAttachment {
        content: Some(b"came after the last tick".to_vec().into()),
        ..NewAttachment::default()
    });
    let found = verify(&stage, plainly()).await?;
    assert_eq!(
        found["not_moved"],
        json!({"needs_password": 1, "over_size_limit": 1, "not_catalogued": 1})
    );
    assert_eq!(
        examples(&found),
        [
            "+ 3 needs_password".to_owned(),
            "+ 4 over_size_limit".to_owned(),
            format!("+ {new} not_catalogued")
        ]
    );
    assert_eq!(last_verdict(&stage).await?["verdict"], "differs");
    Ok(())
}

#[tokio::test]
async fn what_waits_for_a_setting_counts_and_is_taken_up_when_that_changes() -> Result<()> {
    let files = small(12)
        .with(3, EdgeCase::Size(7_000_000))
        .with(4, EdgeCase::Size(20_000_000));
    let stage = set(odoo_without_password(files))
        .variable("archive_max_rpc_bytes", 1_000_000)
        .variable("archive_max_file_bytes", 10_000_000)
        .start()
        .await?;
    tick(&stage).await?;
    let waiting = "select odoo_sync.waiting()";
    assert_eq!(stage.count(waiting).await?, 2);
    let health = stage
        .value(
            "select to_jsonb(h) from odoo_sync.health() h where job = 'archive-odoo-files-batch'",
        )
        .await?;
    assert_eq!(health["detail"]["waiting"], 2, "{health}");
    let status = stage.get("/status").await?.json();
    assert_eq!(
        (&status["archive"]["waiting"], &status["archive"]["phase"]),
        (&json!(2), &json!("waiting"))
    );

    // A plain tick of an app with other settings is all it takes.
    let (_host, caller) = stage
        .replica(&[
            ("archive_max_rpc_bytes", "8000000"),
            ("archive_max_file_bytes", "5368709120"),
        ])
        .await?;
    let report = caller.post(PATH, stage::SERVICE_KEY, "{}").await?.json();
    assert_eq!(report["migrated"], 1, "{report}");
    assert_eq!(row(&stage, 3).await?["state"], "moved");
    assert_eq!(row(&stage, 4).await?["reason"], "needs_password");
    let (_host, caller) = stage
        .replica(&[("archive_max_rpc_bytes", "67108864")])
        .await?;
    let report = caller.post(PATH, stage::SERVICE_KEY, "{}").await?.json();
    assert_eq!(row(&stage, 4).await?["state"], "skipped", "{report}");
    let (_host, caller) = stage
        .replica(&[
            ("archive_max_rpc_bytes", "67108864"),
            ("archive_max_file_bytes", "5368709120"),
        ])
        .await?;
    let report = caller.post(PATH, stage::SERVICE_KEY, "{}").await?.json();
    assert_eq!(report["migrated"], 1, "{report}");
    assert_eq!(stage.count(waiting).await?, 0);

    // Lower than all of them: what is moved stays moved, though its row changes in Odoo.
    let (_host, caller) = stage.replica(&[("archive_max_file_bytes", "1")]).await?;
    stage.odoo.attachments().set_record(3, "crm.lead", 4711);
    stage
        .owner
        .batch_execute(
            "update odoo_sync.cursors set position = '{}' where name = 'archive-batch:discovery'",
        )
        .await?;
    caller.post(PATH, stage::SERVICE_KEY, "{}").await?;
    assert_eq!(
        (
            &row(&stage, 3).await?["state"],
            &row(&stage, 3).await?["res_id"]
        ),
        (&json!("moved"), &json!(4711))
    );
    assert_eq!(in_state(&stage, "moved").await?, 12);
    all_is_well_but_for_the_log(&stage).await
}

#[tokio::test]
async fn what_odoo_deleted_is_kept_and_stands_in_nobodys_way() -> Result<()> {
    let stage = set(odoo_with(small(30))).start().await?;
    tick(&stage).await?;
    stage.odoo.attachments().delete([11, 12]);
    // Whether a sweep has marked them or not: Odoo is asked.
    let found = verify(&stage, plainly()).await?;
    assert_eq!(found["signs"], json!({"=": 28, "~": 2}));
    assert_eq!(last_verdict(&stage).await?["verdict"], "same");
    stage
        .owner
        .batch_execute("update odoo_sync.cursors set position = position || '{\"ended\": 1}' where name = 'archive-batch:sweep'")
        .await?;
    tick(&stage).await?;
    let found = verify(&stage, plainly()).await?;
    assert_eq!(found["signs"], json!({"=": 28, "~": 2}));
    assert_eq!(examples(&found), Vec::<String>::new());
    assert_eq!(last_verdict(&stage).await?["verdict"], "same");
    Ok(())
}

#[tokio::test]
async fn what_is_missing_or_another_is_handed_to_the_queue_where_it_is_asked_for() -> Result<()> {
    let files = small(20).with(9, EdgeCase::SameContentAs(3));
    let stage = set(odoo_with(files)).start().await?;
    tick(&stage).await?;
    assert!(stage.storage.remove("odoo-archive", &path(&stage, 3)?));
    let another = path(&stage, 4)?;
    stage.storage.put(
        "odoo-archive",
        &another,
        "application/pdf",
        b"short".to_vec(),
    )?;
    stage.odoo.attachments().change_content(5);
    let new = stage.odoo.attachments().insert(NewAttachment {
        content: Some(b"came after the last tick".to_vec().into()),
        ..NewAttachment::default()
    });
    let signs = json!({"=": 16, "+": 3, "*": 2});
    let found = verify(&stage, plainly()).await?;
    assert_eq!(
        (&found["signs"], &found["repaired"]),
        (&signs, &json!(0)),
        "{found}"
    );
    assert_eq!(in_state(&stage, "pending").await?, 0, "it only looked");

    let found = verify(&stage, json!({"mode": "verify", "repair": true})).await?;
    assert_eq!(
        (&found["signs"], &found["repaired"]),
        (&signs, &json!(5)),
        "{found}"
    );
    finish(&stage, 2).await?;
    let found = verify(&stage, plainly()).await?;
    assert_eq!(found["signs"], json!({"=": 21}), "{found}");
    assert_eq!(row(&stage, new).await?["state"], "moved");
    all_is_well_but_for_the_log(&stage).await
}

#[tokio::test]
async fn a_verification_goes_on_over_calls_and_is_begun_anew_when_it_is_old_or_asked_to()
-> Result<()> {
    // Three pages of a thousand, each of which takes longer than a call may.
    const FILES: u64 = 2_500;
    let files = Attachments {
        shared_one_in: 0,
        ..Attachments::of(FILES).sized(Sizes::Between(100, 200))
    };
    let stage = set(odoo_with(files))
        .variable("archive_batch_seconds", 1)
        .start()
        .await?;
    finish(&stage, 40).await?;
    let slow = world::faults::Fault::on("/object/list");
    let slow = stage.storage.faults().add(slow.delay_ms(150));
    let first = tick_with(&stage, &plainly().to_string()).await?["verified"].clone();
    let reached = first["next_folder"].as_u64().unwrap_or_default();
    assert!(
        first["complete"] == false && (1..256).contains(&reached),
        "{first}"
    );
    let next = async |body: Value| -> Result<u64> {
        let report = tick_with(&stage, &body.to_string()).await?;
        Ok(report["verified"]["next_folder"]
            .as_u64()
            .unwrap_or_default())
    };
    let second = next(plainly()).await?;
    assert!(second > reached, "it did not go on");
    assert!(
        next(json!({"mode": "verify", "restart": true})).await? < second,
        "it was not begun anew"
    );
    while next(plainly()).await? < second {}
    stage
        .owner
        .batch_execute("update odoo_sync.cursors set position = position || jsonb_build_object('began', now() - interval '25 hours') where name = 'archive-batch:verify'")
        .await?;
    assert!(next(plainly()).await? < second, "one of yesterday went on");
    stage.storage.faults().remove(slow);
    assert_eq!(
        verify(&stage, plainly()).await?["signs"],
        json!({"=": FILES})
    );
    Ok(())
}

#[tokio::test]
async fn however_short_a_call_is_it_verifies_a_page() -> Result<()> {
    let stage = set(odoo_with(small(6)))
        .variable("archive_batch_seconds", 1)
        .start()
        .await?;
    finish(&stage, 10).await?;
    // Getting to know Storage takes longer than the whole call may.
    stage
        .storage
        .faults()
        .add(world::faults::Fault::on("/bucket/").delay_ms(1_100));
    let report = tick_with(&stage, &plainly().to_string()).await?;
    let verified = &report["verified"];
    assert_eq!(
        (&verified["next_folder"], &verified["signs"]),
        (&json!(256), &json!({"=": 6})),
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_moved_while_it_is_verified_gets_one_sign_and_the_right_one() -> Result<()> {
    let stage = set(odoo_with(small(30)))
        .variable("archive_parallel_runs", 2)
        .start()
        .await?;
    let files = stage.odoo.attachments();
    let late = 17;
    files.damage(late, Some(world::odoo::Damage::Lost));
    tick(&stage).await?;
    files.damage(late, None);
    // It is moved when its folder was compared, or is being compared.
    let held = world::faults::Fault::on("/object/list").nth(1);
    let held = stage.storage.faults().add(held.hold());
    let caller = stage.caller().clone();
    let verification = tokio::spawn(async move {
        caller
            .post(
                crate::scene::PATH,
                stage::SERVICE_KEY,
                r#"{"mode":"verify"}"#,
            )
            .await
    });
    crate::scene::until("the folders are looked at", async || {
        Ok(stage.storage.faults().struck(held) > 0)
    })
    .await?;
    assert_eq!(
        tick_with(&stage, r#"{"mode":"retry_failed"}"#).await?["migrated"],
        1
    );
    stage.storage.faults().remove(held);
    let verified = verification.await??.json()["verified"].clone();
    assert_eq!(verified["signs"], json!({"=": 30}), "{verified}");
    assert_eq!(last_verdict(&stage).await?["verdict"], "same");
    Ok(())
}

#[tokio::test]
async fn a_page_costs_the_same_however_many_files_share_a_content() -> Result<()> {
    const ROWS: i64 = 200_000;
    let mut stage = set(odoo_with(small(1))).start().await?;
    tick(&stage).await?;
    // All of them are kept, as Odoo deleted them: whatever else is asked about them is about few.
    stage
        .owner
        .batch_execute(&format!(
            "insert into public.odoo_attachments (id, name, file_size, checksum, state, object_path, moved_at, deleted_at)
             select 1000 + n, 'same', a.file_size, a.checksum, 'moved', a.object_path, a.moved_at, now()
               from public.odoo_attachments a, generate_series(1, {ROWS}) n;
             analyze public.odoo_attachments"
        ))
        .await?;
    // What sessions have read is counted for good when they end.
    let read = "select coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) + 0 from pg_stat_user_tables where relname = 'odoo_attachments'";
    stage.restart_app().await?;
    let sessions = "select count(*) from pg_stat_activity where usename = 'odoo_sync' and datname = current_database()";
    crate::scene::until("all sessions have ended", async || {
        Ok(stage.count(sessions).await? == 0)
    })
    .await?;
    let before = stage.count(read).await?;
    let verified = verify(&stage, plainly()).await?;
    assert_eq!(verified["signs"], json!({"=": 1, "~": ROWS}), "{verified}");
    stage.stop_app().await;
    crate::scene::until("all sessions have ended", async || {
        Ok(stage.count(sessions).await? == 0)
    })
    .await?;
    let read = stage.count(read).await? - before;
    assert!(
        (ROWS..4 * ROWS).contains(&read),
        "{read} rows were read for {ROWS}"
    );
    Ok(())
}

/// What `health()` says of the archive, which the card shows too where somebody has to do something.
async fn said(stage: &Stage) -> Result<Value> {
    let health =
        "select to_jsonb(h) from odoo_sync.health() h where job = 'archive-odoo-files-batch'";
    let health = &stage.value(health).await?;
    let status = &stage.get("/status").await?.json();
    let job = status["jobs"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|job| job["name"] == health["job"])
        .context("the status has no such job")?;
    assert_eq!(
        (&job["problem"], &job["remedy"], &job["needs_somebody"]),
        (
            &health["problem"],
            &health["remedy"],
            &json!(health["ok"] == false)
        )
    );
    assert_eq!(
        status["state"] == "errors",
        health["ok"] == false,
        "{status}"
    );
    Ok(health.clone())
}

/// A stage whose jobs are scheduled, and whose files are moved.
async fn scheduled_and_moved(files: u64) -> Result<(Stage, world::supabase::Supabase)> {
    let stage = set(odoo_with(small(files))).start().await?;
    let supabase = world::supabase::Supabase::attend_without_clock(&stage.database).await?;
    let schedule = "select odoo_sync.schedule($1, array['archive-odoo-files-batch'])";
    stage.owner.execute(schedule, &[&stage.url()]).await?;
    let answered =
        "insert into odoo_sync.calls (job, request_id, called_at, answered_at, status_code)
        values ('archive-odoo-files-batch', -1, clock_timestamp(), clock_timestamp(), 202)";
    stage.owner.batch_execute(answered).await?;
    finish(&stage, 2).await?;
    Ok((stage, supabase))
}

#[tokio::test]
async fn objects_without_bytes_are_a_state_until_they_are_there_again() -> Result<()> {
    let (stage, _supabase) = scheduled_and_moved(6).await?;
    let object = format!("/object/odoo-archive/{}", path(&stage, 4)?);
    let gone = without_bytes(Fault::on(&object));
    let gone = stage.storage.faults().add(gone);
    let found = verify(&stage, json!({"mode": "verify", "read_data": "1/1"})).await?;
    let signs = json!({"=": 5, "+": 1});
    assert_eq!(found["signs"], signs, "{found}");
    let health = said(&stage).await?;
    assert_eq!(health["state"], "objects_lost", "{health}");
    assert_eq!(health["detail"]["lost"], 1, "{health}");
    let problem = health["problem"].as_str().unwrap_or_default();
    assert!(
        problem.contains("of 1 moved files") && problem.contains("file 4"),
        "{health}"
    );
    let remedy = health["remedy"].as_str().unwrap_or_default();
    assert!(
        remedy.contains(r#"{"mode": "verify", "repair": true}"#),
        "{health}"
    );

    // Whoever only compares lists reads what was lost all the same.
    let found = verify(&stage, plainly()).await?;
    assert_eq!((&found["signs"], &found["read"]), (&signs, &json!(1)));
    assert_eq!(said(&stage).await?["state"], "objects_lost");

    // Somebody puts the bucket back.
    stage.storage.faults().remove(gone);
    assert_eq!(verify(&stage, plainly()).await?["signs"], json!({"=": 6}));
    let health = said(&stage).await?;
    assert_eq!(
        (&health["ok"], &health["problem"]),
        (&json!(true), &Value::Null),
        "{health}"
    );
    assert_eq!(verify(&stage, plainly()).await?["read"], 0);
    Ok(())
}

#[tokio::test]
async fn lost_objects_of_files_that_odoo_has_no_more_are_told_until_they_are_let_go() -> Result<()>
{
    let (stage, _supabase) = scheduled_and_moved(5).await?;
    stage.odoo.attachments().delete([2]);
    stage
        .owner
        .batch_execute("update odoo_sync.cursors set position = position || '{\"ended\": 1}' where name = 'archive-batch:sweep'")
        .await?;
    tick(&stage).await?;
    let (kept, sent_anew) = (row(&stage, 2).await?, path(&stage, 3)?);
    assert_ne!(kept["deleted_at"], Value::Null, "{kept}");
    let kept = kept["object_path"].as_str().context("it was moved")?;
    for object in [kept, &sent_anew] {
        assert!(stage.storage.remove("odoo-archive", object));
    }
    let found = verify(&stage, json!({"mode": "verify", "repair": true})).await?;
    assert_eq!(
        (&found["signs"], &found["repaired"]),
        (&json!({"=": 3, "+": 2}), &json!(1))
    );
    let health = said(&stage).await?;
    let detail = &health["detail"];
    assert_eq!(
        (&health["state"], &detail["lost"], &detail["resent"]),
        (&json!("objects_lost"), &json!(1), &json!(1)),
        "{health}"
    );
    finish(&stage, 2).await?;
    let health = said(&stage).await?;
    assert_eq!(health["detail"]["resent"], Value::Null, "{health}");
    let remedy = health["remedy"].as_str().unwrap_or_default();
    let let_go = remedy.split_once("let the files go: ");
    let (_, let_go) = let_go.context("no remedy")?;
    stage.owner.batch_execute(let_go).await?;
    assert_eq!(said(&stage).await?["ok"], true);
    assert_eq!(verify(&stage, plainly()).await?["signs"], json!({"=": 4}));
    all_is_well_but_for_the_log(&stage).await
}

#[tokio::test]
async fn objects_whose_bytes_did_not_come_along_with_a_restore_are_found_and_sent_again()
-> Result<()> {
    let (stage, _supabase) = scheduled_and_moved(6).await?;
    let object = format!("/object/odoo-archive/{}", path(&stage, 4)?);
    // What is stored since is there, and what Storage says of it before that is not asked for.
    let gone = without_bytes(Fault::on(&object).times(1));
    let gone = stage.storage.faults().add(gone);
    let every_byte = json!({"mode": "verify", "read_data": "1/1", "repair": true});
    let found = verify(&stage, every_byte.clone()).await?;
    assert_eq!(found["signs"], json!({"=": 5, "+": 1}), "{found}");
    assert_eq!(found["repaired"], 1, "{found}");
    // It is on its way: nobody has to do anything.
    let health = said(&stage).await?;
    let problem = health["problem"].as_str().unwrap_or_default();
    assert!(
        health["ok"] == true && problem.contains("in the queue again"),
        "{health}"
    );
    finish(&stage, 2).await?;
    assert_eq!(stage.storage.faults().struck(gone), 1);
    assert_eq!(said(&stage).await?["problem"], Value::Null);
    let mut restart = every_byte;
    restart["restart"] = json!(true);
    let found = verify(&stage, restart).await?;
    assert_eq!(found["signs"], json!({"=": 6}), "{found}");
    assert_eq!(in_state(&stage, "moved").await?, 6);
    Ok(())
}
