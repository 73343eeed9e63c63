//! A real Spin, in a process of its own.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, Result, anyhow};
use runner::Log;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::{Limits, Variables, root};

/// The first Spin that runs these components (WASI 0.3).
const NEEDED: (u32, u32) = (4, 1);

/// How many lines of a Spin that does not start are told.
const TOLD_LINES: usize = 20;

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

/// `spin up` for the app. It ends when this is dropped.
pub struct Spin {
    child: Child,
    address: SocketAddr,
}

impl Spin {
    /// Starts `program`, and waits until it listens. Its lines, and those of the components, go to `log`.
    ///
    /// Variables go by the environment: what is on a command line is seen by every user of the machine.
    pub(crate) async fn up(
        program: &OsStr,
        variables: Variables,
        log: Log,
        limits: Limits,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .current_dir(root())
            .args(["up", "--from", "spin.toml", "--listen", "127.0.0.1:0"])
            // What components print goes to standard error, not into files of the project's folder.
            .args(["--state-dir", ""]);
        if let Some(mib) = limits.memory_mib {
            command.args(["--max-instance-memory", &(mib << 20).to_string()]);
        }
        if let Some(limit) = limits.request_timeout {
            command.args(["--request-timeout", &format!("{}ms", limit.as_millis())]);
        }
        command
            .envs(
                variables
                    .into_iter()
                    .map(|(name, value)| (format!("SPIN_VARIABLE_{}", name.to_uppercase()), value)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("{} could not be started", program.display()))?;
        let said = child.stdout.take().context("spin has no output")?;
        let complaints = child.stderr.take().context("spin has no standard error")?;
        let complaints = tokio::spawn(pass_on(complaints, log.clone()));
        let mut lines = BufReader::new(said).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(address) = served(&line) {
                // It may write on, and a full pipe would stop it.
                tokio::spawn(async move {
                    while let Ok(Some(line)) = lines.next_line().await {
                        log.line("spin", &line);
                    }
                });
                return Ok(Self { child, address });
            }
        }
        Err(failed(child, complaints).await)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, work in flight included, and waits until it is gone.
    pub async fn stop(mut self) {
        self.terminate();
        // It cannot be waited for twice, and nothing else can go wrong.
        let _ = self.child.wait().await;
    }

    /// By a signal that it can pass on: `spin up` serves by a second process, which would outlive it
    /// where it is killed (seen on Spin 4.1).
    fn terminate(&self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            // Where it has ended already there is nothing to be done.
            let _ = kill_process(id, Signal::TERM);
        }
    }
}

impl Drop for Spin {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// The address in `Serving http://127.0.0.1:43211`.
fn served(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("Serving http://")?.trim().parse().ok()
}

/// Passes all lines on to `log`; the first of them, for whom it may concern.
async fn pass_on(lines: impl AsyncRead + Unpin, log: Log) -> Vec<String> {
    let mut lines = BufReader::new(lines).lines();
    let mut first = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        log.line("spin", &line);
        if first.len() < TOLD_LINES {
            first.push(line);
        }
    }
    first
}

async fn failed(mut child: Child, complaints: JoinHandle<Vec<String>>) -> anyhow::Error {
    let ended = match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let said = complaints.await.unwrap_or_default().join("\n");
    anyhow!("spin up ended before it listened ({ended}): {said}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

    #[test]
    fn an_older_spin_is_told_from_one_that_will_do() {
        assert_eq!(
            version("spin 4.1.0-pre0 (94a8fc8 2026-08-21)"),
            Some((4, 1))
        );
        assert!(version("spin 3.6.2 (abc)").is_some_and(|found| found < NEEDED));
        assert_eq!(version("Promela"), None);
    }

    /// A program that plays Spin. Another process writes it: whatever this one has open for writing, so
    /// for a moment has a program that another test just starts, and such a file cannot be run.
    fn played(folder: &tempfile::TempDir, script: &str) -> PathBuf {
        let [written, program] = ["written", "spin"].map(|name| folder.path().join(name));
        std::fs::write(&written, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mut install = std::process::Command::new("install");
        install.args(["-m", "755"]).args([&written, &program]);
        assert!(install.status().unwrap().success());
        program
    }

    async fn up(program: PathBuf) -> Result<Spin> {
        let (log, limits) = (Log::Discard, Limits::default());
        Spin::up(program.as_os_str(), Variables::new(), log, limits).await
    }

    #[tokio::test]
    async fn a_spin_that_does_not_start_is_told_in_its_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let program = played(&folder, "echo 'no such manifest' >&2; exit 3");
        let told = up(program).await.err().unwrap().to_string();
        assert!(
            told.contains("no such manifest") && told.contains('3'),
            "{told}"
        );
    }

    #[tokio::test]
    async fn nothing_of_spin_stays_when_it_is_stopped_or_dropped() {
        for stopped in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            // As Spin: a second process serves, and ends by the signal that the first passes on.
            let script = "sleep 600 & echo $! >$(dirname $0)/second
                trap 'kill $!; wait $!; exit 0' TERM
                echo 'Serving http://127.0.0.1:3000'; wait $!";
            let spin = up(played(&folder, script)).await.unwrap();
            assert_eq!(spin.address(), SocketAddr::from(([127, 0, 0, 1], 3000)));
            let second = std::fs::read_to_string(folder.path().join("second")).unwrap();
            let second = PathBuf::from(format!("/proc/{}", second.trim()));
            assert!(second.exists());
            if stopped {
                spin.stop().await;
                assert!(!second.exists());
            } else {
                drop(spin);
                while second.exists() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}
