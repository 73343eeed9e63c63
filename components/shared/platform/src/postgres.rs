//! Postgres by the host: one connection a request, statements one at a time on it.

use std::rc::Rc;

use futures::lock::Mutex;
use ledger::{Postgres, PostgresError};
use outbound::Secret;
use spin_sdk::pg::{
    Certificate, Connection, DbValue, Error, OpenOptions, ParameterValue, PgError, QueryError,
};

use crate::settings::DatabaseSettings;

/// A connection that is opened when it is first needed. A pooled connection costs one round trip
/// to open and statements are prepared anew at each call (seen on Spin 4.1), so statements are few
/// and large and the connection is kept for the whole request.
pub struct SpinPostgres {
    address: Secret,
    certificate_authority: Option<String>,
    connection: Mutex<Option<Rc<Connection>>>,
}

impl SpinPostgres {
    /// The database of these settings; nothing is opened yet.
    pub fn new(settings: &DatabaseSettings) -> Self {
        Self {
            address: settings.address(),
            certificate_authority: settings.certificate_authority.clone(),
            connection: Mutex::new(None),
        }
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

    async fn rows(
        connection: &Connection,
        statement: &'static str,
        argument: Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut result = connection
            .query(statement, vec![ParameterValue::Jsonb(argument)])
            .await?;
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
        match Self::rows(&connection, statement, argument).await {
            Ok(rows) => Ok(rows),
            Err(error) => {
                let error = refusal(&error);
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
