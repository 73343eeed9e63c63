//! What hosted Supabase has around Postgres: roles, auth, and stand-ins for missing extensions.
//!
//! Each stand-in is used only where the real extension is missing. Its tables, signatures and grants
//! are those of the real one's catalogue (`pg_cron` 1.6.4, but 1.4.2's ways; `pg_net` 0.20.4, `supabase_vault` 0.3.1); what
//! the real one does in a background process, a task of this crate does.

mod clock;
mod net;
mod schedule;

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use clock::Clock;
pub use clock::Run;

use crate::postgres::Database;

/// The name by which a connection of the net worker is known.
const NET_WORKER: &str = "pg_net 0.20.4 worker";

/// Creates what is missing around the project's own tables.
pub(crate) async fn surround(database: &Database) -> Result<()> {
    let client = database.connect_as_superuser().await?;
    client
        .execute(
            "select set_config('world.owner', $1, false)",
            &[&database.owner()],
        )
        .await?;
    client
        .batch_execute(include_str!("surroundings.sql"))
        .await
        .context("Supabase's roles could not be created")?;
    if !has_schema(&client, "cron").await? {
        extension_or(
            &client,
            "pg_cron",
            "create extension pg_cron",
            include_str!("cron.sql"),
        )
        .await?;
        client
            .batch_execute(include_str!("cron_grants.sql"))
            .await?;
    }
    if !has_schema(&client, "net").await? {
        extension_or(
            &client,
            "pg_net",
            "create extension pg_net",
            include_str!("net.sql"),
        )
        .await?;
    }
    if !has_schema(&client, "vault").await? {
        extension_or(
            &client,
            "supabase_vault",
            "create extension supabase_vault cascade",
            include_str!("vault.sql"),
        )
        .await?;
    }
    Ok(())
}

async fn has_schema(client: &Client, name: &str) -> Result<bool> {
    Ok(client
        .query_opt("select from pg_namespace where nspname = $1", &[&name])
        .await?
        .is_some())
}

async fn extension_or(client: &Client, name: &str, create: &str, stand_in: &str) -> Result<()> {
    // An extension that is there may still refuse: pg_cron lives in one database of a server only.
    if client.batch_execute(create).await.is_err() {
        client
            .batch_execute(stand_in)
            .await
            .with_context(|| format!("the stand-in for {name} could not be created"))?;
    }
    Ok(())
}

/// The background processes of one database, as far as they are stand-ins. They end with this value.
pub struct Supabase {
    net: Mutex<Option<JoinHandle<()>>>,
    clock: Clock,
    running: Option<JoinHandle<()>>,
}

impl Supabase {
    /// Runs the net worker and the clock, where the real extensions do not.
    pub async fn attend(database: &Database) -> Result<Self> {
        let mut supabase = Self::attend_without_clock(database).await?;
        if !is_extension(database, "pg_cron").await? {
            supabase.running = Some(tokio::spawn(supabase.clock.clone().run()));
        }
        Ok(supabase)
    }

    /// Runs the net worker only: jobs run when [`Supabase::tick`] is called.
    pub async fn attend_without_clock(database: &Database) -> Result<Self> {
        let supabase = Self {
            net: Mutex::new(None),
            clock: Clock::new(database.clone()),
            running: None,
        };
        if !is_extension(database, "pg_net").await? {
            supabase.start_net_worker().await?;
        }
        Ok(supabase)
    }

    /// Runs a job's command now, in the way `pg_cron` does: as the job's user, on a connection of its
    /// own, with a row in `cron.job_run_details`. A job that is not active is run too.
    pub async fn tick(&self, job: &str) -> Result<Run> {
        clock::tick(&self.clock.database, job).await
    }

    /// Lets the stand-in's clock strike so many minutes after 1970 began; returns at once.
    pub async fn strike(&self, minute: u64) -> Result<()> {
        self.clock.strike(minute).await
    }

    /// Stops the net worker: requests stay in the queue. One in mid-batch is rolled back, and sent
    /// again by the next worker.
    pub async fn stop_net_worker(&self) -> Result<()> {
        let worker = self
            .net
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(worker) = worker else {
            bail!("the net worker is not a stand-in, or stopped already")
        };
        worker.abort();
        let _ = worker.await;
        self.net_workers_become(0).await
    }

    /// Starts the net worker; returns when it is up.
    pub async fn start_net_worker(&self) -> Result<()> {
        let worker = tokio::spawn(net::run(self.clock.database.clone()));
        *self.net.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker);
        self.net_workers_become(1).await
    }

    async fn net_workers_become(&self, wanted: i64) -> Result<()> {
        let client = self.clock.database.connect_as_superuser().await?;
        let count = "select count(*) from pg_stat_activity where application_name = $1 and datname = current_database()";
        for _ in 0..2_000 {
            if client
                .query_one(count, &[&NET_WORKER])
                .await?
                .try_get::<_, i64>(0)?
                == wanted
            {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        bail!("the stand-in for pg_net's worker did not change its state within 10 s")
    }
}

impl Drop for Supabase {
    fn drop(&mut self) {
        let worker = self
            .net
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        for task in worker.into_iter().chain(self.running.take()) {
            task.abort();
        }
    }
}

/// Whether a schedule is due so many minutes after 1970 began; `None` if it is none.
pub fn is_due(schedule: &str, minute: u64) -> Option<bool> {
    let schedule: schedule::Schedule = schedule.parse().ok()?;
    Some(schedule.is_due(schedule::Moment::at_minute(minute)))
}

async fn is_extension(database: &Database, name: &str) -> Result<bool> {
    let client = database.connect().await?;
    Ok(client
        .query_opt("select from pg_extension where extname = $1", &[&name])
        .await?
        .is_some())
}
