//! Nothing goes stale: what changes in Odoo without a new date arrives by itself within a day.

use anyhow::Result;
use serde_json::{Value, json};
use stage::{SERVICE_KEY, Stage};
use world::odoo::{NewAttachment, User};

use crate::scene::*;

/// What opens the simulated Odoo of a stage for its administrator.
const ADMINISTRATOR: [(&str, &str); 3] = [
    ("odoo_login", "admin"),
    ("odoo_password", "stage-odoo-password-4be07c"),
    ("odoo_api_key", "stage-odoo-key-d93a15"),
];

/// Lets so much time pass since all contents were compared.
async fn time_passes(stage: &Stage, interval: &str) -> Result<()> {
    let pass = format!(
        "update odoo_sync.cursors set position = position || jsonb_build_object('compared', now() - interval '{interval}')
          where name like 'chatter-sync:%'"
    );
    Ok(stage.owner.batch_execute(&pass).await?)
}

/// Long enough ago for no run to read it as something new.
fn long_ago(more: &Value) -> Value {
    let mut values = json!({"write_date": "2026-01-01 10:00:00"});
    if let (Value::Object(values), Value::Object(more)) = (&mut values, more) {
        values.extend(more.clone());
    }
    values
}

async fn changes_by_sql_arrive(version: u8) -> Result<()> {
    let stage = chatter(version, 0).await?;
    let subtypes = stage.odoo.records("mail.message.subtype");
    subtypes.insert(json!({"id": 90, "name": "Talk", "internal": false}));
    let notifications = stage.odoo.records("mail.notification");
    let sent = notifications.insert(json!({
        "res_partner_id": 3, "notification_type": "email", "notification_status": "ready",
    }));
    let question = say(&stage, &long_ago(&json!({"body": "<p>A question</p>"})));
    let answer = say(
        &stage,
        &long_ago(&json!({
            "parent_id": question, "partner_ids": [3], "notification_ids": [sent], "subtype_id": 90,
        })),
    );
    let told = say(
        &stage,
        &long_ago(&json!({"message_type": "notification", "body": ""})),
    );
    let change = stage.odoo.stage_change(told);
    hourly(&stage).await?;
    let before = message(&stage, answer).await?;
    assert_eq!(before["parent_id"], question, "{version}: {before:#}");
    // The wizard that merges contacts writes by SQL; a foreign key unsets the parent; a bounce and a read mark write
    // their own rows; a subtype is made internal; a label is corrected.
    messages(&stage).update_quietly(answer, &json!({"author_id": 1, "partner_ids": [1]}));
    messages(&stage).delete([question]);
    notifications.update(
        sent,
        &json!({"notification_status": "bounce", "is_read": true}),
    );
    subtypes.update(90, &json!({"internal": true}));
    let changes = stage.odoo.records("mail.tracking.value");
    changes.update_quietly(change, &json!({"new_value_char": "Proposal"}));
    time_passes(&stage, "20 hours").await?;
    hourly(&stage).await?;
    let row = message(&stage, answer).await?;
    assert_eq!(row["author_id"], 3, "{version}: it is not due yet");
    // An hour later it would be a day.
    time_passes(&stage, "23 hours 5 minutes").await?;
    hourly(&stage).await?;
    let row = message(&stage, answer).await?;
    assert_eq!(
        (
            &row["author_id"],
            &row["recipient_ids"],
            &row["is_internal"]
        ),
        (&json!(1), &json!([1]), &json!(true)),
        "{version}: {row:#}"
    );
    let became = &row["notifications"][0];
    assert_eq!(
        (&became["status"], &became["read"]),
        (&json!("bounce"), &json!(true)),
        "{version}"
    );
    let seen = shown(&stage, answer).await?;
    assert_eq!(
        (&seen["parent_id"], &seen["parent_state"]),
        (&json!(question), &json!("deleted")),
        "{version}: {seen:#}"
    );
    let row = row_of(&stage, change).await?;
    assert_eq!(row["new"], "Proposal", "{version}: {row:#}");
    for entity in ["messages", "field_changes"] {
        let found = validation(&stage, entity).await?;
        assert_eq!(found["verdict"], "same", "{version}: {found:#}");
        assert_eq!(
            found["detail"]["compared"], "contents",
            "{version}: {found:#}"
        );
    }
    Ok(())
}

async fn row_of(stage: &Stage, change: i64) -> Result<Value> {
    row(stage, "odoo_field_changes", change).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_without_a_date_arrives_by_itself_within_a_day() -> Result<()> {
    for version in [14, 16, 19] {
        changes_by_sql_arrive(version).await?;
    }
    Ok(())
}

/// However much there is: a run goes on where the one before had no more time.
#[tokio::test(flavor = "multi_thread")]
async fn all_contents_are_compared_in_slices() -> Result<()> {
    let stage = set(18, 0, |builder| {
        builder.variable("chatter_batch_seconds", "1")
    })
    .await?;
    let ids = messages(&stage).insert_many((0..4_000).map(|_| {
        long_ago(&json!({
            "model": "crm.lead", "res_id": 1, "message_type": "comment", "subtype_id": 1, "author_id": 3, "body": "<p>x</p>",
        }))
    }));
    until_done(&stage).await?;
    for id in &ids {
        messages(&stage).update_quietly(*id, &json!({"author_id": 1}));
    }
    time_passes(&stage, "30 hours").await?;
    // So slow that one run cannot read them all.
    stage.odoo.set_latency_ms(150);
    let runs = until_done(&stage).await?;
    stage.odoo.set_latency_ms(0);
    assert!(runs > 1, "it was no slice");
    let authors = "select count(*) from public.odoo_messages where author_id = 1";
    assert_eq!(stage.count(authors).await?, 4_000);
    Ok(())
}

/// Runs until nothing is left to do; how many that took.
async fn until_done(stage: &Stage) -> Result<u32> {
    for runs in 1..50 {
        if sync(stage).await?["unfinished"] == json!([]) {
            return Ok(runs);
        }
    }
    anyhow::bail!("it does not come to an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_given_brings_what_was_hidden() -> Result<()> {
    for version in [14, 17, 19] {
        let stage = set(version, 0, |builder| builder.user(User::salesman())).await?;
        let seen = say(&stage, &long_ago(&json!({})));
        let hidden = say(&stage, &long_ago(&json!({"body": "<p>Hidden</p>"})));
        messages(&stage).hide_from_salesmen([hidden]);
        let told = say(
            &stage,
            &long_ago(&json!({"message_type": "notification", "body": ""})),
        );
        let change = stage.odoo.stage_change(told);
        let reaction = stage
            .odoo
            .records("mail.message.reaction")
            .insert(json!({"content": "👍", "partner_id": 3}));
        messages(&stage).update_quietly(seen, &json!({"reaction_ids": [reaction]}));
        let file = stage.odoo.attachments().insert(NewAttachment {
            res_model: Some("res.lang".to_owned()),
            res_id: Some(1),
            res_field: Some("flag_image".to_owned()),
            ..NewAttachment::default()
        });
        messages(&stage).update_quietly(seen, &json!({"attachment_ids": [file]}));
        hourly(&stage).await?;
        assert!(message(&stage, hidden).await?.is_null(), "{version}");
        assert!(row_of(&stage, change).await?.is_null(), "{version}");

        let (_host, caller) = stage.replica(&ADMINISTRATOR).await?;
        stage
            .owner
            .batch_execute(
                "update odoo_sync.wanted_attachments set asked_at = asked_at - interval '25 hours'",
            )
            .await?;
        let answer = caller
            .post(PATH, SERVICE_KEY, r#"{"mode": "missing"}"#)
            .await?;
        assert_eq!(
            answer.json()["errors"],
            json!([]),
            "{version}: {}",
            answer.text()
        );
        assert_eq!(
            message(&stage, hidden).await?["body_text"],
            "Hidden",
            "{version}"
        );
        assert_eq!(
            row_of(&stage, change).await?["new"],
            "Proposition",
            "{version}"
        );
        if version >= 16 {
            let row = message(&stage, seen).await?;
            assert_eq!(row["reactions"][0]["content"], "👍", "{version}: {row:#}");
        }
        let catalogued = format!("select count(*) from public.odoo_attachments where id = {file}");
        assert_eq!(stage.count(&catalogued).await?, 1, "{version}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_lost_empties_nothing() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let reactions = stage.odoo.records("mail.message.reaction");
    let reaction = reactions.insert(json!({"content": "👍", "partner_id": 3}));
    let id = say(
        &stage,
        &json!({"reaction_ids": [reaction], "body": "<p>Kept <b>text</b></p>"}),
    );
    hourly(&stage).await?;
    let before = message(&stage, id).await?;
    assert_eq!(before["reactions"][0]["content"], "👍");
    reactions.fail_field(
        "content",
        "You are not allowed to access 'Reaction' records.",
    );
    messages(&stage).remove_field("body");
    messages(&stage).update(id, &json!({"subject": "Written since"}));
    run(&stage, r#"{"mode": "full"}"#).await?;
    let after = message(&stage, id).await?;
    assert_eq!(after["subject"], "Written since", "{after:#}");
    for column in ["reactions", "body", "body_html", "body_text"] {
        assert_eq!(after[column], before[column], "{column}: {after:#}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_language_has_all_read_again() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let all = 20;
    for _ in 0..all {
        say(&stage, &long_ago(&json!({})));
    }
    // What lies in the overlap is read each time.
    say(&stage, &json!({}));
    hourly(&stage).await?;
    assert!(sync(&stage).await?["entities"]["messages"]["read"].as_u64() < Some(all));
    let (_host, german) = stage.replica(&[("chatter_language", "de_DE")]).await?;
    let report = german
        .post(PATH, SERVICE_KEY, r#"{"mode": "incremental"}"#)
        .await?
        .json();
    let read = report["entities"]["messages"]["read"].as_u64();
    assert!(read >= Some(all), "{report:#}");
    Ok(())
}
