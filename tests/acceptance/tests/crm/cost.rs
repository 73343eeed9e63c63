//! What a run costs.

use anyhow::{Result, bail};
use serde_json::json;
use stage::until;

use crate::scene::*;
use crate::wire::Wire;

const MEBIBYTE: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_nothing_new_costs_two_calls_a_model_and_at_most_ten_statements() -> Result<()> {
    let stage = pipeline(18, 100).await?;
    // Many that were written in one go, a day ago.
    let yesterday = minutes_ago(&stage, 1440).await?;
    leads(&stage).insert_many((0..5000).map(|number| {
        json!({"name": format!("Imported {number}"), "stage_id": 1, "write_date": yesterday})
    }));
    stage.odoo.install_sales();
    for model in [
        "sale.order",
        "sale.order.line",
        "mail.activity",
        "mail.followers",
        "calendar.event",
    ] {
        let records = stage.odoo.records(model);
        records.insert_many((1..=3000).map(|id| json!({"id": id, "name": format!("Number {id}"), "res_model": "crm.lead", "res_id": 1, "write_date": yesterday})));
    }
    let wire = Wire::before(&stage.database).await?;
    let (_host, caller) = stage
        .replica(&[
            ("db_host", "127.0.0.1"),
            ("db_port", &wire.port().to_string()),
        ])
        .await?;
    let post = || caller.post(PATH, stage::SERVICE_KEY, "{}");
    let first = post().await?.json();
    assert_eq!(first["unfinished"], json!([]), "{first:#}");
    stage.odoo.counters().reset();
    wire.reset();
    let second = post().await?.json();
    assert_eq!(changed(&second), [0, 0, 0], "{second:#}");
    let calls = stage.odoo.counters();
    let mut by_model = std::collections::BTreeMap::<String, u64>::new();
    for (endpoint, count) in calls.all() {
        let parts = endpoint.split_once('/');
        if let Some((model, _)) = parts.filter(|_| count.calls > 0) {
            *by_model.entry(model.to_owned()).or_default() += count.calls;
        }
    }
    let entities = second["entities"]
        .as_object()
        .map_or(0, serde_json::Map::len);
    assert_eq!(entities, 24, "{second:#}");
    let models = by_model.iter().filter(|(model, _)| model.contains('.'));
    assert_eq!(models.clone().count(), entities, "{by_model:#?}");
    for (model, calls) in models {
        // One more tells this Odoo from another.
        let most = match model.as_str() {
            "res.users" => 3,
            _ => 2,
        };
        assert!((1..=most).contains(calls), "{model}: {calls}");
    }
    let statements = wire.statements();
    assert!((2..=10).contains(&statements), "{statements} statements");
    sync(&stage).await?;
    stage.check_peak_memory("crm-sync", 64 * MEBIBYTE)?;
    // And no row was written.
    let written = "select count(*) from public.odoo_leads where synced_at > (select max(started_at) from odoo_sync.runs)";
    assert_eq!(stage.count(written).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pass_over_an_unchanged_odoo_writes_no_row() -> Result<()> {
    let stage = pipeline(18, 500).await?;
    sync(&stage).await?;
    let report = run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(changed(&report), [0, 0, 0], "{report:#}");
    assert!(report["unchanged"].as_u64().unwrap_or_default() >= 500);
    let written = "select count(*) from public.odoo_leads where synced_at > (select max(started_at) from odoo_sync.runs)";
    assert_eq!(stage.count(written).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn odoo_is_asked_for_the_next_page_while_postgres_writes_one() -> Result<()> {
    let stage = pipeline(18, 1500).await?;
    let mut holder = stage.database.connect().await?;
    let held = holder.transaction().await?;
    held.batch_execute("lock table public.odoo_leads in share mode")
        .await?;
    let run = stage.post(PATH, "{}");
    // For the newest date, and for two pages.
    let asked = until("Odoo is asked for the second page of leads", async || {
        Ok(stage.odoo.counters().of("crm.lead/search_read").calls == 3)
    });
    tokio::pin!(run);
    tokio::select! {
        asked = asked => asked?,
        ended = &mut run => bail!("nobody asked for the second page: {}", ended?.text()),
    }
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_leads")
            .await?,
        0
    );
    held.commit().await?;
    let report = run.await?.json();
    assert_eq!(report["entities"]["leads"]["inserted"], 1500, "{report:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_leads_fit_into_64_mib() -> Result<()> {
    // In one run, however slow the machine.
    let stage = set(18, 0, |builder| {
        builder.variable("crm_batch_seconds", "600")
    })
    .await?;
    let note = "A note of some length. ".repeat(40);
    leads(&stage).insert_many((1..=50_000).map(|id| {
        json!({"id": id, "name": format!("Lead {id}"), "stage_id": 1 + id % 4, "description": note, "partner_id": 1 + id % 3})
    }));
    let report = run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(
        report["entities"]["leads"]["inserted"], 50_000,
        "{report:#}"
    );
    assert_eq!(report["unfinished"], json!([]));
    println!("50,000 leads in {} s", report["elapsed_s"]);
    stage.check_peak_memory("crm-sync", 64 * MEBIBYTE)
}
