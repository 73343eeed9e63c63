//! Runs this project's `spin.toml` where no Spin CLI is at hand.
//!
//! A development tool, not a server: small, one app at a time, and it knows only what this project
//! uses. What it does know it does as Spin 4.1 does, faults included, since that is what the
//! components are tried against. A manifest key or an import that it does not know is an error that
//! names it.
//!
//! What it does not do: providers of variables other than the environment, `.env`, TLS and HTTP/2
//! on the way in, HTTP/2 on the way out, requests of the app to itself, ranges in Postgres.

mod allowed_hosts;
mod bindings;
mod component;
mod instances;
mod key_value;
mod log;
mod manifest;
mod memory;
mod outbound_http;
mod postgres;
mod routes;
mod server;
mod variables;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{net::TcpListener, runtime::Runtime, sync::Semaphore, task::JoinSet};
use wasmtime_wasi_http::handler::ProxyHandler;

pub use log::{Captured, Log};

use crate::{
    allowed_hosts::AllowedHosts,
    component::Component,
    instances::{Instances, MAX_INSTANCES},
    key_value::KeyValue,
    manifest::Manifest,
    memory::Peak,
    outbound_http::{Connections, OutboundHttp},
    postgres::{Pools, Postgres, Statements},
    routes::Routes,
    server::Server,
    variables::{ComponentVariables, Variables},
};

/// What to run, and how. It has no `Debug`, since the variables have secrets among them.
#[derive(Clone)]
pub struct Options {
    /// The path of `spin.toml`. The components' files are found from its directory.
    pub manifest: PathBuf,
    /// Where to listen; with port 0 a free one is taken, see [`App::address`].
    pub listen: SocketAddr,
    /// Values of application variables. They come before `SPIN_VARIABLE_*` in the environment.
    pub variables: BTreeMap<String, String>,
    /// The most linear memory of an instance; nothing is no limit. Akamai Functions has 128.
    pub memory_limit_mib: Option<usize>,
    /// How long a request may take, and the work after its response; nothing is no limit. Akamai
    /// Functions has 30 s. As with Spin, a guest that computes without waiting is not interrupted.
    pub request_timeout: Option<Duration>,
    /// The most connections to Postgres in use at once, over all components; further calls wait. Nothing is 64
    /// for each component.
    pub max_connections: Option<usize>,
    /// Where the lines go that components print.
    pub log: Log,
}

/// A running app. It ends when this is dropped.
pub struct App {
    address: SocketAddr,
    routes: Vec<String>,
    meters: Meters,
    /// The app's own, so that everything it does can be ended at once. Gone only while stopping.
    runtime: Option<Runtime>,
}

/// What is counted of each component.
type Meters = BTreeMap<String, (Peak, Statements)>;

/// Reads the manifest, compiles its components and listens.
///
/// # Errors
/// One line that says what to do, for whatever keeps the app from starting.
pub async fn start(options: Options) -> Result<App> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("runner")
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let started = runtime.spawn(prepare(options)).await;
    // From here on the runtime is the app's to end: dropping it would block.
    let mut app = App {
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        routes: Vec::new(),
        meters: BTreeMap::new(),
        runtime: Some(runtime),
    };
    let (server, listener, meters) = started.context("starting panicked")??;
    app.address = listener.local_addr()?;
    app.meters = meters;
    app.routes = server
        .routes
        .listed()
        .iter()
        .map(|route| {
            format!(
                "{}: http://{}{}",
                route.component,
                app.address,
                route.display()
            )
        })
        .collect();
    if let Some(runtime) = &app.runtime {
        runtime.spawn(server.serve(listener));
    }
    Ok(app)
}

impl App {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A line for each route, as `spin up` lists them.
    pub fn routes(&self) -> &[String] {
        &self.routes
    }

    /// The most linear memory that one instance of the component ever had, in bytes. Nothing for a
    /// component that the manifest does not have.
    pub fn peak_memory_bytes(&self, component: &str) -> Option<u64> {
        self.meters.get(component).map(|(peak, _)| peak.bytes())
    }

    /// How many statements the component's instances have sent to Postgres. Nothing for a component
    /// that the manifest does not have.
    pub fn statements(&self, component: &str) -> Option<u64> {
        self.meters.get(component).map(|(_, sent)| sent.count())
    }

    /// Ends the app, work in flight included, as a SIGTERM ends Spin. When this returns, nothing
    /// runs any more and its connections are closed.
    pub async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for a guest that computes just now, but not for ever.
            let stopping =
                tokio::task::spawn_blocking(|| runtime.shutdown_timeout(Duration::from_secs(5)));
            // It cannot panic, and there would be nothing left to do.
            let _ = stopping.await;
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn prepare(options: Options) -> Result<(Arc<Server>, TcpListener, Meters)> {
    let manifest = Manifest::read(&options.manifest)?;
    let (routes, replaced) = Routes::build(&manifest.triggers.http)?;
    for route in replaced {
        options.log.line(
            "runner",
            &format!(
                "the route {:?} of {} is never used: it is given twice",
                route.pattern, route.component
            ),
        );
    }
    let variables = Variables::resolve(&manifest, &options.variables, |name| {
        std::env::var(name).ok()
    })?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let components = load(&options, &manifest, &variables).await?;
    let meters = components
        .iter()
        .map(|component| {
            let counted = (
                component.peak.clone(),
                component.postgres.statements.clone(),
            );
            (component.name.to_string(), counted)
        })
        .collect();
    let slots = Arc::new(Semaphore::new(MAX_INSTANCES));
    let components = components
        .into_iter()
        .map(|component| {
            let name = component.name.to_string();
            let instances = Instances {
                component: Arc::new(component),
                request_timeout: options.request_timeout,
                slots: slots.clone(),
            };
            (name, ProxyHandler::new(instances))
        })
        .collect();
    let server = Server {
        routes,
        components,
        log: options.log,
    };
    Ok((Arc::new(server), listener, meters))
}

/// Compiles the components side by side.
async fn load(
    options: &Options,
    manifest: &Manifest,
    variables: &Variables,
) -> Result<Vec<Component>> {
    let directory = options
        .manifest
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let linker = Arc::new(component::linker(&component::engine()?)?);
    let connections = Connections::new()?;
    let room = options
        .max_connections
        .map(|most| Arc::new(Semaphore::new(most)));
    let key_value = KeyValue::default();
    let mut compiling = JoinSet::new();
    for (id, described) in &manifest.components {
        let name: Arc<str> = id.as_str().into();
        let of_component = || format!("component {id}");
        let values = variables
            .of_component(&described.variables)
            .with_context(of_component)?;
        let allowed_hosts = Arc::new(
            AllowedHosts::parse(&described.allowed_outbound_hosts, variables)
                .with_context(of_component)?,
        );
        let linker = linker.clone();
        let directory = directory.to_owned();
        let source = described.source.clone();
        let environment = component::environment(&described.environment);
        let http = OutboundHttp {
            component: name.clone(),
            allowed_hosts: allowed_hosts.clone(),
            connections: connections.clone(),
            log: options.log.clone(),
        };
        let postgres = Postgres {
            component: name.clone(),
            allowed_hosts,
            pools: Arc::new(Pools::within(room.clone())),
            statements: Statements::default(),
            log: options.log.clone(),
        };
        let key_value = (!described.key_value_stores.is_empty()).then(|| key_value.clone());
        let log = options.log.clone();
        let memory_limit_bytes = options
            .memory_limit_mib
            .map(|mib| mib.saturating_mul(1024 * 1024));
        compiling.spawn_blocking(move || {
            let service = component::load(&linker, &name, &directory, &source)?;
            Ok::<_, anyhow::Error>(Component {
                name: name.clone(),
                service,
                environment,
                variables: ComponentVariables::new(name, values),
                http,
                postgres,
                key_value,
                peak: Peak::default(),
                memory_limit_bytes,
                log,
            })
        });
    }
    let mut components = Vec::new();
    while let Some(compiled) = compiling.join_next().await {
        components.push(compiled.context("compiling panicked")??);
    }
    Ok(components)
}
