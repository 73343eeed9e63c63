//! That every stage looks for its secrets, and that this can fail.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use stage::{SERVICE_KEY, Stage};
use world::faults::Fault;

use crate::scene::{JOBS, post, set};

async fn tell(stage: &Stage, words: &str) -> Result<()> {
    stage
        .owner
        .execute(
            "insert into public.migration_logs (errors, status) values (array[$1], 'error')",
            &[&words],
        )
        .await?;
    Ok(())
}

#[tokio::test]
#[should_panic(expected = "public.migration_logs tells service_keys (in base64)")]
async fn a_stage_with_a_secret_in_a_row_fails_its_test() {
    let stage = set().start().await.unwrap();
    let encoded = STANDARD.encode(format!("key={SERVICE_KEY}&x=1"));
    tell(&stage, &encoded).await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "the log tells")]
async fn a_stage_with_a_secret_in_its_log_fails_its_test() {
    // A user's name is shown where a login fails; here it is the secret of something else.
    let stage = set()
        .variable("db_host", "postgres.invalid")
        .start()
        .await
        .unwrap();
    stage
        .watch()
        .learn("a word that the log has", "db_host is not set");
    stage
        .caller()
        .post(JOBS[0], "a-stranger", "{}")
        .await
        .unwrap();
}

#[tokio::test]
#[should_panic(expected = "the answer of /archive-batch tells")]
async fn a_stage_with_a_secret_in_an_answer_fails_its_test() {
    let stage = set().start().await.unwrap();
    stage
        .watch()
        .learn("a word that the answer has", "Unauthorized");
    stage
        .caller()
        .post(JOBS[0], "a-stranger", "{}")
        .await
        .unwrap();
}

#[tokio::test]
async fn whoever_repeats_a_key_in_an_error_does_not_bring_it_into_a_log() -> Result<()> {
    let stage = set().start().await?;
    let json = [("content-type", "application/json")];
    let key = "service-role-key";
    let words = format!(
        r#"{{"statusCode":"403","error":"Unauthorized","code":"AccessDenied","message":"Bearer {key} is not valid"}}"#
    );
    let told = stage
        .storage
        .faults()
        .add(Fault::on("/bucket").answer(400, &json, &words));
    let answer = post(&stage, "/archive-batch", "{}").await?;
    ensure!(
        answer.status == 500 && answer.text().contains("check storage_key"),
        "{}",
        answer.text()
    );
    stage.storage.faults().remove(told);
    stage.storage.faults().add(Fault::on("/object/").answer(
        500,
        &[("content-type", "text/plain")],
        &format!("apikey: {key}"),
    ));
    post(&stage, "/archive-batch", "{}").await?;

    for secret in ["stage-odoo-key-d93a15", "stage-odoo-password-4be07c"] {
        let words = format!(
            r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":200,"message":"Odoo Server Error","data":{{"name":"builtins.TypeError","message":"execute_kw('odoo', 2, '{secret}') failed","debug":"Traceback"}}}}}}"#
        );
        stage
            .odoo
            .faults()
            .add(Fault::on("/jsonrpc").answer(200, &json, &words));
        for path in JOBS {
            let (_host, caller) = stage.replica(&[]).await?;
            let answer = caller.post(path, SERVICE_KEY, "{}").await?;
            ensure!(
                answer.status.is_server_error() && answer.text().contains("execute_kw"),
                "{path}: {}",
                answer.text()
            );
        }
        stage.odoo.faults().clear();
    }
    ensure!(stage.leaks().await?.is_empty());
    Ok(())
}
