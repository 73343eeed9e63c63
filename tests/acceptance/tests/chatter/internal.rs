//! What is for colleagues only is known as such, by whatever key and in whatever version.

use anyhow::Result;
use serde_json::{Value, json};
use stage::Stage;

use crate::scene::*;

/// Message type, subtype (2 is a note, 3 an activity, 1 a discussion, 7 a lead that was won, 90 and 91 are of the
/// company's own making) and flag of a message, and what it has to be here: kind, internal.
const MESSAGES: [(&str, i64, bool, &str, bool); 10] = [
    ("comment", 2, false, "note", true),
    ("comment", 2, true, "note", true),
    ("comment", 1, false, "message", false),
    ("comment", 1, true, "message", true),
    ("comment", 0, false, "note", true),
    ("email", 1, false, "email", false),
    ("notification", 7, false, "change", false),
    ("notification", 3, false, "activity", true),
    ("comment", 90, false, "note", true),
    ("comment", 91, false, "message", false),
];

fn company_subtypes(stage: &Stage) {
    let subtypes = stage.odoo.records("mail.message.subtype");
    subtypes.insert(json!({"id": 90, "name": "Talk", "internal": true}));
    subtypes.insert(json!({"id": 91, "name": "Talk", "internal": false}));
    // Names are translated, and may be changed.
    subtypes.update(2, &json!({"name": "Notiz"}));
}

fn say_each(stage: &Stage) -> Vec<i64> {
    let each = MESSAGES.iter().map(|(sort, subtype, flag, ..)| {
        let subtype = if *subtype == 0 {
            json!(false)
        } else {
            json!(subtype)
        };
        say(
            stage,
            &json!({"message_type": sort, "subtype_id": subtype, "is_internal": flag}),
        )
    });
    each.collect()
}

async fn each_is_what_it_is(stage: &Stage, ids: &[i64], when: &str) -> Result<()> {
    for (id, (sort, subtype, flag, kind, internal)) in ids.iter().zip(MESSAGES) {
        let row = message(stage, *id).await?;
        let told = format!("{when}: {sort}, subtype {subtype}, flag {flag}: {row:#}");
        assert_eq!(row["is_internal"], internal, "{told}");
        assert_eq!(row["is_internal_flag"], flag, "{told}");
        assert_eq!(row["kind"], kind, "{told}");
        assert_eq!(shown(stage, *id).await?["is_internal"], internal, "{told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_comes_with_its_type_and_feedback() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let types = stage.odoo.records("mail.activity.type");
    types.insert(json!({"id": 2, "name": "Call"}));
    let id = say(
        &stage,
        &json!({
            "message_type": "notification", "subtype_id": 3, "mail_activity_type_id": [2, "Call"],
            "body": "<div><p><span>Call</span> done</p><div>Feedback:</div><div>They want it in May</div></div>",
        }),
    );
    hourly(&stage).await?;
    let row = shown(&stage, id).await?;
    assert_eq!(
        (&row["kind"], &row["activity_type"]),
        (&json!("activity"), &json!("Call"))
    );
    assert!(
        row["body_text"]
            .as_str()
            .unwrap_or_default()
            .contains("in May"),
        "{row:#}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_tells_what_is_internal() -> Result<()> {
    let stage = chatter(18, 0).await?;
    say(
        &stage,
        &json!({"body": "<p>an offer, for us</p>", "subtype_id": 2}),
    );
    say(&stage, &json!({"body": "<p>an offer, for you</p>"}));
    hourly(&stage).await?;
    let claims = json!({"role": "service_role"});
    stage
        .owner
        .batch_execute(&format!(
            "select set_config('request.jwt.claims', '{claims}', false)"
        ))
        .await?;
    let found: Value = stage
        .value("select coalesce(jsonb_agg(jsonb_build_array(s.found, s.is_internal) order by s.found), '[]') from public.search_odoo_chatter('offer') s")
        .await?;
    assert_eq!(found[0][1], true, "{found}");
    assert_eq!(found[1][1], false, "{found}");
    Ok(())
}

/// Rows of the version before have Odoo's own flag where it matters whether others may see them.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_version_before_are_mended_by_the_next_run() -> Result<()> {
    let stage = chatter(18, 0).await?;
    company_subtypes(&stage);
    let ids = say_each(&stage);
    hourly(&stage).await?;
    stage
        .owner
        .batch_execute(
            "update public.odoo_messages set is_internal = coalesce(is_internal_flag, false), is_internal_flag = null, row_hash = 'before';
             update odoo_sync.cursors set position = position || jsonb_build_object('shape', 'of the version before')
              where name = 'chatter-sync:messages'",
        )
        .await?;
    sync(&stage).await?;
    each_is_what_it_is(&stage, &ids, "after it").await
}
