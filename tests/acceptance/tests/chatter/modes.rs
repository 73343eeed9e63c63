//! What can be asked for, and what it costs.

use anyhow::Result;
use serde_json::{Value, json};
use stage::Stage;
use world::odoo::User;

use crate::scene::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_without_chatter_is_never_asked_about() -> Result<()> {
    let stage = chatter(18, 0).await?;
    stage
        .odoo
        .records("crm.lead")
        .insert_many((1..=500).map(|id| json!({"id": id, "name": "Silent"})));
    say(&stage, &json!({}));
    hourly(&stage).await?;
    stage.odoo.counters().reset();
    let report = hourly(&stage).await?;
    assert_eq!(changed(&report), [0, 0, 0]);
    // Whether the model may be read at all is asked once.
    let calls = stage.odoo.counters().all();
    let mut of_leads = calls
        .iter()
        .filter(|(call, count)| call.starts_with("crm.lead/") && count.calls > 0);
    assert_eq!(
        of_leads
            .next()
            .map(|(call, count)| (call.as_str(), count.calls)),
        Some(("crm.lead/search", 1))
    );
    assert!(of_leads.next().is_none(), "{calls:?}");
    // That model, fields, the newest date, the page in the overlap, its subtypes, and the list to compare with; and of
    // messages, whether there are more than Odoo shows.
    assert!(
        report["odoo_calls"].as_u64().unwrap_or_default() <= 15,
        "{report:#}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_brings_what_is_absent_and_validate_only_tells() -> Result<()> {
    let stage = chatter(18, 50).await?;
    hourly(&stage).await?;
    let ids = messages(&stage).ids();
    stage
        .owner
        .batch_execute(&format!(
            "delete from public.odoo_messages where id in ({}, {});
             update public.odoo_messages set body = 'Old', row_hash = 'old', write_date = write_date - interval '1 day' where id = {};
             delete from public.odoo_field_changes",
            ids[0], ids[7], ids[9]
        ))
        .await?;
    stage.odoo.counters().reset();
    let report = run(&stage, r#"{"mode": "validate"}"#).await?;
    assert_eq!(report["entities"]["messages"]["verdict"], "differs");
    assert_eq!(report["read"], 0, "it costs a list, not rows");
    let found = validation(&stage, "messages").await?;
    assert_eq!(
        found["detail"]["missing"],
        json!([ids[0], ids[7]]),
        "{found:#}"
    );
    assert_eq!(found["detail"]["stale"], json!([ids[9]]));
    assert!(message(&stage, ids[0]).await?.is_null());
    let report = hourly(&stage).await?;
    assert_eq!(report["entities"]["messages"]["inserted"], 2, "{report:#}");
    assert_eq!(report["entities"]["messages"]["updated"], 1);
    assert!(live(&stage, "odoo_field_changes").await? > 0);
    assert_same(&stage).await?;
    run(&stage, r#"{"mode": "validate"}"#).await?;
    for entity in ["messages", "field_changes"] {
        assert_eq!(
            validation(&stage, entity).await?["verdict"],
            "same",
            "{entity}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_changes_nothing_and_a_full_one_reads_all() -> Result<()> {
    let stage = chatter(18, 30).await?;
    let count = u64::try_from(messages(&stage).count())?;
    let report = run(&stage, r#"{"mode": "dry_run"}"#).await?;
    assert_eq!(
        report["entities"]["messages"]["inserted"], count,
        "{report:#}"
    );
    for table in [
        "public.odoo_messages",
        "public.odoo_field_changes",
        "public.odoo_partners",
        "odoo_sync.wanted_attachments",
    ] {
        assert_eq!(
            stage
                .count(&format!("select count(*) from {table}"))
                .await?,
            0,
            "{table}"
        );
    }
    let report = run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(report["entities"]["messages"]["inserted"], count);
    let report = run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(changed(&report), [0, 0, 0], "{report:#}");
    assert_same(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn other_models_may_be_named() -> Result<()> {
    let stage = set(18, 0, |builder| {
        builder.variable("chatter_models", "crm.lead, res.partner")
    })
    .await?;
    let note = say(&stage, &json!({"model": "res.partner"}));
    hourly(&stage).await?;
    assert_eq!(message(&stage, note).await?["model"], "res.partner");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_odoo_lacks_or_keeps_from_the_user_is_no_success_and_stops_no_other()
-> Result<()> {
    for (version, model, kind) in [
        (16, "crm.leads", "setting"),
        (18, "crm.leads", "setting"),
        (19, "crm.leads", "setting"),
        (18, "ir.model.data", "source_forbidden"),
        (19, "ir.model.data", "source_forbidden"),
    ] {
        let stage = set(version, 3, |builder| {
            builder
                .user(User::salesman())
                .variable("chatter_models", format!("{model}, crm.lead"))
        })
        .await?;
        let answer = stage.post(PATH, r#"{"mode": "missing"}"#).await?;
        let report = answer.json();
        assert_eq!(report["fault"]["kind"], kind, "{version}: {report:#}");
        let told = report["errors"][0].as_str().unwrap_or_default();
        let named = format!("chatter_models names {model}, which ");
        assert!(told.starts_with(&named), "{version}: {told}");
        let copied = live(&stage, "odoo_messages").await?;
        assert_eq!(
            copied,
            i64::try_from(messages(&stage).count())?,
            "{version}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_key_or_an_admin_gets_in_and_a_wrong_mode_is_named() -> Result<()> {
    let stage = chatter(18, 0).await?;
    let answer = stage.caller().post(PATH, "wrong", "{}").await?;
    assert_eq!(answer.status, 401);
    for path in [PATH, "/functions/v1/odoo-chatter-sync"] {
        let answer = stage.post(path, r#"{"mode": "fly"}"#).await?;
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    let answer = stage.post(PATH, r#"{"entities": ["leads"]}"#).await?;
    assert_eq!(answer.status, 422);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hourly_run_makes_the_copy_fresh_and_a_look_does_not() -> Result<()> {
    let stage = chatter(18, 20).await?;
    let fresh = "select odoo_sync.status() #> '{syncs,chatter-sync,fresh_as_of}'";
    let began =
        "select to_jsonb(r.started_at) from odoo_sync.runs r order by r.started_at desc limit 1";
    for body in [
        r#"{"mode": "dry_run"}"#,
        r#"{"mode": "missing", "entities": ["messages"]}"#,
    ] {
        run(&stage, body).await?;
        assert_eq!(stage.value(fresh).await?, json!(null), "{body}");
    }
    hourly(&stage).await?;
    let at = stage.value(began).await?;
    assert_eq!(stage.value(fresh).await?, at);
    run(&stage, r#"{"mode": "validate"}"#).await?;
    assert_eq!(stage.value(fresh).await?, at);
    sync(&stage).await?;
    assert_eq!(stage.value(fresh).await?, stage.value(began).await?);
    Ok(())
}

/// Messages from long ago, the same on both sides; their ids.
async fn from_long_ago(stage: &Stage, count: i64) -> Result<std::ops::Range<i64>> {
    const DATE: &str = "2024-03-01 08:00:00";
    let records = messages(stage);
    let first = records.ids().last().copied().unwrap_or_default() + 1;
    let ids = first..first + count;
    records.insert_many(ids.clone().map(|id| {
        json!({
            "id": id, "model": "crm.lead", "res_id": 1, "message_type": "comment",
            "create_date": DATE, "write_date": DATE,
        })
    }));
    let (first, last) = (ids.start, ids.end - 1);
    stage
        .owner
        .batch_execute(&format!(
            "insert into public.odoo_messages (id, model, res_id, message_type, kind, create_date, write_date, row_hash)
             select n, 'crm.lead', 1, 'comment', 'note', '{DATE}+00', '{DATE}+00', md5(n::text) from generate_series({first}, {last}) n"
        ))
        .await?;
    Ok(ids)
}

#[tokio::test]
async fn an_hourly_run_takes_what_is_new_first_and_then_a_slice_of_the_comparison() -> Result<()> {
    let stage = chatter(18, 3).await?;
    while hourly(&stage).await?["unfinished"] != json!([]) {}
    let ids = from_long_ago(&stage, 24_000).await?;
    messages(&stage).delete([ids.end - 1]);
    let new = say(&stage, &json!({}));
    let (mut runs, mut gone) = (0, 0);
    loop {
        let report = hourly(&stage).await?;
        runs += 1;
        assert_ne!(message(&stage, new).await?, Value::Null, "{report:#}");
        let [.., deleted] = changed(&report);
        gone += deleted;
        if report["unfinished"] == json!([]) {
            break;
        }
        assert!(runs < 9, "{report:#}");
    }
    assert_eq!(gone, 1, "what is gone is found all the same");
    assert!(runs >= 3, "{runs} runs");
    Ok(())
}
