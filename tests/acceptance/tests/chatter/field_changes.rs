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

/// 19 notes the properties that a lead loses with its team (`_track_get_fields` and `_create_tracking_values_property` of
/// `mail`): the field holds them all, and what each was stands in `field_info`.
#[tokio::test(flavor = "multi_thread")]
async fn a_property_that_a_lead_loses_keeps_its_label_type_and_value() -> Result<()> {
    let stage = chatter(19, 0).await?;
    let fields = stage.odoo.records("ir.model.fields");
    fields.insert(json!({
        "id": 3600, "model": "crm.lead", "name": "lead_properties", "field_description": "Properties", "ttype": "properties",
    }));
    let told = say(
        &stage,
        &json!({"message_type": "notification", "subtype_id": 2, "body": ""}),
    );
    let lost = [
        (
            "Region",
            "char",
            json!({"old_value_char": "BE"}),
            json!("BE"),
            "BE",
        ),
        (
            "Seats",
            "integer",
            json!({"old_value_integer": 12}),
            json!(12),
            "12",
        ),
        (
            "Weight",
            "float",
            json!({"old_value_float": 2.5}),
            json!(2.5),
            "2.5",
        ),
        (
            "Signed",
            "boolean",
            json!({"old_value_integer": 1}),
            json!(true),
            "Yes",
        ),
        (
            "Due",
            "date",
            json!({"old_value_datetime": "2026-05-11 00:00:00"}),
            json!("2026-05-11"),
            "2026-05-11",
        ),
        (
            "Size",
            "selection",
            json!({"old_value_char": "Large"}),
            json!("Large"),
            "Large",
        ),
        (
            "Topics",
            "tags",
            json!({"old_value_char": "A, B"}),
            json!("A, B"),
            "A, B",
        ),
        (
            "Partner",
            "many2one",
            json!({"old_value_integer": 3, "old_value_char": "Ada"}),
            json!({"id": 3, "name": "Ada"}),
            "Ada",
        ),
    ];
    let changes = stage.odoo.records("mail.tracking.value");
    let ids = lost.each_ref().map(|(label, kind, value, ..)| {
        let info = json!({"desc": format!("Properties: {label}"), "name": "lead_properties", "type": kind});
        let mut change = json!({
            "mail_message_id": told, "field_id": [3600, "Properties (Lead/Opportunity)"], "field_info": info,
        });
        if let (Some(change), Some(value)) = (change.as_object_mut(), value.as_object()) {
            change.extend(value.clone());
        }
        changes.insert(change)
    });
    hourly(&stage).await?;
    for (id, (label, kind, raw, value, words)) in ids.iter().zip(lost) {
        let row = row(&stage, "odoo_field_changes", *id).await?;
        assert_eq!(row["field"], "lead_properties", "{row:#}");
        assert_eq!(row["label"], format!("Properties: {label}"), "{row:#}");
        assert_eq!(row["type"], kind, "{row:#}");
        assert_eq!(
            (&row["old_value"], &row["old"]),
            (&value, &json!(words)),
            "{row:#}"
        );
        for (name, value) in raw.as_object().into_iter().flatten() {
            assert_eq!(row["raw"][name], *value, "{row:#}");
        }
        assert_eq!(row["raw"]["field_info"]["type"], kind, "{row:#}");
    }
    Ok(())
}

/// As many as a company of some years has, three changes to four messages.
#[tokio::test(flavor = "multi_thread")]
async fn the_changes_of_200_000_messages_cost_at_most_1_2_calls_a_page_and_never_the_whole_chatter()
-> Result<()> {
    const MESSAGES: i64 = 200_000;
    let stage = set(18, 0, |builder| {
        builder.variable("chatter_batch_seconds", "900")
    })
    .await?;
    messages(&stage).insert_many((1..=MESSAGES).map(|id| {
        json!({
            "id": id, "model": "crm.lead", "res_id": 1 + id % 5000, "message_type": "notification", "subtype_id": 6,
            "body": "", "author_id": 3, "write_date": "2026-01-01 10:00:00",
        })
    }));
    let changes = stage.odoo.records("mail.tracking.value");
    let of = |id: i64| std::iter::repeat_n(id, usize::from(id % 2 == 0) + usize::from(id % 4 == 0));
    let made = changes.insert_many((1..=MESSAGES).flat_map(of).map(|id| {
        json!({"mail_message_id": id, "field_id": [3521, "Stage (Lead/Opportunity)"], "new_value_char": "Won"})
    }));
    stage.odoo.counters().reset();
    let report = hourly(&stage).await?;
    assert_eq!(report["unfinished"], json!([]), "{report:#}");
    let all: i64 = i64::try_from(made.len())?;
    assert_eq!(
        (all, live(&stage, "odoo_field_changes").await?),
        (150_000, all)
    );
    let calls = |model: &str| {
        stage
            .odoo
            .counters()
            .of(&format!("{model}/search_read"))
            .calls
    };
    let (of_changes, pages) = (calls("mail.tracking.value"), 200_000 / 500);
    println!(
        "{pages} pages of messages, {of_changes} calls for {all} changes, the comparison among them"
    );
    assert!(
        of_changes * 10 <= pages * 12,
        "{of_changes} calls for {pages} pages"
    );
    assert_eq!(stage.odoo.whole_chatters(), 0);
    assert_eq!(
        validation(&stage, "field_changes").await?["verdict"],
        "same"
    );
    // And nothing new costs nothing.
    stage.odoo.counters().reset();
    sync(&stage).await?;
    assert_eq!(calls("mail.tracking.value"), 0);
    Ok(())
}

/// A change comes with the message that tells of it, whenever that is written here.
#[tokio::test(flavor = "multi_thread")]
async fn the_changes_of_what_is_new_arrive_with_it() -> Result<()> {
    let stage = chatter(18, 20).await?;
    hourly(&stage).await?;
    let told = say(
        &stage,
        &json!({"message_type": "notification", "subtype_id": 6, "body": ""}),
    );
    let change = stage.odoo.stage_change(told);
    sync(&stage).await?;
    assert_eq!(
        row(&stage, "odoo_field_changes", change).await?["new"],
        "Proposition"
    );
    let waiting = "select count(*) from odoo_sync.wanted_changes";
    assert_eq!(stage.count(waiting).await?, 0);
    messages(&stage).delete([told]);
    hourly(&stage).await?;
    let row = row(&stage, "odoo_field_changes", change).await?;
    assert!(row["deleted_at"].is_string(), "{row:#}");
    Ok(())
}

/// The version before read them by their dates, and may have been cut off in the middle of that.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_version_before_are_read_again_by_the_next_run() -> Result<()> {
    let stage = chatter(18, 20).await?;
    hourly(&stage).await?;
    stage
        .owner
        .batch_execute(
            "update public.odoo_field_changes set raw = null, row_hash = 'before';
             delete from odoo_sync.wanted_changes;
             update odoo_sync.cursors set position = position || jsonb_build_object('shape', 'of the version before',
                      'written', '2026-11-21T20:21:22Z', 'changes', jsonb_build_object(
                        'until', '2026-11-22T20:21:22Z', 'settles', true, 'after_id', 5, 'tail', ''))
              where name = 'chatter-sync:field_changes'",
        )
        .await?;
    let report = sync(&stage).await?;
    assert_eq!(report["unfinished"], json!([]), "{report:#}");
    let changes = i64::try_from(stage.odoo.records("mail.tracking.value").count())?;
    let filled = "select count(*) from public.odoo_field_changes where raw ->> 'new_value_char' = 'Proposition'";
    assert_eq!(stage.count(filled).await?, changes);
    Ok(())
}
