//! What each key copies: an administrator's, a Sales administrator's, a salesman's.

use anyhow::{Result, ensure};
use serde_json::json;
use stage::Stage;
use world::odoo::{NewAttachment, Options, User};

use crate::scene::*;

const VERSIONS: [u8; 6] = [14, 15, 16, 17, 18, 19];

fn keys() -> [User; 3] {
    [
        User::administrator(),
        User::sales_administrator(),
        User::salesman(),
    ]
}

async fn with_key(version: u8, user: &User) -> Result<Stage> {
    let odoo = Options {
        version,
        users: vec![User::administrator(), user.clone()],
        ..Options::default()
    };
    Stage::builder().odoo(odoo).user(user.clone()).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_copies_what_it_may_see_and_tells_what_not() -> Result<()> {
    for version in VERSIONS {
        for user in keys() {
            let when = format!("Odoo {version}, {}", user.login);
            let stage = with_key(version, &user).await?;
            stage.odoo.fill_pipeline(20);
            let hidden = messages(&stage).ids()[2];
            messages(&stage).hide_from_salesmen([hidden]);
            let report = hourly(&stage).await?;
            assert_eq!(report["errors"], json!([]), "{when}");
            assert_eq!(report["unfinished"], json!([]), "{when}");
            let (settings, all) = (user.login == "admin", user.login != "demo");
            let seen = i64::try_from(messages(&stage).count())? - i64::from(!all);
            assert_eq!(live(&stage, "odoo_messages").await?, seen, "{when}");
            let changes = stage.odoo.records("mail.tracking.value").count();
            assert!(changes > 0, "{when}");
            let copied = if settings { i64::try_from(changes)? } else { 0 };
            assert_eq!(live(&stage, "odoo_field_changes").await?, copied, "{when}");
            let told = &report["entities"]["field_changes"]["forbidden"];
            assert_eq!(*told == json!(true), !settings, "{when}: {report:#}");
        }
    }
    Ok(())
}

/// As real servers gave them back: nothing is cleaned by Odoo when it is read.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_bodies_arrive_as_they_are_and_are_shown_without_what_acts() -> Result<()> {
    let bodies = [
        "<p>a</p><script>steal()</script>".to_owned(),
        "<img src=\"x\" onerror=\"steal()\"><p>a</p>".to_owned(),
        format!("{}a{}", "<div>".repeat(3_000), "</div>".repeat(3_000)),
        format!("<p>a{}</p>", " word".repeat(200_000)),
        "<p>a\u{1}\u{2}\u{b}\u{1f}\u{fffe}\u{202e}b</p>".to_owned(),
        "<svg><animate onbegin=steal() attributeName=x></svg><p>a</p>".to_owned(),
        "<math><mtext><table><mglyph><style><img src=x onerror=steal()></style></table></mtext></math><p>a</p>".to_owned(),
        "<a href=\"java\tscript:steal()\">a</a>".to_owned(),
    ];
    for version in VERSIONS {
        for user in keys() {
            let when = format!("Odoo {version}, {}", user.login);
            let stage = with_key(version, &user).await?;
            let ids = bodies
                .each_ref()
                .map(|body| say(&stage, &json!({"body": body})));
            let last = say(&stage, &json!({"body": "<p>The last</p>"}));
            hourly(&stage).await?;
            for (id, body) in ids.iter().zip(&bodies) {
                let row = message(&stage, *id).await?;
                ensure!(row["body"] == *body, "{when}: {id} is not as it was");
                let html = row["body_html"].as_str().unwrap_or_default();
                let text = row["body_text"].as_str().unwrap_or_default();
                ensure!(text.starts_with('a'), "{when}: {id}: {text:.80}");
                for acts in [
                    "<script",
                    "onerror",
                    "onbegin",
                    "javascript:",
                    "script:steal",
                ] {
                    ensure!(!html.contains(acts), "{when}: {acts} in {html:.200}");
                }
            }
            assert_eq!(
                message(&stage, last).await?["body_text"],
                "The last",
                "{when}"
            );
        }
    }
    Ok(())
}

/// Whoever can send a mail can name any file in it, and a key that may read that file would copy it.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_names_a_colleagues_file_brings_it_to_nobody() -> Result<()> {
    for version in VERSIONS {
        for user in keys() {
            let when = format!("Odoo {version}, {}", user.login);
            let stage = with_key(version, &user).await?;
            let private = stage.odoo.attachments().insert(NewAttachment {
                name: Some("salaries.xlsx".to_owned()),
                content: Some("salaries".into()),
                res_model: Some("crm.lead".to_owned()),
                res_id: Some(2),
                ..NewAttachment::default()
            });
            let body = format!(
                "<p>a</p><img src=\"/web/image/{private}\"><a href=\"/web/content/{private}?download=true\">b</a>\
                 <img src=\"/web/image/{private}?access_token=guessed\"><a href=\"odoo-attachment:{private}\">c</a>"
            );
            let id = say(&stage, &json!({"message_type": "email", "body": body}));
            hourly(&stage).await?;
            let row = shown(&stage, id).await?;
            assert_eq!(row["attachments"], json!([]), "{when}: {row:#}");
            let html = row["body_html"].as_str().unwrap_or_default();
            assert!(
                !html.contains(&format!("odoo-attachment:{private}")),
                "{when}: {html}"
            );
            let catalogued = "select count(*) from public.odoo_attachments";
            assert_eq!(stage.count(catalogued).await?, 0, "{when}");
        }
    }
    Ok(())
}
