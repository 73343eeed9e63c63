//! Components: compiled, linked with what the runner offers, and made into instances.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{
    Cache, CacheConfig, Config, Engine, Store,
    component::{Component as Compiled, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    WasiHttpCtx, WasiHttpCtxView, WasiHttpView,
    handler::Proxy,
    p3::bindings::{Service, ServicePre},
};

use crate::{
    bindings,
    key_value::{HasKeyValue, KeyValue, KeyValueView},
    log::Log,
    memory::{Meter, Peak},
    outbound_http::OutboundHttp,
    postgres::{HasPostgres, Postgres, PostgresView},
    variables::{ComponentVariables, HasVariables},
};

/// The interfaces that are linked, by how their names begin. `std` brings the ones of WASI 0.2.
const OFFERED: [&str; 14] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    // Linked for `std`'s sake; no address is allowed.
    "wasi:sockets/",
    "wasi:http/types@0.3.0",
    "wasi:http/client@0.3.0",
    "spin:key-value/key-value@3.0",
    "spin:postgres/postgres@4.0",
    "spin:postgres/postgres@4.1",
    "spin:postgres/postgres@4.2",
    "spin:variables/variables@3.0",
    "export-",
];

/// A compiled component and all that its instances share.
pub(crate) struct Component {
    pub(crate) name: Arc<str>,
    pub(crate) service: ServicePre<State>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) variables: ComponentVariables,
    pub(crate) http: OutboundHttp,
    pub(crate) postgres: Postgres,
    pub(crate) key_value: Option<KeyValue>,
    pub(crate) peak: Peak,
    pub(crate) memory_limit_bytes: Option<usize>,
    pub(crate) log: Log,
}

/// What one instance has.
pub(crate) struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    http_context: WasiHttpCtx,
    http: OutboundHttp,
    postgres: Postgres,
    key_value: Option<KeyValue>,
    variables: ComponentVariables,
    meter: Meter,
    /// Its place among the app's instances.
    _slot: OwnedSemaphorePermit,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http_context,
            table: &mut self.table,
            hooks: &mut self.http,
        }
    }
}

impl State {
    fn postgres(&mut self) -> PostgresView<'_> {
        PostgresView {
            table: &mut self.table,
            postgres: &self.postgres,
        }
    }

    fn key_value(&mut self) -> KeyValueView<'_> {
        KeyValueView {
            table: &mut self.table,
            store: self.key_value.as_ref(),
        }
    }

    fn variables(&mut self) -> &mut ComponentVariables {
        &mut self.variables
    }
}

/// The compiler, with its results kept between runs where there is a place for them.
pub(crate) fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    // Without a home directory there is no cache, which only costs time.
    config.cache(Cache::new(CacheConfig::new()).ok());
    Ok(Engine::new(&config)?)
}

pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    bindings::postgres::add_to_linker::<_, HasPostgres>(&mut linker, State::postgres)?;
    bindings::key_value::add_to_linker::<_, HasKeyValue>(&mut linker, State::key_value)?;
    bindings::variables::add_to_linker::<_, HasVariables>(&mut linker, State::variables)?;
    Ok(linker)
}

/// Compiles the component `name` of the manifest in `directory`.
pub(crate) fn load(
    linker: &Linker<State>,
    name: &str,
    directory: &Path,
    source: &PathBuf,
) -> Result<ServicePre<State>> {
    let path = directory.join(source);
    ensure!(
        path.is_file(),
        "component {name}: {} is not there; build it with the command of [component.{name}.build]",
        path.display()
    );
    let engine = linker.engine();
    let compiled = Compiled::from_file(engine, &path)
        .map_err(anyhow::Error::from)
        .with_context(|| format!("component {name}: {} does not compile", path.display()))?;
    let kind = compiled.component_type();
    let foreign: Vec<_> = kind
        .imports(engine)
        .map(|(import, _)| import)
        .filter(|import| !OFFERED.iter().any(|offered| import.starts_with(offered)))
        .collect();
    if !foreign.is_empty() {
        bail!(
            "component {name} imports {}, which this runner does not have; run the app under Spin",
            foreign.join(", ")
        );
    }
    ensure!(
        kind.exports(engine)
            .any(|(export, _)| export.starts_with("wasi:http/handler@0.3.")),
        "component {name} does not export wasi:http/handler@0.3.0; build it with spin-sdk 7"
    );
    linker
        .instantiate_pre(&compiled)
        .and_then(ServicePre::new)
        .map_err(anyhow::Error::from)
        .with_context(|| format!("component {name} cannot be linked"))
}

impl Component {
    pub(crate) async fn instantiate(
        &self,
        slot: OwnedSemaphorePermit,
    ) -> wasmtime::Result<(Store<State>, Proxy)> {
        let output = self.log.output_of(&self.name);
        let wasi = WasiCtx::builder()
            .envs(&self.environment)
            .stdout(output.clone())
            .stderr(output)
            .build();
        let state = State {
            table: ResourceTable::new(),
            wasi,
            http_context: WasiHttpCtx::new(),
            http: self.http.clone(),
            postgres: self.postgres.clone(),
            key_value: self.key_value.clone(),
            variables: self.variables.clone(),
            meter: Meter::new(self.peak.clone(), self.memory_limit_bytes),
            _slot: slot,
        };
        let mut store = Store::new(self.service.engine(), state);
        store.limiter(|state| &mut state.meter);
        let service: Service = self.service.instantiate_async(&mut store).await?;
        Ok((store, Proxy::P3(service)))
    }
}

/// A component's `[environment]` for WASI.
pub(crate) fn environment(table: &BTreeMap<String, String>) -> Vec<(String, String)> {
    table
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
