//! What is gone from Odoo, what came back to it, and what the comparison of both lists costs.

use anyhow::Result;
use serde_json::json;
use stage::{Answer, Caller, Stage};
use world::faults::Fault;
use world::odoo::{Attachments, EdgeCase, NewAttachment, Options};

use crate::scene::{
    PATH, all_is_well, errors, in_state, odoo_with, report, set, small, tick, tick_with, until,
    waits_pass,
};

const DISCOVER: &str = r#"{"mode": "discover"}"#;

/// Lets a day pass for the sweep.
async fn a_day_later(stage: &Stage) -> Result<()> {
    stage
        .owner
        .execute(
            "update odoo_sync.cursors set position = position || jsonb_build_object('ended', 1) where name = 'archive-batch:sweep'",
            &[],
        )
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_is_gone_from_odoo_is_marked_and_its_object_kept() -> Result<()> {
    let stage = set(odoo_with(Attachments::of(80))).start().await?;
    tick(&stage).await?;
    let objects = stage.storage.objects().len();
    stage.odoo.attachments().delete([11, 12]);
    a_day_later(&stage).await?;
    let report = tick(&stage).await?;
    assert_eq!(report["deleted"], 2, "{report}");
    assert_eq!(
        stage.count("select count(*) from public.odoo_attachments where deleted_at is not null and id in (11, 12) and state = 'moved'").await?,
        2
    );
    assert_eq!(stage.storage.objects().len(), objects);
    // Once a day is enough.
    assert_eq!(tick(&stage).await?["deleted"], 0);
    Ok(())
}

#[tokio::test]
async fn every_version_of_odoo_is_swept() -> Result<()> {
    for version in 14..=19 {
        let odoo = Options {
            version,
            ..odoo_with(small(30))
        };
        let stage = set(odoo).start().await?;
        tick(&stage).await?;
        stage.odoo.attachments().delete([11]);
        a_day_later(&stage).await?;
        let report = tick(&stage).await?;
        assert_eq!(report["deleted"], 1, "{version}: {report}");
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_sweep_that_would_mark_too_much_marks_nothing_and_says_so() -> Result<()> {
    let stage = set(odoo_with(Attachments::of(80))).start().await?;
    tick(&stage).await?;
    stage.odoo.attachments().delete(1..=11);
    a_day_later(&stage).await?;
    let report = tick(&stage).await?;
    assert_eq!(report["deleted"], 0);
    let words = report["errors"].to_string();
    assert!(words.contains("11 of 80"), "{words}");
    assert!(words.contains("nothing was marked as deleted"), "{words}");
    assert_eq!(
        stage.count("select count(*) from public.odoo_attachments where deleted_at is not null or missing_since is not null").await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn a_narrowed_selection_is_no_deletion() -> Result<()> {
    let stage = set(odoo_with(Attachments::of(80))).start().await?;
    tick(&stage).await?;
    a_day_later(&stage).await?;
    let (_host, caller) = stage
        .replica(&[("archive_domain", r#"[["id", ">", 40]]"#)])
        .await?;
    let answer = caller.post(PATH, stage::SERVICE_KEY, "{}").await?;
    assert_eq!(answer.json()["deleted"], 0, "{}", answer.text());
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_attachments where deleted_at is not null")
            .await?,
        0
    );
    Ok(())
}

/// How many attachments are marked as gone, for good or by a sweep under way.
async fn gone(stage: &Stage) -> Result<i64> {
    stage
        .count("select count(*) from public.odoo_attachments where deleted_at is not null or missing_since is not null")
        .await
}

#[tokio::test]
async fn what_the_odoo_user_may_see_again_comes_back_to_life() -> Result<()> {
    let stage = set(odoo_with(small(80))).start().await?;
    // One of the two that are hidden still waits to be moved.
    let broken = stage.odoo.faults().add(Fault::on_id(5).html_500());
    tick(&stage).await?;
    stage.odoo.faults().remove(broken);
    stage.odoo.attachments().hide(5, true);
    stage.odoo.attachments().hide(6, true);
    a_day_later(&stage).await?;
    // Hidden is not deleted.
    assert_eq!(tick(&stage).await?["deleted"], 0);
    assert_eq!(gone(&stage).await?, 0);
    let hidden = "select count(*) from odoo_sync.unreadable where hidden";
    assert_eq!(stage.count(hidden).await?, 2);
    stage.odoo.attachments().hide(5, false);
    stage.odoo.attachments().hide(6, false);
    a_day_later(&stage).await?;
    waits_pass(&stage).await?;
    let report = tick(&stage).await?;
    assert_eq!(report["migrated"], 1, "{report}");
    assert_eq!(in_state(&stage, "moved").await?, 80);
    assert_eq!(gone(&stage).await?, 0);
    assert_eq!(stage.count(hidden).await?, 0);
    all_is_well(&stage).await
}

#[tokio::test]
async fn what_the_odoo_user_may_see_only_later_is_found() -> Result<()> {
    let stage = set(odoo_with(small(80))).start().await?;
    for id in 1..=40 {
        stage.odoo.attachments().hide(id, true);
    }
    assert_eq!(tick(&stage).await?["migrated"], 40);
    for id in 1..=40 {
        stage.odoo.attachments().hide(id, false);
    }
    a_day_later(&stage).await?;
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["discovered"], &report["migrated"]),
        (&json!(40), &json!(40)),
        "{report}"
    );
    all_is_well(&stage).await
}

#[tokio::test]
async fn what_is_selected_later_is_found_at_once() -> Result<()> {
    // More of them than one call reads.
    let stage = set(odoo_with(small(2_600)))
        .variable("archive_domain", r#"[["id", ">", 2500]]"#)
        .start()
        .await?;
    let (_host, wider) = stage.replica(&[("archive_domain", "[]")]).await?;
    assert_eq!(tick_with(&stage, DISCOVER).await?["discovered"], 100);
    let report = report(
        &stage,
        &wider.post(PATH, stage::SERVICE_KEY, DISCOVER).await?,
    )?;
    assert_eq!(report["discovered"], 2_500, "{report}");
    Ok(())
}

#[tokio::test]
async fn a_sweep_reads_nothing_that_the_catalogue_has() -> Result<()> {
    let attachments = small(40)
        .with(5, EdgeCase::EmptyFile)
        .with(6, EdgeCase::Url);
    let stage = set(odoo_with(attachments)).start().await?;
    tick(&stage).await?;
    let reads = Fault::on_call("ir.attachment", "search_read").delay_ms(1);
    let reads = stage.odoo.faults().add(reads);
    tick(&stage).await?;
    let without = stage.odoo.faults().struck(reads);
    a_day_later(&stage).await?;
    tick(&stage).await?;
    // The list itself, and nothing of what it lists.
    assert_eq!(stage.odoo.faults().struck(reads), 2 * without + 1);
    Ok(())
}

#[tokio::test]
async fn a_sweep_goes_on_where_it_was_cut_however_little_is_listed() -> Result<()> {
    let stage = set(odoo_with(small(12_000)))
        .variable("archive_batch_seconds", 5)
        .start()
        .await?;
    tick_with(&stage, DISCOVER).await?;
    a_day_later(&stage).await?;
    // The list has ten ids, the catalogue thousands that may be gone.
    let (_host, narrower) = stage
        .replica(&[("archive_domain", r#"[["id", ">", 11990]]"#)])
        .await?;
    let asking = stage
        .odoo
        .faults()
        .add(Fault::on_call("ir.attachment", "search").nth(2).hold());
    let cut = begin_discovery(&narrower);
    until("it asks a second time what exists", async || {
        Ok(stage.odoo.faults().struck(asking) == 1)
    })
    .await?;
    let kept = "select position from odoo_sync.cursors where name = 'archive-batch:sweep'";
    let position = stage.value(kept).await?;
    assert_eq!(position["compared_to"], 5_000, "{position}");
    let cut = report(&stage, &cut.await??)?;
    assert_eq!(cut["deleted"], 0);
    stage.odoo.faults().remove(asking);
    let asking = stage
        .odoo
        .faults()
        .add(Fault::on_call("ir.attachment", "search").delay_ms(1));
    let ended = narrower.post(PATH, stage::SERVICE_KEY, DISCOVER).await?;
    assert_eq!(report(&stage, &ended)?["deleted"], 0);
    let position = stage.value(kept).await?;
    assert_eq!(position["compared_to"], 0, "{position}");
    assert_eq!(stage.odoo.faults().struck(asking), 2);
    assert_eq!(gone(&stage).await?, 0);
    Ok(())
}

#[tokio::test]
async fn more_deletions_than_one_statement_takes_are_all_marked() -> Result<()> {
    let stage = set(odoo_with(small(5_600)))
        .variable("archive_max_deleted_share", 1.0)
        .start()
        .await?;
    tick_with(&stage, DISCOVER).await?;
    stage.odoo.attachments().delete(1..=5_500);
    a_day_later(&stage).await?;
    let report = tick_with(&stage, DISCOVER).await?;
    assert_eq!(report["deleted"], 5_500, "{report}");
    assert_eq!(report["remaining"], 100);
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_attachments where deleted_at is not null and missing_since is null")
            .await?,
        5_500
    );
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_sweep_that_postgres_refuses_stops_no_file() -> Result<()> {
    let stage = set(odoo_with(small(80))).start().await?;
    tick(&stage).await?;
    stage
        .owner
        .batch_execute(
            "create function public.refuse() returns trigger language plpgsql as
               $$ begin raise query_canceled using message = 'canceling statement due to statement timeout'; end $$;
             create trigger refuse before update of missing_since on public.odoo_attachments
               for each row when (new.missing_since is distinct from old.missing_since) execute function public.refuse()",
        )
        .await?;
    stage.odoo.attachments().delete([11]);
    stage.odoo.attachments().insert(NewAttachment::default());
    a_day_later(&stage).await?;
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["status"], &report["migrated"]),
        (&json!("success"), &json!(1)),
        "{report}"
    );
    assert_eq!(
        errors(&report),
        [
            "Sweep: Postgres refused a statement (57014): canceling statement due to statement timeout; the next batch goes on with it"
        ]
    );
    stage
        .owner
        .batch_execute("drop trigger refuse on public.odoo_attachments")
        .await?;
    assert_eq!(tick(&stage).await?["deleted"], 1);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_sweep_of_two_batches_is_one_sweep() -> Result<()> {
    let stage = set(odoo_with(small(6_000)))
        .variable("archive_parallel_runs", 2)
        .start()
        .await?;
    tick_with(&stage, DISCOVER).await?;
    // More than five of a hundred in all, but not behind the first page.
    stage
        .odoo
        .attachments()
        .delete((1..=240).chain(5_761..=6_000));
    a_day_later(&stage).await?;
    // The one has compared a page, and waits for the next.
    let asking = Fault::on_call("ir.attachment", "search");
    let held = stage.odoo.faults().add(asking.nth(2).hold());
    let slow = begin_discovery(stage.caller());
    until("it asks what exists of the next page", async || {
        Ok(stage.odoo.faults().struck(held) == 1)
    })
    .await?;
    // The other ends the sweep meanwhile.
    let (_host, other) = stage.replica(&[]).await?;
    let ended = report(&stage, &begin_discovery(&other).await??)?;
    let words = errors(&ended).join("\n");
    assert!(words.contains("480 of 6000"), "{words}");
    stage.odoo.faults().remove(held);
    let slow = report(&stage, &slow.await??)?;
    assert_eq!((&slow["deleted"], &slow["errors"]), (&json!(0), &json!([])));
    assert_eq!(gone(&stage).await?, 0);
    Ok(())
}

/// A reading under way that moves nothing.
fn begin_discovery(caller: &Caller) -> tokio::task::JoinHandle<Result<Answer>> {
    let caller = caller.clone();
    tokio::spawn(async move { caller.post(PATH, stage::SERVICE_KEY, DISCOVER).await })
}
