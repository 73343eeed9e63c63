//! Everything that takes part, started and introduced one after the other.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result};
use runner::Log;
use stage::{Host, Limits, Server, SpinFound, Variables};
use tokio_postgres::Client;
use world::odoo::{Attachments, Odoo, User};
use world::postgres::{Database, Postgres};
use world::storage::Storage;
use world::supabase::Supabase;

use crate::arguments::{Destination, Plan, Source};
use crate::spelling::{count, time};
use crate::terminal::Terminal;

/// The database's name in the simulated Odoo.
const ODOO_DATABASE: &str = "odoo";

/// Everything that takes part. It ends with this value, in the order of the fields.
pub struct Scene {
    app: Host,
    /// The simulated Odoo; none where a real one is the source.
    pub odoo: Option<Odoo>,
    /// The simulated Storage; none where a real one is the destination.
    pub storage: Option<Storage>,
    /// A connection as the project's owner.
    pub owner: Client,
    /// The database.
    pub database: Database,
    _background: Supabase,
    _postgres: Postgres,
}

impl Scene {
    /// Starts everything, and schedules the jobs by the statements that production runs.
    pub async fn set(plan: Plan, terminal: &mut Terminal) -> Result<Self> {
        build(terminal).await?;
        let (postgres, database) = postgres(terminal).await?;
        let background = Supabase::attend(&database).await?;
        let owner = database.connect().await?;
        let mut variables = stage::of_database(&database);
        let (odoo, of_odoo) = source(plan.source, plan.latency_ms, terminal).await?;
        let (storage, of_storage) =
            destination(plan.destination, plan.latency_ms, terminal).await?;
        variables.extend(of_odoo);
        variables.extend(of_storage);
        // It listens on loopback only, and a card that asks for a token would show nothing.
        variables.insert("status_public".to_owned(), "true".to_owned());
        if plan.paused {
            let paused =
                "update odoo_sync.jobs set paused_at = now(), paused_by = 'cargo demo -- --check'";
            owner.execute(paused, &[]).await?;
        }
        let app = app(variables, plan.verbose, terminal).await?;
        schedule(&owner, &url_of(&app), terminal).await?;
        Ok(Self {
            app,
            odoo,
            storage,
            owner,
            database,
            _background: background,
            _postgres: postgres,
        })
    }

    /// Where the app listens.
    pub fn address(&self) -> SocketAddr {
        self.app.address()
    }

    /// The app's address.
    pub fn url(&self) -> String {
        url_of(&self.app)
    }
}

fn url_of(app: &Host) -> String {
    format!("http://{}", app.address())
}

async fn build(terminal: &mut Terminal) -> Result<()> {
    terminal.doing("components", "building; the first time takes minutes");
    let began = Instant::now();
    tokio::task::spawn_blocking(stage::build_components).await??;
    terminal.fact(
        "components",
        &format!("built for wasm32-wasip2 in {}", time(began.elapsed())),
    );
    Ok(())
}

async fn postgres(terminal: &mut Terminal) -> Result<(Postgres, Database)> {
    terminal.doing("Postgres", "starting; where it is missing, apt installs it");
    tokio::task::spawn_blocking(world::postgres::ensure_installed).await??;
    let own_server = std::env::var("DATABASE_URL").is_ok_and(|url| !url.is_empty());
    let postgres = Postgres::start().await.with_context(|| {
        if own_server {
            "Postgres: check DATABASE_URL, or unset it for a throw-away server"
        } else {
            "Postgres"
        }
    })?;
    // pg_cron ticks in the main database of a server. What is in somebody's own server stays untouched.
    let database = if own_server {
        postgres.database().await?
    } else {
        postgres.main().clone()
    };
    let asked = "select current_setting('server_version'), exists (select from pg_extension where extname = 'pg_cron')";
    let row = database.connect().await?.query_one(asked, &[]).await?;
    let (version, has_cron): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
    let version = version.split_whitespace().next().unwrap_or_default();
    let kind = if own_server {
        "of DATABASE_URL"
    } else {
        "throw-away"
    };
    let cron = if has_cron {
        "pg_cron"
    } else {
        "a stand-in for pg_cron"
    };
    terminal.fact("Postgres", &format!("{version}, {kind}, with {cron}"));
    Ok((postgres, database))
}

async fn source(
    source: Source,
    latency_ms: u64,
    terminal: &mut Terminal,
) -> Result<(Option<Odoo>, Variables)> {
    let (url, database, login, api_key, password) = match source {
        Source::Simulated {
            version,
            attachments,
            leads,
        } => {
            let odoo = Odoo::start(world::odoo::Options {
                version,
                database: ODOO_DATABASE.to_owned(),
                attachments: Attachments::realistic(attachments),
                latency_ms,
                ..Default::default()
            })
            .await?;
            odoo.fill_pipeline(leads);
            terminal.fact("Odoo", &format!("{version}, simulated, {}", odoo.url()));
            let variables = stage::of_odoo(&odoo, ODOO_DATABASE, &User::administrator());
            return Ok((Some(odoo), variables));
        }
        Source::Real {
            url,
            database,
            login,
            api_key,
            password,
        } => (url, database, login, api_key, password),
    };
    terminal.fact("Odoo", &url);
    let variables = named([
        ("odoo_url", url),
        ("odoo_database", database),
        ("odoo_login", login),
        ("odoo_api_key", api_key),
        ("odoo_password", password),
    ]);
    Ok((None, variables))
}

async fn destination(
    destination: Destination,
    latency_ms: u64,
    terminal: &mut Terminal,
) -> Result<(Option<Storage>, Variables)> {
    let (url, path, bucket, key) = match destination {
        Destination::Simulated => {
            let options = world::storage::Options {
                latency_ms,
                ..Default::default()
            };
            let key = options.service_keys.first().cloned().unwrap_or_default();
            let storage = Storage::start(options).await?;
            terminal.fact("Storage", &format!("simulated, {}", storage.url()));
            let variables = stage::of_storage(&storage, &key);
            return Ok((Some(storage), variables));
        }
        Destination::Real {
            url,
            path,
            bucket,
            key,
        } => (url, path, bucket, key),
    };
    terminal.fact("Storage", &format!("{url}{path}, bucket {bucket}"));
    let variables = named([
        ("storage_url", url),
        ("storage_path", path),
        ("storage_bucket", bucket),
        ("storage_key", key),
    ]);
    Ok((None, variables))
}

fn named<const N: usize>(pairs: [(&str, String); N]) -> Variables {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

async fn app(variables: Variables, verbose: bool, terminal: &mut Terminal) -> Result<Host> {
    terminal.doing("app", "starting");
    let log = if verbose { Log::Stderr } else { Log::Discard };
    let server = match stage::find_spin() {
        SpinFound::Usable(_) => Server::Spin,
        SpinFound::None => Server::Runner,
        SpinFound::TooOld(version) => {
            terminal.fact(
                "spin",
                &format!(
                    "passed over: these components need Spin 4.1, and it is\n{:15}{version}",
                    ""
                ),
            );
            Server::Runner
        }
    };
    let app = Host::start(server, variables, log, Limits::default()).await?;
    terminal.fact(
        "app",
        &format!("under {}, its card: {}/", app.name(), url_of(&app)),
    );
    Ok(app)
}

/// The same two statements as in production: the key is made in the database, and stays there.
async fn schedule(owner: &Client, url: &str, terminal: &mut Terminal) -> Result<()> {
    owner.execute("select odoo_sync.rotate_key()", &[]).await?;
    let jobs = owner
        .query(
            "select job from odoo_sync.schedule($1) where action = 'scheduled'",
            &[&url],
        )
        .await?;
    let jobs = u64::try_from(jobs.len())?;
    terminal.fact(
        "cron",
        &format!(
            "{}, with a key that only the vault holds",
            count(jobs, "job")
        ),
    );
    terminal.line("");
    Ok(())
}
