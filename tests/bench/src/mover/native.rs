//! The libraries of the component, natively: the same code, with a plain HTTP client, a plain driver
//! of Postgres and the machine's clock. This is the limit of what the component can reach.

use std::cell::Cell;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow};
use archive::{ARCHIVE, Request, Settings};
use bytes::{BufMut, BytesMut};
use futures::StreamExt;
use http_body_util::BodyDataStream;
use ledger::runs::RunId;
use ledger::{Postgres, PostgresError};
use odoo::Known;
use outbound::{Clock, Http, Response, Secret, TransportError};
use run::{Environment, Status, begin};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls};

use super::plain::{self, Plain};
use super::{Mover, Task, Usage, check_report, variable};

/// Everything that a batch needs.
pub(super) struct Native {
    http: NativeHttp,
    clock: NativeClock,
    postgres: NativePostgres,
    settings: Settings,
}

impl Native {
    pub(super) async fn start(task: &Task) -> Result<Self> {
        let text = |name: &str| variable(task, name);
        let settings = Settings {
            odoo: odoo::Settings {
                url: text("odoo_url")?,
                database: text("odoo_database")?,
                login: text("odoo_login")?,
                api_key: Secret::new(text("odoo_api_key")?),
                password: Secret::new(text("odoo_password")?),
                parallel_calls: number(task, "odoo_parallel_calls")?,
                ..odoo::Settings::default()
            },
            storage: storage::Settings {
                url: text("storage_url")?,
                path: text("storage_path")?,
                upload_url: None,
                key: Secret::new(text("storage_key")?),
                bucket: text("storage_bucket")?,
            },
            batch: Duration::from_secs(number(task, "archive_batch_seconds")?),
            lease_s: number(task, "archive_lease_seconds")?,
            parallel_uploads: number(task, "archive_parallel_uploads")?,
            ..Settings::default()
        };
        Ok(Self {
            http: NativeHttp(plain::client()),
            clock: NativeClock(Instant::now()),
            postgres: NativePostgres::connect(task).await?,
            settings,
        })
    }
}

fn number<T: FromStr>(task: &Task, name: &str) -> Result<T> {
    let text = variable(task, name)?;
    text.parse()
        .map_err(|_| anyhow!("{name} is no number: {text}"))
}

impl Mover for Native {
    async fn move_all(&mut self) -> Result<Usage> {
        let mut known = Known::default();
        loop {
            let environment = Environment {
                http: &self.http,
                clock: &self.clock,
                postgres: &self.postgres,
            };
            let request = Request::parse(b"{}").map_err(|error| anyhow!("{error}"))?;
            let settings = Ok(self.settings.clone());
            let report = match begin(&ARCHIVE, environment, settings, request, new_run_id()).await {
                Ok(run) => run.work(&mut known).await,
                Err(report) => report,
            };
            let status = if report.status == Status::Success {
                "success"
            } else {
                "a fault"
            };
            check_report(status, &report)?;
            if report.figures.remaining == Some(0) {
                break;
            }
        }
        Ok(Usage {
            instance_bytes: None,
            statements: Some(self.postgres.statements.get()),
        })
    }
}

/// An id as good as random, and never twice the same: what the fractional clock and the process say.
fn new_run_id() -> RunId {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let bits = (since.as_nanos() << 32) ^ u128::from(std::process::id());
    RunId(uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid())
}

struct NativeClock(Instant);

impl Clock for NativeClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn unix_seconds(&self) -> i64 {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(duration)
    }

    fn chance(&self) -> f64 {
        f64::from(self.0.elapsed().subsec_nanos() % 1000) / 1000.0
    }
}

struct NativeHttp(Plain);

impl Http for NativeHttp {
    async fn send(&self, request: outbound::Request) -> Result<Response, TransportError> {
        let timeouts = request.timeouts;
        let mut outgoing = http::Request::builder()
            .method(request.method)
            .uri(request.url)
            .body(())
            .map_err(|error| TransportError::Other(error.to_string()))?;
        *outgoing.headers_mut() = request.headers;
        let body = plain::whole(request.body.unwrap_or_default());
        let sending = self.0.request(outgoing.map(|()| body));
        let response = tokio::time::timeout(timeouts.first_byte, sending)
            .await
            .map_err(|_| TransportError::Timeout)?
            .map_err(|_| TransportError::Reset)?;
        let (head, body) = response.into_parts();
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body: BodyDataStream::new(body)
                .map(|chunk| chunk.map_err(|_| TransportError::Reset))
                .boxed_local(),
        })
    }
}

struct NativePostgres {
    client: Client,
    statements: Cell<u64>,
}

impl NativePostgres {
    async fn connect(task: &Task) -> Result<Self> {
        let mut config = tokio_postgres::Config::new();
        config
            .host(variable(task, "db_host")?)
            .port(number(task, "db_port")?)
            .dbname(variable(task, "db_name")?)
            .user(variable(task, "db_user")?)
            .password(variable(task, "db_password")?);
        let (client, connection) = config.connect(NoTls).await.context("Postgres")?;
        tokio::spawn(connection);
        Ok(Self {
            client,
            statements: Cell::new(0),
        })
    }
}

impl Postgres for NativePostgres {
    async fn run(
        &self,
        statement: &'static str,
        argument: Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, PostgresError> {
        self.statements.set(self.statements.get() + 1);
        let rows = self
            .client
            .query(statement, &[&Document(argument)])
            .await
            .map_err(|error| PostgresError::Other(format!("{error:?}")))?;
        rows.iter()
            .map(|row| row.try_get(0).map(|Document(bytes)| bytes))
            .collect::<Result<_, _>>()
            .map_err(|error| PostgresError::Other(error.to_string()))
    }
}

/// A document as its bytes, neither parsed nor checked on this side.
#[derive(Debug)]
struct Document(Vec<u8>);

/// What stands before the document in the binary form of `jsonb`: the version of that form.
const VERSION: u8 = 1;

impl ToSql for Document {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_u8(VERSION);
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::JSONB
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Document {
    fn from_sql(
        of: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        if *of == Type::TEXT {
            return Ok(Self(raw.to_owned()));
        }
        match raw.split_first() {
            Some((&VERSION, document)) => Ok(Self(document.to_owned())),
            _ => Err("another version of jsonb".into()),
        }
    }

    fn accepts(of: &Type) -> bool {
        matches!(*of, Type::JSONB | Type::TEXT)
    }
}
