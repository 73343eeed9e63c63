//! What fails by its own fault: attempts, waits, words, and another life.

use anyhow::Result;
use serde_json::json;
use world::odoo::EdgeCase;
use world::storage::{self, Bucket};

use crate::scene::{
    all_is_well, errors, finish, in_state, log_rows, odoo_with, row, set, small, tick, waits_pass,
};

#[tokio::test]
async fn eight_failures_make_a_file_dead_and_a_person_can_revive_it() -> Result<()> {
    let stage = set(odoo_with(small(10).with(5, EdgeCase::LostFile)))
        .start()
        .await?;
    let mut last_wait = 0.0;
    for attempt in 1..=8 {
        waits_pass(&stage).await?;
        let report = tick(&stage).await?;
        assert_eq!(report["failed"], 1, "{report}");
        assert_eq!(errors(&report), ["File 5: Attachment not found or empty"]);
        let row = row(&stage, 5).await?;
        assert_eq!(row["attempts"], json!(attempt));
        if attempt < 8 {
            assert_eq!(row["state"], "pending");
            let wait = stage
                .value("select to_jsonb(extract(epoch from next_attempt_at - failed_at)) from public.odoo_attachments where id = 5")
                .await?
                .as_f64()
                .unwrap();
            assert!(
                (14.9..=21_600.1).contains(&wait) && wait >= last_wait,
                "{wait} after {last_wait}"
            );
            last_wait = wait;
            // Until then it is left alone, and a tick with nothing to do logs nothing.
            let rows = log_rows(&stage).await?.len();
            tick(&stage).await?;
            assert_eq!(log_rows(&stage).await?.len(), rows);
        }
    }
    assert_eq!(
        (
            in_state(&stage, "dead").await?,
            in_state(&stage, "pending").await?
        ),
        (1, 0)
    );
    assert_eq!(
        row(&stage, 5).await?["message"],
        "Attachment not found or empty"
    );
    all_is_well(&stage).await?;
    stage.odoo.attachments().damage(5, None);
    assert_eq!(stage.count("select odoo_sync.retry()").await?, 1);
    assert_eq!(tick(&stage).await?["migrated"], 1);
    assert_eq!(in_state(&stage, "moved").await?, 10);
    all_is_well(&stage).await
}

#[tokio::test]
async fn what_the_bucket_refuses_is_dead_at_once_and_says_what_to_allow() -> Result<()> {
    let stage = set(odoo_with(
        small(20)
            .with(5, EdgeCase::Size(300_000))
            .with(6, EdgeCase::Size(7_000_000)),
    ))
    .storage(storage::Options {
        buckets: vec![Bucket {
            file_size_limit: Some(200_000),
            ..Bucket::private("odoo-archive")
        }],
        ..storage::Options::default()
    })
    .start()
    .await?;
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["migrated"], &report["failed"]),
        (&json!(18), &json!(2)),
        "{report}"
    );
    for id in [5, 6] {
        let row = row(&stage, id).await?;
        assert_eq!(
            (&row["state"], &row["reason"], &row["blame"]),
            (&json!("dead"), &json!("too_large"), &json!("configuration"))
        );
        assert!(
            errors(&report).iter().any(
                |line| line.starts_with(&format!("Upload {id}: larger than the bucket allows"))
            ),
            "{report}"
        );
    }
    stage.storage.set_bucket(Bucket::private("odoo-archive"));
    stage
        .owner
        .batch_execute("select odoo_sync.retry()")
        .await?;
    finish(&stage, 2).await?;
    assert_eq!(in_state(&stage, "moved").await?, 20);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_refused_type_is_named_and_the_other_types_go_on() -> Result<()> {
    let stage = set(odoo_with(small(40))).start().await?;
    stage.storage.set_bucket(Bucket {
        allowed_mime_types: Some(vec!["application/pdf".to_owned(), "image/*".to_owned()]),
        ..Bucket::private("odoo-archive")
    });
    let report = tick(&stage).await?;
    let dead = in_state(&stage, "dead").await?;
    assert!(
        dead > 0 && in_state(&stage, "moved").await? == 40 - dead,
        "{report}"
    );
    assert!(
        errors(&report)[0].contains("is not supported: allow it in the bucket"),
        "{report}"
    );
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_damaged_object_of_the_same_name_is_replaced() -> Result<()> {
    let stage = set(odoo_with(small(5))).start().await?;
    let checksum = stage.odoo.attachments().get(3).unwrap().checksum.unwrap();
    stage.storage.put(
        "odoo-archive",
        &crate::scene::path_of(&checksum),
        "text/plain",
        "half a file",
    )?;
    assert_eq!(tick(&stage).await?["migrated"], 5);
    all_is_well(&stage).await
}
