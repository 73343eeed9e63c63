//! `pg_cron`'s clock: runs jobs that are due, and records what came of them.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};
use tokio_postgres::{Client, SimpleQueryMessage};

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

/// `pg_cron`'s clock, and how many runs of each job are due or under way.
#[derive(Clone)]
pub(super) struct Clock {
    pub database: Database,
    runs: Arc<Mutex<HashMap<i64, u32>>>,
}

/// How long it is to the next full minute, and which one that is.
fn next_minute(since_1970: Duration) -> (Duration, u64) {
    let minute = since_1970.as_secs() / 60 + 1;
    (
        Duration::from_secs(minute * 60).saturating_sub(since_1970),
        minute,
    )
}

impl Clock {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            runs: Arc::default(),
        }
    }

    /// Strikes each full minute.
    pub(super) async fn run(self) {
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let (wait, minute) = next_minute(now.unwrap_or_default());
            tokio::time::sleep(wait).await;
            // A database that is away (restarted, crashed) misses its ticks, as with the real clock.
            let _ = self.strike(minute).await;
        }
    }

    /// It is so many minutes after 1970 began: each job that is due runs once more, on its own, never beside
    /// itself. What became due meanwhile runs as soon as the run before has ended.
    pub(super) async fn strike(&self, minute: u64) -> Result<()> {
        for job in due_jobs(&self.database, minute).await? {
            let clock = self.clone();
            if self.count(job.jobid, 1) == 1 {
                tokio::spawn(async move {
                    let jobid = job.jobid;
                    let mut next = Some(job);
                    loop {
                        if let Some(job) = next {
                            // What failed is in job_run_details, as far as the database could be reached.
                            let _ = run_job(&clock.database, &job, true).await;
                        }
                        if clock.count(jobid, -1) == 0 {
                            return;
                        }
                        // One that is gone or not active meanwhile has run for the last time.
                        next = active_job(&clock.database, jobid).await;
                    }
                });
            }
        }
        Ok(())
    }

    /// The job's runs, by so many more.
    fn count(&self, jobid: i64, more: i32) -> u32 {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let count = runs.entry(jobid).or_default();
        *count = count.saturating_add_signed(more);
        *count
    }
}

async fn active_job(database: &Database, jobid: i64) -> Option<Job> {
    jobs(database, "where active and jobid = $1", &[&jobid])
        .await
        .ok()?
        .pop()
}

/// Runs the job of that name now.
pub(super) async fn tick(database: &Database, name: &str) -> Result<Run> {
    let mut jobs = jobs(database, "where jobname = $1", &[&name]).await?;
    let job = jobs
        .pop()
        .with_context(|| format!("no job is named `{name}`"))?;
    run_job(database, &job, false).await
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

/// By the clock a run ends when its job is taken away or made inactive.
async fn run_job(database: &Database, job: &Job, by_clock: bool) -> Result<Run> {
    let records = database.connect_as_superuser().await?;
    let runid: i64 = records
        .query_one(
            "insert into cron.job_run_details (jobid, database, username, command, status, start_time)
             values ($1, $2, $3, $4, 'running', clock_timestamp()) returning runid",
            &[&job.jobid, &job.database, &job.username, &job.command],
        )
        .await?
        .try_get(0)?;
    let outcome = tokio::select! {
        outcome = execute(database, job, &records, runid) => outcome,
        () = canceled(database, job.jobid), if by_clock => Err("job canceled".into()),
    };
    let (status, return_message) = match outcome {
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

/// Waits until the job is active no more.
async fn canceled(database: &Database, jobid: i64) {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let still = jobs(database, "where active and jobid = $1", &[&jobid]).await;
        if still.is_ok_and(|jobs| jobs.is_empty()) {
            return;
        }
    }
}

async fn execute(
    database: &Database,
    job: &Job,
    records: &Client,
    runid: i64,
) -> Result<String, String> {
    let Ok(client) = database.connect_as_user(&job.username, &job.database).await else {
        return Err("connection failed".into());
    };
    let in_words = |problem: tokio_postgres::Error| match problem.as_db_error() {
        Some(error) if error.code() != &SqlState::ADMIN_SHUTDOWN => in_words(error, &job.command),
        _ => LOST.to_owned(),
    };
    let pid = client.query_one("select pg_backend_pid()", &[]).await;
    let pid: Option<i32> = pid.and_then(|row| row.try_get(0)).ok();
    let set_pid = "update cron.job_run_details set job_pid = $2 where runid = $1";
    let _ = records.execute(set_pid, &[&runid, &pid]).await;
    let messages = client.simple_query(&job.command).await.map_err(in_words)?;
    // Of several statements the last one counts: how many rows, or its tag.
    let mut rows = None;
    let mut outcome = String::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(_) => rows = Some(0),
            SimpleQueryMessage::Row(_) => rows = rows.map(|rows| rows + 1),
            SimpleQueryMessage::CommandComplete(count) => {
                outcome = match rows.take() {
                    Some(1) => "1 row".to_owned(),
                    Some(rows) => format!("{rows} rows"),
                    None => tag(&job.command, count),
                };
            }
            _ => {}
        }
    }
    Ok(outcome)
}

/// libpq's words for a backend that ended.
const LOST: &str = "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n\tbefore or while processing the request.\n";

/// The tag of the last statement of a command, which the client keeps to itself: told from its first words.
fn tag(command: &str, count: u64) -> String {
    // A body in dollars is one statement.
    let last = command
        .split(|letter| letter == ';' && !command.contains('$'))
        .map(str::trim)
        .rfind(|statement| !statement.is_empty());
    let words: Vec<String> = last
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter(|word| !word.eq_ignore_ascii_case("temporary"))
        .take(2)
        .map(str::to_ascii_uppercase)
        .collect();
    match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["INSERT", ..] => format!("INSERT 0 {count}"),
        [verb @ ("UPDATE" | "DELETE"), ..] => format!("{verb} {count}"),
        [verb @ ("CREATE" | "ALTER" | "DROP" | "REFRESH"), what] => format!("{verb} {what}"),
        [verb, ..] => (*verb).to_owned(),
        [] => "0 rows".to_owned(),
    }
}

/// As libpq puts an error into words, and `pg_cron` into `return_message`.
fn in_words(error: &DbError, command: &str) -> String {
    let mut words = format!("{}:  {}\n", error.severity(), error.message());
    let mut query = None;
    match error.position() {
        Some(ErrorPosition::Original(position)) => words += &cursor(command, *position),
        Some(ErrorPosition::Internal {
            position,
            query: own,
        }) => {
            words += &cursor(own, *position);
            query = Some(own.as_str());
        }
        None => {}
    }
    for (title, text) in [
        ("DETAIL", error.detail()),
        ("HINT", error.hint()),
        ("QUERY", query),
        ("CONTEXT", error.where_()),
    ] {
        if let Some(text) = text {
            let _ = writeln!(words, "{title}:  {text}");
        }
    }
    words
}

/// The line of a query with a mark under a place in it, cut as libpq cuts: sixty characters, ten of them behind.
fn cursor(query: &str, position: u32) -> String {
    const WIDTH: usize = 60;
    const BEHIND: usize = 10;
    let place = position.saturating_sub(1) as usize;
    let before: String = query.chars().take(place).collect();
    let number = before.matches('\n').count() + 1;
    let column = before
        .chars()
        .rev()
        .take_while(|letter| *letter != '\n')
        .count();
    let line: Vec<char> = query
        .lines()
        .nth(number - 1)
        .unwrap_or_default()
        .replace('\t', " ")
        .chars()
        .collect();
    let mut end = line.len();
    let mut begin = 0;
    if line.len() > WIDTH {
        end = if WIDTH >= column + BEHIND {
            WIDTH
        } else {
            line.len().min(column + BEHIND)
        };
        begin = end.saturating_sub(WIDTH);
    }
    let dots = |is_cut: bool| if is_cut { "..." } else { "" };
    let shown: String = line.iter().take(end).skip(begin).collect();
    let head = format!("LINE {number}: {}", dots(begin > 0));
    let mark = " ".repeat(head.len() + column - begin);
    format!("{head}{shown}{}\n{mark}^\n", dots(end < line.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_waits_for_the_next_full_minute() {
        for (now, wait, minute) in [
            (Duration::from_mins(2), 60_000, 3),
            (Duration::from_millis(125_250), 54_750, 3),
            (Duration::from_millis(179_999), 1, 3),
        ] {
            assert_eq!(next_minute(now), (Duration::from_millis(wait), minute));
        }
    }
}
