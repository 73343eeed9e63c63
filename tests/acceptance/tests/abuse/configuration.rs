//! What is missing in the configuration closes the door, and is said in the log.

use anyhow::{Result, ensure};
use stage::{SERVICE_KEY, Stage};

use crate::scene::{JOBS, nothing_was_done, post, set};

fn says(stage: &Stage, words: &str) -> bool {
    stage.log().iter().any(|line| line.contains(words))
}

#[tokio::test]
async fn without_any_setting_for_callers_nobody_gets_in_and_the_log_says_why() -> Result<()> {
    let stage = set()
        .variable("service_keys", "")
        .variable("jwt_secret", "")
        .variable("jwks_path", "")
        .start()
        .await?;
    for path in JOBS.iter().chain(&["/actions/retry"]) {
        for key in ["", ",", SERVICE_KEY, "null", "undefined", "a.b.c"] {
            let answer = stage.caller().post(path, key, "{}").await?;
            ensure!(answer.status == 401, "{path} {key:?}: {}", answer.text());
        }
    }
    for path in ["/status", "/metrics", "/status/files/1"] {
        ensure!(
            stage.caller().get(path, None).await?.status == 401,
            "{path}"
        );
    }
    nothing_was_done(&stage).await?;
    for words in ["service_keys is not set", "no user token is accepted"] {
        ensure!(says(&stage, words), "{words}: {:?}", stage.log());
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_that_can_be_guessed_opens_nothing() -> Result<()> {
    let stage = set()
        .variable("jwt_secret", "a-short-secret")
        .start()
        .await?;
    let answer = stage.caller().post(JOBS[0], "a.b.c", "{}").await?;
    ensure!(answer.status == 401, "{}", answer.text());
    ensure!(
        says(&stage, "jwt_secret is shorter than 32 bytes"),
        "{:?}",
        stage.log()
    );
    Ok(())
}

#[tokio::test]
async fn without_a_database_nobody_is_let_in_by_chance() -> Result<()> {
    let stage = set()
        .variable("db_host", "postgres.invalid")
        .start()
        .await?;
    for path in JOBS {
        let answer = stage.caller().post(path, "a-stranger", "{}").await?;
        ensure!(
            answer.status == 503,
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        ensure!(
            !answer.text().contains("postgres.invalid"),
            "{}",
            answer.text()
        );
        // Whose key is that of the configuration is told what is missing.
        let answer = post(&stage, path, "{}").await?;
        ensure!(
            answer.status == 500 && answer.text().contains("db_host"),
            "{path}: {}",
            answer.text()
        );
    }
    ensure!(says(&stage, "db_host is not set"), "{:?}", stage.log());
    nothing_was_done(&stage).await
}

#[tokio::test]
async fn a_setting_that_is_unusable_stops_the_work_and_is_named() -> Result<()> {
    let stage = set().start().await?;
    for (name, value) in [
        ("odoo_url", "https://odoo.invalid"),
        ("odoo_url", "http://odoo.example:8069"),
        ("odoo_url", "http://127.0.0.1.example"),
        ("odoo_parallel_calls", "many"),
        ("odoo_protocol", "xml-rpc"),
    ] {
        let (_host, caller) = stage.replica(&[(name, value)]).await?;
        for path in JOBS {
            let answer = caller.post(path, SERVICE_KEY, "{}").await?;
            ensure!(
                answer.status == 500 && answer.text().contains(name),
                "{path} {name}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    ensure!(stage.odoo.counters().total().calls == 0);
    Ok(())
}
