//! The app as a process of its own, so that it can be killed like one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use runner::{Log, Options};
use stage::{Caller, Variables};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// How a process is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `kill -9`.
    Kill,
    /// As an operator's stop: Spin drops work in flight at once (seen on 4.1).
    Term,
}

impl Signal {
    /// Its name, as people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Term => "SIGTERM",
        }
    }
}

/// An app, up or down. It keeps its port while it is down, as a service does.
pub struct App {
    program: PathBuf,
    variables: Variables,
    address: SocketAddr,
    child: Option<Child>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl App {
    /// Starts one. `program` is the `chaos` binary, which serves when it is told to.
    pub async fn start(program: &Path, variables: Variables) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut app = Self {
            program: program.to_owned(),
            variables,
            address,
            child: None,
            lines: Arc::default(),
        };
        app.up().await?;
        Ok(app)
    }

    /// Starts the process, if it is down; returns when it listens.
    pub async fn up(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let mut child = Command::new(&self.program)
            .args(["serve", "--listen", &self.address.to_string()])
            // What is on a command line is seen by every user of the machine.
            .envs(
                self.variables
                    .iter()
                    .map(|(name, value)| (format!("SPIN_VARIABLE_{}", name.to_uppercase()), value)),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} could not be started", self.program.display()))?;
        if let Some(stderr) = child.stderr.take() {
            let lines = self.lines.clone();
            tokio::spawn(async move {
                let mut read = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = read.next_line().await {
                    lines
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(line);
                }
            });
        }
        let stdout = child.stdout.take().context("no standard output")?;
        let said = BufReader::new(stdout).lines().next_line().await?;
        if said.is_none() {
            bail!(
                "the app did not start: {}",
                self.lines().last().map_or("", String::as_str)
            );
        }
        self.child = Some(child);
        Ok(())
    }

    /// Ends the process at once, if it is up; returns when it is gone.
    pub async fn down(&mut self, signal: Signal) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        match (signal, child.id()) {
            (Signal::Term, Some(id)) => {
                let sent = Command::new("sh")
                    .args(["-c", "kill -TERM \"$1\"", "sh", &id.to_string()])
                    .status()
                    .await?;
                ensure!(sent.success(), "SIGTERM could not be sent");
                child.wait().await?;
            }
            _ => child.kill().await?,
        }
        Ok(())
    }

    /// Whether the process is up.
    pub fn is_up(&self) -> bool {
        self.child.is_some()
    }

    /// Where it listens, or will again.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls of it.
    pub fn caller(&self) -> Caller {
        Caller::new(self.address)
    }

    /// What all its processes printed.
    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Serves the app of this project's `spin.toml` until the process is ended, or whoever started it is
/// gone: then standard input ends. Variables come from the environment.
pub async fn serve(listen: SocketAddr) -> Result<()> {
    let app = runner::start(Options {
        manifest: stage::root().join("spin.toml"),
        listen,
        variables: Variables::new(),
        memory_limit_mib: None,
        request_timeout: None,
        max_connections: None,
        log: Log::Stderr,
    })
    .await?;
    println!("Serving http://{}", app.address());
    let mut nothing = [0; 64];
    while tokio::io::stdin().read(&mut nothing).await? > 0 {}
    Ok(())
}
