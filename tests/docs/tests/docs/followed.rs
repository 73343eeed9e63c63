//! Pages that are followed on certain days, followed as they stand: after a restore, and when Odoo is switched off.

use anyhow::{Context, Result, bail, ensure};
use docs_tests::{Block, Document, Section};
use serde_json::{Value, json};
use stage::{SERVICE_KEY, Stage, until};
use world::odoo::{self, Attachments, EdgeCase, NewAttachment};
use world::supabase::Supabase;

use crate::running::{Environment, Row, sh, sql};

const JOBS: [&str; 3] = ["/archive-batch", "/crm-sync", "/chatter-sync"];

/// A company whose jobs are scheduled and have run; nothing ticks by itself.
async fn at_work(lost: Option<i64>) -> Result<(Stage, Supabase)> {
    let odoo = odoo::Options {
        attachments: Attachments::of(20),
        ..odoo::Options::default()
    };
    let stage = Stage::builder().odoo(odoo).start().await?;
    stage.odoo.fill_pipeline(6);
    if let Some(id) = lost {
        stage.odoo.attachments().insert(NewAttachment {
            id: Some(id),
            edge_cases: vec![EdgeCase::LostFile],
            ..NewAttachment::default()
        });
    }
    let supabase = Supabase::attend_without_clock(&stage.database).await?;
    stage
        .owner
        .batch_execute("select odoo_sync.rotate_key()")
        .await?;
    let schedule = "select count(*) from odoo_sync.schedule($1)";
    stage.owner.execute(schedule, &[&stage.url()]).await?;
    for path in JOBS.iter().chain(&JOBS) {
        let answer = stage.post(path, "{}").await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        let last_attempt = "update public.odoo_attachments set attempts = 7, next_attempt_at = now() where state = 'pending' and attempts > 0";
        stage.owner.batch_execute(last_attempt).await?;
    }
    Ok((stage, supabase))
}

/// The steps of a page, by their number.
fn step(document: &Document, number: usize) -> Result<&Section> {
    let of_number = format!("{number}. ");
    let mut sections = document.sections.iter();
    sections
        .find(|section| section.level == 2 && section.title.starts_with(&of_number))
        .with_context(|| format!("{} has no step {number}", document.path))
}

fn blocks(step: &Section, count: usize) -> &[Block] {
    assert_eq!(step.blocks.len(), count, "{}", step.title);
    &step.blocks
}

/// Runs the only block of a step, which is SQL; the rows of its last statement.
async fn run(stage: &Stage, block: &Block) -> Result<Vec<Row>> {
    ensure!(block.language == "sql", "{}", block.text);
    let mut statements = sql(&stage.owner, &block.text, &stage.url()).await?;
    Ok(statements.pop().unwrap_or_default())
}

#[tokio::test]
async fn after_a_restore_all_is_well_again_by_the_steps_as_they_stand() -> Result<()> {
    let (stage, supabase) = at_work(None).await?;
    let document = Document::open("docs/restore.md")?;
    // What does not come along: jobs, the key, some objects.
    let superuser = stage.database.connect_as_superuser().await?;
    superuser
        .batch_execute("delete from cron.job; delete from vault.secrets; update odoo_sync.calls set called_at = called_at - interval '2 days'")
        .await?;
    let object: String = stage
        .owner
        .query_one("select object_path from public.odoo_attachments where state = 'moved' order by id limit 1", &[])
        .await?
        .try_get(0)?;
    assert!(stage.storage.remove("odoo-archive", &object));

    for (number, count) in [(2, 0), (3, 0), (4, 0), (5, 1), (6, 1)] {
        for block in blocks(step(&document, number)?, count) {
            run(&stage, block).await?;
        }
    }
    // Each job runs, by the key of the fifth step.
    let names = "select to_jsonb(array(select name from odoo_sync.jobs order by name))";
    let names = stage.value(names).await?;
    for name in names
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        let run = supabase.tick(name).await?;
        ensure!(run.status == "succeeded", "{name}: {}", run.return_message);
    }
    for block in blocks(step(&document, 7)?, 1) {
        let called = run(&stage, block).await?;
        assert_eq!(called.len(), 1);
    }
    let open = "select count(*) from odoo_sync.recent_calls('odoo-chatter-sync-hourly', null, 5) where answered_at is null";
    let at_work = "select count(*) from odoo_sync.runs where outcome = 'running'";
    let is_quiet = async || Ok(stage.count(open).await? + stage.count(at_work).await? == 0);
    until("the jobs have worked", is_quiet).await?;

    let environment = Environment::from([
        ("SYNC_URL", stage.url()),
        ("SYNC_KEY", SERVICE_KEY.to_owned()),
    ]);
    for (signs, repaired) in [(json!({"=": 19, "+": 1}), 1), (json!({"=": 20}), 0)] {
        for block in blocks(step(&document, 8)?, 1) {
            let report: Value = serde_json::from_str(&sh(block, &environment).await?)?;
            let verified = &report["verified"];
            assert_eq!(
                (
                    &verified["complete"],
                    &verified["signs"],
                    &verified["repaired"]
                ),
                (&json!(true), &signs, &json!(repaired)),
                "{report}"
            );
        }
        stage.post("/archive-batch", "{}").await?;
    }
    for block in blocks(step(&document, 9)?, 1) {
        let not_well = run(&stage, block).await?;
        assert!(not_well.is_empty(), "{not_well:?}");
    }
    // A copy that is only looked at.
    for block in blocks(step(&document, 1)?, 1) {
        run(&stage, block).await?;
    }
    assert_eq!(stage.count("select count(*) from cron.job").await?, 0);
    Ok(())
}

#[tokio::test]
async fn odoo_is_switched_off_by_the_steps_as_they_stand() -> Result<()> {
    let (stage, _supabase) = at_work(Some(4521)).await?;
    let document = Document::open("docs/cut-over.md")?;
    let [check, certificate] = blocks(step(&document, 2)?, 2) else {
        bail!("the second step has other blocks");
    };
    let verdict = async || -> Result<Value> {
        let rows = run(&stage, certificate).await?;
        let said = rows.first().context("no certificate")?.get("certificate");
        Ok(serde_json::from_str::<Value>(said)?["state"].clone())
    };
    run(&stage, check).await?;
    assert_eq!(verdict().await?, "running");
    // The check has the jobs called too: where one of these is at work, a tick does nothing.
    until("the check has its verdict", async || {
        for path in JOBS {
            stage.post(path, "{}").await?;
        }
        Ok(verdict().await? != "running")
    })
    .await?;
    assert_eq!(verdict().await?, "not_ready");
    for block in blocks(step(&document, 3)?, 1) {
        run(&stage, block).await?;
    }
    assert_eq!(verdict().await?, "ready");
    for block in blocks(step(&document, 4)?, 1) {
        run(&stage, block).await?;
    }
    assert_eq!(stage.count("select count(*) from cron.job").await?, 0);
    Ok(())
}
