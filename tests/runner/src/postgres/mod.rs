//! `spin:postgres@4.2.0`, with Spin's pooling and Spin's conversions, faults included: what leaks or
//! fails there has to leak or fail here.
//!
//! The synchronous calls are refused. Under Spin they block the whole instance, so nothing of this
//! project may use them.
#![expect(
    clippy::result_large_err,
    reason = "the interface's error is as large as it is"
)]

mod pool;
mod query;
mod values;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio_postgres::config::Host as PostgresHost;
use wasmtime::component::{
    Accessor, Destination, FutureReader, HasData, Resource, ResourceTable, StreamProducer,
    StreamReader, StreamResult,
};

use crate::{
    allowed_hosts::AllowedHosts,
    bindings::postgres::{
        Column, Error, Host, HostConnection, HostConnectionBuilder, HostConnectionBuilderWithStore,
        HostConnectionWithStore, ParameterValue, Row, RowSet,
    },
    log::Log,
};
pub(crate) use pool::Pools;

/// What one component may do with Postgres. Clones share the pools.
#[derive(Clone)]
pub(crate) struct Postgres {
    pub(crate) component: Arc<str>,
    pub(crate) allowed_hosts: Arc<AllowedHosts>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) statements: Statements,
    pub(crate) log: Log,
}

/// How many statements the instances of a component have sent. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statements(Arc<AtomicU64>);

impl Statements {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The resource `connection`: a pooled one, back in its pool when the guest drops it.
pub struct Connection(pool::Client);

/// The resource `connection-builder`.
pub struct ConnectionBuilder {
    address: String,
    authority: Option<String>,
}

/// The view of an instance's state that the calls work on.
pub(crate) struct PostgresView<'a> {
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) postgres: &'a Postgres,
}

/// Names [`PostgresView`] for the linker.
pub(crate) struct HasPostgres;

impl HasData for HasPostgres {
    type Data<'a> = PostgresView<'a>;
}

type Outcome<T> = wasmtime::Result<Result<T, Error>>;

impl Postgres {
    async fn open(self, address: &str, authority: Option<&str>) -> Result<Connection, Error> {
        self.check(address)?;
        let client = self
            .pools
            .get(address, authority)
            .await
            // In several lines, and with the backtrace where the environment asks for one.
            .map_err(|error| Error::ConnectionFailed(format!("{error:?}")))?;
        Ok(Connection(client))
    }

    fn check(&self, address: &str) -> Result<(), Error> {
        let config =
            pool::parse(address).map_err(|error| Error::ConnectionFailed(format!("{error:#}")))?;
        let ports = config.get_ports();
        for (index, host) in config.get_hosts().iter().enumerate() {
            let PostgresHost::Tcp(host) = host else {
                return Err(Error::ConnectionFailed(
                    "Unix sockets are not supported on WebAssembly".to_owned(),
                ));
            };
            let port = match ports {
                [only] => Some(only),
                ports => ports.get(index),
            };
            if !self.allowed_hosts.allow("postgres", host, port.copied()) {
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                self.log.line(
                    &self.component,
                    &format!(
                        "denied: postgres://{host}{port} is not in the component's allowed_outbound_hosts"
                    ),
                );
                return Err(Error::ConnectionFailed(format!(
                    "address postgres://{host}{port} is not permitted"
                )));
            }
        }
        Ok(())
    }
}

/// Opens outside the store, so that the instance's other requests go on.
async fn open<T>(
    accessor: &Accessor<T, HasPostgres>,
    address: &str,
    authority: Option<&str>,
) -> Outcome<Resource<Connection>> {
    let postgres = accessor.with(|mut store| store.get().postgres.clone());
    match postgres.open(address, authority).await {
        Ok(connection) => {
            let resource = accessor.with(|mut store| store.get().table.push(connection))?;
            Ok(Ok(resource))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// The client for one statement.
fn client<T>(
    accessor: &Accessor<T, HasPostgres>,
    connection: &Resource<Connection>,
) -> wasmtime::Result<pool::Client> {
    accessor.with(|mut store| {
        let view = store.get();
        view.postgres.statements.one_more();
        Ok(view.table.get(connection)?.0.clone())
    })
}

fn synchronous(call: &str) -> Error {
    Error::Other(format!(
        "the synchronous spin:postgres call `{call}` blocks the whole instance and is not supported by this runner; use `{call}-async`"
    ))
}

impl Host for PostgresView<'_> {}

impl HostConnectionBuilder for PostgresView<'_> {
    fn new(&mut self, address: String) -> wasmtime::Result<Resource<ConnectionBuilder>> {
        Ok(self.table.push(ConnectionBuilder {
            address,
            authority: None,
        })?)
    }

    fn set_ca_root(
        &mut self,
        builder: Resource<ConnectionBuilder>,
        certificate: String,
    ) -> Outcome<()> {
        if let Err(error) = tls::client_config(Some(&certificate)) {
            return Ok(Err(Error::Other(format!("{error:#}"))));
        }
        self.table.get_mut(&builder)?.authority = Some(certificate);
        Ok(Ok(()))
    }

    fn build(&mut self, _: Resource<ConnectionBuilder>) -> Outcome<Resource<Connection>> {
        Ok(Err(synchronous("build")))
    }

    fn drop(&mut self, builder: Resource<ConnectionBuilder>) -> wasmtime::Result<()> {
        self.table.delete(builder)?;
        Ok(())
    }
}

impl<T: Send> HostConnectionBuilderWithStore<T> for HasPostgres {
    async fn build_async(
        accessor: &Accessor<T, Self>,
        builder: Resource<ConnectionBuilder>,
    ) -> Outcome<Resource<Connection>> {
        let (address, authority) = accessor.with(|mut store| -> wasmtime::Result<_> {
            let builder = store.get().table.get(&builder)?;
            Ok((builder.address.clone(), builder.authority.clone()))
        })?;
        open(accessor, &address, authority.as_deref()).await
    }
}

impl HostConnection for PostgresView<'_> {
    fn open(&mut self, _: String) -> Outcome<Resource<Connection>> {
        Ok(Err(synchronous("open")))
    }

    fn query(
        &mut self,
        _: Resource<Connection>,
        _: String,
        _: Vec<ParameterValue>,
    ) -> Outcome<RowSet> {
        Ok(Err(synchronous("query")))
    }

    fn execute(
        &mut self,
        _: Resource<Connection>,
        _: String,
        _: Vec<ParameterValue>,
    ) -> Outcome<u64> {
        Ok(Err(synchronous("execute")))
    }

    fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send> HostConnectionWithStore<T> for HasPostgres {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        address: String,
    ) -> Outcome<Resource<Connection>> {
        open(accessor, &address, None).await
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Outcome<u64> {
        let client = client(accessor, &connection)?;
        Ok(query::execute(&client, &statement, &parameters).await)
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Outcome<(
        Vec<Column>,
        StreamReader<Row>,
        FutureReader<Result<(), Error>>,
    )> {
        let client = client(accessor, &connection)?;
        let answer = match query::query(&client, &statement, &parameters).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        accessor.with(|mut store| {
            let rows = StreamReader::new(&mut store, RowProducer(answer.rows))?;
            let end = FutureReader::new(&mut store, answer.end)?;
            Ok(Ok((answer.columns, rows, end)))
        })
    }
}

/// Hands rows to the guest as it asks for them.
struct RowProducer(tokio::sync::mpsc::Receiver<Row>);

impl<T> StreamProducer<T> for RowProducer {
    type Item = Row;
    type Buffer = Option<Row>;

    fn poll_produce<'a>(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        store: wasmtime::StoreContextMut<'a, T>,
        mut destination: Destination<'a, Row, Self::Buffer>,
        finish: bool,
    ) -> std::task::Poll<wasmtime::Result<StreamResult>> {
        use std::task::Poll;
        // A read of nothing asks whether there is something; there may be.
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        match self.get_mut().0.poll_recv(cx) {
            Poll::Ready(Some(row)) => {
                destination.set_buffer(Some(row));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(None) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}
