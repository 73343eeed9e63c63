//! Files of messages, and pictures within them.

use anyhow::Result;
use serde_json::{Value, json};
use stage::Stage;
use world::odoo::{NewAttachment, User};

use crate::scene::*;

fn attach(stage: &Stage, name: &str) -> i64 {
    stage.odoo.attachments().insert(NewAttachment {
        name: Some(name.to_owned()),
        content: Some(name.as_bytes().to_vec().into()),
        res_model: Some("crm.lead".to_owned()),
        res_id: Some(1),
        ..NewAttachment::default()
    })
}

async fn states(stage: &Stage, message: i64) -> Result<Vec<(String, String)>> {
    let files = shown(stage, message).await?["attachments"].clone();
    let text = |file: &Value, key: &str| file[key].as_str().unwrap_or_default().to_owned();
    Ok(files
        .as_array()
        .into_iter()
        .flatten()
        .map(|file| (text(file, "name"), text(file, "state")))
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_linked_whether_it_is_archived_already_or_not_or_gone() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let archived = attach(&stage, "archived.pdf");
    stage.post("/archive-batch", "{}").await?;
    let waiting = attach(&stage, "waiting.pdf");
    let gone = attach(&stage, "gone.pdf");
    let id = say(
        &stage,
        &json!({"attachment_ids": [archived, waiting, gone]}),
    );
    stage.odoo.attachments().delete([gone]);
    let report = hourly(&stage).await?;
    assert_eq!(
        report["entities"]["messages"]["catalogued"], 1,
        "{report:#}"
    );
    let pair = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(
        states(&stage, id).await?,
        [
            pair("archived.pdf", "moved"),
            pair("waiting.pdf", "pending"),
            pair("", "gone")
        ]
    );
    // What is gone is not asked for again.
    stage.odoo.counters().reset();
    messages(&stage).update(id, &json!({"subject": "Edited"}));
    sync(&stage).await?;
    hourly(&stage).await?;
    assert!(stage.odoo.counters().of("ir.attachment/search_read").calls <= 1);
    // And the archive moves what was put into its catalogue.
    stage.post("/archive-batch", "{}").await?;
    assert_eq!(states(&stage, id).await?[1], pair("waiting.pdf", "moved"));
    Ok(())
}

/// Whoever can send a mail can name any file in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_refers_to_no_file_that_is_not_its_own() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let on_lead = |lead: i64, name: &str| {
        stage.odoo.attachments().insert(NewAttachment {
            name: Some(name.to_owned()),
            res_model: Some("crm.lead".to_owned()),
            res_id: Some(lead),
            ..NewAttachment::default()
        })
    };
    let private = on_lead(2, "salaries.xlsx");
    let shared = on_lead(3, "brochure.pdf");
    let same_lead = on_lead(1, "offer.pdf");
    let own = on_lead(4, "own.pdf");
    let token = stage
        .odoo
        .attachments()
        .access_token(shared)
        .unwrap_or_default();
    let body = [
        format!("<img src=\"/web/image/{private}\">"),
        format!("<img src=\"/web/image/{private}?access_token={token}\">"),
        format!(
            "<img src=\"{}/web/content/{private}?download=true\">",
            stage.odoo.url()
        ),
        format!(
            "<img src=\"odoo-attachment:{private}\"><a href=\"ODOO-attachment&#58;{private}\">x</a>"
        ),
        format!("<p title=\"odoo-attachment:{private}\">x</p>"),
        format!("<img src=\"/web/image/{shared}?access_token={token}\">"),
        format!("<img src=\"/web/image/{same_lead}\"><a href=\"/web/content/{own}\">y</a>"),
    ]
    .concat();
    let id = say(
        &stage,
        &json!({"message_type": "email", "body": body, "attachment_ids": [own]}),
    );
    hourly(&stage).await?;
    let row = message(&stage, id).await?;
    assert_eq!(
        row["inline_attachment_ids"],
        json!([shared, same_lead, own]),
        "{row:#}"
    );
    let html = row["body_html"].as_str().unwrap_or_default();
    for attribute in ["src", "href"] {
        let reference = format!("{attribute}=\"odoo-attachment:{private}\"");
        assert!(!html.contains(&reference), "{html}");
    }
    let catalogued =
        "select coalesce(jsonb_agg(a.id order by a.id), '[]') from public.odoo_attachments a";
    assert_eq!(
        stage.value(catalogued).await?,
        json!([shared, same_lead, own])
    );
    Ok(())
}

/// On 14 and 16 nobody without the group Settings reads the file of a field, such as the flag of a language.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_a_file_that_the_user_may_not_read_stops_nothing() -> Result<()> {
    for version in [14, 16, 18] {
        let stage = set(version, 0, |builder| builder.user(User::salesman())).await?;
        let flag = stage.odoo.attachments().insert(NewAttachment {
            res_model: Some("res.lang".to_owned()),
            res_id: Some(1),
            res_field: Some("flag_image".to_owned()),
            ..NewAttachment::default()
        });
        let file = attach(&stage, "file.pdf");
        let body = format!("<p>Hi <img src=\"/web/image/{flag}\"></p>");
        let id = say(
            &stage,
            &json!({"body": body, "attachment_ids": [file, flag]}),
        );
        let report = hourly(&stage).await?;
        assert_eq!(report["errors"], json!([]), "{version}: {report:#}");
        let pending = ("file.pdf".to_owned(), "pending".to_owned());
        assert!(states(&stage, id).await?.contains(&pending), "{version}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_outside_the_archives_selection_is_known_of_and_never_moved() -> Result<()> {
    let stage = set(18, 0, |builder| {
        builder.variable("archive_models", "res.partner")
    })
    .await?;
    let of_a_lead = attach(&stage, "of-a-lead.pdf");
    let of_a_partner = stage.odoo.attachments().insert(NewAttachment {
        name: Some("of-a-partner.pdf".to_owned()),
        content: Some("of-a-partner.pdf".into()),
        res_model: Some("res.partner".to_owned()),
        res_id: Some(1),
        ..NewAttachment::default()
    });
    say(
        &stage,
        &json!({"attachment_ids": [of_a_lead, of_a_partner]}),
    );
    hourly(&stage).await?;
    stage.post("/archive-batch", "{}").await?;
    let states = async || {
        stage
            .value("select jsonb_object_agg(a.id, a.state || coalesce(' ' || a.reason, '')) from public.odoo_attachments a")
            .await
    };
    let (lead, partner) = (of_a_lead.to_string(), of_a_partner.to_string());
    assert_eq!(
        states().await?,
        json!({ lead.clone(): "skipped not_selected", partner.clone(): "moved" })
    );
    // Whoever widens the selection gets it.
    let (_host, wider) = stage.replica(&[("archive_models", "")]).await?;
    wider
        .post("/archive-batch", stage::SERVICE_KEY, "{}")
        .await?;
    assert_eq!(states().await?, json!({ lead: "moved", partner: "moved" }));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_within_a_message_outlives_odoo() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let picture = attach(&stage, "picture.png");
    let linked = attach(&stage, "linked.pdf");
    let body = format!(
        "<p><img src=\"/web/image/{picture}?access_token=8f2c\"><a href=\"{}/web/content/{linked}?download=true\">file</a></p>",
        stage.odoo.url()
    );
    let id = say(&stage, &json!({"body": body}));
    hourly(&stage).await?;
    let row = message(&stage, id).await?;
    let html = row["body_html"].as_str().unwrap_or_default();
    assert!(
        html.contains(&format!("src=\"odoo-attachment:{picture}\"")),
        "{html}"
    );
    assert!(
        html.contains(&format!("href=\"odoo-attachment:{linked}\"")),
        "{html}"
    );
    assert!(!html.contains("8f2c"), "{html}");
    assert_eq!(row["inline_attachment_ids"], json!([picture, linked]));
    let files = shown(&stage, id).await?["attachments"].clone();
    assert_eq!(files[0]["inline"], true);
    assert_eq!(files[0]["state"], "pending", "{files:#}");
    stage.post("/archive-batch", "{}").await?;
    let files = shown(&stage, id).await?["attachments"].clone();
    assert!(files[0]["object_path"].is_string(), "{files:#}");
    Ok(())
}
