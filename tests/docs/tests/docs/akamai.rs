//! Akamai Functions: 30 s a request and 128 MiB an instance, by the variables and the statement that
//! the document gives.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use docs_tests::{Document, read};
use stage::Stage;
use world::odoo::{self, Attachments, EdgeCase, Sizes};
use world::supabase::Supabase;

use crate::running::sql;

const MEMORY_MIB: usize = 128;
const REQUEST: Duration = Duration::from_secs(30);
const LARGE: u64 = 40_000_000;
/// More than one batch can move, at the pace that Storage's latency allows.
const FILES: u64 = 1_500;

#[tokio::test]
async fn everything_arrives_within_thirty_seconds_a_request_and_128_mib() -> Result<()> {
    let attachments = Attachments {
        shared_one_in: 0,
        ..Attachments::of(FILES)
            .sized(Sizes::Between(1_000, 60_000))
            .with(7, EdgeCase::Size(LARGE))
    };
    let mut builder = Stage::builder()
        .odoo(odoo::Options {
            attachments,
            ..odoo::Options::default()
        })
        .memory_limit_mib(MEMORY_MIB)
        .request_timeout(REQUEST);
    let variables = read("components/deploy/akamai.env")?;
    for line in variables.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.split_once('=').context("no variable")?;
        builder = builder.variable(name, value);
    }
    let stage = builder.start().await?;
    stage.odoo.fill_pipeline(200);
    stage.storage.set_latency_ms(600);
    let _supabase = Supabase::attend_without_clock(&stage.database).await?;
    let url = stage.url();
    let scheduled =
        format!("select odoo_sync.rotate_key(); select * from odoo_sync.schedule('{url}')");
    stage.owner.batch_execute(&scheduled).await?;
    let document = Document::open("components/deploy/README.md")?;
    let chapter = document.chapter("Akamai Functions");
    let mut waits = chapter.iter().flat_map(|section| &section.blocks);
    let waits = waits.find(|block| block.language == "sql");
    sql(&stage.owner, &waits.context("no statement")?.text, &url).await?;

    let mut batches = 0;
    while batches == 0 || stage.count("select odoo_sync.remaining()").await? > 0 {
        answered(&stage, "archive-odoo-files-batch").await?;
        batches += 1;
        assert!(batches < 20, "it does not end");
    }
    assert!(
        batches > 1,
        "one batch was enough: the limit of time was not tried"
    );
    answered(&stage, "odoo-crm-sync-nightly").await?;
    answered(&stage, "odoo-chatter-sync-hourly").await?;

    let moved = "select count(*) from public.odoo_attachments where state = 'moved'";
    assert_eq!(stage.count(moved).await?, i64::try_from(FILES)?);
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_leads")
            .await?,
        200
    );
    let crashed = "select count(*) from odoo_sync.runs where outcome <> 'success'";
    assert_eq!(stage.count(crashed).await?, 0);
    assert!(stage.storage.verify_all().misnamed.is_empty());
    for component in ["archive-batch", "crm-sync", "chatter-sync"] {
        let peak = stage.peak_memory_bytes(component).unwrap_or_default();
        assert!(peak > 0, "{component} never ran");
        println!(
            "{component}: {} MiB at most, {batches} batches",
            peak / 1024 / 1024
        );
    }
    Ok(())
}

/// Calls a job as cron does, and waits for what `pg_net` hears: a report, in time.
async fn answered(stage: &Stage, job: &str) -> Result<()> {
    let call = format!("select odoo_sync.run_now('{job}')");
    stage.owner.batch_execute(&call).await?;
    let latest =
        format!("select id from odoo_sync.calls where job = '{job}' order by id desc limit 1");
    let id: i64 = stage.owner.query_one(&latest, &[]).await?.try_get(0)?;
    let heard = format!(
        "select status_code, timed_out, content from odoo_sync.recent_calls('{job}', null, 1) where id = {id} and answered_at is not null"
    );
    let begun = Instant::now();
    loop {
        if let Some(row) = stage.owner.query_opt(&heard, &[]).await? {
            let (status, content): (Option<i32>, Option<String>) =
                (row.try_get(0)?, row.try_get(2)?);
            let content = content.unwrap_or_default();
            ensure!(status == Some(200), "{job}: {status:?} {content}");
            ensure!(
                content.contains("\"status\":\"success\""),
                "it did not wait: {content}"
            );
            return Ok(());
        }
        ensure!(
            begun.elapsed() < REQUEST + Duration::from_secs(10),
            "{job} is not answered"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
