//! One database of the server, and who connects to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio_postgres::{Client, Config, NoTls};

/// A database with Supabase's surroundings and the project's `sql/` in it.
#[derive(Clone, Debug)]
pub struct Database {
    pub(super) owner: Config,
    pub(super) superuser: Config,
    pub(super) component: Config,
    pub(super) temporary: Option<Arc<Temporary>>,
}

/// A database on a server of one's own: dropped with the last value that stands for it. (A throw-away
/// server takes its databases along.)
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) server: Config,
    pub(super) name: String,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A thread of its own: the runtime of the test may be ending, or busy with this very drop.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let drop = format!("drop database if exists {name} with (force)");
                connect(&server)
                    .await?
                    .batch_execute(&drop)
                    .await
                    .context("a database was left behind")
            })
        });
        if let Ok(Err(problem)) = dropping.join() {
            eprintln!("{problem:#}");
        }
    }
}

impl Database {
    /// Connects as the person who owns the project: on hosted Supabase the role `postgres`, which
    /// is no superuser.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.owner).await
    }

    /// Connects as a superuser: what only the platform may do.
    pub async fn connect_as_superuser(&self) -> Result<Client> {
        connect(&self.superuser).await
    }

    /// Connects as the components do: role `odoo_sync`, with its password.
    pub async fn connect_as_component(&self) -> Result<Client> {
        connect(&self.component).await
    }

    /// Acts as one of the API's roles (`anon`, `authenticated`, `service_role`) as PostgREST does:
    /// by `set role`, and with the claims of a user's token where there is one.
    pub async fn connect_as(
        &self,
        role: &str,
        claims: Option<&serde_json::Value>,
    ) -> Result<Client> {
        if !role
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            bail!("`{role}` is no role's name");
        }
        let client = self.connect().await?;
        if let Some(claims) = claims {
            client
                .execute(
                    "select set_config('request.jwt.claims', $1, false)",
                    &[&claims.to_string()],
                )
                .await?;
        }
        client.batch_execute(&format!("set role {role}")).await?;
        Ok(client)
    }

    /// Connects as any role that may log in, to any database of the server: as `pg_cron` does.
    pub(crate) async fn connect_as_user(&self, user: &str, dbname: &str) -> Result<Client> {
        let mut config = if self.owner.get_user() == Some(user) {
            self.owner.clone()
        } else {
            self.superuser.clone()
        };
        connect(config.user(user).dbname(dbname)).await
    }

    pub(crate) fn superuser_config(&self) -> Config {
        self.superuser.clone()
    }

    /// The role that owns the project.
    pub fn owner(&self) -> &str {
        self.owner.get_user().unwrap_or("postgres")
    }

    /// The components' address of this database.
    pub fn url(&self) -> String {
        format!(
            "postgres://{}:{}@{}:{}/{}",
            self.user(),
            self.password(),
            self.host(),
            self.port(),
            self.dbname()
        )
    }

    /// The owner's address of this database, for a person's tools.
    pub fn owner_url(&self) -> String {
        let user = self.owner.get_user().unwrap_or_default();
        format!(
            "postgres://{user}@{}:{}/{}",
            self.host(),
            self.port(),
            self.dbname()
        )
    }

    /// Where the server listens.
    pub fn host(&self) -> String {
        match self.component.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(tokio_postgres::config::Host::Unix(folder)) => folder.display().to_string(),
            None => "127.0.0.1".into(),
        }
    }

    /// The port the server listens on.
    pub fn port(&self) -> u16 {
        self.component.get_ports().first().copied().unwrap_or(5432)
    }

    /// The database's name.
    pub fn dbname(&self) -> &str {
        self.component.get_dbname().unwrap_or("postgres")
    }

    /// The components' role.
    pub fn user(&self) -> &str {
        self.component.get_user().unwrap_or_default()
    }

    /// The password of the components' role.
    pub fn password(&self) -> String {
        String::from_utf8_lossy(self.component.get_password().unwrap_or_default()).into_owned()
    }

    /// Applies the project's `sql/`, as its owner would in the SQL editor: file by file, in order.
    pub async fn apply_sql(&self) -> Result<()> {
        self.apply(sql_files()?).await
    }

    /// Applies other files in that way, such as those of an older version.
    pub async fn apply(&self, files: Vec<PathBuf>) -> Result<()> {
        let client = self.connect().await?;
        for file in files {
            let text = std::fs::read_to_string(&file)?;
            client.batch_execute(&text).await.map_err(|problem| {
                anyhow::anyhow!("{}: {}", file.display(), describe(&problem, &text))
            })?;
        }
        Ok(())
    }

    pub(super) fn named(&self, name: &str) -> Self {
        let mut other = self.clone();
        for config in [&mut other.owner, &mut other.superuser, &mut other.component] {
            config.dbname(name);
        }
        other
    }
}

/// The numbered files of `sql/`, in their order.
pub fn sql_files() -> Result<Vec<PathBuf>> {
    sql_files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql"))
}

/// The numbered files of a folder, in their order.
pub fn sql_files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    Ok(files)
}

pub(super) async fn connect(config: &Config) -> Result<Client> {
    let (client, connection) = config.connect(NoTls).await.with_context(|| {
        format!(
            "no connection to database {} as {}",
            config.get_dbname().unwrap_or("?"),
            config.get_user().unwrap_or("?")
        )
    })?;
    tokio::spawn(async move {
        // The client's own calls report what happened to the connection.
        let _ = connection.await;
    });
    Ok(client)
}

/// Postgres' message, with the line of the text it points at.
fn describe(problem: &tokio_postgres::Error, text: &str) -> String {
    let Some(problem) = problem.as_db_error() else {
        return problem.to_string();
    };
    let line = match problem.position() {
        Some(tokio_postgres::error::ErrorPosition::Original(position)) => {
            text.chars()
                .take(*position as usize)
                .filter(|character| *character == '\n')
                .count()
                + 1
        }
        _ => 0,
    };
    let place = problem.where_().unwrap_or_default();
    format!(
        "line {line}: {} {} {place}",
        problem.message(),
        problem.detail().unwrap_or_default()
    )
}
