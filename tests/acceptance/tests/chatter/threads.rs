//! Whose answer a message is, and what it had, as far as anybody knows.

use anyhow::Result;
use serde_json::{Value, json};
use stage::Stage;
use world::odoo::NewAttachment;

use crate::scene::*;

async fn parent(stage: &Stage, id: i64) -> Result<(Value, Value)> {
    let seen = shown(stage, id).await?;
    Ok((seen["parent_id"].clone(), seen["parent_state"].clone()))
}

/// Odoo shows the id of a parent whatever it is (`convert_to_read` asks for its name as superuser), and unsets it where
/// the parent is deleted (`ondelete='set null'`, 14 to 19).
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_knows_what_it_answers_as_far_as_anybody_does() -> Result<()> {
    for version in [14, 17, 19] {
        let stage = chatter(version, 0).await?;
        let question = say(&stage, &json!({}));
        let elsewhere = say(&stage, &json!({"model": "sale.order"}));
        let withdrawn = say(&stage, &json!({"body": "<p>Oops</p>"}));
        let deleted = say(&stage, &json!({}));
        let of = |parent: Value| say(&stage, &json!({"parent_id": parent}));
        let [here, there, of_withdrawn, of_deleted] =
            [question, elsewhere, withdrawn, deleted].map(|id| of(json!(id)));
        let first = of(json!(false));
        hourly(&stage).await?;
        stage.odoo.delete_message(withdrawn);
        messages(&stage).delete([deleted]);
        run(&stage, r#"{"mode": "full"}"#).await?;
        for (answer, id, state) in [
            (here, json!(question), json!("here")),
            (there, json!(elsewhere), json!("elsewhere")),
            (of_withdrawn, json!(withdrawn), json!("withdrawn")),
            (of_deleted, json!(deleted), json!("deleted")),
            (first, json!(null), json!(null)),
        ] {
            let when = format!("{version}: {state}");
            assert_eq!(parent(&stage, answer).await?, (id, state), "{when}");
        }
        let row = message(&stage, of_deleted).await?;
        assert_eq!(
            (&row["parent_id"], &row["lost_parent_id"]),
            (&json!(null), &json!(deleted)),
            "{version}"
        );
        // And it is not read as another change each time.
        let report = run(&stage, r#"{"mode": "full"}"#).await?;
        assert_eq!(changed(&report), [0, 0, 0], "{version}: {report:#}");
    }
    Ok(())
}

/// Odoo takes a file away with its row in the relation, and the message forgets that it had one.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_withdrawn_in_odoo_is_shown_as_gone() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let attach = |name: &str| {
        stage.odoo.attachments().insert(NewAttachment {
            name: Some(name.to_owned()),
            content: Some(name.as_bytes().to_vec().into()),
            res_model: Some("crm.lead".to_owned()),
            res_id: Some(1),
            ..NewAttachment::default()
        })
    };
    let [kept, withdrawn, swept] = ["kept.pdf", "withdrawn.pdf", "swept.pdf"].map(attach);
    let id = say(&stage, &json!({"attachment_ids": [kept, withdrawn, swept]}));
    let whole = attach("whole.pdf");
    let oops = say(
        &stage,
        &json!({"attachment_ids": [whole], "body": "<p>Oops</p>"}),
    );
    stage.post("/archive-batch", "{}").await?;
    hourly(&stage).await?;
    let states = async |id: i64| {
        let files = shown(&stage, id).await?["attachments"].clone();
        let of = |file: &Value| json!([file["id"], file["state"], file["object_path"].is_string()]);
        let states = files.as_array().into_iter().flatten().map(of);
        anyhow::Ok(Value::Array(states.collect()))
    };
    assert_eq!(
        states(id).await?,
        json!([
            [kept, "moved", true],
            [withdrawn, "moved", true],
            [swept, "moved", true]
        ])
    );
    stage.odoo.attachments().delete([withdrawn]);
    messages(&stage).update(id, &json!({"attachment_ids": [kept, swept]}));
    stage.odoo.delete_message(oops);
    hourly(&stage).await?;
    // The archive's sweep finds one that is gone before the message is read again.
    let found = format!("update public.odoo_attachments set deleted_at = now() where id = {swept}");
    stage.owner.batch_execute(&found).await?;
    assert_eq!(
        states(id).await?,
        json!([
            [kept, "moved", true],
            [withdrawn, "gone", true],
            [swept, "gone", true]
        ])
    );
    let row = shown(&stage, oops).await?;
    assert!(row["withdrawn_at"].is_string(), "{row:#}");
    assert_eq!(states(oops).await?, json!([[whole, "gone", true]]));
    Ok(())
}
