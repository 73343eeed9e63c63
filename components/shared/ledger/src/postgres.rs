//! The trait behind which statements run, and the faults that its errors become.

use fault::{Fault, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connection;

/// Runs statements with one `jsonb` parameter, whose rows have one column: `jsonb`, or its text. Spin parses
/// and re-serializes `jsonb` (seen on 4.1), but passes text on unchanged.
pub trait Postgres {
    /// Runs `statement` with the JSON document `argument` as `$1` and returns the rows, as JSON documents. A
    /// truncated result is an error, never a short list.
    fn run(
        &self,
        statement: &'static str,
        argument: Vec<u8>,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, PostgresError>>;
}

impl<T: Postgres> Postgres for &T {
    fn run(
        &self,
        statement: &'static str,
        argument: Vec<u8>,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, PostgresError>> {
        (**self).run(statement, argument)
    }
}

/// An error of Postgres or of the connection to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostgresError {
    /// No connection; in the driver's words.
    Unreachable(String),
    /// A statement failed: its SQLSTATE and message.
    Refused {
        /// SQLSTATE, five characters.
        code: String,
        /// The message.
        message: String,
    },
    /// The statement was not run: the session was still read-only from a setting that no longer holds, and
    /// was closed. The next statement gets another session.
    Outlived,
    /// A setting is missing or invalid.
    Unset(Fault),
    /// Anything else.
    Other(String),
}

impl PostgresError {
    /// An error of which only the driver's words are known. A broken connection is recognised by its kind:
    /// `Error { kind: Closed, cause: None }` (seen on Spin 4.1).
    pub fn of_words(words: String) -> Self {
        let broken = ["kind: Closed", "kind: Io", "kind: Timeout"];
        if broken.iter().any(|kind| words.contains(kind)) {
            Self::Unreachable(words)
        } else {
            Self::Other(words)
        }
    }
}

impl From<PostgresError> for Fault {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Unreachable(words) => connection::fault(&words),
            PostgresError::Refused { code, message } => match code.as_str() {
                // undefined table, column, function, schema
                "42P01" | "42703" | "42883" | "3F000" => Fault::told(
                    Kind::LedgerMissing,
                    format!("run the files of sql/ on this database: {message}"),
                ),
                "42501" => Fault::told(
                    Kind::LedgerLogin,
                    format!("db_user lacks a right (run the files of sql/ again): {message}"),
                ),
                "25006" => Fault::told(
                    Kind::LedgerReadOnly,
                    format!(
                        "Postgres takes no writes, since it was set to read-only, as Supabase does when a disk is nearly full; work goes on by itself when that is over ({message})"
                    ),
                ),
                "53100" => Fault::told(
                    Kind::LedgerReadOnly,
                    format!(
                        "Postgres takes no writes, since its disk is full; work goes on by itself when there is room ({message})"
                    ),
                ),
                // A pooler's errors (XX000) and those of a connection: recognise them by their text first.
                _ if ["XX000", "08", "28", "3D", "53", "57P"]
                    .iter()
                    .any(|class| code.starts_with(class)) =>
                {
                    let gone = code.starts_with("08") || code.starts_with("57P");
                    connection::of_answer(&message).unwrap_or_else(|| {
                        if gone {
                            let own = "Postgres is not available";
                            Fault::quoting(Kind::LedgerUnreachable, own, &message)
                        } else {
                            refused(&code, &message)
                        }
                    })
                }
                _ => refused(&code, &message),
            },
            PostgresError::Outlived => Fault::new(
                Kind::LedgerReadOnly,
                "Postgres was read-only, and all sessions from then had to be ended",
            ),
            PostgresError::Unset(fault) => fault,
            PostgresError::Other(words) => Fault::quoting(
                Kind::LedgerFailed,
                "a statement failed on the way to Postgres or back",
                &words,
            ),
        }
    }
}

fn refused(code: &str, message: &str) -> Fault {
    Fault::told(
        Kind::LedgerFailed,
        format!("Postgres refused a statement ({code}): {message}"),
    )
}

/// Runs a statement and returns all rows.
pub async fn call<T: DeserializeOwned>(
    postgres: &impl Postgres,
    statement: &'static str,
    argument: &impl Serialize,
) -> Result<Vec<T>, Fault> {
    call_with(postgres, statement, document(argument)?).await
}

/// Serializes the argument of a statement.
pub(crate) fn document(argument: &impl Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(argument)
        .map(without_nul)
        .map_err(|e| Fault::told(Kind::Program, format!("a statement's argument: {e}")))
}

/// Runs a statement with a serialized argument and returns all rows.
pub(crate) async fn call_with<T: DeserializeOwned>(
    postgres: &impl Postgres,
    statement: &'static str,
    argument: Vec<u8>,
) -> Result<Vec<T>, Fault> {
    let rows = run(postgres, statement, argument).await?;
    rows.iter()
        .map(|row| {
            serde_json::from_slice(row).map_err(|e| {
                Fault::told(
                    Kind::LedgerMissing,
                    format!("run the files of sql/ on this database: unexpected row: {e}"),
                )
            })
        })
        .collect()
}

/// Removes U+0000 from a serialized document: `jsonb` rejects it, and one odd name would fail a whole page.
fn without_nul(document: Vec<u8>) -> Vec<u8> {
    const NUL: &[u8] = b"\\u0000";
    if memchr::memmem::find(&document, NUL).is_none() {
        return document;
    }
    let mut cleaned = Vec::with_capacity(document.len());
    let mut rest = document.as_slice();
    while let Some((&byte, more)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(NUL) {
            rest = after;
            continue;
        }
        // Take an escape as a pair: `\\u0000` is an escaped backslash and five letters.
        let taken = if byte == b'\\' && !more.is_empty() {
            2
        } else {
            1
        };
        let (kept, after) = rest.split_at(taken);
        cleaned.extend_from_slice(kept);
        rest = after;
    }
    cleaned
}

/// Runs a statement and retries two failures that changed nothing: a deadlock or serialization failure, as
/// when two runs lock the same rows in different order, and a session that is still read-only from an
/// outdated setting (a pool holds many of these).
async fn run(
    postgres: &impl Postgres,
    statement: &'static str,
    argument: Vec<u8>,
) -> Result<Vec<Vec<u8>>, PostgresError> {
    /// One more than the 64 of a pool of Spin's.
    const SESSIONS: usize = 65;
    const TRIES: usize = 3;
    let (mut outlived, mut refused) = (0, 0);
    loop {
        match postgres.run(statement, argument.clone()).await {
            Err(PostgresError::Outlived) if outlived < SESSIONS => outlived += 1,
            // serialization failure, deadlock
            Err(PostgresError::Refused { code, .. })
                if matches!(code.as_str(), "40001" | "40P01") && refused + 1 < TRIES =>
            {
                refused += 1;
            }
            other => return other,
        }
    }
}

/// Runs a statement that returns exactly one row.
pub async fn call_one<T: DeserializeOwned>(
    postgres: &impl Postgres,
    statement: &'static str,
    argument: &impl Serialize,
) -> Result<T, Fault> {
    call(postgres, statement, argument)
        .await?
        .pop()
        .ok_or(Fault::new(Kind::Program, "a statement returned no row"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fault::Blame;

    #[test]
    fn a_missing_table_says_to_run_the_sql_files() {
        let fault = Fault::from(PostgresError::Refused {
            code: "42P01".into(),
            message: "relation \"odoo_sync.runs\" does not exist".into(),
        });
        assert_eq!(fault.kind(), Kind::LedgerMissing);
        assert_eq!(fault.blame(), Blame::Configuration);
        assert!(fault.message().starts_with("run the files of sql/"));
    }

    #[test]
    fn a_connection_that_breaks_is_told_from_a_statement_that_fails() {
        for words in [
            "Error { kind: Closed, cause: None }",
            "Error { kind: Io, cause: Some(Os { code: 104, kind: ConnectionReset, message: \"Connection reset by peer\" }) }",
            "Error { kind: Io, cause: Some(Kind(UnexpectedEof)) }",
        ] {
            let fault = Fault::from(PostgresError::of_words(words.to_owned()));
            assert_eq!(fault.kind(), Kind::LedgerUnreachable, "{words}");
        }
        let words = "Error { kind: ToSql(0), cause: Some(WrongType) }".to_owned();
        let fault = Fault::from(PostgresError::of_words(words.clone()));
        assert_eq!(fault.kind(), Kind::LedgerFailed);
        let own = fault.own_words().unwrap_or_default();
        assert_eq!(fault.message(), format!("{own} ({words})"));
    }

    #[test]
    fn the_character_that_postgres_does_not_take_is_left_out_and_nothing_else() {
        for text in [
            "a\0b",
            "\0",
            "\\u0000",
            "\\\0",
            "\\\\u0000\0\\",
            "\"\0\"",
            "\u{1}",
        ] {
            let document = serde_json::to_vec(&serde_json::json!({ text: [text] })).unwrap();
            let read: serde_json::Value = serde_json::from_slice(&without_nul(document)).unwrap();
            let wanted = text.replace('\0', "");
            assert_eq!(
                read,
                serde_json::json!({ wanted.clone(): [wanted] }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_a_pooler_answers_to_a_statement_is_told_as_what_it_says_to_a_connection() {
        for (code, message, kind) in [
            (
                "XX000",
                "(EMAXCONN) max client connections reached, limit: 200",
                Kind::LedgerBusy,
            ),
            ("53300", "sorry, too many clients already", Kind::LedgerBusy),
            (
                "57P01",
                "terminating connection due to administrator command",
                Kind::LedgerUnreachable,
            ),
            (
                "57P03",
                "the database system is shutting down",
                Kind::LedgerUnreachable,
            ),
            ("08006", "something new", Kind::LedgerUnreachable),
            ("XX000", "something new", Kind::LedgerFailed),
            ("22012", "division by zero: tenant/user", Kind::LedgerFailed),
        ] {
            let fault = Fault::from(PostgresError::Refused {
                code: code.into(),
                message: message.into(),
            });
            assert_eq!(fault.kind(), kind, "{code} {message}");
            assert!(fault.message().contains(message), "{fault}");
        }
    }
}
