//! What serves the app: a real Spin where there is one, else the project's own runner.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use runner::{App, Log, Options};
use tokio::process::{Child, Command};

use crate::{Variables, root};

/// The first Spin that runs these components (WASI 0.3).
const NEEDED: (u32, u32) = (4, 1);

/// What `spin` on the PATH is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpinFound {
    /// It can run the app.
    Usable(String),
    /// It is too old; what it says of itself.
    TooOld(String),
    /// There is none.
    None,
}

/// Looks for `spin` on the PATH.
pub fn find_spin() -> SpinFound {
    let output = std::process::Command::new("spin").arg("--version").output();
    let Ok(output) = output else {
        return SpinFound::None;
    };
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match version(&said) {
        Some(found) if found >= NEEDED => SpinFound::Usable(said),
        _ => SpinFound::TooOld(said),
    }
}

/// Major and minor of `spin 4.1.0-pre0 (94a8fc8 2026-08-21)`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.split_whitespace().nth(1)?.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A served app. It ends when this is dropped.
pub enum Host {
    /// By the runner, in this process.
    Runner(App),
    /// By `spin up`.
    Spin {
        /// The process.
        child: Box<Child>,
        /// Where it listens.
        address: SocketAddr,
    },
}

impl Host {
    /// Serves by the runner.
    pub async fn runner(
        variables: Variables,
        log: Log,
        limits: (Option<usize>, Option<Duration>),
    ) -> Result<Self> {
        let app = runner::start(Options {
            manifest: root().join("spin.toml"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            variables,
            memory_limit_mib: limits.0,
            request_timeout: limits.1,
            log,
        })
        .await?;
        Ok(Self::Runner(app))
    }

    /// Serves by `spin up`. Variables go by the environment: what is on a command line is seen by
    /// every user of the machine. What components print is shown where `verbose`.
    pub async fn spin(variables: Variables, verbose: bool) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new("spin");
        command
            .current_dir(root())
            .args([
                "up",
                "--from",
                "spin.toml",
                "--listen",
                &address.to_string(),
            ])
            .args((!verbose).then_some("--quiet"))
            .envs(
                variables
                    .into_iter()
                    .map(|(name, value)| (format!("SPIN_VARIABLE_{}", name.to_uppercase()), value)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let mut child = command.spawn().context("spin could not be started")?;
        loop {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(Self::Spin {
                    child: Box::new(child),
                    address,
                });
            }
            if let Some(status) = child.try_wait()? {
                bail!("spin up ended before it listened ({status})");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Runner(app) => app.address(),
            Self::Spin { address, .. } => *address,
        }
    }

    /// What serves it, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Runner(_) => "the project's own runner",
            Self::Spin { .. } => "spin up",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_spin_is_told_from_one_that_will_do() {
        assert_eq!(
            version("spin 4.1.0-pre0 (94a8fc8 2026-08-21)"),
            Some((4, 1))
        );
        assert!(version("spin 3.6.2 (abc)").is_some_and(|found| found < NEEDED));
        assert_eq!(version("Promela"), None);
    }
}
