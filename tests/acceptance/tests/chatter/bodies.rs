//! Bodies: as Odoo has them, as they may be shown, and none that is too large.

use anyhow::{Result, ensure};
use serde_json::json;
use world::faults::Fault;

use crate::scene::*;

const MEBIBYTE: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_html_is_kept_as_it_is_and_shown_without_what_acts() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let hostile = "<p onclick=\"steal()\">Hi\u{0}</p><script>steal()</script><img src=x onerror=steal()><a href=\"javascript:steal()\">x</a><form action=\"https://evil.example\"><input name=p></form><iframe src=\"https://evil.example\"></iframe><style>p{}</style>";
    let id = say(&stage, &json!({"body": hostile}));
    hourly(&stage).await?;
    let row = message(&stage, id).await?;
    assert_eq!(row["body"], hostile.replace('\u{0}', ""));
    let html = row["body_html"].as_str().unwrap_or_default();
    ensure!(html.contains("<p>Hi"), "{html}");
    for acts in [
        "script",
        "onclick",
        "onerror",
        "javascript",
        "form",
        "input",
        "iframe",
        "style",
        "steal",
        "evil",
    ] {
        ensure!(!html.contains(acts), "{acts}: {html}");
    }
    assert_eq!(row["body_text"], "Hi\nx");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_20_mb_is_left_out_with_a_reason_and_the_rest_goes_on_in_64_mib() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let usual = format!("<p>{}</p>", "Some words of a mail. ".repeat(200));
    let say_some = |count: usize| {
        messages(&stage).insert_many((0..count).map(|_| {
            json!({"model": "crm.lead", "res_id": 1, "message_type": "email", "subtype_id": 1, "body": usual})
        }))
    };
    say_some(1500);
    let huge = say(
        &stage,
        &json!({"subject": "Huge", "body": "<p>x</p>".repeat(20 * 1024 * 1024 / 8)}),
    );
    let large = say(&stage, &json!({"body": "y".repeat(3 * 1024 * 1024)}));
    // As much as is still taken, and of the sort that takes the most memory.
    let nested = say(&stage, &json!({"body": "<div>z".repeat(5_900)}));
    let long = say(
        &stage,
        &json!({"body": format!("<p>{}</p>", "word ".repeat(400_000))}),
    );
    let complex = say(&stage, &json!({"body": "<b>z".repeat(30_000)}));
    say_some(1500);
    let report = hourly(&stage).await?;
    assert_eq!(
        report["entities"]["messages"]["inserted"], 3005,
        "{report:#}"
    );
    for id in [huge, large] {
        let row = message(&stage, id).await?;
        assert_eq!(row["body_omitted"], "too_large");
        assert_eq!(
            (&row["body"], &row["body_html"]),
            (&json!(null), &json!(null))
        );
        assert_eq!(
            (&row["kind"], &row["author_id"]),
            (&json!("message"), &json!(3))
        );
    }
    assert_eq!(message(&stage, huge).await?["subject"], "Huge");
    let row = message(&stage, complex).await?;
    assert_eq!(
        (&row["body_omitted"], &row["body_html"]),
        (&json!("too_complex"), &json!(null))
    );
    for id in [nested, long] {
        assert_eq!(message(&stage, id).await?["body_omitted"], json!(null));
    }
    stage.check_peak_memory("chatter-sync", 64 * MEBIBYTE)?;
    assert_eq!(changed(&hourly(&stage).await?), [0, 0, 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odoo_that_is_slow_for_a_while_costs_no_message_its_body() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let said = say(&stage, &json!({"body": "<p>Precious</p>"}));
    // The page is made smaller down to one message, each is asked for twice, and even that one does not come.
    let resets = Fault::on_call("mail.message", "search_read").from_nth(2);
    stage.odoo.faults().add(resets.times(18).reset_at(0));
    let answer = stage.post(PATH, "{}").await?;
    assert_eq!(answer.json()["status"], "error", "{}", answer.text());
    assert!(message(&stage, said).await?.is_null());
    sync(&stage).await?;
    let row = message(&stage, said).await?;
    assert_eq!(row["body_text"], "Precious", "{row:#}");
    assert_eq!(row["body_omitted"], json!(null));
    Ok(())
}
