//! What is gone from Odoo, and what only seems so.

use anyhow::Result;
use serde_json::json;
use world::faults::Fault;

use crate::scene::*;

/// An answer of JSON-RPC with nothing in it.
fn empty_list() -> Vec<u8> {
    br#"{"jsonrpc": "2.0", "id": 1, "result": []}"#.to_vec()
}

fn by_mistake(model: &str) -> Fault {
    let body = String::from_utf8(empty_list()).unwrap_or_default();
    Fault::on_call(model, "search_read").answer(200, &[("Content-Type", "application/json")], &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_merged_leads_are_marked_and_kept() -> Result<()> {
    let stage = pipeline(18, 40).await?;
    sync(&stage).await?;
    leads(&stage).delete([7]);
    // A merge keeps one lead, changes it, and deletes the other.
    leads(&stage).update(8, &json!({"name": "Merged"}));
    leads(&stage).delete([9]);
    let report = run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(changed(&report), [0, 1, 2], "{report:#}");
    for id in [7, 9] {
        let row = lead(&stage, id).await?;
        assert!(
            row["deleted_at"].is_string() && row["name"].is_string(),
            "{row:#}"
        );
    }
    assert_same(&stage).await?;
    let validation = validation(&stage, "leads").await?;
    assert_eq!(
        (&validation["extra"], &validation["verdict"]),
        (&json!(2), &json!("same"))
    );
    assert_eq!(validation["detail"]["extra"], json!([7, 9]));
    // One that comes back, as from a backup, is there again.
    leads(&stage).insert(json!({"id": 7, "name": "Back", "write_date": "2026-01-01 00:00:00"}));
    run(&stage, r#"{"mode": "missing"}"#).await?;
    assert_eq!(lead(&stage, 7).await?["deleted_at"], json!(null));
    assert_same(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_comes_back_empty_by_mistake_deletes_nothing() -> Result<()> {
    let stage = pipeline(18, 40).await?;
    sync(&stage).await?;
    let models = [
        "crm.stage",
        "crm.team",
        "crm.tag",
        "crm.lost.reason",
        "res.users",
        "crm.lead",
        "res.partner",
    ];
    let before = stage
        .count("select count(*) from public.odoo_partners where deleted_at is null")
        .await?;
    for mode in ["missing", "full", "incremental"] {
        for model in models {
            stage.odoo.faults().add(by_mistake(model));
        }
        let answer = stage
            .post(PATH, &format!("{{\"mode\": \"{mode}\"}}"))
            .await?;
        stage.odoo.faults().clear();
        if mode == "missing" {
            assert!(answer.status.is_server_error(), "{}", answer.text());
            assert!(
                answer.text().contains("confirm_deletes"),
                "{}",
                answer.text()
            );
        }
    }
    assert_same(&stage).await?;
    assert_eq!(live(&stage, "odoo_partners").await?, before);
    assert_eq!(live(&stage, "odoo_stages").await?, 4);
    assert_eq!(live(&stage, "odoo_tags").await?, 5);
    let told = "select count(*) from public.sync_validation_log where entity = 'leads' and verdict = 'error'";
    assert!(stage.count(told).await? > 0);
    run(&stage, r#"{"mode": "missing"}"#).await?;
    assert_eq!(validation(&stage, "leads").await?["verdict"], "same");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landslide_needs_a_person_who_confirms_it() -> Result<()> {
    let stage = pipeline(18, 60).await?;
    sync(&stage).await?;
    leads(&stage).delete(1..=30);
    let report = failing_run(&stage, r#"{"mode": "missing"}"#).await?;
    assert_eq!(changed(&report), [0, 0, 0]);
    assert!(
        report["errors"][0]
            .as_str()
            .unwrap_or_default()
            .contains("30 of 60"),
        "{report:#}"
    );
    assert_eq!(live(&stage, "odoo_leads").await?, 60);
    let report = run(&stage, r#"{"mode": "missing", "confirm_deletes": true}"#).await?;
    assert_eq!(changed(&report), [0, 0, 30]);
    assert_same(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_leaves_some_out_by_mistake_deletes_nothing() -> Result<()> {
    let stage = pipeline(18, 40).await?;
    sync(&stage).await?;
    let stamps: Vec<_> = (1..=37)
        .map(|id| json!({"id": id, "write_date": "2026-11-21 20:21:22"}))
        .collect();
    let short = json!({"jsonrpc": "2.0", "id": 1, "result": stamps}).to_string();
    // The list lacks three leads; asked for by name, they are there.
    stage
        .odoo
        .faults()
        .add(Fault::on_call("crm.lead", "search_read").nth(1).answer(
            200,
            &[("Content-Type", "application/json")],
            &short,
        ));
    run(&stage, r#"{"mode": "missing", "entities": ["leads"]}"#).await?;
    let validation = validation(&stage, "leads").await?;
    assert_eq!(
        (&validation["extra"], &validation["verdict"]),
        (&json!(3), &json!("differs"))
    );
    assert_same(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_holds_for_whichever_run_ends_the_comparison() -> Result<()> {
    let stage = set(18, 0, |builder| builder.variable("crm_batch_seconds", "1")).await?;
    leads(&stage).insert_many(
        (1..=2500).map(|id| json!({"id": id, "name": format!("Lead {id}"), "stage_id": 1})),
    );
    let to_the_end = async |mut report: serde_json::Value| -> Result<u32> {
        let mut runs = 1;
        while report["unfinished"] != json!([]) {
            anyhow::ensure!(runs < 20, "it does not come to an end: {report:#}");
            report = run(&stage, r#"{"entities": ["leads"]}"#).await?;
            runs += 1;
        }
        Ok(runs)
    };
    to_the_end(run(&stage, r#"{"entities": ["leads"]}"#).await?).await?;
    leads(&stage).delete(1..=1000);
    stage.odoo.set_latency_ms(400);
    let asked = r#"{"mode": "full", "entities": ["leads"], "confirm_deletes": true}"#;
    let runs = to_the_end(run(&stage, asked).await?).await?;
    anyhow::ensure!(runs > 1, "there was no lack of time");
    assert_eq!(live(&stage, "odoo_leads").await?, 1500);

    // And no longer: the next landslide asks again.
    leads(&stage).delete(1001..=2000);
    stage.odoo.set_latency_ms(0);
    failing_run(&stage, r#"{"mode": "missing", "entities": ["leads"]}"#).await?;
    assert_eq!(live(&stage, "odoo_leads").await?, 1500);
    Ok(())
}
