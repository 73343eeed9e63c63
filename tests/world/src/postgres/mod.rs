//! A throw-away Postgres, as hosted Supabase would be found by the project's owner.
//!
//! Programs from the PATH or where packages put them, an unprivileged user also when root starts it,
//! loopback, a free port; gone when the value is dropped and when the process dies in any way.
//! `DATABASE_URL` uses a server of one's own instead.

mod binaries;
mod cluster;
mod database;
mod pooler;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use tokio::sync::OnceCell;
use tokio_postgres::Config;

pub use binaries::{CHOSEN, ensure_installed, other_majors};
pub use database::{Database, sql_files, sql_files_in};
pub use pooler::Pooler;

use cluster::Cluster;
use database::Temporary;

/// The password of role `odoo_sync` on a throw-away server.
const PASSWORD: &str = "throw-away";

/// The address in `DATABASE_URL`; an empty one is none.
fn server_of_ones_own() -> Option<String> {
    std::env::var("DATABASE_URL")
        .ok()
        .filter(|url| !url.is_empty())
}

/// A server. Its main database is the one where `pg_cron` ticks.
pub struct Postgres {
    cluster: Option<Arc<Cluster>>,
    main: Database,
    template: OnceCell<Database>,
}

impl Postgres {
    /// Starts a server, or takes the one that `DATABASE_URL` names; puts Supabase's surroundings and
    /// the project's `sql/` into its main database.
    pub async fn start() -> Result<Self> {
        let postgres = Self::start_bare().await?;
        postgres.main.apply_sql().await?;
        postgres.let_components_in().await?;
        Ok(postgres)
    }

    /// As [`Postgres::start`], without the project's `sql/`: a Supabase project on its first day.
    pub async fn start_bare() -> Result<Self> {
        let Some(url) = server_of_ones_own() else {
            return Self::start_throw_away().await;
        };
        let postgres = Self::existing(&url)?;
        crate::supabase::surround(&postgres.main).await?;
        Ok(postgres)
    }

    /// As [`Postgres::start_bare`], whatever `DATABASE_URL` says: for tests that crash the server, or
    /// that need its roles to be as on hosted Supabase.
    pub async fn start_throw_away() -> Result<Self> {
        let postgres = Self::throw_away().await?;
        crate::supabase::surround(&postgres.main).await?;
        Ok(postgres)
    }

    fn existing(url: &str) -> Result<Self> {
        // The address holds a password: it must not be in the message.
        let Ok(config) = url.parse::<Config>() else {
            bail!(
                "DATABASE_URL is no address of a Postgres: postgres://user:password@host:port/database"
            )
        };
        let main = Database {
            owner: config.clone(),
            superuser: config.clone(),
            component: config,
            temporary: None,
        };
        Ok(Self {
            cluster: None,
            main,
            template: OnceCell::new(),
        })
    }

    async fn throw_away() -> Result<Self> {
        let cluster = tokio::task::spawn_blocking(Cluster::start)
            .await
            .context("the start of Postgres was cut off")??;
        let as_role = |role: &str| {
            let mut config = Config::new();
            config
                .host("127.0.0.1")
                .port(cluster.port())
                .user(role)
                .dbname("postgres");
            config
        };
        let mut component = as_role("odoo_sync");
        component.password(PASSWORD);
        let main = Database {
            owner: as_role("postgres"),
            superuser: as_role(cluster::SUPERUSER),
            component,
            temporary: None,
        };
        Ok(Self {
            cluster: Some(Arc::new(cluster)),
            main,
            template: OnceCell::new(),
        })
    }

    /// The main database.
    pub fn main(&self) -> &Database {
        &self.main
    }

    /// A fresh database with Supabase's surroundings and `sql/` applied.
    pub async fn database(&self) -> Result<Database> {
        // Copied from one that has both: quicker than applying the files for each.
        let template = self
            .template
            .get_or_try_init(|| async {
                let template = self.bare_database().await?;
                template.apply_sql().await?;
                self.let_components_in().await?;
                anyhow::Ok(template)
            })
            .await?;
        self.create(template.dbname()).await
    }

    /// A fresh database with Supabase's surroundings only.
    pub async fn bare_database(&self) -> Result<Database> {
        let database = self.create("template0").await?;
        crate::supabase::surround(&database).await?;
        Ok(database)
    }

    async fn create(&self, template: &str) -> Result<Database> {
        // Several values of this type may stand for one server.
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let name = format!("odoo_to_supabase_{}_{number}", std::process::id());
        let superuser = self.main.connect_as_superuser().await?;
        superuser
            .batch_execute(&format!("drop database if exists {name} with (force)"))
            .await?;
        let owner = self.main.owner();
        superuser
            .batch_execute(&format!(
                "create database {name} template {template} owner \"{owner}\""
            ))
            .await?;
        let mut database = self.main.named(&name);
        if self.cluster.is_none() {
            let server = self.main.superuser_config();
            database.temporary = Some(Arc::new(Temporary { server, name }));
        }
        Ok(database)
    }

    /// On a server of one's own nobody's password is touched: the components connect as its owner.
    async fn let_components_in(&self) -> Result<()> {
        if self.cluster.is_some() {
            let superuser = self.main.connect_as_superuser().await?;
            superuser
                .batch_execute(&format!("alter role odoo_sync password '{PASSWORD}'"))
                .await?;
        }
        Ok(())
    }

    /// Stops the server as its operator would, and starts it again: connections end, data stays.
    pub async fn restart(&self) -> Result<()> {
        self.on_cluster(|cluster| cluster.stop("fast").and_then(|()| cluster.start_again()))
            .await
    }

    /// Stops the server as a crash would. `start_again` then recovers; unlogged tables are emptied.
    pub async fn crash(&self) -> Result<()> {
        self.on_cluster(|cluster| cluster.stop("immediate")).await
    }

    /// Starts the server after [`Postgres::crash`], on the same port.
    pub async fn start_again(&self) -> Result<()> {
        self.on_cluster(Cluster::start_again).await
    }

    async fn on_cluster(
        &self,
        action: impl FnOnce(&Cluster) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let Some(cluster) = self.cluster.clone() else {
            bail!(
                "the server of DATABASE_URL is not ours to stop: unset DATABASE_URL for a throw-away one"
            );
        };
        tokio::task::spawn_blocking(move || action(&cluster)).await?
    }
}
