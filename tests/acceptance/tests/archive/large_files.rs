//! Large files: in pieces, over several ticks, in bounded memory.

use anyhow::Result;
use serde_json::{Value, json};
use stage::Stage;
use world::faults::Fault;
use world::odoo::{EdgeCase, EdgeCaseMix, NewAttachment, Sizes, User};
use world::{odoo, storage};

use crate::scene::{
    PATH, all_is_well, attempted, begin_tick, finish, in_state, odoo_with, row, set, small, tick,
    until, user,
};

const PIECE: u64 = 6 * 1024 * 1024;
const APPEND: &str = "PATCH /upload/resumable";

/// Ticks until a part of a file is in Storage: where the machine is slow, a tick of a second may end
/// before the file's turn.
async fn until_begun(stage: &Stage, id: i64) -> Result<()> {
    until("a part of it is there", async || {
        tick(stage).await?;
        let file = row(stage, id).await?;
        let offset = file.pointer("/upload/offset").and_then(Value::as_u64);
        Ok(offset.is_some_and(|offset| offset > 0))
    })
    .await
}

/// Three files, the second of which is so large, slow and cut off in mid-way.
async fn begun(bytes: u64) -> Result<Stage> {
    let stage = set(odoo_with(small(3).with(2, EdgeCase::Size(bytes))))
        .variable("archive_batch_seconds", 1)
        .start()
        .await?;
    let uploads = Fault::on("/upload/resumable").method("PATCH");
    stage.storage.faults().add(uploads.delay_ms(600));
    until_begun(&stage, 2).await?;
    Ok(stage)
}

#[tokio::test]
async fn a_large_file_is_cut_off_by_the_time_and_goes_on_in_later_ticks() -> Result<()> {
    for (password, size) in [(true, 60_000_000), (false, 60_000_000)] {
        let user = if password {
            user()
        } else {
            User {
                password: None,
                ..user()
            }
        };
        let options = odoo::Options {
            users: vec![user],
            ..odoo_with(small(3).with(2, EdgeCase::Size(size)))
        };
        let stage = set(options)
            .variable("archive_batch_seconds", 1)
            .start()
            .await?;
        stage
            .storage
            .faults()
            .add(Fault::on("/upload/resumable").method("PATCH").delay_ms(550));
        let mut ticks = 0;
        loop {
            let report = tick(&stage).await?;
            assert_eq!(
                (&report["status"], &report["failed"]),
                (&json!("success"), &json!(0)),
                "{report}"
            );
            ticks += 1;
            if report["remaining"] == 0 {
                break;
            }
            let kept = row(&stage, 2).await?;
            // Where the machine is so slow that it was not begun, nothing is kept yet.
            let offset = kept["upload"]["offset"].as_u64();
            assert!(offset.is_none_or(|offset| offset >= PIECE), "{kept}");
            assert!(ticks < 60);
        }
        assert!(ticks >= 3, "it took {ticks} ticks");
        let sent = stage.storage.counters().of(APPEND);
        assert_eq!(
            (sent.bytes_in, sent.calls),
            (size, size.div_ceil(PIECE)),
            "bytes were sent twice"
        );
        assert_eq!(attempted(&stage).await?, 0);
        assert_eq!(row(&stage, 2).await?["upload"], json!(null));
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_piece_that_breaks_off_is_gone_on_with_where_the_storage_says() -> Result<()> {
    for keeps_partial_chunks in [true, false] {
        let stage = set(odoo_with(small(3).with(2, EdgeCase::Size(40_000_000))))
            .storage(storage::Options {
                keeps_partial_chunks,
                ..storage::Options::default()
            })
            .start()
            .await?;
        let faults = stage.storage.faults();
        faults.add(
            Fault::on("/upload/resumable")
                .method("PATCH")
                .nth(3)
                .cut_upload_at(2_500_000),
        );
        faults.add(
            Fault::on("/upload/resumable")
                .method("PATCH")
                .nth(5)
                .lose_answer(),
        );
        finish(&stage, 2).await?;
        let sent = stage.storage.counters().of(APPEND).bytes_in;
        assert!(sent <= 40_000_000 + PIECE, "{sent} bytes were sent");
        assert_eq!(attempted(&stage).await?, 0);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_broken_download_is_gone_on_with_by_a_range() -> Result<()> {
    // 14 and 15 know no ranges: what is there already is read once more.
    for (version, cut_at) in [(18, [15_000_000; 2]), (15, [15_000_000, 25_000_000])] {
        let options = odoo::Options {
            version,
            ..odoo_with(small(3).with(2, EdgeCase::Size(40_000_000)))
        };
        let stage = set(options).start().await?;
        let faults = stage.odoo.faults();
        for (nth, cut_at) in (1..).zip(cut_at) {
            faults.add(Fault::on("/web/content").nth(nth).reset_at(cut_at));
        }
        finish(&stage, 2).await?;
        assert_eq!(stage.odoo.counters().of("GET /web/content").calls, 3);
        assert_eq!(stage.storage.counters().of(APPEND).bytes_in, 40_000_000);
        assert_eq!(attempted(&stage).await?, 0);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_that_the_storage_forgot_begins_anew() -> Result<()> {
    let stage = begun(40_000_000).await?;
    stage.storage.expire_uploads();
    stage.storage.faults().clear();
    finish(&stage, 3).await?;
    assert_eq!(attempted(&stage).await?, 0);
    all_is_well(&stage).await
}

#[tokio::test]
async fn an_upload_that_is_whole_and_became_no_object_begins_anew() -> Result<()> {
    for etags in [storage::Etags::Md5, storage::Etags::Multipart] {
        let stage = set(odoo_with(small(3).with(2, EdgeCase::Size(20_000_000))))
            .storage(storage::Options {
                etags,
                ..storage::Options::default()
            })
            .start()
            .await?;
        stage.storage.fail_to_finish(1);
        until("it arrives", async || {
            crate::scene::waits_pass(&stage).await?;
            tick(&stage).await?;
            Ok(in_state(&stage, "moved").await? == 3)
        })
        .await?;
        assert_eq!(stage.storage.counters().of(APPEND).bytes_in, 2 * 20_000_000);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_file_whose_content_changes_between_two_ticks_arrives_with_its_new_content() -> Result<()>
{
    let stage = begun(30_000_000).await?;
    stage.odoo.attachments().change_content(2);
    stage.storage.faults().clear();
    crate::scene::reading_rest_passes(&stage).await?;
    until("it arrives", async || {
        crate::scene::waits_pass(&stage).await?;
        stage.post(PATH, "{}").await?;
        Ok(in_state(&stage, "moved").await? == 3)
    })
    .await?;
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_gibibyte_passes_through_an_instance_of_128_mebibytes_and_takes_less_than_64()
-> Result<()> {
    let attachments = small(200).with(100, EdgeCase::Size(1 << 30));
    let stage = set(odoo_with(attachments))
        .memory_limit_mib(128)
        .start()
        .await?;
    let begun = std::time::Instant::now();
    finish(&stage, 5).await?;
    println!("1 GiB in {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(in_state(&stage, "moved").await?, 200);
    assert_eq!(stage.storage.counters().of(APPEND).bytes_in, 1 << 30);
    stage.check_peak_memory("archive-batch", 64 * 1024 * 1024)?;
    all_is_well(&stage).await
}

/// Lengths and places in it do not fit into the 32 bits that a component counts its memory in.
#[tokio::test]
#[ignore = "takes a minute: cargo test --test archive -- --ignored"]
async fn a_file_of_more_than_four_gibibytes_arrives() -> Result<()> {
    const BYTES: u64 = (4 << 30) + 1_000_003;
    let stage = set(odoo_with(small(20).with(10, EdgeCase::Size(BYTES))))
        .start()
        .await?;
    finish(&stage, 20).await?;
    assert_eq!(in_state(&stage, "moved").await?, 20);
    assert_eq!(stage.storage.counters().of(APPEND).bytes_in, BYTES);
    all_is_well(&stage).await
}

#[tokio::test]
async fn three_large_files_go_side_by_side_where_odoo_knows_ranges() -> Result<()> {
    for (password, at_once) in [(user().password, 3), (None, 1)] {
        let attachments = (2..=6).fold(small(30), |files, id| {
            files.with(id, EdgeCase::Size(30_000_000))
        });
        let user = User { password, ..user() };
        let options = odoo::Options {
            users: vec![user],
            ..odoo_with(attachments)
        };
        let stage = set(options)
            .variable("archive_batch_seconds", 300)
            .memory_limit_mib(128)
            .start()
            .await?;
        let faults = stage.storage.faults();
        let held = faults.add(Fault::on("/upload/resumable").method("PATCH").hold());
        let tick = begin_tick(&stage);
        until(
            "their first pieces are under way, and all small files stored",
            async || {
                let pieces = stage.storage.counters().of(APPEND).in_flight;
                Ok(pieces == at_once && stage.storage.objects().len() >= 25)
            },
        )
        .await?;
        faults.remove(held);
        tick.await??;
        finish(&stage, 5).await?;
        let sent = stage.storage.counters().of(APPEND);
        assert_eq!((sent.bytes_in, sent.max_in_flight), (150_000_000, at_once));
        assert_eq!(attempted(&stage).await?, 0);
        stage.check_peak_memory("archive-batch", 64 * 1024 * 1024)?;
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn files_of_every_size_together_take_less_than_64_mebibytes() -> Result<()> {
    // Nothing but what is held whole or goes in pieces, by both ways.
    for user in [
        user(),
        User {
            password: None,
            ..user()
        },
    ] {
        let attachments = odoo::Attachments {
            edge_case_mix: EdgeCaseMix {
                one_in: 7,
                edge_cases: vec![
                    EdgeCase::Size(6_291_456),
                    EdgeCase::Size(13_000_000),
                    EdgeCase::Size(20_000),
                ],
            },
            ..small(70).sized(Sizes::Between(400_000, 5_000_000))
        };
        let options = odoo::Options {
            users: vec![user],
            ..odoo_with(attachments)
        };
        let stage = set(options).memory_limit_mib(128).start().await?;
        finish(&stage, 5).await?;
        stage.check_peak_memory("archive-batch", 64 * 1024 * 1024)?;
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_object_that_is_there_already_is_not_sent_again() -> Result<()> {
    let stage = set(odoo_with(small(3).with(2, EdgeCase::Size(20_000_000))))
        .start()
        .await?;
    assert_eq!(tick(&stage).await?["migrated"], 3);
    let (sent, objects) = (
        stage.storage.counters().of(APPEND),
        stage.storage.verify_all().objects,
    );
    // As after a batch that was cut off between upload and record.
    stage.owner.batch_execute("update public.odoo_attachments set state = 'pending', moved_at = null; delete from public.migration_logs").await?;
    assert_eq!(tick(&stage).await?["migrated"], 3);
    assert_eq!(stage.storage.counters().of(APPEND), sent);
    assert_eq!(stage.storage.verify_all().objects, objects);
    stage.odoo.attachments().insert(NewAttachment::default());
    assert_eq!(tick(&stage).await?["migrated"], 1);
    all_is_well(&stage).await
}
