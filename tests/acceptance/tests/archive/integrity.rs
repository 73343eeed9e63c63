//! What Storage has counts, not what was sent to it.

use anyhow::{Result, ensure};
use bytes::Bytes;
use serde_json::json;
use stage::Stage;
use world::faults::Fault;
use world::odoo::{EdgeCase, NewAttachment};
use world::storage::{Corruption, Etags, Options};

use crate::scene::{
    all_is_well, all_is_well_but_for_the_log, attempted, errors, finish, odoo_with, path_of, row,
    set, small, tick, waits_pass, without_bytes,
};

const BUCKET: &str = "odoo-archive";

fn insert(stage: &Stage, content: Vec<u8>, mimetype: &str) -> i64 {
    stage.odoo.attachments().insert(NewAttachment {
        content: Some(content.into()),
        mimetype: Some(mimetype.to_owned()),
        ..NewAttachment::default()
    })
}

fn checksum(stage: &Stage, id: i64) -> String {
    let attachment = stage.odoo.attachments().get(id);
    attachment.and_then(|a| a.checksum).unwrap_or_default()
}

#[tokio::test]
async fn a_file_that_is_a_form_itself_arrives_with_all_its_bytes() -> Result<()> {
    let stage = set(odoo_with(small(2))).start().await?;
    let form = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--xyz--\r\n";
    let mut ids = Vec::new();
    for mimetype in [
        "multipart/form-data; boundary=xyz",
        "Multipart/Form-Data; boundary=xyz",
        "multipart/mixed; boundary=xyz",
    ] {
        // Each a content of its own, and one that goes up in pieces.
        for size in [0, 7_000_000] {
            let mut content = form.to_vec();
            content.resize(form.len() + size, b'x');
            content.extend_from_slice(mimetype.as_bytes());
            ids.push((insert(&stage, content, mimetype), mimetype));
        }
    }
    assert_eq!(tick(&stage).await?["migrated"], 8);
    all_is_well(&stage).await?;
    let objects = stage.storage.objects();
    for (id, mimetype) in ids {
        let path = path_of(&checksum(&stage, id));
        let object = objects.iter().find(|object| object.name == path);
        assert_eq!(
            object.map(|object| object.mimetype.as_str()),
            Some("application/octet-stream")
        );
        assert_eq!(row(&stage, id).await?["mimetype"], mimetype);
    }
    Ok(())
}

#[tokio::test]
async fn content_that_a_browser_would_run_is_stored_as_mere_bytes() -> Result<()> {
    let stage = set(odoo_with(small(2))).start().await?;
    let page = b"<script>steal()</script>";
    let mut ids = Vec::new();
    for mimetype in [
        "text/html",
        "Text/HTML; charset=utf-8",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xml",
        "application/atom+xml",
        "text/javascript",
    ] {
        // As it goes up at once, and in pieces.
        for size in [0, 7_000_000] {
            let mut content = page.to_vec();
            content.resize(page.len() + size, b' ');
            content.extend_from_slice(mimetype.as_bytes());
            ids.push((
                insert(&stage, content, mimetype),
                mimetype,
                "application/octet-stream",
            ));
        }
    }
    for mimetype in [
        "text/plain",
        "application/pdf",
        "image/png",
        "application/json",
    ] {
        ids.push((
            insert(&stage, mimetype.into(), mimetype),
            mimetype,
            mimetype,
        ));
    }
    finish(&stage, 3).await?;
    all_is_well(&stage).await?;
    let objects = stage.storage.objects();
    for (id, mimetype, stored) in ids {
        let path = path_of(&checksum(&stage, id));
        let object = objects.iter().find(|object| object.name == path);
        let object = object.map(|object| object.mimetype.as_str());
        assert_eq!(object, Some(stored), "{mimetype}");
        // The catalogue knows what it is.
        assert_eq!(row(&stage, id).await?["mimetype"], mimetype);
    }
    Ok(())
}

#[tokio::test]
async fn a_file_counts_as_moved_only_when_the_storage_has_its_very_bytes() -> Result<()> {
    for (corruption, words) in [
        (Corruption::Shorter, "bytes that were sent"),
        (Corruption::Other, "other bytes"),
    ] {
        let stage = set(odoo_with(small(5))).start().await?;
        stage.storage.corrupt(2, corruption);
        let report = tick(&stage).await?;
        assert_eq!(
            (&report["migrated"], &report["failed"]),
            (&json!(3), &json!(2)),
            "{report}"
        );
        assert!(errors(&report)[0].contains(words), "{report}");
        let named = "select count(*) from public.odoo_attachments where reason = 'object_differs' and attempts = 1";
        assert_eq!(stage.count(named).await?, 2);
        // It is sent again, over what is there.
        finish(&stage, 2).await?;
        all_is_well(&stage).await?;
    }
    // The same of one that goes up in pieces.
    let stage = set(odoo_with(small(1).with(1, EdgeCase::Size(8_000_000))))
        .start()
        .await?;
    stage.storage.corrupt(1, Corruption::Other);
    let report = tick(&stage).await?;
    assert_eq!(report["failed"], 1, "{report}");
    assert_eq!(row(&stage, 1).await?["reason"], "object_differs");
    finish(&stage, 2).await?;
    all_is_well(&stage).await
}

#[tokio::test]
async fn an_object_of_the_right_size_with_other_bytes_is_replaced_and_never_adopted() -> Result<()>
{
    let files = small(4)
        .with(2, EdgeCase::Size(900_000))
        .with(3, EdgeCase::Size(8_000_000));
    for etags in [Etags::Md5, Etags::Multipart] {
        let stage = set(odoo_with(files.clone()))
            .storage(Options {
                etags,
                ..Options::default()
            })
            .start()
            .await?;
        for id in 1..=4 {
            let size = stage.odoo.attachments().get(id).map(|a| a.file_size);
            let size = usize::try_from(size.unwrap_or_default())?;
            let path = path_of(&checksum(&stage, id));
            let other = Bytes::from(vec![b'x'; size]);
            stage.storage.put(BUCKET, &path, "text/plain", other)?;
        }
        assert_eq!(tick(&stage).await?["migrated"], 4, "{etags:?}");
        assert_eq!(attempted(&stage).await?, 0);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_row_without_bytes_is_no_object_and_is_sent_again() -> Result<()> {
    let stage = set(odoo_with(small(3))).start().await?;
    assert_eq!(tick(&stage).await?["migrated"], 3);
    // As a batch left it that was cut off between upload and record.
    let pending = "update public.odoo_attachments set state = 'pending', moved_at = null where id = 2; delete from public.migration_logs";
    stage.owner.batch_execute(pending).await?;
    let object = format!("/object/{BUCKET}/{}", path_of(&checksum(&stage, 2)));
    stage
        .storage
        .faults()
        .add(without_bytes(Fault::on(&object)));
    let sent = || stage.storage.counters().of("POST /object").calls;
    let before = sent();
    assert_eq!(tick(&stage).await?["migrated"], 1);
    assert_eq!(
        sent() - before,
        2,
        "refused as there, then sent in its place"
    );
    all_is_well_but_for_the_log(&stage).await
}

#[tokio::test]
async fn what_was_stored_is_asked_for_by_folders_and_not_file_by_file() -> Result<()> {
    const FILES: u64 = 4_000;
    let stage = set(odoo_with(small(FILES))).start().await?;
    assert_eq!(tick(&stage).await?["migrated"], FILES);
    let asked = stage.storage.counters().total().calls - FILES;
    assert!(asked <= 256 + 50, "{asked} calls beside the uploads");
    all_is_well(&stage).await?;
    // One by one, there is nothing to be gained by a listing.
    stage.odoo.attachments().insert(NewAttachment::default());
    let listed = stage.storage.counters().of("POST /object/list").calls;
    assert_eq!(tick(&stage).await?["migrated"], 1);
    assert_eq!(
        stage.storage.counters().of("POST /object/list").calls,
        listed
    );
    waits_pass(&stage).await?;
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_file_whose_content_was_moved_before_counts_only_while_storage_still_has_it() -> Result<()>
{
    let stage = set(odoo_with(small(20))).start().await?;
    assert_eq!(tick(&stage).await?["migrated"], 20);
    for id in [3, 4] {
        let path = path_of(&checksum(&stage, id));
        ensure!(stage.storage.remove(BUCKET, &path), "{id} was not there");
    }
    let path = path_of(&checksum(&stage, 5));
    let cut = Bytes::from_static(b"cut");
    stage.storage.put(BUCKET, &path, "text/plain", cut)?;
    for twin in 2..=5 {
        for _ in 0..2 {
            let content = stage.odoo.attachments().content(twin);
            stage.odoo.attachments().insert(NewAttachment {
                content: content.map(Into::into),
                ..NewAttachment::default()
            });
        }
    }
    let before = stage.storage.counters().of("POST /object").calls;
    assert_eq!(tick(&stage).await?["migrated"], 8);
    assert_eq!(attempted(&stage).await?, 0);
    all_is_well(&stage).await?;
    let uploads = stage.storage.counters().of("POST /object").calls - before;
    assert_eq!(
        uploads, 4,
        "two that were gone, and one that was tried and replaced"
    );
    Ok(())
}
