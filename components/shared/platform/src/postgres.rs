//! Postgres with Spin: one connection per request, which runs one statement at a time.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use fault::{Fault, Kind};
use futures::future::{Either, select};
use futures::lock::Mutex;
use ledger::login::{self, Attempt, Refused};
use ledger::{Postgres, PostgresError, Settings, connection};
use outbound::{Clock, Secret};
use spin_sdk::key_value::Store;
use spin_sdk::pg::{
    Certificate, Connection, DbValue, Error, OpenOptions, ParameterValue, PgError, QueryError,
};

use crate::{SpinClock, SpinVariables};

/// The server aborts a statement after 30 s (`statement_timeout` of the role), so a later answer never comes.
/// Keepalives do not detect that, because a proxy in between answers them.
const LONGEST_STATEMENT: Duration = Duration::from_secs(31);

/// Timeouts of the first and the second attempt to connect: the pool tests a connection before it hands it
/// out, and waits for a dead one.
const LONGEST_LOGIN: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(15)];

/// After this time a pooler knows a new password.
const A_MOMENT: Duration = Duration::from_secs(2);

thread_local! {
    /// Whether this instance has logged in before: then it does not look at shared refusals.
    static LET_IN: Cell<bool> = const { Cell::new(false) };
    /// Whether a request of this instance is logging in.
    static LOGS_IN: Cell<bool> = const { Cell::new(false) };
}

/// Ensures that one request of an instance logs in at a time; the others poll for its result, for 4 s at
/// most.
struct LoginLock;

impl LoginLock {
    async fn acquire() -> Self {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        const LOOKS: u32 = 200;
        for _ in 0..LOOKS {
            if !LOGS_IN.get() {
                break;
            }
            SpinClock.sleep(LOOK_EVERY).await;
        }
        LOGS_IN.set(true);
        Self
    }
}

impl Drop for LoginLock {
    fn drop(&mut self) {
        LOGS_IN.set(false);
    }
}

/// State that the instances of all components share, in the app's key-value store. Without a store each
/// instance is on its own.
struct Shared(Option<Store>);

impl Shared {
    const KEY: &str = "refused-login";

    async fn open() -> Self {
        Self(Store::open_default().await.ok())
    }

    async fn kept(&self) -> Option<Refused> {
        let document = self.0.as_ref()?.get(Self::KEY).await.ok()??;
        serde_json::from_slice(&document).ok()
    }

    async fn keep(&self, refused: &Refused) {
        if let (Some(store), Ok(document)) = (&self.0, serde_json::to_vec(refused)) {
            drop(store.set(Self::KEY, document).await);
        }
    }

    async fn forget(&self) {
        if let Some(store) = &self.0 {
            drop(store.delete(Self::KEY).await);
        }
    }
}

/// The server's message, if a login was refused and would be refused again.
fn is_refused(error: &PostgresError) -> Option<&str> {
    match error {
        PostgresError::Unreachable(said) if connection::fault(said).kind() == Kind::LedgerLogin => {
            Some(said)
        }
        _ => None,
    }
}

/// A connection that is opened when it is first needed and kept for the whole request. Opening a pooled
/// connection costs one round trip, and statements are prepared anew at each call (seen on Spin 4.1), so
/// statements are few and large.
pub struct SpinPostgres {
    address: Secret,
    /// Hash of the address, which does not reveal it.
    fingerprint: u32,
    password: Secret,
    certificate_authority: Option<String>,
    connection: Mutex<Option<Rc<Connection>>>,
}

impl SpinPostgres {
    /// The database that this component's variables configure; opens nothing yet.
    pub async fn configured() -> Result<Self, Fault> {
        let settings = Settings::read(&SpinVariables).await?;
        let address = settings.address();
        let mut hasher = DefaultHasher::new();
        address.reveal().hash(&mut hasher);
        Ok(Self {
            fingerprint: u32::try_from(hasher.finish() >> 32).unwrap_or_default(),
            address,
            password: settings.password,
            certificate_authority: settings.certificate_authority,
            connection: Mutex::new(None),
        })
    }

    async fn connection(&self) -> Result<Rc<Connection>, PostgresError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_ref() {
            return Ok(Rc::clone(connection));
        }
        let connection = Rc::new(self.log_in().await?);
        *kept = Some(Rc::clone(&connection));
        Ok(connection)
    }

    /// Opens a connection. Refused logins are retried with a backoff that all instances share. A first
    /// refusal of the password is retried once after a moment, because the pooler may still know an old one.
    async fn log_in(&self) -> Result<Connection, PostgresError> {
        if LET_IN.get() {
            match self.open().await {
                Err(refused) if is_refused(&refused).is_some() => LET_IN.set(false),
                other => return other,
            }
        }
        let _lock = LoginLock::acquire().await;
        if LET_IN.get() {
            return self.open().await;
        }
        let shared = Shared::open().await;
        let kept = shared.kept().await;
        let now = SpinClock.unix_seconds();
        let mut is_kept = kept.is_some();
        let attempt = login::attempt(kept.as_ref(), self.fingerprint, now);
        let is_first = attempt == Attempt::First;
        let mut opened = match attempt {
            Attempt::Later(said) => return Err(PostgresError::Unreachable(said)),
            Attempt::First => self.open().await,
            Attempt::Again => {
                let said = kept.as_ref().map_or("", Refused::said);
                shared.keep(&Refused::at(now, self.fingerprint, said)).await;
                self.open().await
            }
        };
        if let Err(error) = &opened
            && let Some(said) = is_refused(error)
        {
            shared.keep(&Refused::at(now, self.fingerprint, said)).await;
            is_kept = true;
            if is_first && connection::is_wrong_password(&connection::fault(said)) {
                SpinClock.sleep(A_MOMENT).await;
                opened = self.open().await;
            }
        }
        if opened.is_ok() {
            LET_IN.set(true);
            if is_kept {
                shared.forget().await;
            }
        }
        opened
    }

    /// Opens a connection, and another one if that takes too long: giving up on a dead pooled connection
    /// removes it from the pool.
    async fn open(&self) -> Result<Connection, PostgresError> {
        for time in LONGEST_LOGIN {
            if let Some(opened) = in_time(time, self.open_any()).await {
                return opened;
            }
        }
        let words = "timed out: no connection, tried twice";
        Err(PostgresError::Unreachable(words.to_owned()))
    }

    async fn open_any(&self) -> Result<Connection, PostgresError> {
        // Do not use the synchronous calls: they block the instance, and one of them skips the check of
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
        opened.map_err(|error| self.no_connection(&error))
    }

    /// The error of a failed connection, with the password removed from its message.
    fn no_connection(&self, error: &Error) -> PostgresError {
        let words = match error {
            Error::PgError(PgError::ConnectionFailed(words) | PgError::Other(words)) => {
                words.clone()
            }
            other => other.to_string(),
        };
        let password = self.password.reveal();
        PostgresError::Unreachable(match password {
            "" => words,
            password => words.replace(password, "…"),
        })
    }

    /// Whether this session is read-only because of a setting that no longer holds. If so, it is terminated:
    /// `reset all`, which the pool sends before it hands on a session, restores the settings of the session's
    /// start (seen on Spin 4.1).
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
        // The answer is the error that the session was terminated.
        drop(Self::rows(connection, END, Vec::new()).await);
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
        // Without this, a truncated result would read as complete (seen on Spin 4.1).
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
        let mut unproven = Unproven {
            connection: self.connection().await?,
            kept: &self.connection,
            works: false,
        };
        let parameters = vec![ParameterValue::Jsonb(argument)];
        let rows = Self::rows(&unproven.connection, statement, parameters);
        match in_time(LONGEST_STATEMENT, rows).await {
            None => {
                let within_s = LONGEST_STATEMENT.as_secs();
                Err(PostgresError::Unreachable(format!(
                    "a statement timed out: no answer within {within_s} s"
                )))
            }
            Some(Ok(rows)) => {
                unproven.works = true;
                Ok(rows)
            }
            Some(Err(error)) => {
                let error = refusal(&error);
                let read_only =
                    matches!(&error, PostgresError::Refused { code, .. } if code == "25006");
                if read_only && self.outlived(&unproven.connection).await {
                    return Err(PostgresError::Outlived);
                }
                unproven.works = matches!(error, PostgresError::Refused { .. });
                Err(error)
            }
        }
    }
}

/// A connection that has yet to answer a statement. If it does not, or if its request is dropped, it may be
/// dead: the next statement opens another.
struct Unproven<'a> {
    connection: Rc<Connection>,
    kept: &'a Mutex<Option<Rc<Connection>>>,
    works: bool,
}

impl Drop for Unproven<'_> {
    fn drop(&mut self) {
        // Whoever holds the lock is opening another one already.
        if !self.works
            && let Some(mut kept) = self.kept.try_lock()
        {
            kept.take_if(|kept| Rc::ptr_eq(kept, &self.connection));
        }
    }
}

/// The future's result, or `None` after the timeout.
async fn in_time<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(SpinClock.sleep(time))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
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
