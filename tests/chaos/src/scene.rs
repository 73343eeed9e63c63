//! Everything that takes part: Postgres, Odoo, Storage, two apps, and the clock that calls them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use stage::wire::Wire;
use stage::{SERVICE_KEY, Variables, of_database, of_odoo, of_storage};
use tokio_postgres::Client;
use world::odoo::{Attachments, EdgeCase, EdgeCaseMix, Odoo, Options, Sizes, User};
use world::postgres::{Database, Postgres};
use world::storage::{self, Storage};
use world::supabase::Supabase;

use crate::app::App;
use crate::changes;
use crate::comparison::WITNESS;
use crate::plan::APPS;

/// How large everything is.
#[derive(Debug, Clone)]
pub struct Size {
    /// Attachments that Odoo has when it begins.
    pub attachments: u64,
    /// Leads that it has then.
    pub leads: u32,
}

/// Everything that takes part. It ends with this value, in the order of the fields.
pub struct Scene {
    /// The app's processes.
    pub apps: Vec<App>,
    /// Stand-ins for `pg_cron` and `pg_net`.
    pub supabase: Supabase,
    /// The simulated Odoo.
    pub odoo: Odoo,
    /// The simulated Storage.
    pub storage: Storage,
    /// The apps' way to Postgres.
    pub wire: Wire,
    /// The database of all of them.
    pub database: Database,
    /// Its server.
    postgres: Postgres,
    /// It crashed, and was not started again yet.
    crashed: bool,
    /// Where Storage keeps its objects.
    _objects: tempfile::TempDir,
}

/// How long Postgres may be away before it is said so.
const PATIENCE: Duration = Duration::from_secs(30);

impl Scene {
    /// Sets the scene. `program` is the `chaos` binary.
    pub async fn set(program: &Path, size: &Size) -> Result<Self> {
        tokio::task::spawn_blocking(stage::build_components).await??;
        let postgres = Postgres::start_throw_away().await?;
        let database = postgres.database().await?;
        let user = User::administrator();
        let attachments = Attachments {
            edge_case_mix: EdgeCaseMix::harmless(),
            ..Attachments::of(size.attachments).sized(Sizes::Between(200, 20_000))
        };
        // Some come in pieces, over several ticks.
        let attachments = (0..size.attachments / 150).fold(attachments, |attachments, nth| {
            let id = i64::try_from(nth * 150 + 75).unwrap_or_default();
            attachments.with(id, EdgeCase::Size(7_000_000 + nth * 400_000 % 9_000_000))
        });
        let odoo = Odoo::start(Options {
            attachments,
            users: vec![user.clone()],
            ..Options::default()
        })
        .await?;
        odoo.fill_pipeline(size.leads);
        changes::add_fields(&odoo);
        let objects = tempfile::tempdir()?;
        let storage = Storage::start(storage::Options {
            keep_bytes: storage::KeepBytes::Dir(objects.path().to_owned()),
            ..storage::Options::default()
        })
        .await?;
        let wire = Wire::to(database.port()).await?;
        let mut variables = of_database(&database);
        variables.insert("db_port".to_owned(), wire.port().to_string());
        variables.extend(of_odoo(&odoo, "odoo", &user));
        variables.extend(of_storage(&storage, "service-role-key"));
        variables.extend(of_a_short_day());
        let selected = json!([["mimetype", "!=", changes::UNSELECTED]]);
        variables.insert("archive_domain".to_owned(), selected.to_string());
        let apps = start_apps(program, &variables).await?;
        let supabase = Supabase::attend_without_clock(&database).await?;
        let scene = Self {
            apps,
            supabase,
            odoo,
            storage,
            wire,
            database,
            postgres,
            crashed: false,
            _objects: objects,
        };
        let owner = scene.owner().await?;
        owner.batch_execute(WITNESS).await?;
        owner.execute("select odoo_sync.rotate_key()", &[]).await?;
        let url = scene.apps.first().map(App::url).unwrap_or_default();
        owner
            .execute("select odoo_sync.schedule($1)", &[&url])
            .await?;
        Ok(scene)
    }

    /// A connection as the project's owner; waits while Postgres is starting anew.
    pub async fn owner(&self) -> Result<Client> {
        let begun = Instant::now();
        loop {
            match self.database.connect().await {
                Ok(client) => return Ok(client),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Restarts Postgres, as its operator would; whether it was up.
    pub async fn restart_postgres(&mut self) -> Result<bool> {
        if !self.crashed {
            self.postgres.restart().await?;
        }
        Ok(!self.crashed)
    }

    /// Ends Postgres without a word; whether it was up.
    pub async fn crash_postgres(&mut self) -> Result<bool> {
        if self.crashed {
            return Ok(false);
        }
        self.postgres.crash().await?;
        self.crashed = true;
        Ok(true)
    }

    /// Starts Postgres, if it crashed. What was unlogged is empty.
    pub async fn start_postgres(&mut self) -> Result<()> {
        if self.crashed {
            self.postgres.start_again().await?;
            self.crashed = false;
        }
        Ok(())
    }

    /// Runs statements as the owner, if Postgres is there: nothing is owed while it is not.
    pub async fn try_sql(&self, statements: &str) -> Result<()> {
        let Ok(owner) = self.database.connect().await else {
            return Ok(());
        };
        match owner.batch_execute(statements).await {
            Err(error) if error.as_db_error().is_some_and(is_ours) => {
                Err(error).with_context(|| statements.to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The first column of the first row, as JSON.
    pub async fn value(&self, query: &str) -> Result<Value> {
        let row = self.owner().await?.query_one(query, &[]).await;
        Ok(row.with_context(|| query.to_owned())?.try_get(0)?)
    }

    /// A number.
    pub async fn count(&self, query: &str) -> Result<i64> {
        let row = self.owner().await?.query_one(query, &[]).await;
        Ok(row.with_context(|| query.to_owned())?.try_get(0)?)
    }

    /// What waits for its time has waited long enough.
    pub async fn time_passes(&self) -> Result<()> {
        self.try_sql(
            "update public.odoo_attachments set next_attempt_at = now()
              where state = 'pending' and lease_id is null and next_attempt_at > now();
             update odoo_sync.cursors set position = position || '{\"changes_ended\": 0}' where name = 'archive-batch:discovery';
             update odoo_sync.cursors set position = position || '{\"ended\": 1}' where name = 'archive-batch:sweep'",
        )
        .await
    }

    /// All leases pass, those of runs and those of files.
    pub async fn leases_pass(&self) -> Result<()> {
        self.try_sql(
            "update odoo_sync.runs set leased_until = now() - interval '1 second' where outcome = 'running';
             update public.odoo_attachments set leased_until = now() - interval '1 second', next_attempt_at = now()
              where lease_id is not null",
        )
        .await
    }
}

/// Whether a refusal says that a statement of this crate is wrong, and not that Postgres is going.
fn is_ours(error: &tokio_postgres::error::DbError) -> bool {
    let code = error.code().code();
    code.starts_with("42") || code.starts_with("22")
}

/// Ticks of seconds instead of a minute, and two batches at once.
fn of_a_short_day() -> Variables {
    [
        ("service_keys", SERVICE_KEY),
        ("archive_batch_seconds", "4"),
        ("archive_lease_seconds", "19"),
        ("archive_parallel_runs", "2"),
        ("crm_batch_seconds", "3"),
        ("chatter_batch_seconds", "3"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

async fn start_apps(program: &Path, variables: &Variables) -> Result<Vec<App>> {
    let mut apps = Vec::new();
    for _ in 0..APPS {
        apps.push(App::start(program, variables.clone()).await?);
    }
    Ok(apps)
}

/// The `chaos` binary, from within it.
pub fn this_program() -> Result<PathBuf> {
    match std::env::current_exe() {
        Ok(program) => Ok(program),
        Err(_) => bail!("this program does not know where it lies"),
    }
}
