//! HTML of leads, partners and custom fields: kept as Odoo has it, and shown without what acts.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stage::Stage;
use world::odoo::NewAttachment;

use crate::scene::*;

const HOSTILE: &str = "<p onclick=\"steal()\">Hi</p><script>steal()</script><svg onload=steal()></svg><a href=\"da\nta:text/html,steal\">x</a><img src=\"https://evil.example/steal.gif\" onerror=steal()><form action=\"https://evil.example/steal\"></form><style>p{}</style>";

/// What a browser would make of it: nothing that acts, and no other server that is asked unless so set.
fn is_harmless(html: &str) -> Result<()> {
    ensure!(html.contains("<p>Hi</p>"), "{html}");
    for acts in [
        "script", "onclick", "onerror", "onload", "svg", "data:", "da\nta:", "form", "style",
    ] {
        ensure!(!html.contains(acts), "{acts}: {html}");
    }
    Ok(())
}

fn attach(stage: &Stage, model: &str, id: i64) -> i64 {
    stage.odoo.attachments().insert(NewAttachment {
        res_model: Some(model.to_owned()),
        res_id: Some(id),
        ..NewAttachment::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn html_of_any_field_is_kept_as_it_is_and_shown_without_what_acts() -> Result<()> {
    for version in [15, 19] {
        let stage = pipeline(version, 6).await?;
        leads(&stage).add_field("x_notes", "html", None);
        stage
            .odoo
            .records("crm.stage")
            .add_field("x_manual", "html", None);
        let own = attach(&stage, "crm.lead", 3);
        let foreign = attach(&stage, "crm.lead", 4);
        let pictures =
            format!("{HOSTILE}<img src=\"/web/image/{own}\"><img src=\"/web/image/{foreign}\">");
        leads(&stage).update(3, &json!({"description": pictures, "x_notes": HOSTILE}));
        stage
            .odoo
            .records("crm.stage")
            .update(1, &json!({"x_manual": HOSTILE}));
        let partner = leads(&stage).get(3).unwrap_or_default()["partner_id"][0].clone();
        let partner = partner.as_i64().unwrap_or_default();
        stage
            .odoo
            .records("res.partner")
            .update(partner, &json!({"comment": HOSTILE}));
        sync(&stage).await?;

        let row = lead(&stage, 3).await?;
        assert_eq!(row["description"], json!(pictures));
        let html = row["description_html"].as_str().unwrap_or_default();
        is_harmless(html)?;
        ensure!(
            html.contains(&format!("src=\"odoo-attachment:{own}\"")),
            "{html}"
        );
        ensure!(
            !html.contains(&format!("odoo-attachment:{foreign}")),
            "{html}"
        );
        assert_eq!(row["inline_attachment_ids"], json!([own]));
        assert_eq!(row["description_text"], "Hi\nx");
        assert_eq!(row["custom"]["x_notes"], json!(HOSTILE));
        is_harmless(
            row["custom_html"]["x_notes"]["html"]
                .as_str()
                .unwrap_or_default(),
        )?;
        assert_eq!(row["custom_html"]["x_notes"]["text"], "Hi\nx");

        let comment = self::row(&stage, "odoo_partners", partner).await?;
        assert_eq!(comment["comment"], json!(HOSTILE));
        is_harmless(comment["comment_html"].as_str().unwrap_or_default())?;
        let manual = self::row(&stage, "odoo_stages", 1).await?;
        is_harmless(
            manual["custom_html"]["x_manual"]["html"]
                .as_str()
                .unwrap_or_default(),
        )?;

        // A view shows the clean form, and what has none is null.
        let shown = "select jsonb_build_array(p.description_html = l.description_html, p.custom_html = l.custom_html)
             from public.odoo_pipeline p join public.odoo_leads l on l.id = p.id where p.id = 3";
        assert_eq!(stage.value(shown).await?, json!([true, true]));
        leads(&stage).update(3, &json!({"description": false}));
        sync(&stage).await?;
        let row = lead(&stage, 3).await?;
        assert_eq!(
            (&row["description"], &row["description_html"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(changed(&sync(&stage).await?), [0, 0, 0]);
    }
    Ok(())
}

/// Up to 14 these fields are text, in which nothing is markup.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_an_older_version_is_shown_as_what_it_is() -> Result<()> {
    let stage = pipeline(14, 3).await?;
    leads(&stage).update(
        2,
        &json!({"description": "1 < 2\n<script>steal()</script>"}),
    );
    sync(&stage).await?;
    let row = lead(&stage, 2).await?;
    assert_eq!(
        row["description_html"],
        "1 &lt; 2<br>\n&lt;script&gt;steal()&lt;/script&gt;"
    );
    assert_eq!(row["description_text"], "1 < 2\n<script>steal()</script>");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_other_servers_are_left_to_the_reader_where_that_is_set() -> Result<()> {
    let stage = set(18, 3, |builder| builder.variable("remote_images", "hold")).await?;
    leads(&stage).update(2, &json!({"description": HOSTILE}));
    sync(&stage).await?;
    let html = lead(&stage, 2).await?["description_html"].clone();
    let html = html.as_str().unwrap_or_default();
    ensure!(
        html.contains("src=\"remote-image:https://evil.example/steal.gif\""),
        "{html}"
    );
    Ok(())
}
