//! `POST /check`: every line fails by its own cause, in its own words, and nothing else fails with it.

mod causes;
mod scene;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stage::{SERVICE_KEY, until};

use crate::causes::{Case, Cause, causes};
use crate::scene::{Scene, line, states};

#[tokio::test]
async fn a_set_up_that_is_right_is_a_list_without_a_word_of_remedy() -> Result<()> {
    let scene = Scene::set().await?;
    let looked_at = scene.check().await?;
    assert_eq!(looked_at["ok"], true, "{looked_at:#}");
    for line in looked_at["lines"].as_array().into_iter().flatten() {
        assert_eq!(line["state"], "ok", "{line}");
        assert_eq!(line["remedy"], Value::Null, "{line}");
    }
    for (name, words) in [
        ("Odoo", "Odoo 18.0"),
        ("login to Odoo", "as user 2, by JSON-RPC with the API key"),
        ("API key of Odoo", "never ends"),
        ("rights in Odoo", "has every company"),
        ("key of Storage", "in the headers apikey and Authorization"),
        ("bucket", "private"),
        ("size limit", "by the project; the largest that waits"),
        (
            "uploads",
            &scene.stage.storage.url().replace("http://", "to "),
        ),
        ("signed addresses", "opens without a key"),
        ("role in Postgres", "odoo_sync"),
        ("jobs", "6 jobs"),
        ("address", &scene.stage.url()),
    ] {
        let found = line(&looked_at, name)?["found"].to_string();
        assert!(found.contains(words), "{name}: {found}");
    }
    Ok(())
}

#[tokio::test]
async fn every_line_fails_by_its_own_cause_in_its_own_words_and_alone() -> Result<()> {
    let scene = Scene::set().await?;
    let right = scene.check().await?;
    let causes = causes();
    let named: BTreeSet<&str> = causes.iter().map(|case| case.line).collect();
    let lines = states(&right);
    let lines: BTreeSet<&str> = lines.keys().map(String::as_str).collect();
    assert_eq!(
        named, lines,
        "a line without a case, or a case without a line"
    );
    let mut problems = Vec::new();
    for case in causes {
        let looked_at = scene.with(&case.cause).await?;
        if let Err(problem) = as_told(&case, &looked_at) {
            problems.push(problem.to_string());
        }
        // A call that pg_net made meanwhile, and a key that was known until then, are told until they are over.
        until("all is right again", async || {
            Ok(scene.check().await?["ok"] == true)
        })
        .await?;
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    let mended = scene.check().await?;
    assert_eq!(mended["ok"], true, "{mended:#}");
    Ok(())
}

/// The line says it, and no other is wrong; what comes after it may not have been tried.
fn as_told(case: &Case, looked_at: &Value) -> Result<()> {
    let told = line(looked_at, case.line)?;
    ensure!(
        told["state"] == case.state,
        "{} {:?}: {told}",
        case.line,
        case.cause
    );
    let said = format!("{} {}", told["found"], told["remedy"]);
    ensure!(
        said.contains(case.words),
        "{} {:?}: {told}",
        case.line,
        case.cause
    );
    ensure!(told["remedy"].is_string(), "{told}");
    let wrong: BTreeMap<_, _> = states(looked_at)
        .into_iter()
        .filter(|(name, state)| name != case.line && !matches!(state.as_str(), "ok" | "not_tried"))
        .collect();
    ensure!(
        wrong.is_empty(),
        "{} {:?}: {wrong:?} {looked_at:#}",
        case.line,
        case.cause
    );
    let is_right = case.state == "warning";
    ensure!(looked_at["ok"] == is_right, "{}: {looked_at:#}", case.line);
    Ok(())
}

#[tokio::test]
async fn a_look_changes_nothing_but_the_row_that_keeps_it() -> Result<()> {
    let scene = Scene::set().await?;
    let stage = &scene.stage;
    scene.check().await?;
    let rows = "select jsonb_build_object(
        'files', (select jsonb_agg(a order by a.id) from public.odoo_attachments a), 'log', (select jsonb_agg(l) from public.migration_logs l),
        'runs', (select jsonb_agg(r) from odoo_sync.runs r), 'cursors', (select jsonb_agg(c order by c.name) from odoo_sync.cursors c),
        'identities', (select jsonb_agg(i) from odoo_sync.identities i), 'calls', (select jsonb_agg(c) from odoo_sync.calls c))";
    let before = (stage.value(rows).await?, stage.storage.objects());
    let writes = stage.odoo.counters().total().calls;
    scene.check().await?;
    assert_eq!((stage.value(rows).await?, stage.storage.objects()), before);
    // Its version, a login, who it is, its keys, a session, when the first users were made, and ten about its rights.
    let calls = stage.odoo.counters().total().calls - writes;
    assert!(calls <= 18, "{calls} requests to Odoo");
    let kept = stage.value("select jsonb_build_object('rows', count(*), 'right', bool_and(right_at is not null)) from odoo_sync.checks").await?;
    assert_eq!(kept, serde_json::json!({"rows": 1, "right": true}));
    Ok(())
}

#[tokio::test]
async fn the_database_shows_what_the_components_found_and_what_it_finds_itself() -> Result<()> {
    let scene = Scene::set().await?;
    let stage = &scene.stage;
    let shown = "select jsonb_agg(jsonb_build_object('name', c.name, 'state', c.state, 'found', c.found, 'remedy', c.remedy)) from odoo_sync.check() c";
    let before = stage.value(shown).await?;
    assert_eq!(before[0]["name"], "components", "{before:#}");
    assert_eq!(before[0]["state"], "not_tried", "{before:#}");
    assert!(
        before[0]["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("POST /check"))
    );
    let looked_at = scene.check().await?;
    let after = stage.value(shown).await?;
    let names = |lines: &Value| -> Vec<Value> {
        let lines = lines.as_array().into_iter().flatten();
        lines.map(|line| line["name"].clone()).collect()
    };
    let mut expected = vec![Value::from("components")];
    expected.extend(names(&looked_at["lines"]));
    assert_eq!(names(&after), expected);
    // What is the database's own is as of now.
    stage
        .owner
        .batch_execute("select odoo_sync.unschedule('odoo-sync-purge')")
        .await?;
    let now = serde_json::json!({ "lines": stage.value(shown).await? });
    assert_eq!(line(&now, "jobs")?["state"], "failed");
    assert_eq!(line(&now, "Odoo")?["state"], "ok");
    Ok(())
}

#[tokio::test]
async fn the_bucket_is_made_private_where_that_is_asked_for() -> Result<()> {
    let scene = Scene::set().await?;
    // The tables belong to another.
    let forgotten = "delete from odoo_sync.identities where side = 'storage'";
    scene.stage.owner.batch_execute(forgotten).await?;
    let (_host, caller) = scene.stage.replica(&[("storage_bucket", "made")]).await?;
    for (body, state, found) in [
        ("{}", "failed", "Storage has no bucket"),
        (
            r#"{"create_bucket": true}"#,
            "ok",
            "Bucket made is there, and private.",
        ),
        (
            r#"{"create_bucket": true}"#,
            "ok",
            "Bucket made is there, and private.",
        ),
    ] {
        let looked_at = caller.post("/check", SERVICE_KEY, body).await?.json();
        let told = line(&looked_at, "bucket")?;
        assert_eq!(told["state"], state, "{told}");
        assert!(told["found"].to_string().contains(found), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn the_database_has_a_look_taken_once_a_day_and_nobody_is_told_by_the_key_of_the_jobs()
-> Result<()> {
    let scene = Scene::set().await?;
    let stage = &scene.stage;
    let keys = stage.odoo.records("res.users.apikeys");
    let own = *keys.ids().first().context("no key")?;
    let soon = "select to_jsonb(to_char(now() at time zone 'UTC' + interval '5 days', 'YYYY-MM-DD HH24:MI:SS'))";
    keys.update(
        own,
        &serde_json::json!({ "expiration_date": stage.value(soon).await? }),
    );
    let looks = "select count(*) from odoo_sync.checks where checked_at is not null";
    assert_eq!(stage.count(looks).await?, 0);
    stage.value("select odoo_sync.purge()").await?;
    until("the look of the day was taken", async || {
        Ok(stage.count(looks).await? == 1)
    })
    .await?;
    let tick = "insert into odoo_sync.calls (job, request_id, called_at, answered_at, status_code)
        values ('archive-odoo-files-batch', -1, now(), now(), 202)";
    stage.owner.batch_execute(tick).await?;
    let problem = "select to_jsonb(concat_ws(' | ', h.ok, h.problem, h.remedy)) from odoo_sync.health() h where h.job = 'archive-odoo-files-batch'";
    let problem = stage.value(problem).await?.to_string();
    for said in [
        "t | API key of Odoo: It ends on 20",
        "set odoo_api_key to it",
    ] {
        assert!(problem.contains(said), "{problem}");
    }

    let key = stage
        .value("select to_jsonb(odoo_sync.vault_key())")
        .await?;
    let key = key.as_str().context("no key")?;
    let calls = stage.odoo.counters().total().calls;
    let daily = stage
        .caller()
        .post("/check", key, r#"{"daily": true}"#)
        .await?;
    assert_eq!(
        (daily.status.as_u16(), daily.json()),
        (202, serde_json::json!({"status": "accepted"}))
    );
    for other in ["", r#"{"create_bucket": true}"#] {
        let refused = stage.caller().post("/check", key, other).await?;
        assert_eq!(refused.status, 403, "{other}");
    }
    // One look, not two: there was one today.
    scene.check().await?;
    let calls = stage.odoo.counters().total().calls - calls;
    assert!(calls <= 18, "{calls} requests to Odoo");
    Ok(())
}

#[tokio::test]
async fn an_app_of_which_nothing_is_set_says_so_line_by_line() -> Result<()> {
    let scene = Scene::set().await?;
    let looked_at = scene
        .with(&Cause::Variables(vec![
            ("odoo_url", "https://odoo.invalid".to_owned()),
            ("storage_url", "https://supabase.invalid".to_owned()),
            ("db_host", "postgres.invalid".to_owned()),
        ]))
        .await?;
    let failed: Vec<_> = states(&looked_at)
        .into_iter()
        .filter(|(_, state)| state == "failed")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        failed,
        [
            "settings of Odoo",
            "settings of Postgres",
            "settings of Storage"
        ]
    );
    assert_eq!(looked_at["lines"].as_array().map(Vec::len), Some(29));
    Ok(())
}
