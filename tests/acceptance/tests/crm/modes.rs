//! What can be asked for.

use anyhow::Result;
use serde_json::json;

use crate::scene::*;

#[tokio::test(flavor = "multi_thread")]
async fn validation_finds_what_differs_and_the_next_missing_run_mends_it() -> Result<()> {
    let stage = pipeline(18, 50).await?;
    sync(&stage).await?;
    run(&stage, r#"{"mode": "validate"}"#).await?;
    for entity in ENTITIES {
        let validation = validation(&stage, entity).await?;
        assert_eq!(validation["verdict"], "same", "{validation:#}");
        assert_eq!(
            validation["source_count"], validation["destination_count"],
            "{validation:#}"
        );
    }
    stage
        .owner
        .batch_execute(
            "delete from public.odoo_leads where id in (3, 4);
             update public.odoo_leads set name = 'Old', row_hash = 'old', write_date = write_date - interval '1 day' where id = 5;
             insert into public.odoo_leads (id, name, row_hash) values (9999, 'Never was', 'x')",
        )
        .await?;
    stage.odoo.counters().reset();
    let report = run(&stage, r#"{"mode": "validate", "entities": ["leads"]}"#).await?;
    assert_eq!(report["entities"]["leads"]["verdict"], "differs");
    assert_eq!(report["read"], 0, "it costs a list, not rows");
    assert_eq!(stage.odoo.counters().of("crm.lead/search_read").calls, 1);
    let found = validation(&stage, "leads").await?;
    assert_eq!(found["detail"]["missing"], json!([3, 4]), "{found:#}");
    assert_eq!(found["detail"]["stale"], json!([5]));
    assert_eq!(found["detail"]["extra"], json!([9999]));
    assert_eq!(
        (&found["missing"], &found["stale"], &found["extra"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(live(&stage, "odoo_leads").await?, 49, "it changes nothing");
    let report = run(&stage, r#"{"mode": "missing"}"#).await?;
    assert_eq!(changed(&report), [2, 1, 1], "{report:#}");
    assert_same(&stage).await?;
    run(&stage, r#"{"mode": "validate"}"#).await?;
    assert_eq!(validation(&stage, "leads").await?["verdict"], "same");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pass_is_followed_by_a_validation_of_each_entity() -> Result<()> {
    let stage = pipeline(18, 20).await?;
    run(&stage, r#"{"mode": "full", "validate": true}"#).await?;
    for entity in ENTITIES {
        assert_eq!(
            validation(&stage, entity).await?["verdict"],
            "same",
            "{entity}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_newer_than_the_last_run_is_no_difference() -> Result<()> {
    let stage = pipeline(18, 20).await?;
    sync(&stage).await?;
    let soon = minutes_ago(&stage, -1).await?;
    leads(&stage).insert(json!({"name": "New", "write_date": soon}));
    leads(&stage).update(1, &json!({"name": "Changed", "write_date": soon}));
    run(&stage, r#"{"mode": "validate"}"#).await?;
    let found = validation(&stage, "leads").await?;
    assert_eq!(found["verdict"], "same", "{found:#}");
    assert_eq!(found["detail"]["newer_than_the_last_reading"], 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_changes_nothing() -> Result<()> {
    let stage = pipeline(18, 30).await?;
    let report = run(&stage, r#"{"mode": "dry_run"}"#).await?;
    assert_eq!(report["entities"]["leads"]["inserted"], 30, "{report:#}");
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_leads")
            .await?,
        0
    );
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_partners")
            .await?,
        0
    );
    assert_eq!(
        stage
            .count("select count(*) from odoo_sync.cursors where name like 'crm-sync:%'")
            .await?,
        0
    );
    sync(&stage).await?;
    leads(&stage).update(3, &json!({"name": "Changed"}));
    let report = run(&stage, r#"{"mode": "dry_run"}"#).await?;
    assert_eq!(changed(&report), [0, 1, 0], "{report:#}");
    assert_ne!(lead(&stage, 3).await?["name"], "Changed");
    assert_eq!(changed(&sync(&stage).await?), [0, 1, 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_be_narrowed_to_some_entities() -> Result<()> {
    let stage = pipeline(18, 10).await?;
    run(&stage, r#"{"entities": ["stages", "tags"]}"#).await?;
    assert_eq!(live(&stage, "odoo_stages").await?, 4);
    assert_eq!(live(&stage, "odoo_leads").await?, 0);
    for (body, key) in [
        (r#"{"entities": ["lead"]}"#, "entities"),
        (r#"{"mode": "fly"}"#, "mode"),
    ] {
        let answer = stage.post(PATH, body).await?;
        assert_eq!(answer.status, 422);
        assert!(
            answer.json()["error"]
                .as_str()
                .unwrap_or_default()
                .starts_with(key)
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_on_record_with_what_it_did() -> Result<()> {
    let stage = pipeline(18, 30).await?;
    let report = sync(&stage).await?;
    let run = stage
        .value("select to_jsonb(r) from odoo_sync.runs r where r.job = 'crm-sync'")
        .await?;
    assert_eq!(
        (&run["mode"], &run["outcome"]),
        (&json!("incremental"), &json!("success"))
    );
    for figure in [
        "read",
        "inserted",
        "updated",
        "unchanged",
        "deleted",
        "odoo_calls",
    ] {
        assert_eq!(run["counts"][figure], report[figure], "{figure}");
    }
    assert_eq!(run["counts"]["lag_s"], 0);
    assert!(run["finished_at"].is_string());
    let log = stage
        .value("select to_jsonb(l) from public.migration_logs l where l.job = 'crm-sync'")
        .await?;
    assert_eq!(log["migrated"], report["inserted"]);
    assert_eq!(log["status"], "success");
    // What changes nothing is no news.
    sync(&stage).await?;
    assert_eq!(
        stage
            .count("select count(*) from public.migration_logs where job = 'crm-sync'")
            .await?,
        1
    );
    assert_eq!(
        stage
            .count("select count(*) from odoo_sync.runs where job = 'crm-sync'")
            .await?,
        2
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_run_that_read_all_that_changed_makes_the_copy_fresh() -> Result<()> {
    let stage = pipeline(18, 30).await?;
    let looks = [
        r#"{"mode": "dry_run"}"#,
        r#"{"entities": ["stages"]}"#,
        r#"{"mode": "full", "entities": ["stages", "tags"]}"#,
    ];
    for body in looks {
        run(&stage, body).await?;
        assert_eq!(fresh_as_of(&stage).await?, json!(null), "{body}");
    }
    sync(&stage).await?;
    let fresh = began(&stage).await?;
    assert_eq!(fresh_as_of(&stage).await?, fresh);

    leads(&stage).update(3, &json!({"name": "Changed"}));
    let more = [r#"{"mode": "validate"}"#, r#"{"mode": "missing"}"#];
    for body in looks.into_iter().chain(more) {
        run(&stage, body).await?;
        assert_eq!(fresh_as_of(&stage).await?, fresh, "{body}");
    }
    for body in ["{}", r#"{"mode": "full", "validate": true}"#] {
        run(&stage, body).await?;
        assert_eq!(fresh_as_of(&stage).await?, began(&stage).await?, "{body}");
        assert_eq!(lead(&stage, 3).await?["name"], "Changed");
    }
    Ok(())
}
