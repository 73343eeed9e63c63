//! A person who is to be forgotten is, here and in the bucket, and no sync brings them back.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stage::Stage;
use world::faults::Fault;
use world::odoo::NewAttachment;

use crate::scene::{finish, odoo_with, path_of, set, small};

const JOBS: [&str; 3] = ["/archive-batch", "/crm-sync", "/chatter-sync"];

/// Whatever says who it was.
const TRACES: [&str; 6] = ["Ada's", "on Ada", "Lovelace", "ada@", "470 123", "engine"];

async fn ticks(stage: &Stage, body: &str) -> Result<Vec<Value>> {
    let mut reports = Vec::new();
    for path in JOBS {
        let body = if path == "/archive-batch" { "{}" } else { body };
        let answer = stage.post(path, body).await?;
        anyhow::ensure!(answer.status == 200, "{path} {}", answer.text());
        reports.push(answer.json());
    }
    Ok(reports)
}

/// The tables that hold any of this, each with what.
async fn traces(stage: &Stage) -> Result<Vec<String>> {
    let tables = "select jsonb_agg(c.oid::regclass::text order by 1) from pg_class c
        where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'odoo_sync'::regnamespace)";
    let mut found = Vec::new();
    for table in stage.value(tables).await?.as_array().context("tables")? {
        let table = table.as_str().unwrap_or_default();
        for trace in TRACES {
            let trace = trace.replace('\'', "''");
            let rows = format!("select count(*) from {table} t where t::text ilike '%{trace}%'");
            if stage.count(&rows).await? > 0 {
                found.push(format!("{table}: {trace}"));
            }
        }
    }
    Ok(found)
}

fn file(stage: &Stage, name: &str, content: &'static str, model: &str, id: i64) -> i64 {
    stage.odoo.attachments().insert(NewAttachment {
        name: Some(name.to_owned()),
        content: Some(content.into()),
        res_model: Some(model.to_owned()),
        res_id: Some(id),
        ..NewAttachment::default()
    })
}

fn object_of(stage: &Stage, id: i64) -> Result<String> {
    let attachment = stage.odoo.attachments().get(id).context("not in Odoo")?;
    Ok(path_of(&attachment.checksum.context("no checksum")?))
}

fn in_bucket(stage: &Stage, path: &str) -> bool {
    stage.storage.bytes("odoo-archive", path).is_some()
}

fn message(stage: &Stage, id: i64, lead: i64, more: Value) {
    let mut message = json!({"id": id, "model": "crm.lead", "res_id": lead, "message_type": "email", "date": "2026-11-21 20:21:22"});
    if let (Some(message), Value::Object(more)) = (message.as_object_mut(), more) {
        message.extend(more);
    }
    stage.odoo.records("mail.message").insert(message);
}

/// A person with all that hangs on them, copied; the files: their own, one whose content another has, and that other.
async fn a_person() -> Result<(Stage, [i64; 3])> {
    let stage = set(odoo_with(small(3))).start().await?;
    stage.odoo.fill_pipeline(6);
    let insert = |model: &str, values: Value| stage.odoo.records(model).insert(values);
    insert(
        "res.partner",
        json!({"id": 42, "name": "Ada Lovelace", "email": "Ada@example.com", "phone": "+32 470 123", "comment": "<p>An engine</p>"}),
    );
    insert(
        "crm.lead",
        json!({"id": 50, "name": "Ada's engine", "partner_id": 42, "stage_id": 2, "expected_revenue": 1250.5, "email_from": "ada@example.com"}),
    );
    let own = file(
        &stage,
        "Ada Lovelace.txt",
        "about the engine",
        "res.partner",
        42,
    );
    let shared = file(
        &stage,
        "Ada's offer.txt",
        "an offer to many",
        "crm.lead",
        50,
    );
    let other = file(&stage, "offer.txt", "an offer to many", "crm.lead", 1);
    message(
        &stage,
        901,
        1,
        json!({"author_id": 42, "email_from": "Ada <ada@example.com>", "body": "<p>My engine</p>"}),
    );
    message(
        &stage,
        902,
        50,
        json!({"author_id": 3, "body": "<p>A note on Ada</p>", "email_from": "me@example.com"}),
    );
    message(
        &stage,
        903,
        1,
        json!({"author_id": 3, "email_from": "me@example.com", "body": "<p>To all of you</p>", "partner_ids": [3, 42]}),
    );
    stage.odoo.stage_change(902);
    insert(
        "mail.followers",
        json!({"id": 1, "res_model": "crm.lead", "res_id": 1, "partner_id": 42}),
    );
    ticks(&stage, "{}").await?;
    finish(&stage, 5).await?;
    ticks(&stage, "{}").await?;
    Ok((stage, [own, shared, other]))
}

#[tokio::test]
async fn a_person_is_erased_with_messages_and_files_and_no_sync_brings_them_back() -> Result<()> {
    let (stage, [own, shared, other]) = a_person().await?;
    assert!(!traces(&stage).await?.is_empty());
    let (own_object, shared_object) = (object_of(&stage, own)?, object_of(&stage, shared)?);
    assert!(in_bucket(&stage, &own_object));

    let removed = stage
        .value("select odoo_sync.erase('res.partner', 42)")
        .await?;
    for (what, many) in [
        ("partners", 1),
        ("leads", 1),
        ("messages", 2),
        ("addresses", 1),
        ("files", 2),
        ("objects", 1),
        ("records", 1),
    ] {
        assert_eq!(removed[what], many, "{what}: {removed:#}");
    }
    assert_eq!(traces(&stage).await?, Vec::<String>::new());
    // What nobody is told by stays.
    let lead = stage
        .value("select to_jsonb(l) from public.odoo_leads l where l.id = 50")
        .await?;
    assert_eq!(
        (&lead["stage_id"], &lead["expected_revenue"]),
        (&json!(2), &json!(1250.5))
    );
    let mail = stage
        .value("select to_jsonb(m) from public.odoo_messages m where m.id = 903")
        .await?;
    assert_eq!(
        (&mail["body_text"], &mail["recipient_ids"]),
        (&json!("To all of you"), &json!([3]))
    );
    // The next batch deletes the object that nothing else is of.
    ticks(&stage, "{}").await?;
    assert!(!in_bucket(&stage, &own_object));
    assert!(in_bucket(&stage, &shared_object));
    let offer = stage
        .value(&format!(
            "select to_jsonb(a) from public.odoo_attachments a where a.id = {other}"
        ))
        .await?;
    assert_eq!(
        (&offer["state"], &offer["name"]),
        (&json!("moved"), &json!("offer.txt"))
    );
    assert_eq!(
        stage
            .count("select count(*) from odoo_sync.unwanted_objects")
            .await?,
        0
    );

    // Odoo still has all of it, and says it again and again; a new message of theirs, too. An upgrade changes nothing of that.
    stage.database.apply_sql().await?;
    stage
        .odoo
        .records("res.partner")
        .update(42, &json!({"phone": "+32 470 123 5"}));
    stage
        .odoo
        .records("crm.lead")
        .update(50, &json!({"contact_name": "Lovelace"}));
    message(
        &stage,
        904,
        1,
        json!({"author_id": 42, "body": "<p>My second engine</p>"}),
    );
    ticks(&stage, "{}").await?;
    for report in ticks(&stage, r#"{"mode": "full"}"#).await?.iter().skip(1) {
        assert_eq!(
            (&report["inserted"], &report["updated"], &report["deleted"]),
            (&json!(0), &json!(0), &json!(0)),
            "{report:#}"
        );
    }
    assert_eq!(traces(&stage).await?, Vec::<String>::new());
    let verdicts = "select jsonb_agg(distinct v.verdict) from public.sync_validation_log v";
    assert_eq!(stage.value(verdicts).await?, json!(["same"]));
    // Who did it, and how much it was.
    let log = stage
        .value("select to_jsonb(e) from odoo_sync.erasures e")
        .await?;
    assert_eq!(
        (&log["model"], &log["record_id"], &log["removed"]),
        (&json!("res.partner"), &json!(42), &removed)
    );
    Ok(())
}

#[tokio::test]
async fn an_object_that_cannot_be_deleted_stays_on_the_list_and_one_that_is_needed_again_leaves_it()
-> Result<()> {
    let stage = set(odoo_with(small(2))).start().await?;
    finish(&stage, 5).await?;
    let path = stage
        .value("select to_jsonb(min(a.object_path)) from public.odoo_attachments a")
        .await?;
    let path = path.as_str().context("a path")?.to_owned();
    stage
        .owner
        .batch_execute(&format!(
            "insert into odoo_sync.unwanted_objects (object_path) values ('aa/gone'), ('{path}')"
        ))
        .await?;
    let refusal = stage.storage.faults().add(
        Fault::on("/object/odoo-archive")
            .method("DELETE")
            .status(500),
    );
    let answer = stage.post("/archive-batch", "{}").await?;
    assert!(answer.status.is_server_error(), "{}", answer.text());
    stage.storage.faults().remove(refusal);
    assert_eq!(
        stage
            .value("select jsonb_agg(u.object_path) from odoo_sync.unwanted_objects u")
            .await?,
        json!(["aa/gone"])
    );
    crate::scene::tick(&stage).await?;
    assert_eq!(
        stage
            .count("select count(*) from odoo_sync.unwanted_objects")
            .await?,
        0
    );
    assert!(in_bucket(&stage, &path));
    Ok(())
}
