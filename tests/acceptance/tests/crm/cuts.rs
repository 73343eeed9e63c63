//! Cut off anywhere, the next run goes on.

use anyhow::{Result, ensure};
use http::Method;
use serde_json::json;
use stage::{SERVICE_KEY, until};
use world::faults::Fault;

use crate::scene::*;

/// As many as the largest pipelines have.
const LEADS: u32 = 50_000;
const PAGES: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_leads_arrive_though_every_page_is_cut_off_after_the_one_before()
-> Result<()> {
    let stage = pipeline(18, 0).await?;
    let many = (1..=LEADS)
        .map(|id| json!({"id": id, "name": format!("Lead {id}"), "stage_id": 1 + id % 4}));
    leads(&stage).insert_many(many);
    let only_leads = r#"{"entities": ["leads"]}"#;
    for page in 0..PAGES {
        stage.odoo.faults().clear();
        // The first run asks for the newest date before its first page.
        let pages = if page == 0 { 3 } else { 2 };
        stage.odoo.faults().add(
            Fault::on_call("crm.lead", "search_read")
                .from_nth(pages)
                .refuse(),
        );
        let report = failing_run(&stage, only_leads).await?;
        ensure!(report["inserted"] == 1000, "page {page}: {report:#}");
    }
    stage.odoo.faults().clear();
    let report = run(&stage, only_leads).await?;
    assert_eq!(changed(&report), [0, 0, 0], "{report:#}");
    assert_eq!(validation(&stage, "leads").await?["verdict"], "same");
    assert_same(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_in_mid_run_loses_nothing() -> Result<()> {
    let mut stage = pipeline(18, 0).await?;
    leads(&stage).insert_many(
        (1..=6000).map(|id| json!({"id": id, "name": format!("Lead {id}"), "stage_id": 1})),
    );
    let here = "select count(*) from public.odoo_leads";
    for cut in 1..=4 {
        // The first run asks for the newest date before its first page.
        let hangs = if cut == 1 { 3 } else { 2 };
        stage.odoo.faults().add(
            Fault::on_call("crm.lead", "search_read")
                .from_nth(hangs)
                .delay_ms(600_000),
        );
        let authorization = format!("Bearer {SERVICE_KEY}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("prefer", "respond-async"),
        ];
        let caller = stage.caller();
        let answer = caller.send(Method::POST, PATH, &headers, "{}").await?;
        let applied = answer.header("preference-applied");
        ensure!(
            answer.status == 202 && applied == "respond-async",
            "{}",
            answer.text()
        );
        until("one page more is there", async || {
            Ok(stage.count(here).await? == cut * 1000)
        })
        .await?;
        // Its slot is taken as long as its lease says; a second run says so and changes nothing.
        assert_eq!(stage.post(PATH, "{}").await?.json()["status"], "running");
        stage.restart_app().await?;
        stage.odoo.faults().clear();
        leases_pass(&stage).await?;
    }
    sync(&stage).await?;
    assert_same(&stage).await?;
    let crashed = "select count(*) from odoo_sync.runs where outcome = 'crashed'";
    assert_eq!(stage.count(crashed).await?, 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_out_of_time_says_what_is_left_and_the_next_goes_on() -> Result<()> {
    let stage = set(18, 0, |builder| builder.variable("crm_batch_seconds", "1")).await?;
    leads(&stage).insert_many(
        (1..=2000).map(|id| json!({"id": id, "name": format!("Lead {id}"), "stage_id": 1})),
    );
    stage.odoo.set_latency_ms(350);
    let mut runs = 0;
    loop {
        let report = run(&stage, r#"{"entities": ["leads"]}"#).await?;
        runs += 1;
        if report["unfinished"] == json!([]) {
            break;
        }
        ensure!(runs < 20, "it does not come to an end: {report:#}");
    }
    ensure!(runs > 1, "there was no lack of time");
    assert_same(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_of_several_runs_is_as_fresh_as_the_first_of_them() -> Result<()> {
    // Each model more would cost each run a call, which takes a third of a second here.
    let stage = set(18, 0, |builder| {
        builder
            .variable("crm_batch_seconds", "1")
            .variable("crm_models", "")
    })
    .await?;
    leads(&stage).insert_many(
        (1..=4000).map(|id| json!({"id": id, "name": format!("Lead {id}"), "stage_id": 1})),
    );
    stage.odoo.set_latency_ms(350);
    let mut runs = 0;
    while fresh_as_of(&stage).await?.is_null() {
        sync(&stage).await?;
        runs += 1;
        ensure!(runs < 80, "it never comes to its end");
    }
    ensure!(runs > 2, "there was no lack of time");
    assert_same(&stage).await?;
    // What was read last was there when the first run began, and what changed since is still to come.
    let first = "select to_jsonb(min(r.started_at)) from odoo_sync.runs r where r.job = 'crm-sync'";
    assert_eq!(fresh_as_of(&stage).await?, stage.value(first).await?);
    stage.odoo.set_latency_ms(0);
    // One that has time for all of it, however slow the machine is.
    let (_host, caller) = stage.replica(&[("crm_batch_seconds", "45")]).await?;
    while fresh_as_of(&stage).await? != began(&stage).await? {
        leads(&stage).update(1, &json!({"name": format!("After {runs} runs")}));
        let answer = caller.post(PATH, SERVICE_KEY, "{}").await?;
        ensure!(answer.status == 200, "{}", answer.text());
        runs += 1;
        ensure!(runs < 90, "it never catches up");
    }
    assert_same(&stage).await
}
