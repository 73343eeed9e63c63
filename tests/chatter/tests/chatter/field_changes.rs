//! Field changes, readable, in the shapes of every version.

use anyhow::Result;
use serde_json::json;
use stage::Stage;

use crate::scene::*;

async fn a_stage_change_reads_the_same(stage: &Stage, version: u8) -> Result<()> {
    let fields = stage.odoo.records("ir.model.fields");
    for (id, name, label, kind) in [
        (3521, "stage_id", "Stage", "many2one"),
        (3522, "expected_revenue", "Expected Revenue", "monetary"),
        (3523, "active", "Active", "boolean"),
    ] {
        fields.insert(json!({"id": id, "model": "crm.lead", "name": name, "field_description": label, "ttype": kind}));
    }
    let told = say(
        stage,
        &json!({"message_type": "notification", "subtype_id": 6, "body": ""}),
    );
    let change = |id: i64, label: &str, kind: &str, values: serde_json::Value| {
        let mut change = json!({"mail_message_id": told});
        let described = if version >= 17 {
            json!({"field_id": [id, format!("{label} (Lead/Opportunity)")]})
        } else {
            json!({"field": [id, format!("{label} (Lead/Opportunity)")], "field_desc": label, "field_type": kind})
        };
        for more in [described, values] {
            change
                .as_object_mut()
                .into_iter()
                .for_each(|change| change.extend(more.as_object().cloned().unwrap_or_default()));
        }
        stage.odoo.records("mail.tracking.value").insert(change)
    };
    change(
        3521,
        "Stage",
        "many2one",
        json!({"old_value_integer": 1, "old_value_char": "New", "new_value_integer": 3, "new_value_char": "Proposition"}),
    );
    change(
        3522,
        "Expected Revenue",
        "monetary",
        json!({"old_value_float": 0.0, "new_value_float": 1250.5, "currency_id": [1, "EUR"]}),
    );
    change(
        3523,
        "Active",
        "boolean",
        json!({"old_value_integer": 1, "new_value_integer": 0}),
    );
    hourly(stage).await?;
    let shown = shown(stage, told).await?;
    assert_eq!(shown["kind"], "change");
    let of = |field: &str, label: &str, kind: &str, old: &str, new: &str, old_value, new_value| json!({"field": field, "label": label, "type": kind, "old": old, "new": new, "old_value": old_value, "new_value": new_value});
    assert_eq!(
        shown["changes"],
        json!([
            of(
                "stage_id",
                "Stage",
                "many2one",
                "New",
                "Proposition",
                json!({"id": 1, "name": "New"}),
                json!({"id": 3, "name": "Proposition"})
            ),
            of(
                "expected_revenue",
                "Expected Revenue",
                "monetary",
                "0",
                "1250.5",
                json!(0.0),
                json!(1250.5)
            ),
            of(
                "active",
                "Active",
                "boolean",
                "Yes",
                "No",
                json!(true),
                json!(false)
            ),
        ]),
        "{shown:#}"
    );
    Ok(())
}

macro_rules! version {
    ($name:ident, $version:literal) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Result<()> {
            a_stage_change_reads_the_same(&chatter($version, 10).await?, $version).await
        }
    };
}

version!(odoo_14_tells_what_changed, 14);
version!(odoo_16_tells_what_changed, 16);
version!(odoo_17_tells_what_changed, 17);
version!(odoo_18_tells_what_changed, 18);
version!(odoo_19_tells_what_changed, 19);

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_other_models_stay_where_they_are() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let order = say(&stage, &json!({"model": "sale.order"}));
    let lead = say(&stage, &json!({}));
    let changes = stage.odoo.records("mail.tracking.value");
    let elsewhere = changes.insert(json!({"mail_message_id": order, "new_value_char": "x"}));
    let here = changes.insert(json!({"mail_message_id": lead, "new_value_char": "y", "field_info": {"desc": "Region", "name": "x_region", "type": "char"}}));
    hourly(&stage).await?;
    assert!(
        row(&stage, "odoo_field_changes", elsewhere)
            .await?
            .is_null()
    );
    let change = row(&stage, "odoo_field_changes", here).await?;
    assert_eq!(
        (&change["field"], &change["label"], &change["new"]),
        (&json!("x_region"), &json!("Region"), &json!("y"))
    );
    Ok(())
}
