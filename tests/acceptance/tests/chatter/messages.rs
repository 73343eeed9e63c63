//! Messages arrive as what they are, and so do their edits and deletions.

use anyhow::Result;
use serde_json::json;
use world::odoo::User;

use crate::scene::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_with_its_author_kind_and_text() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let question = say(
        &stage,
        &json!({
            "message_type": "email", "subject": "An offer", "body": "<div>Dear team,<br>what about <b>offer</b> 7?</div>",
            "email_from": "\"Ada Buyer\" <ada@example.com>", "author_id": false, "message_id": "<1@example.com>",
        }),
    );
    let answer = say(
        &stage,
        &json!({"body": "<p>A note</p>", "subtype_id": 2, "is_internal": true, "parent_id": question}),
    );
    let told = say(
        &stage,
        &json!({"message_type": "notification", "subtype_id": 7, "body": "<p>Won</p>"}),
    );
    let elsewhere = say(&stage, &json!({"model": "sale.order"}));
    hourly(&stage).await?;
    let row = message(&stage, question).await?;
    assert_eq!(row["kind"], "email", "{row:#}");
    assert_eq!(row["subject"], "An offer");
    assert_eq!(row["body_text"], "Dear team,\nwhat about offer 7?");
    assert_eq!(row["date"], "2026-11-21T20:21:22+00:00");
    assert_eq!(row["email_id"], "<1@example.com>");
    assert_eq!(
        (&row["model"], &row["res_id"]),
        (&json!("crm.lead"), &json!(1))
    );
    let row = message(&stage, answer).await?;
    assert_eq!(
        (&row["kind"], &row["subtype"]),
        (&json!("note"), &json!("mail.mt_note"))
    );
    assert_eq!(
        (&row["parent_id"], &row["is_internal"]),
        (&json!(question), &json!(true))
    );
    let row = message(&stage, told).await?;
    assert_eq!(
        (&row["kind"], &row["subtype"]),
        (&json!("change"), &json!("crm.mt_lead_won"))
    );
    assert!(message(&stage, elsewhere).await?.is_null());
    assert_eq!(shown(&stage, question).await?["author"], "Ada Buyer");
    // An author is a contact like a customer: the pipeline's next run reads it.
    assert_eq!(shown(&stage, answer).await?["author"], "Mitchell Admin");
    stage.post("/crm-sync", "{}").await?;
    stage
        .odoo
        .records("res.partner")
        .update(3, &json!({"name": "Renamed"}));
    stage.post("/crm-sync", "{}").await?;
    assert_eq!(shown(&stage, answer).await?["author"], "Renamed");
    let found = "select count(*) from public.odoo_chatter where search @@ websearch_to_tsquery('simple', 'offer team')";
    assert_eq!(stage.count(found).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_translated_subtype_is_the_same_kind() -> Result<()> {
    let stage = chatter(18, 0).await?;
    stage
        .odoo
        .records("mail.message.subtype")
        .update(2, &json!({"name": "Notiz"}));
    let note = say(&stage, &json!({"subtype_id": 2}));
    hourly(&stage).await?;
    assert_eq!(message(&stage, note).await?["kind"], "note");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_deletions_and_what_is_committed_late_arrive() -> Result<()> {
    let stage = chatter(18, 30).await?;
    hourly(&stage).await?;
    assert_same(&stage).await?;
    let ids = messages(&stage).ids();
    let (edited, deleted) = (ids[3], ids[4]);
    messages(&stage).update(edited, &json!({"body": "<p>Edited</p>"}));
    messages(&stage).delete([deleted]);
    say(&stage, &json!({"body": "<p>Quick</p>"}));
    assert_eq!(changed(&sync(&stage).await?), [1, 1, 0]);
    // It began nine minutes ago, and commits only now.
    let began = minutes_ago(&stage, 9).await?;
    let slow = say(&stage, &json!({"body": "<p>Slow</p>", "write_date": began}));
    let report = hourly(&stage).await?;
    // A field change goes with its message, if it had one.
    assert_eq!(report["entities"]["messages"]["deleted"], 1, "{report:#}");
    assert_eq!(message(&stage, slow).await?["body_text"], "Slow");
    assert_eq!(message(&stage, edited).await?["body_text"], "Edited");
    let row = message(&stage, deleted).await?;
    assert!(row["deleted_at"].is_string(), "{row:#}");
    assert!(shown(&stage, deleted).await?.is_null());
    assert_same(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_comes_back_empty_by_mistake_deletes_nothing() -> Result<()> {
    let stage = chatter(18, 20).await?;
    hourly(&stage).await?;
    let all = messages(&stage).ids();
    messages(&stage).delete(all);
    let answer = stage.post(PATH, r#"{"mode": "missing"}"#).await?;
    assert_eq!(answer.json()["status"], "error", "{}", answer.text());
    assert!(live(&stage, "odoo_messages").await? > 20);
    run(&stage, r#"{"mode": "missing", "confirm_deletes": true}"#).await?;
    assert_eq!(live(&stage, "odoo_messages").await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_salesmans_key_copies_what_it_may_see_and_says_once_what_not() -> Result<()> {
    let stage = set(18, 30, |builder| builder.user(User::salesman())).await?;
    let hidden = messages(&stage).ids()[2];
    messages(&stage).hide_from_salesmen([hidden]);
    let first = hourly(&stage).await?;
    assert_eq!(
        first["entities"]["field_changes"]["forbidden"], true,
        "{first:#}"
    );
    assert_eq!(first["errors"], json!([]));
    assert_eq!(first["unfinished"], json!([]));
    assert!(message(&stage, hidden).await?.is_null());
    let seen = i64::try_from(messages(&stage).count())?;
    assert_eq!(live(&stage, "odoo_messages").await?, seen - 1);
    assert_eq!(live(&stage, "odoo_field_changes").await?, 0);
    let logged = "select count(*) from public.migration_logs l where l.job = 'chatter-sync' and (l.detail #> '{entities,field_changes,forbidden}')::boolean";
    assert_eq!(stage.count(logged).await?, 1);
    let second = hourly(&stage).await?;
    assert!(
        second["entities"]["field_changes"]
            .get("forbidden")
            .is_none(),
        "{second:#}"
    );
    assert_eq!(stage.count(logged).await?, 1);
    Ok(())
}

/// Odoo searches messages up to the limit and then leaves out what the user may not see, the administrator too.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_hidden_messages_cut_short_is_not_the_last() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let of_one_user = |hidden: bool| {
        json!({
            "model": "crm.lead", "res_id": 1, "date": "2026-11-21 20:21:22", "body": "<p>Hello</p>",
            "message_type": if hidden { "user_notification" } else { "comment" },
        })
    };
    // One in a page, more than a page and more than a list of them in a row, and the newest of all.
    let hidden = |n: u32| n == 5 || (700..1_500).contains(&n) || (2_000..7_200).contains(&n);
    let ids =
        messages(&stage).insert_many((0..7_300).map(|n| of_one_user(hidden(n) || n == 7_299)));
    let seen = 7_300 - 1 - 800 - 5_200 - 1;
    let first = run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(first["inserted"], seen, "{first:#}");
    assert_eq!(validation(&stage, "messages").await?["verdict"], "same");

    let quiet = sync(&stage).await?;
    assert_eq!(changed(&quiet), [0, 0, 0], "{quiet:#}");
    let news = say(&stage, &json!({"body": "<p>News</p>"}));
    messages(&stage).insert(of_one_user(true));
    assert_eq!(changed(&sync(&stage).await?), [1, 0, 0]);
    assert_eq!(message(&stage, news).await?["body_text"], "News");

    let last = ids[7_250];
    messages(&stage).delete([last]);
    let report = hourly(&stage).await?;
    assert_eq!(report["deleted"], 1, "{report:#}");
    assert!(message(&stage, last).await?["deleted_at"].is_string());
    let compared = validation(&stage, "messages").await?;
    assert_eq!(compared["source_count"], seen, "{compared:#}");
    assert_eq!(compared["verdict"], "same", "{compared:#}");
    Ok(())
}

/// The hourly run compares both sides, and of that only a change is left to do.
async fn the_chatter_is_compared(version: u8) -> Result<()> {
    let stage = chatter(version, 20).await?;
    hourly(&stage).await?;
    let ids = messages(&stage).ids();
    messages(&stage).delete([ids[4]]);
    let report = hourly(&stage).await?;
    assert_eq!(report["entities"]["messages"]["deleted"], 1, "{report:#}");
    for entity in ["messages", "field_changes"] {
        let verdict = validation(&stage, entity).await?["verdict"].clone();
        assert_eq!(verdict, "same", "{entity} of Odoo {version}");
    }
    Ok(())
}

macro_rules! compared {
    ($name:ident, $version:literal) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Result<()> {
            the_chatter_is_compared($version).await
        }
    };
}

compared!(the_chatter_of_odoo_14_is_compared, 14);
compared!(the_chatter_of_odoo_15_is_compared, 15);
compared!(the_chatter_of_odoo_16_is_compared, 16);
compared!(the_chatter_of_odoo_17_is_compared, 17);
compared!(the_chatter_of_odoo_19_is_compared, 19);

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_odoo_cannot_read_keeps_no_other_back() -> Result<()> {
    for version in [14, 17, 19] {
        let stage = chatter(version, 10).await?;
        let good = say(&stage, &json!({"body": "<p>Good</p>"}));
        let bad = say(&stage, &json!({"body": "<p>Bad</p>"}));
        messages(&stage).fail([bad], true);
        let first = hourly(&stage).await?;
        assert_eq!(
            message(&stage, good).await?["body_text"],
            "Good",
            "{version}: {first:#}"
        );
        assert!(message(&stage, bad).await?.is_null());
        let list = "select coalesce(jsonb_agg(u.id), '[]') from odoo_sync.unreadable u where u.model = 'mail.message'";
        assert_eq!(stage.value(list).await?, json!([bad]), "{version}");
        // The newest of all cannot be read, and what comes after it arrives.
        hourly(&stage).await?;
        let later = say(&stage, &json!({"body": "<p>Later</p>"}));
        sync(&stage).await?;
        assert_eq!(
            message(&stage, later).await?["body_text"],
            "Later",
            "{version}"
        );
        messages(&stage).fail([bad], false);
        hourly(&stage).await?;
        assert_eq!(message(&stage, bad).await?["body_text"], "Bad", "{version}");
        assert_eq!(stage.value(list).await?, json!([]), "{version}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_with_whom_it_was_sent_to_and_what_became_of_it() -> Result<()> {
    for version in [14, 16, 18, 19] {
        let stage = chatter(version, 0).await?;
        let notification = stage.odoo.records("mail.notification").insert(json!({
            "res_partner_id": 3, "notification_type": "email", "notification_status": "bounce", "is_read": true,
            "read_date": "2026-11-21 20:21:22", "failure_type": "mail_bounce",
        }));
        let reaction = stage
            .odoo
            .records("mail.message.reaction")
            .insert(json!({"content": "👍", "partner_id": 3}));
        let id = say(
            &stage,
            &json!({
                "message_type": "email", "partner_ids": [3, 1], "reply_to": "catchall@example.com",
                "incoming_email_to": "sales@example.com", "incoming_email_cc": "b@example.com",
                "record_company_id": [1, "YourCompany"], "notification_ids": [notification],
                "reaction_ids": [reaction],
            }),
        );
        hourly(&stage).await?;
        let row = message(&stage, id).await?;
        assert_eq!(row["recipient_ids"], json!([3, 1]), "{version}: {row:#}");
        assert_eq!(row["reply_to"], "catchall@example.com");
        let bounced = &row["notifications"][0];
        assert_eq!(
            (
                &bounced["partner_id"],
                &bounced["status"],
                &bounced["failure"],
                &bounced["read"]
            ),
            (
                &json!(3),
                &json!("bounce"),
                &json!("mail_bounce"),
                &json!(true)
            ),
            "{version}: {row:#}"
        );
        if version >= 16 {
            assert_eq!(row["reactions"][0]["content"], "👍", "{version}: {row:#}");
        }
        if version >= 19 {
            assert_eq!(
                (&row["email_to"], &row["email_cc"], &row["company_id"]),
                (
                    &json!("sales@example.com"),
                    &json!("b@example.com"),
                    &json!(1)
                )
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_deleted_in_the_chatter_is_told_as_withdrawn() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let id = say(&stage, &json!({"body": "<p>Oops</p>"}));
    let kept = say(&stage, &json!({"body": "<p>Kept</p>"}));
    hourly(&stage).await?;
    let mark = "<span class=\"o-mail-Message-edited\"></span>";
    messages(&stage).update(id, &json!({"body": mark}));
    hourly(&stage).await?;
    let row = shown(&stage, id).await?;
    assert!(row["withdrawn_at"].is_string(), "{row:#}");
    assert_eq!(row["body_text"], "");
    assert_eq!(row["kind"], "message");
    assert!(shown(&stage, kept).await?["withdrawn_at"].is_null());
    Ok(())
}
