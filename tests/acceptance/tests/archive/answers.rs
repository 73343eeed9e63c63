//! What a caller is told, and what becomes of the work when the caller goes.

use anyhow::Result;
use serde_json::json;
use stage::{Answer, JWT_SECRET, SERVICE_KEY, Stage, token_of};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use world::faults::Fault;
use world::odoo::EdgeCase;

use crate::scene::{
    PATH, all_is_well, hold_uploads, holds_no_secret, in_state, log_rows, odoo_with, set, small,
    stopped_tick, tick, until,
};

async fn send(stage: &Stage, method: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
    stage
        .caller()
        .send(method.parse()?, PATH, headers, body.to_owned())
        .await
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The one batch that is under way moves all 60 files.
async fn works_to_its_end(stage: &Stage) -> Result<()> {
    until("the work is done", async || {
        Ok(log_rows(stage).await?.len() == 1)
    })
    .await?;
    assert_eq!(in_state(stage, "moved").await?, 60);
    all_is_well(stage).await
}

#[tokio::test]
async fn who_would_rather_not_wait_is_answered_at_once_and_the_work_goes_on() -> Result<()> {
    let stage = set(odoo_with(small(60))).start().await?;
    let held = hold_uploads(&stage, 1);
    let key = bearer(SERVICE_KEY);
    let headers = [
        ("authorization", key.as_str()),
        ("prefer", "respond-async, wait=1"),
    ];
    let answer = send(&stage, "POST", &headers, "{}").await?;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.header("preference-applied"), "respond-async");
    assert_eq!(answer.json()["status"], "accepted");
    // The run that it names is the one that works, and that others find at work.
    let run = stage
        .value("select to_jsonb(id) from odoo_sync.runs where outcome = 'running'")
        .await?;
    assert_eq!(answer.json()["run_id"], run);
    let other = send(&stage, "POST", &headers, "{}").await?;
    assert_eq!(
        (other.status.as_u16(), &other.json()["status"]),
        (200, &json!("running"))
    );
    stage.storage.faults().remove(held);
    works_to_its_end(&stage).await
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_work() -> Result<()> {
    let stage = set(odoo_with(small(60))).start().await?;
    let held = hold_uploads(&stage, 6);
    let address = stage.url().trim_start_matches("http://").to_owned();
    let mut caller = TcpStream::connect(&address).await?;
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {SERVICE_KEY}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    caller.write_all(request.as_bytes()).await?;
    crate::scene::until_stored(&stage, 5).await?;
    // As pg_net does when its time is up.
    drop(caller);
    stage.storage.faults().remove(held);
    works_to_its_end(&stage).await
}

#[tokio::test]
async fn what_pg_cron_sends_is_accepted_and_both_addresses_are_one() -> Result<()> {
    let stage = set(odoo_with(small(5))).start().await?;
    let answer = stage
        .post(
            "/functions/v1/archive-odoo-files",
            r#"{"time":"2026-11-21T20:22:17Z"}"#,
        )
        .await?;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["migrated"]),
        (200, &json!(5)),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_paused_archive_says_so_and_changes_nothing() -> Result<()> {
    let stage = set(odoo_with(small(5))).start().await?;
    stage
        .owner
        .batch_execute("select odoo_sync.pause('archive-batch')")
        .await?;
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["status"], &report["migrated"]),
        (&json!("paused"), &json!(0)),
        "{report}"
    );
    assert_eq!(
        stage.odoo.counters().total().calls + stage.storage.counters().total().calls,
        0
    );
    stage
        .owner
        .batch_execute("select odoo_sync.resume('archive-batch')")
        .await?;
    assert_eq!(tick(&stage).await?["migrated"], 5);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_call_without_an_accepted_key_is_refused_and_is_one_line_in_the_log() -> Result<()> {
    let stage = set(odoo_with(small(5))).start().await?;
    let tokens = [
        "wrong-service-key",
        "",
        "service-role-key",
        &token_of("11111111-2222-4333-8444-555555555555")?,
    ]
    .map(bearer);
    for authorization in &tokens {
        let answer = send(&stage, "POST", &[("authorization", authorization)], "{}").await?;
        assert_eq!(
            (answer.status.as_u16(), answer.text().as_str()),
            (401, r#"{"error":"Unauthorized"}"#)
        );
    }
    let answer = send(&stage, "POST", &[], "{}").await?;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (401, r#"{"error":"Unauthorized"}"#)
    );
    let rows = log_rows(&stage).await?;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(rows[0]["status"], "auth_error");
    assert_eq!(rows[0]["remaining"], 0);
    holds_no_secret(&rows[0].to_string())?;
    assert_eq!(stage.odoo.counters().total().calls, 0);
    assert_eq!(in_state(&stage, "pending").await?, 0);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_user_may_start_it_who_is_an_admin_and_nobody_else() -> Result<()> {
    let stage = set(odoo_with(small(5)))
        .variable("jwt_secret", JWT_SECRET)
        .start()
        .await?;
    let (admin, other) = (
        "11111111-2222-4333-8444-555555555555",
        "66666666-2222-4333-8444-555555555555",
    );
    stage
        .owner
        .batch_execute(&format!(
            "insert into auth.users (id) values ('{admin}'), ('{other}');
             insert into public.user_roles (user_id, role) values ('{admin}', 'admin')"
        ))
        .await?;
    let authorization = bearer(&token_of(other)?);
    let answer = send(&stage, "POST", &[("authorization", &authorization)], "{}").await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(stage.odoo.counters().total().calls, 0);
    let authorization = bearer(&token_of(admin)?);
    let answer = send(&stage, "POST", &[("authorization", &authorization)], "{}").await?;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["migrated"]),
        (200, &json!(5)),
        "{}",
        answer.text()
    );
    all_is_well(&stage).await
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_by_name_and_changes_nothing() -> Result<()> {
    let stage = set(odoo_with(small(5))).start().await?;
    let key = bearer(SERVICE_KEY);
    let with_key = [("authorization", key.as_str())];
    for (body, named) in [
        (r#"{"mode":"fly"}"#, "mode"),
        (r#"{"mode":7}"#, "mode"),
        (r#"{"ids":"all"}"#, "ids"),
        (r#"{"ids":[0]}"#, "ids"),
        (r#"["migrate"]"#, "JSON object"),
        ("{", "JSON"),
    ] {
        let answer = send(&stage, "POST", &with_key, body).await?;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        assert!(
            answer.json()["error"].as_str().unwrap().contains(named),
            "{body}: {}",
            answer.text()
        );
    }
    let answer = send(&stage, "POST", &with_key, &" ".repeat(70_000)).await?;
    assert_eq!(answer.status, 413, "{}", answer.text());
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let answer = send(&stage, method, &with_key, "").await?;
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (405, "POST, OPTIONS"),
            "{method}"
        );
    }
    assert_eq!(stage.odoo.counters().total().calls, 0);
    assert_eq!(stage.count("select count(*) from odoo_sync.runs").await?, 0);
    assert_eq!(log_rows(&stage).await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn no_secret_and_no_traceback_is_in_any_answer_line_or_row() -> Result<()> {
    // Refusals of every sort, in both protocols.
    for version in [18, 19] {
        let options = world::odoo::Options {
            version,
            ..odoo_with(
                small(30)
                    .with(3, EdgeCase::LostFile)
                    .with(4, EdgeCase::HiddenRecord)
                    .with(5, EdgeCase::Size(900_000)),
            )
        };
        let stage = set(options).start().await?;
        stage.odoo.attachments().hide(4, false);
        crate::scene::tick_with(&stage, r#"{"mode":"discover"}"#).await?;
        stage.odoo.attachments().hide(4, true);
        stage
            .odoo
            .faults()
            .add(Fault::on("/web/content").nth(1).html_500());
        holds_no_secret(&stage.post(PATH, "{}").await?.text())?;
        for (name, value) in [
            ("odoo_api_key", "odoo-key-91ab-wrong"),
            ("odoo_password", "odoo-password-5f0e-wrong"),
            ("odoo_login", "nobody"),
            ("odoo_database", "nowhere"),
            ("archive_domain", r#"[["no_such_field", "=", 1]]"#),
            ("archive_domain", r#"[["id", "no such operator", 1]]"#),
            ("storage_key", "service-role-key-wrong"),
            ("storage_key", "anon-key"),
            ("db_password", "throw-away-wrong"),
            ("db_name", "nowhere"),
            ("db_host", "localhost.invalid"),
            ("db_port", "1"),
        ] {
            let (_host, caller) = stage.replica(&[(name, value)]).await?;
            let answer = caller.post(PATH, SERVICE_KEY, "{}").await?;
            holds_no_secret(&answer.text())?;
            let key = bearer("odoo-key-91ab");
            let refused = caller
                .send("POST".parse()?, PATH, &[("authorization", &key)], "{}")
                .await?;
            holds_no_secret(&refused.text())?;
        }
        stage.storage.set_quota(Some(0));
        stage
            .odoo
            .attachments()
            .insert(world::odoo::NewAttachment::default());
        holds_no_secret(&stopped_tick(&stage).await?.to_string())?;
        crate::scene::no_secret_is_told(&stage).await?;
    }
    Ok(())
}
