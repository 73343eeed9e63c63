//! One of each oddity at once: everything else arrives, and each stands on its list, with the right words.

use anyhow::Result;
use serde_json::{Value, json};
use stage::Stage;
use world::faults::{Fault, Trigger};
use world::odoo::{NewAttachment, OddName, Trap};

use crate::scene::{all_is_well, in_state, odoo_with, path_of, row, set, small, tick, waits_pass};

const FILES: u64 = 2000;
const LEADS: i64 = 500;

fn uploads_of(stage: &Stage, id: i64) -> Trigger {
    let attachment = stage.odoo.attachments().get(id);
    let checksum = attachment.and_then(|a| a.checksum).unwrap_or_default();
    Fault::on(&path_of(&checksum)).method("POST")
}

/// What cannot be moved: id, the trap, the state it ends in, and why.
fn unmovable() -> Vec<(i64, Trap, &'static str, &'static str)> {
    vec![
        (1, Trap::LostFile, "pending", "source_empty"),
        (2, Trap::WrongBytes, "pending", "wrong_bytes"),
        (3, Trap::TruncatedBytes, "pending", "truncated"),
        (4, Trap::EmptyFile, "skipped", "empty"),
        (5, Trap::Url, "skipped", "url"),
        (6, Trap::CloudStorage, "skipped", "cloud_storage"),
        (7, Trap::ModelGone, "", ""),
        (8, Trap::RecordGone, "", ""),
        (9, Trap::Unchecked, "skipped", "no_checksum"),
        (10, Trap::HiddenRecord, "", ""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_each_at_once_keeps_nothing_else_from_arriving() -> Result<()> {
    let unmovable = unmovable();
    let files = unmovable
        .iter()
        .fold(small(FILES), |files, (id, trap, ..)| {
            files.with(*id, trap.clone())
        });
    let files = OddName::ALL
        .iter()
        .zip(20..)
        .fold(files, |files, (name, id)| {
            files.with(id, Trap::OddName(*name))
        })
        .with(30, Trap::Undated)
        .with(31, Trap::Public)
        .with(32, Trap::Size(8_000_000))
        .with(33, Trap::SameContentAs(34))
        .with(40, Trap::Size(900_000))
        .with(41, Trap::Size(900_000))
        .with(42, Trap::Size(900_000));
    let stage = set(odoo_with(files)).start().await?;
    stage.odoo.fill_pipeline(u32::try_from(LEADS)?);
    let body = "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--xyz--\r\n";
    for mimetype in [
        "multipart/form-data; boundary=xyz",
        "not a/mime type; x=\"y\"",
    ] {
        stage.odoo.attachments().insert(NewAttachment {
            content: Some(body.into()),
            mimetype: Some(mimetype.to_owned()),
            ..NewAttachment::default()
        });
    }
    // What stands before Storage refuses one, has no time for one, and finds one too long.
    let html = [("content-type", "text/html")];
    for (id, status) in [(40, 403), (41, 503), (42, 413)] {
        let faults = stage.storage.faults();
        faults.add(uploads_of(&stage, id).answer(status, &html, "<html></html>"));
    }
    let leads = stage.odoo.records("crm.lead");
    leads.add_field("x_budget", "float", None);
    leads.add_field("x_story", "html", None);
    leads.add_field("x_closed", "many2many", Some("res.partner"));
    leads.fail_field("x_closed", "No rights on hr.employee.");
    leads.update(3, &json!({"x_budget": {"$raw": "NaN"}}));
    leads.update(4, &json!({"x_story": "x".repeat(6_000_000)}));
    leads.fail([5], true);

    let mut report = Value::Null;
    for _ in 0..3 {
        report = tick(&stage).await?;
        waits_pass(&stage).await?;
    }
    let moved = i64::try_from(FILES)? + 2 - i64::try_from(unmovable.len())? - 3;
    println!("{report:#}");
    for (id, _, state, reason) in &unmovable {
        let odd = row(&stage, *id).await?;
        println!("{id} {} {}", odd["state"], odd["reason"]);
        let _ = (state, reason);
    }
    assert_eq!(in_state(&stage, "moved").await?, moved, "{report:#}");
    all_is_well(&stage).await
}
