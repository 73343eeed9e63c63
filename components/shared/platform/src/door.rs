//! The door of a component: what every call passes before any work is done.

use std::cell::Cell;
use std::rc::Rc;

use access::{Cache, Caller, Refusal, identify, refusal_words};
use bytes::{Bytes, BytesMut};
use fault::{Fault, Kind};
use futures::StreamExt;
use futures::future::{Either, select};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, AUTHORIZATION, CONTENT_LENGTH,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyDataStream;
use ledger::{Postgres, PostgresError};
use outbound::Clock;
use serde::Serialize;
use spin_sdk::http::Request;

use crate::settings::DatabaseSettings;
use crate::{Answer, SpinClock, SpinHttp, SpinPostgres, Variables, access_policy, answer};

const APIKEY: HeaderName = HeaderName::from_static("apikey");

/// Larger bodies are refused.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Of a body that is too long so much is read and dropped before it is refused: an answer given while the
/// other side still writes is now and then lost with the connection (seen on Spin 4.1 with 300 KB).
const DROPPED_BYTES: u64 = 1024 * 1024;

/// A body that takes longer is refused.
const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(10);

/// What supabase-js sends along (seen of its functions client), and what the card does.
const ALLOWED_HEADERS: &str =
    "authorization, apikey, x-client-info, content-type, prefer, if-none-match";

/// What a page of another origin may read beside the usual.
const EXPOSED_HEADERS: &str = "etag, x-server-time";

/// The variables that the door itself needs.
const VARIABLES: [&str; 17] = [
    "db_host",
    "db_port",
    "db_name",
    "db_user",
    "db_password",
    "db_sslmode",
    "db_ca",
    "service_keys",
    "jwt_secret",
    "jwks_path",
    "jwt_audience",
    "jwt_issuer",
    "jwt_clients",
    "jwt_require_aal2",
    "allowed_origins",
    "storage_url",
    "allow_http",
];

/// Postgres, or the setting that keeps it from being asked: keys given by variable work without it.
struct Asked<'a>(&'a Result<SpinPostgres, Fault>);

impl Postgres for Asked<'_> {
    async fn run(
        &self,
        statement: &'static str,
        argument: Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, PostgresError> {
        match self.0 {
            Ok(postgres) => postgres.run(statement, argument).await,
            Err(fault) => Err(PostgresError::Other(fault.message().to_owned())),
        }
    }
}

thread_local! {
    /// Whether what the configuration keeps closed was told already, once in the life of an instance.
    static GAPS: Cell<bool> = const { Cell::new(false) };
    /// Whether the tables were found to be new enough, once in the life of an instance.
    static CURRENT: Cell<bool> = const { Cell::new(false) };
    // Shared by the up to 16 requests that an instance serves at once, and by those after them.
    static CACHE: Rc<Cache> = Rc::default();
}

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// To look: GET and HEAD.
    Look,
    /// To start work: POST.
    Work,
}

impl Use {
    const fn methods(self) -> &'static str {
        match self {
            Self::Look => "GET, HEAD, OPTIONS",
            Self::Work => "POST, OPTIONS",
        }
    }

    fn allows(self, method: &Method) -> bool {
        match self {
            Self::Look => matches!(*method, Method::GET | Method::HEAD),
            Self::Work => *method == Method::POST,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Look => "Use GET",
            Self::Work => "Use POST",
        }
    }
}

/// The answer to a caller who is known, and may not do this.
fn forbidden(caller: Caller) -> Answer {
    let words = match caller {
        Caller::User { .. } => "Forbidden: only an admin may do this",
        Caller::Service(_) => {
            "Forbidden: this key is for other things; select odoo_sync.new_key('me', 'admin') makes one for everything"
        }
    };
    answer::error(StatusCode::FORBIDDEN, words)
}

/// A call that stands at the door.
pub struct Door {
    job: &'static str,
    method: Method,
    headers: HeaderMap,
    body: Option<spin_sdk::wasip3::http_compat::IncomingRequestBody>,
    variables: Variables,
}

impl Door {
    /// Receives a call. `more` names the variables that the component needs beside the door's own.
    /// An answer instead is the end of the call.
    pub async fn receive(
        job: &'static str,
        request: Request,
        more: &[&'static str],
    ) -> Result<Self, Answer> {
        let names = VARIABLES.into_iter().chain(more.iter().copied());
        let variables = Variables::read(names)
            .await
            .map_err(|fault| answer::fault(&fault))?;
        let (parts, body) = request.into_parts();
        Ok(Self {
            job,
            method: parts.method,
            headers: parts.headers,
            body: Some(body),
            variables,
        })
    }

    /// The variables.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// A header as text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the caller would rather not wait for the work (RFC 7240).
    pub fn prefers_async(&self) -> bool {
        let prefer = HeaderName::from_static("prefer");
        self.headers
            .get_all(prefer)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
    }

    /// The database of these settings.
    pub fn postgres(&self) -> Result<SpinPostgres, Fault> {
        DatabaseSettings::from(&self.variables).map(|settings| SpinPostgres::new(&settings))
    }

    /// The database to work with: its settings are there, and its tables are new enough.
    pub async fn ready(
        &self,
        postgres: Result<SpinPostgres, Fault>,
    ) -> Result<SpinPostgres, Answer> {
        let postgres = postgres.map_err(|fault| self.fault(&fault))?;
        if !CURRENT.get() {
            // Of any other trouble with Postgres the work itself tells, in its report.
            match ledger::schema::check(&postgres).await {
                Ok(()) => CURRENT.set(true),
                Err(fault) if fault.kind() == Kind::LedgerMissing => return Err(self.fault(&fault)),
                Err(_) => {}
            }
        }
        Ok(postgres)
    }

    /// Lets in who may start work: a service key, or the token of an admin. What a browser asks
    /// first, wrong methods and refusals are answered here; a refusal is on record, at most once a
    /// minute. Nothing of the body is read before.
    pub async fn admit(&self, postgres: &Result<SpinPostgres, Fault>) -> Result<Caller, Answer> {
        self.admit_to(Use::Work, postgres).await
    }

    /// Lets in who may use a path so; as [`Door::admit`], which is for work.
    pub async fn admit_to(
        &self,
        r#use: Use,
        postgres: &Result<SpinPostgres, Fault>,
    ) -> Result<Caller, Answer> {
        self.admit_whom(r#use, Caller::is_trusted, postgres).await
    }

    /// Lets in who may start work as it is scheduled: [`Door::only_as_scheduled`] holds the key of the
    /// jobs to that, once the body is known.
    pub async fn admit_jobs(
        &self,
        postgres: &Result<SpinPostgres, Fault>,
    ) -> Result<Caller, Answer> {
        self.admit_whom(Use::Work, Caller::may_run_jobs, postgres)
            .await
    }

    /// Refuses the key of the jobs for anything but what `odoo_sync.jobs` says: it lies in clear text
    /// in the queue of `pg_net`.
    pub async fn only_as_scheduled(
        &self,
        caller: Caller,
        body: &[u8],
        postgres: &SpinPostgres,
    ) -> Result<(), Answer> {
        if caller.is_trusted() {
            return Ok(());
        }
        let body = if body.trim_ascii().is_empty() {
            b"{}"
        } else {
            body
        };
        let body = serde_json::from_slice(body).unwrap_or_default();
        match ledger::keys::is_scheduled(postgres, self.job, &body).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(forbidden(caller)),
            Err(fault) => Err(answer::fault(&fault)),
        }
    }

    async fn admit_whom(
        &self,
        r#use: Use,
        may: fn(Caller) -> bool,
        postgres: &Result<SpinPostgres, Fault>,
    ) -> Result<Caller, Answer> {
        self.check_method(r#use)?;
        match self.identify(postgres).await {
            Ok(caller) if may(caller) => Ok(caller),
            Ok(caller) => Err(forbidden(caller)),
            Err(refusal) => Err(self.refuse(&refusal, postgres).await),
        }
    }

    /// Lets in who may look: as [`Door::admit`], or, where it is `open`, anyone. `None` is a caller
    /// who is not known, and sees what anyone may see.
    pub async fn admit_to_look(
        &self,
        open: bool,
        postgres: &Result<SpinPostgres, Fault>,
    ) -> Result<Option<Caller>, Answer> {
        if !open {
            let caller = self.admit_whom(Use::Look, Caller::may_look, postgres).await;
            return caller.map(Some);
        }
        self.check_method(Use::Look)?;
        // A token that has run out must not close what is open.
        let caller = self.identify(postgres).await.ok();
        Ok(caller.filter(|caller| caller.may_look()))
    }

    /// Answers what a browser asks first, and methods that a path is not for.
    pub fn check_method(&self, r#use: Use) -> Result<(), Answer> {
        if self.method == Method::OPTIONS {
            return Err(self.preflight(r#use));
        }
        if r#use.allows(&self.method) {
            return Ok(());
        }
        let mut refusal = answer::error(StatusCode::METHOD_NOT_ALLOWED, r#use.words());
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(r#use.methods()));
        Err(refusal)
    }

    /// Who calls.
    async fn identify(&self, postgres: &Result<SpinPostgres, Fault>) -> Result<Caller, Refusal> {
        let policy = access_policy(&self.variables);
        let cache = CACHE.with(Rc::clone);
        GAPS.with(|told| {
            if !told.replace(true) {
                for gap in policy.gaps() {
                    println!("{gap}");
                }
            }
        });
        let (authorization, apikey) = self.tokens();
        let asked = Asked(postgres);
        identify(
            authorization,
            apikey,
            &policy,
            &cache,
            &asked,
            &SpinHttp,
            &SpinClock,
        )
        .await
    }

    fn tokens(&self) -> (Option<&str>, Option<&str>) {
        (self.header(&AUTHORIZATION), self.header(&APIKEY))
    }

    /// The answer to a call that is not let in. It says nothing that could help to guess, and nothing
    /// of what Postgres said: that is in the component's log.
    async fn refuse(&self, refusal: &Refusal, postgres: &Result<SpinPostgres, Fault>) -> Answer {
        match refusal {
            Refusal::Unauthorized | Refusal::Unfit(_) => {
                let cache = CACHE.with(Rc::clone);
                let (authorization, apikey) = self.tokens();
                if let Ok(postgres) = postgres
                    && cache.should_record_refusal(&SpinClock)
                {
                    let words = refusal_words(refusal, authorization, apikey);
                    if let Err(fault) = ledger::keys::log_refusal(postgres, self.job, words).await {
                        println!("a refused call could not be logged: {fault}");
                    }
                }
                answer::error(StatusCode::UNAUTHORIZED, "Unauthorized")
            }
            Refusal::Unavailable(fault) => {
                println!("who calls could not be checked: {fault}");
                answer::error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Who calls cannot be checked just now: the database, or its settings, is out of order. The component's log says what is wrong",
                )
            }
        }
    }

    /// The body, if it is small enough and comes in time.
    pub async fn body(&mut self) -> Result<Bytes, Answer> {
        let Some(body) = self.body.take() else {
            return Ok(Bytes::new());
        };
        let too_long = || {
            answer::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is longer than 64 KiB",
            )
        };
        // One that says that it goes on for long need not be waited for.
        let length = self
            .header(&CONTENT_LENGTH)
            .and_then(|n| n.parse::<u64>().ok());
        if length.is_some_and(|length| length > DROPPED_BYTES) {
            return Err(too_long());
        }
        let mut chunks = BodyDataStream::new(body);
        let read = async {
            let mut whole = BytesMut::new();
            let mut dropped = 0;
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk
                    .map_err(|_| answer::error(StatusCode::BAD_REQUEST, "The body broke off"))?;
                if dropped == 0 && whole.len() + chunk.len() <= MAX_BODY_BYTES {
                    whole.extend_from_slice(&chunk);
                    continue;
                }
                dropped += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                if dropped > DROPPED_BYTES {
                    break;
                }
            }
            if dropped == 0 {
                Ok(whole.freeze())
            } else {
                Err(too_long())
            }
        };
        match select(Box::pin(read), Box::pin(SpinClock.sleep(BODY_TIME))).await {
            Either::Left((body, _)) => body,
            Either::Right(_) => Err(answer::error(
                StatusCode::REQUEST_TIMEOUT,
                "The body did not come within 10 s",
            )),
        }
    }

    /// A JSON answer.
    pub fn answer(&self, status: StatusCode, document: &impl Serialize) -> Answer {
        self.open_to_browsers(answer::json(status, document))
    }

    /// A fault in words.
    pub fn fault(&self, fault: &Fault) -> Answer {
        self.open_to_browsers(answer::fault(fault))
    }

    /// Work that goes on after the answer (RFC 7240).
    pub fn accepted(&self, document: &impl Serialize) -> Answer {
        let mut accepted = self.answer(StatusCode::ACCEPTED, document);
        accepted.headers_mut().insert(
            HeaderName::from_static("preference-applied"),
            HeaderValue::from_static("respond-async"),
        );
        accepted
    }

    /// Any answer, so that a page of a configured origin may read it.
    pub fn open_to_browsers(&self, mut answer: Answer) -> Answer {
        let headers = answer.headers_mut();
        headers.insert(
            VARY,
            HeaderValue::from_static("Origin, Authorization, apikey"),
        );
        if let Some(origin) = self.allowed_origin() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(EXPOSED_HEADERS),
            );
        }
        answer
    }

    fn allowed_origin(&self) -> Option<HeaderValue> {
        let origin = self.header(&ORIGIN)?;
        let allowed = self.variables.list("allowed_origins");
        (allowed.iter().any(|allowed| allowed == origin))
            .then(|| HeaderValue::from_str(origin).ok())
            .flatten()
    }

    fn preflight(&self, r#use: Use) -> Answer {
        let mut answer = self.open_to_browsers(Answer::default());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        headers.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(r#use.methods()),
        );
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(ALLOWED_HEADERS),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        answer
    }
}
