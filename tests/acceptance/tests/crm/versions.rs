//! Odoo 14 to 19, whoever's key it is.

use anyhow::Result;
use serde_json::json;
use stage::Stage;
use world::odoo::User;

use crate::scene::*;

/// What a pipeline page may rely on, whatever the version.
async fn the_pipeline_is_there(stage: &Stage, version: u8) -> Result<()> {
    let lost = leads(stage).insert(json!({
        "name": "Lost", "active": false, "stage_id": 2, "lost_reason": 1, "lost_reason_id": 1, "probability": 0.0,
        "kanban_state": "grey", "won_status": "lost", "mobile": "+32 470", "expected_revenue": 1250.5,
        "date_action_last": "2026-11-21 20:21:22", "date_automation_last": "2026-11-21 20:21:22",
        "date_deadline": "2026-12-24", "tag_ids": [1, 2], "priority": "2",
    }));
    stage
        .odoo
        .records("crm.stage")
        .update(2, &json!({"team_id": 1, "team_ids": [1]}));
    let report = sync(stage).await?;
    assert_eq!(report["unfinished"], json!([]), "{report:#}");
    assert_same(stage).await?;
    let row = lead(stage, lost).await?;
    assert_eq!(row["lost_reason_id"], 1, "{row:#}");
    assert_eq!(row["active"], false);
    assert_eq!(row["expected_revenue"], 1250.5);
    assert_eq!(row["date_last_action"], "2026-11-21T20:21:22+00:00");
    assert_eq!(row["date_deadline"], "2026-12-24");
    assert_eq!(row["tag_ids"], json!([1, 2]));
    assert_eq!(row["priority"], 2);
    assert_eq!(row["mobile"].is_null(), version >= 19, "{row:#}");
    assert_eq!(row["kanban_state"].is_null(), version >= 18);
    assert_eq!(row["won_status"].is_null(), version < 19);
    let shown = stage
        .value(&format!(
            "select to_jsonb(p) from public.odoo_pipeline p where p.id = {lost}"
        ))
        .await?;
    assert_eq!(shown["status"], "lost", "{shown:#}");
    assert_eq!(shown["stage"], "Qualified");
    assert_eq!(shown["lost_reason"], "Too expensive");
    assert_eq!(shown["tags"], json!(["Product", "Software"]));
    assert_eq!(
        crate::scene::row(stage, "odoo_stages", 2).await?["team_ids"],
        json!([1])
    );
    Ok(())
}

macro_rules! version {
    ($name:ident, $version:literal) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Result<()> {
            the_pipeline_is_there(&pipeline($version, 40).await?, $version).await
        }
    };
}

version!(odoo_14_fills_the_same_columns, 14);
version!(odoo_16_fills_the_same_columns, 16);
version!(odoo_17_fills_the_same_columns, 17);
version!(odoo_18_fills_the_same_columns, 18);
version!(odoo_19_fills_the_same_columns, 19);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_version_lacks_is_told_once_and_is_no_error() -> Result<()> {
    let stage = pipeline(19, 5).await?;
    let first = sync(&stage).await?;
    assert_eq!(
        first["entities"]["leads"]["lacking"],
        json!(["kanban_state", "mobile"])
    );
    assert_eq!(first["errors"], json!([]));
    let logged = "select count(*) from public.migration_logs l where l.job = 'crm-sync' and l.detail #> '{entities,leads,lacking}' ? 'mobile'";
    assert_eq!(stage.count(logged).await?, 1);
    let second = sync(&stage).await?;
    assert!(
        second["entities"]["leads"].get("lacking").is_none(),
        "{second:#}"
    );
    assert_eq!(stage.count(logged).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_salesmans_key_copies_what_it_may_see() -> Result<()> {
    let stage = set(18, 30, |builder| builder.user(User::salesman())).await?;
    leads(&stage).hide_field_from_salesmen("expected_revenue");
    leads(&stage).hide_field_from_salesmen("partner_id");
    let hidden = leads(&stage).insert(json!({"name": "Hidden"}));
    leads(&stage).hide_from_salesmen([hidden]);
    let report = sync(&stage).await?;
    assert_eq!(
        report["entities"]["leads"]["lacking"][0], "partner_id",
        "{report:#}"
    );
    assert_eq!(live(&stage, "odoo_leads").await?, 30);
    assert!(lead(&stage, hidden).await?.is_null());
    let row = lead(&stage, 1).await?;
    assert_eq!(row["expected_revenue"], json!(null));
    assert_eq!(row["email_from"], "buyer0@example.com");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_field_comes_with_all_its_values_and_goes_again() -> Result<()> {
    let stage = pipeline(18, 20).await?;
    sync(&stage).await?;
    assert_eq!(custom(&stage, 3).await?, json!({}));
    // Adding a field with its values changes no record's date.
    leads(&stage).add_field("x_region", "char", None);
    leads(&stage).add_field("x_owner_id", "many2one", Some("res.users"));
    leads(&stage).add_field("x_scan", "binary", None);
    leads(&stage).update_quietly(3, &json!({"x_region": "Benelux", "x_owner_id": 2}));
    sync(&stage).await?;
    assert_eq!(
        custom(&stage, 3).await?,
        json!({"x_region": "Benelux", "x_owner_id": 2})
    );
    assert_eq!(
        custom(&stage, 4).await?,
        json!({"x_region": null, "x_owner_id": null})
    );
    leads(&stage).remove_field("x_region");
    sync(&stage).await?;
    // What is gone from Odoo, or from what its user may read, stays as it was, and is told.
    let custom = custom(&stage, 3).await?;
    assert_eq!(custom["x_owner_id"], 2);
    assert!(custom["x_region"].is_string(), "{custom}");
    Ok(())
}

/// The nightly run: everything is read, compared, and what is gone is marked.
async fn both_sides_are_compared(version: u8) -> Result<()> {
    let stage = pipeline(version, 40).await?;
    run(&stage, r#"{"mode": "full"}"#).await?;
    leads(&stage).delete([7]);
    let report = run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(report["entities"]["leads"]["deleted"], 1, "{report:#}");
    for entity in ENTITIES {
        let verdict = validation(&stage, entity).await?["verdict"].clone();
        assert_eq!(verdict, "same", "{entity} of Odoo {version}");
    }
    Ok(())
}

macro_rules! compared {
    ($name:ident, $version:literal) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Result<()> {
            both_sides_are_compared($version).await
        }
    };
}

compared!(odoo_14_is_compared_and_its_deletions_arrive, 14);
compared!(odoo_15_is_compared_and_its_deletions_arrive, 15);
compared!(odoo_16_is_compared_and_its_deletions_arrive, 16);
compared!(odoo_17_is_compared_and_its_deletions_arrive, 17);
compared!(odoo_18_is_compared_and_its_deletions_arrive, 18);
compared!(odoo_19_is_compared_and_its_deletions_arrive, 19);
