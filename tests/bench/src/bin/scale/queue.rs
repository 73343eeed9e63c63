//! What claiming costs once the queue has been worked through: each file leaves two dead versions of its row and of its
//! place in the index, which nothing clears away while somebody has an old snapshot open.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ledger::attachments::{self, Claimed, Outcome, Settled};
use ledger::runs::RunId;
use ledger::{Postgres, PostgresError};
use serde_json::Value;
use stage::Stage;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// As many as a batch claims at once.
const FILES: usize = 200;
/// So many updates of the table are made before the second look.
const UPDATES: usize = 150_000;
/// How many claims a figure is the median of.
const LOOKS: usize = 20;
const LEASE_S: u32 = 3600;
/// How long autovacuum may take to come: it looks once a minute.
const PATIENCE: Duration = Duration::from_mins(4);

/// The statements of the ledger, by a plain driver.
struct Plain(Client);

impl Postgres for Plain {
    async fn run(
        &self,
        statement: &'static str,
        argument: Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, PostgresError> {
        let failed = |error: &dyn std::fmt::Display| PostgresError::Other(error.to_string());
        let argument: Value = serde_json::from_slice(&argument).map_err(|e| failed(&e))?;
        let rows = self.0.query(statement, &[&argument]).await;
        let rows = rows.map_err(|e| failed(&e))?;
        rows.iter()
            .map(|row| {
                let is_text =
                    row.columns().first().map(tokio_postgres::Column::type_) == Some(&Type::TEXT);
                if is_text {
                    let text: String = row.try_get(0).map_err(|e| failed(&e))?;
                    Ok(text.into_bytes())
                } else {
                    let document: Value = row.try_get(0).map_err(|e| failed(&e))?;
                    Ok(document.to_string().into_bytes())
                }
            })
            .collect()
    }
}

/// A table in Markdown: medians in milliseconds.
pub async fn measure() -> Result<()> {
    println!(
        "\n| a claim of {FILES} files, median ms | fresh | after {UPDATES} updates | after autovacuum came |"
    );
    println!("| --- | ---: | ---: | ---: |");
    for old_snapshot in [false, true] {
        let [fresh, worn, cleared] = worked_through(old_snapshot).await?;
        let title = if old_snapshot {
            "an old snapshot is open"
        } else {
            "no old snapshot"
        };
        println!("| {title} | {fresh:.1} | {worn:.1} | {cleared:.1} |");
    }
    Ok(())
}

async fn worked_through(old_snapshot: bool) -> Result<[f64; 3]> {
    let stage = Stage::builder().start().await?;
    let rounds = UPDATES / 2 / FILES;
    let files = (rounds + 3 * LOOKS + 10) * FILES;
    stage
        .owner
        .batch_execute(&format!(
            "insert into public.odoo_attachments (id, name, mimetype, file_size, checksum, res_model, res_id, state, next_attempt_at)
             select n, 'offer ' || n || '.pdf', 'application/pdf', 180000, md5(n::text) || left(md5(n::text), 8), 'crm.lead', n / 7, 'pending',
                    now() - make_interval(secs => 1000000 - n)
               from generate_series(1, {files}) n"
        ))
        .await?;
    stage
        .owner
        .batch_execute("vacuum analyze public.odoo_attachments")
        .await?;
    let run_id: uuid::Uuid = stage
        .owner
        .query_one(
            "insert into odoo_sync.runs (id, job, leased_until) values (gen_random_uuid(), 'archive-batch', now() + interval '1 day') returning id",
            &[],
        )
        .await?
        .try_get(0)?;
    let run_id = RunId(run_id);
    let reader = stage.database.connect().await?;
    if old_snapshot {
        reader
            .batch_execute("begin isolation level repeatable read; select count(*) from public.odoo_attachments")
            .await?;
    }
    let postgres = Plain(stage.database.connect().await?);
    let fresh = claims(&postgres, run_id, LOOKS).await?;
    claims(&postgres, run_id, rounds - LOOKS).await?;
    let worn = claims(&postgres, run_id, LOOKS).await?;
    let began = Instant::now();
    while vacuums(&stage).await? == 0 {
        ensure!(began.elapsed() < PATIENCE, "autovacuum never came");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // The first claims behind it mark what is dead.
    claims(&postgres, run_id, 5).await?;
    let cleared = claims(&postgres, run_id, LOOKS).await?;
    Ok([fresh, worn, cleared])
}

async fn vacuums(stage: &Stage) -> Result<i64> {
    stage
        .count("select autovacuum_count from pg_stat_user_tables where relid = 'public.odoo_attachments'::regclass")
        .await
}

/// So many claims, each recorded as moved; the median of how long a claim took, in milliseconds.
async fn claims(postgres: &Plain, run_id: RunId, rounds: usize) -> Result<f64> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let started = Instant::now();
        let claimed = attachments::claim(postgres, run_id, LEASE_S, FILES, None).await;
        times.push(started.elapsed());
        let files: Vec<Claimed> = claimed
            .map_err(|fault| anyhow!("{fault}"))?
            .into_iter()
            .flatten()
            .collect();
        ensure!(files.len() == FILES, "{} files were claimed", files.len());
        let moved = |file: &Claimed| {
            let object_path = content::ObjectPath::of(&file.checksum);
            Settled::of(file, Outcome::Moved { object_path })
        };
        let settled: Vec<Settled> = files.iter().map(moved).collect();
        let recorded = attachments::record(postgres, run_id, LEASE_S, &settled).await;
        recorded.map_err(|fault| anyhow!("{fault}"))?;
    }
    times.sort();
    let median = times.get(rounds / 2).context("no claims")?;
    Ok(median.as_secs_f64() * 1000.0)
}
