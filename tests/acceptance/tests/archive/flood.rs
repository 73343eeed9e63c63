//! Whoever looks, however often, keeps no job waiting.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http::Method;
use stage::{SERVICE_KEY, Stage};

use crate::scene::*;

/// As `components/deploy/runtime-config.toml` has it, for all components together.
const CONNECTIONS: usize = 6;

/// A status that takes a second, as on a large and busy database, and how often it was asked.
const SLOW: &str = "
    create sequence public.looks;
    grant usage on sequence public.looks to odoo_sync;
    alter function odoo_sync.status() rename to quick_status;
    create function odoo_sync.status() returns jsonb language plpgsql set search_path = pg_catalog, pg_temp as $$
      begin
        perform nextval('public.looks'), pg_sleep(1);
        return odoo_sync.quick_status();
      end $$;
    grant execute on function odoo_sync.status() to odoo_sync";

/// Looks from `how_many` strangers, 60 a second; how many were answered with a status.
async fn look(stage: &Stage, how_many: u32) -> Result<usize> {
    let mut looks = tokio::task::JoinSet::new();
    let mut clock = tokio::time::interval(Duration::from_millis(1000 / 60));
    for _ in 0..how_many {
        clock.tick().await;
        let caller = stage.caller().clone();
        looks.spawn(async move { caller.get("/status", None).await });
    }
    let mut answered = 0;
    while let Some(answer) = looks.join_next().await {
        answered += usize::from(answer??.status == 200);
    }
    Ok(answered)
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_looks_a_second_keep_no_job_waiting() -> Result<()> {
    let stage = set(odoo_with(small(3)))
        .variable("status_public", true)
        .max_connections(CONNECTIONS)
        .start()
        .await?;
    stage.owner.batch_execute(SLOW).await?;
    // Everything is compiled and connected.
    tick(&stage).await?;
    let key = format!("Bearer {SERVICE_KEY}");
    let headers = [("authorization", key.as_str()), ("prefer", "respond-async")];
    let jobs = async {
        let mut longest = Duration::ZERO;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let asked = Instant::now();
            let answer = stage
                .caller()
                .send(Method::POST, PATH, &headers, "{}")
                .await?;
            ensure!(answer.status == 202, "{} {}", answer.status, answer.text());
            longest = longest.max(asked.elapsed());
        }
        anyhow::Ok(longest)
    };
    let (answered, longest) = tokio::try_join!(look(&stage, 300), jobs)?;
    assert_eq!(answered, 300);
    let looks = stage.count("select last_value from public.looks").await?;
    println!("{looks} readings for 300 looks; a job was answered within {longest:?}");
    // Before, each look was a reading: six at a time, and a job waited for all that had come before.
    assert!(looks <= 30, "{looks} readings");
    assert!(longest < Duration::from_secs(3), "{longest:?}");
    Ok(())
}
