//! What changes in Odoo arrives.

use anyhow::Result;
use serde_json::json;

use crate::scene::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_transaction_that_commits_behind_the_cursor_is_not_lost() -> Result<()> {
    let stage = pipeline(18, 10).await?;
    sync(&stage).await?;
    leads(&stage).update(1, &json!({"name": "Quick"}));
    sync(&stage).await?;
    // It began nine minutes ago, and commits only now.
    let began = minutes_ago(&stage, 9).await?;
    let slow = leads(&stage).insert(json!({"name": "Slow", "write_date": began}));
    leads(&stage).update(2, &json!({"name": "Slow too", "write_date": began}));
    sync(&stage).await?;
    assert_eq!(lead(&stage, slow).await?["name"], "Slow");
    assert_eq!(lead(&stage, 2).await?["name"], "Slow too");
    assert_same(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_share_a_second_are_told_apart() -> Result<()> {
    let stage = pipeline(18, 0).await?;
    let minute_ago = minutes_ago(&stage, 1).await?;
    let second = minute_ago.get(..19).unwrap_or_default();
    let shown = format!("{}+00:00", second.replace(' ', "T"));
    let first =
        leads(&stage).insert(json!({"name": "First", "write_date": format!("{second}.319000")}));
    sync(&stage).await?;
    let later =
        leads(&stage).insert(json!({"name": "Later", "write_date": format!("{second}.999999")}));
    let earlier =
        leads(&stage).insert(json!({"name": "Earlier", "write_date": format!("{second}.000001")}));
    sync(&stage).await?;
    for (id, name) in [(first, "First"), (later, "Later"), (earlier, "Earlier")] {
        let row = lead(&stage, id).await?;
        assert_eq!(row["name"], name);
        assert_eq!(row["write_date"], json!(shown));
    }
    assert_eq!(changed(&sync(&stage).await?), [0, 0, 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_restored_and_renamed_arrive_with_the_next_run() -> Result<()> {
    let stage = pipeline(18, 10).await?;
    sync(&stage).await?;
    leads(&stage).update(1, &json!({"active": false}));
    stage
        .odoo
        .records("crm.stage")
        .update(1, &json!({"name": "Fresh"}));
    let report = sync(&stage).await?;
    assert_eq!(changed(&report), [0, 2, 0], "{report:#}");
    assert_eq!(lead(&stage, 1).await?["active"], false);
    assert_eq!(row(&stage, "odoo_stages", 1).await?["name"], "Fresh");
    // The name comes from the stage, whatever the leads' own labels said when they were read.
    let old = "select count(*) from public.odoo_pipeline where stage = 'New'";
    assert_eq!(stage.count(old).await?, 0);
    leads(&stage).update(1, &json!({"active": true}));
    sync(&stage).await?;
    assert_eq!(lead(&stage, 1).await?["active"], true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_without_a_new_date_is_found_by_the_full_pass() -> Result<()> {
    let stage = pipeline(18, 10).await?;
    sync(&stage).await?;
    let old = "2026-01-01 00:00:00";
    leads(&stage).update_quietly(4, &json!({"write_date": old}));
    leads(&stage).update_quietly(5, &json!({"write_date": old}));
    run(&stage, r#"{"mode": "full"}"#).await?;
    leads(&stage).update_quietly(4, &json!({"probability": 77.5}));
    assert_eq!(changed(&sync(&stage).await?), [0, 0, 0]);
    assert_eq!(
        changed(&run(&stage, r#"{"mode": "full"}"#).await?),
        [0, 1, 0]
    );
    assert_eq!(lead(&stage, 4).await?["probability"], 77.5);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_address_book_comes_archived_contacts_too() -> Result<()> {
    let stage = set(18, 2, |builder| {
        builder.variable("crm_partners", "referred")
    })
    .await?;
    let partners = stage.odoo.records("res.partner");
    let company = partners.insert(json!({"name": "Company", "is_company": true}));
    let address = partners.insert(json!({"name": "Dock 4", "type": "delivery", "parent_id": company, "active": false, "category_id": [4]}));
    let hidden = partners.insert(json!({"name": "Hidden"}));
    leads(&stage).update(1, &json!({"partner_id": hidden}));
    sync(&stage).await?;
    assert!(row(&stage, "odoo_partners", address).await?.is_null());
    // From one to the other.
    let (_host, caller) = stage.replica(&[("crm_partners", "all")]).await?;
    let sync = async || caller.post(PATH, stage::SERVICE_KEY, "{}").await;
    let first = sync().await?.json();
    assert_eq!(first["unfinished"], json!([]), "{first:#}");
    let all = i64::try_from(partners.count())?;
    assert_eq!(live(&stage, "odoo_partners").await?, all);
    let here = row(&stage, "odoo_partners", address).await?;
    assert_eq!(
        (
            &here["parent_id"],
            &here["type"],
            &here["active"],
            &here["custom"]["category_id"]
        ),
        (
            &json!(company),
            &json!("delivery"),
            &json!(false),
            &json!([4])
        )
    );
    partners.update(address, &json!({"city": "Antwerp"}));
    assert_eq!(changed(&sync().await?.json()), [0, 1, 0]);
    partners.delete([company]);
    let body = r#"{"mode": "missing"}"#;
    let report = caller.post(PATH, stage::SERVICE_KEY, body).await?.json();
    assert_eq!(report["entities"]["partners"]["deleted"], 1, "{report:#}");
    assert_eq!(live(&stage, "odoo_partners").await?, all - 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_and_their_companies_come_with_the_leads_and_nobody_else() -> Result<()> {
    let stage = set(18, 0, |builder| {
        builder.variable("crm_partners", "referred")
    })
    .await?;
    let partners = stage.odoo.records("res.partner");
    let holding = partners.insert(json!({"name": "Holding", "is_company": true}));
    let company = partners.insert(json!({"name": "Company", "is_company": true, "parent_id": holding, "commercial_partner_id": holding}));
    let person = partners
        .insert(json!({"name": "Person", "parent_id": company, "commercial_partner_id": holding}));
    let stranger = partners.insert(json!({"name": "Stranger"}));
    sync(&stage).await?;
    assert_eq!(live(&stage, "odoo_partners").await?, 0);
    let first = leads(&stage).insert(json!({"name": "One", "partner_id": person}));
    sync(&stage).await?;
    for (id, name) in [
        (person, "Person"),
        (company, "Company"),
        (holding, "Holding"),
    ] {
        assert_eq!(row(&stage, "odoo_partners", id).await?["name"], name);
    }
    assert!(row(&stage, "odoo_partners", stranger).await?.is_null());
    let shown = stage
        .value(&format!(
            "select to_jsonb(p) from public.odoo_pipeline p where id = {first}"
        ))
        .await?;
    assert_eq!(
        (&shown["partner"], &shown["company"]),
        (&json!("Person"), &json!("Holding"))
    );
    partners.update(person, &json!({"name": "Renamed"}));
    partners.update(stranger, &json!({"name": "Still nobody"}));
    assert_eq!(changed(&sync(&stage).await?), [0, 1, 0]);
    assert_eq!(
        row(&stage, "odoo_partners", person).await?["name"],
        "Renamed"
    );
    assert!(row(&stage, "odoo_partners", stranger).await?.is_null());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_cannot_be_had_is_not_asked_for_again_and_again() -> Result<()> {
    let stage = pipeline(18, 3).await?;
    leads(&stage).insert(json!({"name": "Orphan", "partner_id": [99_999, "Gone"]}));
    sync(&stage).await?;
    assert!(row(&stage, "odoo_partners", 99_999).await?["deleted_at"].is_string());
    stage.odoo.counters().reset();
    sync(&stage).await?;
    assert!(stage.odoo.counters().of("res.partner/search_read").calls <= 2);
    // What comes to light later is read after all.
    stage
        .odoo
        .records("res.partner")
        .insert(json!({"id": 99_999, "name": "Found"}));
    run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(row(&stage, "odoo_partners", 99_999).await?["name"], "Found");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stages_add_up() -> Result<()> {
    let stage = pipeline(18, 200).await?;
    sync(&stage).await?;
    let wrong = "select count(*) from public.odoo_pipeline_stages s,
        lateral (select count(*) as leads, coalesce(sum(l.expected_revenue), 0) as revenue from public.odoo_leads l
                  where l.stage_id = s.stage_id and l.active and l.type = 'opportunity') f
      where s.leads <> f.leads or s.expected_revenue <> f.revenue";
    assert_eq!(stage.count(wrong).await?, 0);
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_pipeline_stages")
            .await?,
        4
    );
    let all = "select sum(leads)::bigint from public.odoo_pipeline_stages";
    assert!(stage.count(all).await? > 100);
    Ok(())
}
