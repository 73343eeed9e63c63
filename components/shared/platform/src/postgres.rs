//! Postgres by the host: one connection a request, statements one at a time on it.

use std::rc::Rc;

use fault::Fault;
use futures::lock::Mutex;
use ledger::{Postgres, PostgresError, Settings};
use outbound::Secret;
use spin_sdk::pg::{
    Certificate, Connection, DbValue, Error, OpenOptions, ParameterValue, PgError, QueryError,
};

use crate::SpinVariables;

/// A connection that is opened when it is first needed. A pooled connection costs one round trip
/// to open and statements are prepared anew at each call (seen on Spin 4.1), so statements are few
/// and large and the connection is kept for the whole request.
pub struct SpinPostgres {
    address: Secret,
    certificate_authority: Option<String>,
    connection: Mutex<Option<Rc<Connection>>>,
}

impl SpinPostgres {
    /// The database of this component's variables; nothing is opened yet.
    pub async fn configured() -> Result<Self, Fault> {
        let settings = Settings::read(&SpinVariables).await?;
        Ok(Self {
            address: settings.address(),
            certificate_authority: settings.certificate_authority,
            connection: Mutex::new(None),
        })
    }

    async fn connection(&self) -> Result<Rc<Connection>, PostgresError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_ref() {
            return Ok(Rc::clone(connection));
        }
        // Never the synchronous calls: they block the instance, and one of them skips the check of
        // allowed hosts (seen on Spin 4.1).
        let opened = match &self.certificate_authority {
            None => Connection::open(self.address.reveal()).await,
            Some(pem) => {
                let options = OpenOptions {
                    ca_root: Some(Certificate::Text(pem.clone())),
                };
                Connection::open_with_options(self.address.reveal(), options).await
            }
        };
        let connection = Rc::new(opened.map_err(|error| refusal(&error))?);
        *kept = Some(Rc::clone(&connection));
        Ok(connection)
    }

    /// Whether this session is read-only by a setting that is gone by now. If so, it is ended: `reset all`, which
    /// the pool sends before anybody else gets it, leaves what a session began with (seen on Spin 4.1).
    async fn outlived(&self, connection: &Connection) -> bool {
        const GONE: &str = "
            select to_jsonb(s.source in ('database', 'user', 'database user') and not coalesce((
                     select split_part(c.setting, '=', 2)::boolean
                       from pg_catalog.pg_db_role_setting d cross join unnest(d.setconfig) as c (setting)
                      where c.setting like 'default\\_transaction\\_read\\_only=%'
                        and d.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
                        and d.setrole in (0, (select oid from pg_catalog.pg_roles where rolname = session_user))
                      order by d.setrole <> 0 desc, d.setdatabase <> 0 desc limit 1), false))
              from pg_catalog.pg_settings s where s.name = 'default_transaction_read_only'";
        const END: &str = "select to_jsonb(pg_terminate_backend(pg_backend_pid()))";
        let gone = Self::rows(connection, GONE, Vec::new()).await;
        if gone.ok().and_then(|mut rows| rows.pop()).as_deref() != Some(b"true") {
            return false;
        }
        // What it answers is that it is ended.
        drop(Self::rows(connection, END, Vec::new()).await);
        *self.connection.lock().await = None;
        true
    }

    async fn rows(
        connection: &Connection,
        statement: &'static str,
        parameters: Vec<ParameterValue>,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut result = connection.query(statement, parameters).await?;
        let mut rows = Vec::new();
        let stream = result.rows();
        while let Some(row) = stream.next().await {
            match row.into_iter().next() {
                Some(DbValue::Jsonb(document)) => rows.push(document),
                Some(DbValue::Str(document)) => rows.push(document.into_bytes()),
                _ => return Err(Error::Decode("a row without a JSON document".to_owned())),
            }
        }
        // Without this a query that was cut short would read as complete (seen on Spin 4.1).
        result.result().await?;
        Ok(rows)
    }
}

impl Postgres for SpinPostgres {
    async fn run(
        &self,
        statement: &'static str,
        argument: Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, PostgresError> {
        let connection = self.connection().await?;
        let parameters = vec![ParameterValue::Jsonb(argument)];
        match Self::rows(&connection, statement, parameters).await {
            Ok(rows) => Ok(rows),
            Err(error) => {
                let error = refusal(&error);
                let read_only =
                    matches!(&error, PostgresError::Refused { code, .. } if code == "25006");
                if read_only && self.outlived(&connection).await {
                    return Err(PostgresError::Outlived);
                }
                if !matches!(error, PostgresError::Refused { .. }) {
                    // It may be broken: the next statement opens another.
                    *self.connection.lock().await = None;
                }
                Err(error)
            }
        }
    }
}

fn refusal(error: &Error) -> PostgresError {
    match error {
        Error::PgError(PgError::ConnectionFailed(words)) => {
            PostgresError::Unreachable(words.clone())
        }
        Error::PgError(PgError::QueryFailed(QueryError::DbError(error))) => {
            PostgresError::Refused {
                code: error.code.clone(),
                message: error.message.clone(),
            }
        }
        Error::PgError(PgError::QueryFailed(QueryError::Text(words))) => {
            PostgresError::of_words(words.clone())
        }
        other => PostgresError::Other(other.to_string()),
    }
}
