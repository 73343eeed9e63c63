//! Faults of the source, and who else they concern.

use anyhow::Result;
use serde_json::json;
use world::faults::Fault;

use crate::scene::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_one_entity_leaves_the_others_progress_and_is_told() -> Result<()> {
    let stage = pipeline(18, 30).await?;
    stage
        .odoo
        .faults()
        .add(Fault::on_call("crm.tag", "search_read").html_500());
    let report = failing_run(&stage, "{}").await?;
    assert!(
        report["errors"][0]
            .as_str()
            .unwrap_or_default()
            .starts_with("tags: "),
        "{report:#}"
    );
    assert_same(&stage).await?;
    assert_eq!(live(&stage, "odoo_tags").await?, 0);
    let log = stage
        .value("select to_jsonb(l) from public.migration_logs l where l.job = 'crm-sync'")
        .await?;
    assert_eq!(log["status"], "error");
    assert!(
        log["errors"][0]
            .as_str()
            .unwrap_or_default()
            .starts_with("tags: ")
    );
    stage.odoo.faults().clear();
    let report = sync(&stage).await?;
    assert_eq!(changed(&report), [5, 0, 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_odoo_is_waited_for() -> Result<()> {
    let stage = pipeline(18, 10).await?;
    stage
        .odoo
        .faults()
        .add(Fault::on_call("crm.lead", "search_read").times(2).answer(
            429,
            &[("Retry-After", "0")],
            "",
        ));
    sync(&stage).await?;
    assert_same(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_too_long_come_in_halves() -> Result<()> {
    let stage = pipeline(18, 12).await?;
    let long = "x".repeat(1_500_000);
    for id in 1..=8 {
        leads(&stage).update_quietly(id, &json!({"description": long}));
    }
    sync(&stage).await?;
    assert_same(&stage).await?;
    let whole = "select count(*) from public.odoo_leads where length(description) = 1500000";
    assert_eq!(stage.count(whole).await?, 8);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_value_keeps_no_page_from_being_written() -> Result<()> {
    let stage = pipeline(18, 3).await?;
    leads(&stage).update(1, &json!({
        "name": "A\u{0}B", "priority": "very", "expected_revenue": 1e300, "color": 9_000_000_000_i64, "date_deadline": "0001-01-01",
    }));
    sync(&stage).await?;
    let row = lead(&stage, 1).await?;
    assert_eq!(
        (&row["name"], &row["priority"], &row["color"]),
        (&json!("AB"), &json!(null), &json!(9_000_000_000_i64))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_odoo_refuses_is_named_and_nothing_is_touched() -> Result<()> {
    let stage = set(18, 3, |builder| {
        builder.variable("odoo_api_key", "stale-key-7c1")
    })
    .await?;
    let report = failing_run(&stage, "{}").await?;
    assert_eq!(report["fault"]["kind"], "source_login", "{report:#}");
    assert!(!report.to_string().contains("stale-key-7c1"));
    assert!(!stage.log().join("\n").contains("stale-key-7c1"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_is_too_long_alone_comes_without_its_description() -> Result<()> {
    let stage = pipeline(18, 30).await?;
    let long = format!("<p>{}</p>", "x".repeat(5_000_000));
    leads(&stage).update(7, &json!({"description": long}));
    sync(&stage).await?;
    assert_eq!(live(&stage, "odoo_leads").await?, 30);
    let row = lead(&stage, 7).await?;
    assert_eq!(
        row["name"],
        leads(&stage).get(7).unwrap_or_default()["name"]
    );
    assert_eq!(
        row["description"],
        "(Left out, since it is longer than 4 MiB: see Odoo.)"
    );
    leads(&stage).update(7, &json!({"description": "<p>Short</p>"}));
    sync(&stage).await?;
    assert_same(&stage).await
}
