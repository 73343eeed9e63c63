//! One throw-away server: its folder, its process, and the watch that outlives a crash of the test.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use super::binaries::Binaries;

/// The superuser has the name it has on hosted Supabase, where `postgres` is none.
pub(super) const SUPERUSER: &str = "supabase_admin";

/// What a server that lives for one test run is told. `synchronous_commit` stays on: what was
/// committed has to survive `crash()`, and only the machine's own crash is out of scope.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
full_page_writes = off
max_connections = 300
max_worker_processes = 16
shared_buffers = 128MB
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
log_checkpoints = off
";

/// As in `use_background_workers = off` on hosted Supabase: jobs run on connections of their own.
const CRON_SETTINGS: &str = "
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.host = '127.0.0.1'
cron.log_run = on
";

/// The components' role proves itself by its password, as in production; everybody else on loopback
/// is trusted, which `pg_cron` needs for the connections of its jobs.
const HOST_BASED_AUTHENTICATION: &str = "
host all odoo_sync 127.0.0.1/32 scram-sha-256
host all all       127.0.0.1/32 trust
";

pub(super) struct Cluster {
    binaries: Binaries,
    /// The user that runs the server: Postgres refuses root.
    user: Option<&'static str>,
    folder: PathBuf,
    port: u16,
    watch: Mutex<Child>,
}

impl Cluster {
    pub(super) fn start() -> Result<Self> {
        let binaries = Binaries::find()?;
        let user = unprivileged_user()?;
        let folder = temporary_folder(user)?;
        let watch = watch(&binaries, user, &folder)?;
        let mut cluster = Self {
            binaries,
            user,
            folder,
            port: 0,
            watch: Mutex::new(watch),
        };
        cluster.create()?;
        // Somebody else may take the free port between the look and the start.
        let mut outcome = Ok(());
        for _ in 0..5 {
            cluster.port = free_port()?;
            outcome = cluster.start_again();
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map(|()| cluster)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn create(&self) -> Result<()> {
        let mut initdb = self.command("initdb");
        initdb
            .args([
                "--username",
                SUPERUSER,
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--pgdata",
            ])
            .arg(self.data());
        run(initdb)?;
        let settings = self.data().join("postgresql.conf");
        let mut text = std::fs::read_to_string(&settings)?;
        text.push_str(SETTINGS);
        if self.binaries.have_pg_cron() {
            text.push_str(CRON_SETTINGS);
        }
        std::fs::write(&settings, text)?;
        std::fs::write(self.data().join("pg_hba.conf"), HOST_BASED_AUTHENTICATION)?;
        Ok(())
    }

    /// Starts the server, new or stopped, and returns when it takes connections.
    pub(super) fn start_again(&self) -> Result<()> {
        let log = self.folder.join("log");
        let mut start = self.pg_ctl("start");
        start
            .args(["-w", "-t", "60", "-o", &format!("-p {}", self.port), "-l"])
            .arg(&log);
        run(start).map(drop).with_context(|| {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            format!(
                "Postgres did not start: {}",
                last.into_iter().rev().collect::<Vec<_>>().join(" | ")
            )
        })
    }

    pub(super) fn stop(&self, mode: &str) -> Result<()> {
        let mut stop = self.pg_ctl("stop");
        stop.args(["-w", "-m", mode]);
        run(stop).map(drop)
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.arg(action).arg("-D").arg(self.data());
        command
    }

    fn command(&self, program: &str) -> Command {
        as_user(self.user, &self.binaries.program(program))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Ok(watch) = self.watch.get_mut() {
            drop(watch.stdin.take());
            let _ = watch.wait();
        }
    }
}

/// A shell that waits for its input to end, which the kernel sees to however this process ends,
/// then stops the server and removes its folder. Signals from the terminal pass it by.
fn watch(binaries: &Binaries, user: Option<&'static str>, folder: &Path) -> Result<Child> {
    const SCRIPT: &str = "trap '' INT TERM HUP; cat >/dev/null; \"$1\" stop -D \"$2/data\" -m immediate; rm -rf \"$2\"";
    as_user(user, Path::new("/bin/sh"))
        .args(["-c", SCRIPT, "watch"])
        .arg(binaries.program("pg_ctl"))
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("no shell to watch over Postgres")
}

pub(super) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

pub(super) fn unprivileged_user() -> Result<Option<&'static str>> {
    if !is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    for user in ["postgres", "nobody"] {
        if users
            .lines()
            .any(|line| line.split(':').next() == Some(user))
        {
            return Ok(Some(user));
        }
    }
    bail!(
        "Postgres does not run as root, and there is no user `postgres` or `nobody` to run it as: add one, or set DATABASE_URL"
    )
}

/// Runs a program as that user. From `/`, since the user may not enter the present folder.
pub(super) fn as_user(user: Option<&str>, program: &Path) -> Command {
    let mut command = match user {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            let group = if user == "nobody" { "nogroup" } else { user };
            command
                .args([
                    &format!("--reuid={user}"),
                    &format!("--regid={group}"),
                    "--clear-groups",
                    "--",
                ])
                .arg(program);
            command
        }
    };
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .env_remove("PGDATA")
        .env("LC_ALL", "C");
    command
}

pub(super) fn temporary_folder(user: Option<&'static str>) -> Result<PathBuf> {
    let mut outcome = None;
    for parent in [std::env::temp_dir(), PathBuf::from("/tmp")] {
        let mut mktemp = as_user(user, Path::new("mktemp"));
        mktemp.arg("-d").arg(parent.join("odoo-to-supabase.XXXXXX"));
        match run(mktemp) {
            Ok(output) => {
                return Ok(PathBuf::from(
                    String::from_utf8_lossy(&output.stdout).trim(),
                ));
            }
            Err(problem) => outcome = Some(problem),
        }
    }
    Err(outcome.context("no temporary folder")?)
}

pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn run(mut command: Command) -> Result<Output> {
    let output = command.output().with_context(|| {
        format!(
            "{} could not be run",
            command.get_program().to_string_lossy()
        )
    })?;
    if !output.status.success() {
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_string_lossy())
            .collect();
        bail!(
            "`{}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output)
}
