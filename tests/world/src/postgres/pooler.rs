//! A `PgBouncer` before a throw-away server, where one is installed: whose refusals are real ones.

use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Postgres;
use super::cluster::{as_user, free_port, temporary_folder, unprivileged_user};

/// The password that the pooler wants of the project's owner.
const PASSWORD: &str = "throw-away";

/// Few of everything, so that it is soon used up.
const SETTINGS: &str = "
listen_addr = 127.0.0.1
unix_socket_dir =
auth_type = md5
pool_mode = transaction
default_pool_size = 2
max_client_conn = 4
query_wait_timeout = 1
server_connect_timeout = 1
server_login_retry = 1
";

/// A running `PgBouncer`. Dropping it ends it.
pub struct Pooler {
    watch: Child,
    port: u16,
    owner: String,
}

impl Pooler {
    /// Starts one before a server; `None` where there is none on the PATH or where packages put it.
    ///
    /// Beside `postgres` it knows the databases `conform_gone`, whose server is not there, and `conform_nosuch`,
    /// which its server does not know.
    pub fn start(postgres: &Postgres) -> Result<Option<Self>> {
        let Some(program) = program() else {
            return Ok(None);
        };
        let server = postgres.cluster.as_ref();
        let server = server.context("a pooler stands before a throw-away server only")?;
        let owner = postgres.main.owner().to_owned();
        let user = unprivileged_user()?;
        let folder = temporary_folder(user)?;
        let (port, there) = (
            free_port()?,
            format!("host=127.0.0.1 port={}", server.port()),
        );
        let settings = format!(
            "[databases]\npostgres = {there}\nconform_nosuch = {there}\nconform_gone = host=127.0.0.1 port=1\n\
             [pgbouncer]\nlisten_port = {port}\nauth_file = {folder}/users.txt\n{SETTINGS}{}",
            prepared(&program)?,
            folder = folder.display()
        );
        std::fs::write(folder.join("pgbouncer.ini"), settings)?;
        std::fs::write(
            folder.join("users.txt"),
            format!("\"{owner}\" \"{PASSWORD}\"\n"),
        )?;
        let mut pooler = Self {
            watch: watch(&program, user, &folder)?,
            port,
            owner,
        };
        pooler.wait()?;
        Ok(Some(pooler))
    }

    /// `postgres://user:password@host:port/database`, as the project's owner.
    pub fn url(&self) -> String {
        let Self { port, owner, .. } = self;
        format!("postgres://{owner}:{PASSWORD}@127.0.0.1:{port}/postgres")
    }

    fn wait(&mut self) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            ensure!(
                self.watch.try_wait()?.is_none() && began.elapsed() < Duration::from_secs(20),
                "PgBouncer did not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file())
}

/// From 1.21 on it can know what is prepared, and from 1.24 on it does: not here, as with older ones.
fn prepared(program: &Path) -> Result<&'static str> {
    let said = Command::new(program).arg("--version").output()?.stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let minor = said.split('.').nth(1).and_then(|minor| minor.parse().ok());
    Ok(match minor.context("PgBouncer does not say its version")? {
        ..21_u32 => "",
        _ => "max_prepared_statements = 0\n",
    })
}

/// A shell that runs it until its own input ends, which the kernel sees to however this process ends.
fn watch(program: &Path, user: Option<&'static str>, folder: &Path) -> Result<Child> {
    const SCRIPT: &str = "trap '' INT TERM HUP; \"$1\" -q \"$2/pgbouncer.ini\" & cat >/dev/null; kill -KILL $!; rm -rf \"$2\"";
    as_user(user, Path::new("/bin/sh"))
        .args(["-c", SCRIPT, "watch"])
        .args([program, folder])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("no shell to watch over PgBouncer")
}
