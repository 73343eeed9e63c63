//! `pg_cron`'s clock: runs jobs that are due, and records what came of them.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::DbError;

use super::schedule::{Moment, Schedule};
use crate::postgres::Database;

/// What came of a job's run: a row of `cron.job_run_details`.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its number.
    pub runid: i64,
    /// `succeeded` or `failed`.
    pub status: String,
    /// `1 row`, a command tag, or `ERROR:  …`.
    pub return_message: String,
}

struct Job {
    jobid: i64,
    schedule: String,
    command: String,
    database: String,
    username: String,
}

/// Runs due jobs at each full minute (UTC), each on its own, never one beside itself.
pub(super) async fn run(database: Database) {
    let mut running: HashMap<i64, JoinHandle<()>> = HashMap::new();
    loop {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let wait = Duration::from_secs(60 - now.as_secs() % 60)
            .saturating_sub(Duration::from_nanos(u64::from(now.subsec_nanos())));
        tokio::time::sleep(wait + Duration::from_millis(1)).await;
        let minute = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
            / 60;
        // A database that is away (restarted, crashed) misses its ticks, as with the real clock.
        let Ok(due) = due_jobs(&database, minute).await else {
            continue;
        };
        running.retain(|_, run| !run.is_finished());
        for job in due {
            let database = database.clone();
            running.entry(job.jobid).or_insert_with(|| {
                tokio::spawn(async move {
                    // What failed is in job_run_details, as far as the database could be reached.
                    let _ = run_job(&database, &job).await;
                })
            });
        }
    }
}

/// Runs the job of that name now.
pub(super) async fn tick(database: &Database, name: &str) -> Result<Run> {
    let mut jobs = jobs(database, "where jobname = $1", &[&name]).await?;
    let job = jobs
        .pop()
        .with_context(|| format!("no job is named `{name}`"))?;
    run_job(database, &job).await
}

async fn due_jobs(database: &Database, minute: u64) -> Result<Vec<Job>> {
    let moment = Moment::at_minute(minute);
    let mut due = jobs(database, "where active", &[]).await?;
    due.retain(|job| {
        job.schedule
            .parse::<Schedule>()
            .is_ok_and(|schedule| schedule.is_due(moment))
    });
    Ok(due)
}

async fn jobs(
    database: &Database,
    condition: &str,
    parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Vec<Job>> {
    let client = database.connect_as_superuser().await?;
    let query = format!(
        "select jobid, schedule, command, database, username from cron.job {condition} order by jobid"
    );
    let rows = client.query(&query, parameters).await?;
    rows.iter()
        .map(|row| {
            Ok(Job {
                jobid: row.try_get(0)?,
                schedule: row.try_get(1)?,
                command: row.try_get(2)?,
                database: row.try_get(3)?,
                username: row.try_get(4)?,
            })
        })
        .collect()
}

async fn run_job(database: &Database, job: &Job) -> Result<Run> {
    let records = database.connect_as_superuser().await?;
    let runid: i64 = records
        .query_one(
            "insert into cron.job_run_details (jobid, database, username, command, status, start_time)
             values ($1, $2, $3, $4, 'running', clock_timestamp()) returning runid",
            &[&job.jobid, &job.database, &job.username, &job.command],
        )
        .await?
        .try_get(0)?;
    let (status, return_message) = match execute(database, job).await {
        Ok(message) => ("succeeded", message),
        Err(message) => ("failed", message),
    };
    records
        .execute(
            "update cron.job_run_details set status = $2, return_message = $3, end_time = clock_timestamp() where runid = $1",
            &[&runid, &status, &return_message],
        )
        .await?;
    Ok(Run {
        runid,
        status: status.into(),
        return_message,
    })
}

async fn execute(database: &Database, job: &Job) -> Result<String, String> {
    let Ok(client) = database.connect_as_user(&job.username, &job.database).await else {
        return Err("connection failed".into());
    };
    let messages =
        client
            .simple_query(&job.command)
            .await
            .map_err(|problem| match problem.as_db_error() {
                Some(error) => in_words(error),
                None => "server closed the connection unexpectedly".into(),
            })?;
    let rows = messages
        .iter()
        .filter(|message| matches!(message, SimpleQueryMessage::Row(_)))
        .count();
    Ok(if rows == 1 {
        "1 row".into()
    } else {
        format!("{rows} rows")
    })
}

/// As libpq puts an error into words, and `pg_cron` into `return_message`.
fn in_words(error: &DbError) -> String {
    let mut words = format!("{}:  {}\n", error.severity(), error.message());
    for (title, text) in [
        ("DETAIL", error.detail()),
        ("HINT", error.hint()),
        ("CONTEXT", error.where_()),
    ] {
        if let Some(text) = text {
            let _ = writeln!(words, "{title}:  {text}");
        }
    }
    words
}
