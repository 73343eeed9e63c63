//! Statements and their answers.

use futures::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{RowStream, types::ToSql};

use super::{pool::Client, values};
use crate::bindings::postgres::{Column, DbError, Error, ParameterValue, QueryError, Row};

/// The most that Spin lets one row have.
const MAX_ROW_BYTES: usize = 128 * 1024 * 1024;

/// Rows, as they come in.
pub(super) struct Answer {
    /// Empty where there is no row: Spin reads them off the first.
    pub(super) columns: Vec<Column>,
    pub(super) rows: mpsc::Receiver<Row>,
    /// Whether the rows were all of them. Only this tells a query cut short from a complete one.
    pub(super) end: oneshot::Receiver<Result<(), Error>>,
}

pub(super) async fn execute(
    client: &Client,
    statement: &str,
    parameters: &[ParameterValue],
) -> Result<u64, Error> {
    let parameters = parameters
        .iter()
        .map(values::to_sql)
        .collect::<anyhow::Result<Vec<_>>>()
        .map_err(|error| Error::ValueConversionFailed(format!("{error:#}")))?;
    let borrowed: Vec<&(dyn ToSql + Sync)> = parameters
        .iter()
        .map(|parameter| parameter.as_ref() as &(dyn ToSql + Sync))
        .collect();
    client
        .execute(statement, &borrowed)
        .await
        .map_err(|error| query_failed(&error))
}

pub(super) async fn query(
    client: &Client,
    statement: &str,
    parameters: &[ParameterValue],
) -> Result<Answer, Error> {
    let parameters = parameters
        .iter()
        .map(values::to_sql)
        .collect::<anyhow::Result<Vec<_>>>()
        .map_err(|error| Error::BadParameter(format!("{error:#}")))?;
    let mut incoming = Box::pin(
        client
            .query_raw(statement, parameters)
            .await
            .map_err(|error| query_failed(&error))?,
    );
    let first = incoming.next().await;
    let columns = match &first {
        Some(Ok(row)) => values::columns(row),
        _ => Vec::new(),
    };
    let (row_sender, rows) = mpsc::channel(4);
    let (end_sender, end) = oneshot::channel();
    tokio::spawn(async move {
        let forwarded = forward(first, incoming.as_mut(), &row_sender).await;
        // The end of the stream shows before its verdict: the guest awaits it last.
        drop(row_sender);
        let _ = end_sender.send(forwarded);
    });
    Ok(Answer { columns, rows, end })
}

async fn forward(
    first: Option<Result<tokio_postgres::Row, tokio_postgres::Error>>,
    mut incoming: std::pin::Pin<&mut RowStream>,
    rows: &mpsc::Sender<Row>,
) -> Result<(), Error> {
    let mut next = first;
    while let Some(row) = next {
        let row = row.map_err(|error| query_failed(&error))?;
        let row = values::row(&row)
            .map_err(|error| Error::QueryFailed(QueryError::Text(format!("{error:#}"))))?;
        if row.iter().map(values::size_bytes).sum::<usize>() > MAX_ROW_BYTES {
            return Err(Error::QueryFailed(QueryError::Text(format!(
                "query result exceeds limit of {MAX_ROW_BYTES} bytes"
            ))));
        }
        if rows.send(row).await.is_err() {
            // The guest wants no more of them.
            return Ok(());
        }
        next = tokio::select! {
            biased;
            () = rows.closed() => return Ok(()),
            row = incoming.next() => row,
        };
    }
    Ok(())
}

fn query_failed(error: &tokio_postgres::Error) -> Error {
    let as_text = format!("{error:?}");
    Error::QueryFailed(match error.as_db_error() {
        None => QueryError::Text(as_text),
        Some(known) => QueryError::DbError(DbError {
            as_text,
            severity: known.severity().to_owned(),
            code: known.code().code().to_owned(),
            message: known.message().to_owned(),
            detail: known.detail().map(str::to_owned),
            extras: extras(known),
        }),
    })
}

fn extras(error: &tokio_postgres::error::DbError) -> Vec<(String, String)> {
    [
        ("column", error.column().map(str::to_owned)),
        ("constraint", error.constraint().map(str::to_owned)),
        ("routine", error.routine().map(str::to_owned)),
        ("hint", error.hint().map(str::to_owned)),
        ("table", error.table().map(str::to_owned)),
        ("datatype", error.datatype().map(str::to_owned)),
        ("schema", error.schema().map(str::to_owned)),
        ("file", error.file().map(str::to_owned)),
        ("line", error.line().map(|line| line.to_string())),
        ("where_", error.where_().map(str::to_owned)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}
