//! A stage that is set.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use runner::{Captured, Log};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::Client;
use world::odoo::{self, Odoo, User};
use world::postgres::{Database, Postgres, sql_files_in};
use world::storage::{self, Storage};

use crate::secrecy::{Secrecy, Watch};
use crate::{
    Answer, Caller, Host, ISSUER, Limits, SERVICE_KEY, Server, Variables, build_components,
    of_database, of_odoo, of_storage,
};

/// The server that all stages of a process share, each with a database of its own.
static SERVER: OnceCell<Postgres> = OnceCell::const_new();

/// What to put on the stage.
#[derive(Default)]
pub struct Builder {
    odoo: odoo::Options,
    storage: storage::Options,
    user: Option<User>,
    variables: Variables,
    limits: Limits,
    server: Option<Server>,
    tables: Option<PathBuf>,
}

impl Builder {
    /// With this Odoo.
    #[must_use]
    pub fn odoo(mut self, options: odoo::Options) -> Self {
        self.odoo = options;
        self
    }

    /// With this Storage.
    #[must_use]
    pub fn storage(mut self, options: storage::Options) -> Self {
        self.storage = options;
        self
    }

    /// The app is this user of Odoo; by default the administrator.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// With this variable of the app, over those that the stage sets.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.variables.insert(name.to_owned(), value.to_string());
        self
    }

    /// With the tables of these files, as of an older version, in place of those of `sql/`.
    #[must_use]
    pub fn tables(mut self, folder: impl Into<PathBuf>) -> Self {
        self.tables = Some(folder.into());
        self
    }

    /// Served by this; by default what the environment says.
    #[must_use]
    pub fn served_by(mut self, server: Server) -> Self {
        self.server = Some(server);
        self
    }

    /// With this limit of an instance's memory.
    #[must_use]
    pub fn memory_limit_mib(mut self, mib: usize) -> Self {
        self.limits.memory_mib = Some(mib);
        self
    }

    /// With this limit of a request's time.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.limits.request_timeout = Some(limit);
        self
    }

    /// With so many connections to Postgres at once, over all components.
    #[must_use]
    pub fn max_connections(mut self, most: usize) -> Self {
        self.limits.max_connections = Some(most);
        self
    }

    /// Sets the stage.
    pub async fn start(self) -> Result<Stage> {
        let server = self.server.map_or_else(Server::of_environment, Ok)?;
        tokio::task::spawn_blocking(build_components).await??;
        let postgres = SERVER.get_or_try_init(Postgres::start).await?;
        let database = match self.tables {
            None => postgres.database().await?,
            Some(folder) => {
                let database = postgres.bare_database().await?;
                database.apply(sql_files_in(&folder)?).await?;
                database
            }
        };
        let odoo_database = self.odoo.database.clone();
        let mut odoo = self.odoo;
        odoo.users = odoo.users.into_iter().map(with_own_secrets).collect();
        let user = with_own_secrets(self.user.unwrap_or_else(User::administrator));
        let storage_key = self
            .storage
            .service_keys
            .first()
            .cloned()
            .unwrap_or_default();
        let odoo = Odoo::start(odoo).await?;
        let storage = Storage::start(self.storage).await?;
        let mut variables = of_database(&database);
        variables.extend(of_odoo(&odoo, &odoo_database, &user));
        variables.extend(of_storage(&storage, &storage_key));
        variables.insert("service_keys".to_owned(), SERVICE_KEY.to_owned());
        variables.insert("jwt_issuer".to_owned(), ISSUER.to_owned());
        variables.extend(self.variables);
        let log = Captured::default();
        let limits = self.limits;
        let capture = Log::Capture(log.clone());
        let host = Host::start(server, variables.clone(), capture, limits).await?;
        let owner = database.connect().await?;
        let watch = Watch::default();
        watch.learn_variables(&variables);
        watch.learn("a traceback of Odoo", world::odoo::TRACEBACK_MARKER);
        watch.learn("a web session of Odoo", "session_id=");
        Ok(Stage {
            caller: Caller::watched(host.address(), watch.clone()),
            secrecy: Secrecy {
                watch,
                log: log.clone(),
                database: database.clone(),
            },
            host: Some(host),
            odoo,
            storage,
            database,
            owner,
            variables,
            server,
            limits,
            log,
        })
    }
}

/// The accounts of the simulated Odoo have passwords that are words like any other: those of a stage
/// can be looked for.
fn with_own_secrets(user: User) -> User {
    let own = |given: Option<String>, usual: Option<String>, own: &str| {
        if given == usual {
            Some(own.to_owned())
        } else {
            given
        }
    };
    let usual = User::administrator();
    User {
        password: own(user.password, usual.password, "stage-odoo-password-4be07c"),
        api_key: own(user.api_key, usual.api_key, "stage-odoo-key-d93a15"),
        ..user
    }
}

/// A stage that is set. Everything on it ends with it; a secret that was told anywhere on it fails the
/// test then.
pub struct Stage {
    /// The simulated Odoo.
    pub odoo: Odoo,
    /// The simulated Storage.
    pub storage: Storage,
    /// The database.
    pub database: Database,
    /// A connection to it as the project's owner.
    pub owner: Client,
    caller: Caller,
    host: Option<Host>,
    variables: Variables,
    server: Server,
    limits: Limits,
    log: Captured,
    // The last to end: by then the app is silent.
    secrecy: Secrecy,
}

impl Stage {
    /// A stage to be set.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Calls of the app, without a key.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The app's address.
    pub fn url(&self) -> String {
        self.host
            .as_ref()
            .map_or_else(String::new, |host| format!("http://{}", host.address()))
    }

    /// A POST with the service key.
    pub async fn post(&self, path: &str, body: &str) -> Result<Answer> {
        self.caller.post(path, SERVICE_KEY, body).await
    }

    /// A GET with the service key.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.caller.get(path, Some(SERVICE_KEY)).await
    }

    /// The first column of the first row, as JSON: `select to_jsonb(…)`.
    pub async fn value(&self, query: &str) -> Result<Value> {
        let row = self
            .owner
            .query_one(query, &[])
            .await
            .with_context(|| query.to_owned())?;
        Ok(row.try_get(0)?)
    }

    /// A number.
    pub async fn count(&self, query: &str) -> Result<i64> {
        let row = self
            .owner
            .query_one(query, &[])
            .await
            .with_context(|| query.to_owned())?;
        Ok(row.try_get(0)?)
    }

    /// A further app on the same database, Odoo and Storage, with other variables: a second replica.
    pub async fn replica(&self, more: &[(&str, &str)]) -> Result<(Host, Caller)> {
        let mut variables = self.variables.clone();
        variables.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        self.secrecy.watch.learn_variables(&variables);
        let host = self.serve(variables).await?;
        let caller = Caller::watched(host.address(), self.secrecy.watch.clone());
        Ok((host, caller))
    }

    async fn serve(&self, variables: Variables) -> Result<Host> {
        let capture = Log::Capture(self.log.clone());
        Host::start(self.server, variables, capture, self.limits).await
    }

    /// Ends the app at once, work in flight included, and starts it anew.
    pub async fn restart_app(&mut self) -> Result<()> {
        self.stop_app().await;
        let host = self.serve(self.variables.clone()).await?;
        self.caller = Caller::watched(host.address(), self.secrecy.watch.clone());
        self.host = Some(host);
        Ok(())
    }

    /// Ends the app at once, work in flight included.
    pub async fn stop_app(&mut self) {
        if let Some(host) = self.host.take() {
            host.stop().await;
        }
    }

    /// The most memory that an instance of a component had, in bytes. Spin does not tell it.
    pub fn peak_memory_bytes(&self, component: &str) -> Option<u64> {
        match &self.host {
            Some(Host::Runner(app)) => app.peak_memory_bytes(component),
            _ => None,
        }
    }

    /// Fails where an instance of a component had this much memory, or none ran. Under Spin it is
    /// skipped, and says so.
    pub fn check_peak_memory(&self, component: &str, limit_bytes: u64) -> Result<()> {
        if let Some(Host::Spin(_)) = &self.host {
            println!("skipped: Spin does not tell how much memory {component} had");
            return Ok(());
        }
        let peak = self
            .peak_memory_bytes(component)
            .with_context(|| format!("{component} did not run"))?;
        println!("{component}: at most {} KiB of memory", peak / 1024);
        ensure!(peak < limit_bytes, "{component} had {peak} bytes of memory");
        Ok(())
    }

    /// Looks for secrets in what calls that do not go by a [`Caller`] are answered.
    pub fn watch(&self) -> &Watch {
        &self.secrecy.watch
    }

    /// Every secret that was told so far: in an answer, a line of the log or a row.
    pub async fn leaks(&self) -> Result<Vec<String>> {
        self.secrecy.leaks().await
    }

    /// What the components printed.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }
}
