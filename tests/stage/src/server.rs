//! What serves the app: the project's own runner, or a real Spin.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};
use runner::{App, Log, Options};

use crate::{Spin, SpinFound, Variables, find_spin, root};

/// What may serve the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Server {
    /// The project's own runner.
    #[default]
    Runner,
    /// The `spin` on the PATH.
    Spin,
}

impl Server {
    /// What `STAGE_SERVER` says: `spin`, or the default.
    pub fn of_environment() -> Result<Self> {
        match std::env::var("STAGE_SERVER").as_deref() {
            Err(_) | Ok("" | "runner") => Ok(Self::Runner),
            Ok("spin") => Ok(Self::Spin),
            Ok(other) => bail!("STAGE_SERVER must be spin or runner, not {other:?}"),
        }
    }
}

/// What an instance and a request may take. Nothing is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The most linear memory of an instance, in MiB.
    pub memory_mib: Option<usize>,
    /// The most time of a request.
    pub request_timeout: Option<Duration>,
    /// The most connections to Postgres at once, over all components; only the runner takes it from here.
    pub max_connections: Option<usize>,
}

/// A served app. It ends when this is dropped.
pub enum Host {
    /// By the runner, in this process.
    Runner(App),
    /// By `spin up`.
    Spin(Spin),
}

impl Host {
    /// Serves the app.
    pub async fn start(
        server: Server,
        variables: Variables,
        log: Log,
        limits: Limits,
    ) -> Result<Self> {
        match server {
            Server::Runner => Self::runner(variables, log, limits).await,
            Server::Spin => Self::spin(variables, log, limits).await,
        }
    }

    async fn runner(variables: Variables, log: Log, limits: Limits) -> Result<Self> {
        let app = runner::start(Options {
            manifest: root().join("spin.toml"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            variables,
            memory_limit_mib: limits.memory_mib,
            request_timeout: limits.request_timeout,
            max_connections: limits.max_connections,
            log,
        })
        .await?;
        Ok(Self::Runner(app))
    }

    async fn spin(variables: Variables, log: Log, limits: Limits) -> Result<Self> {
        match find_spin() {
            SpinFound::Usable(_) => {}
            SpinFound::TooOld(version) => {
                bail!(
                    "these components need Spin 4.1 or later, and the one on the PATH is {version}"
                )
            }
            SpinFound::None => bail!("there is no spin on the PATH: install Spin 4.1 or later"),
        }
        let spin = Spin::up(OsStr::new("spin"), variables, log, limits).await?;
        Ok(Self::Spin(spin))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Runner(app) => app.address(),
            Self::Spin(spin) => spin.address(),
        }
    }

    /// Ends it at once, work in flight included.
    pub async fn stop(self) {
        match self {
            Self::Runner(app) => app.stop().await,
            Self::Spin(spin) => spin.stop().await,
        }
    }

    /// What serves it, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Runner(_) => "the project's own runner",
            Self::Spin(_) => "spin up",
        }
    }
}
