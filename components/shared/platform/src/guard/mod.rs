//! What every call passes before any work is done: method and caller (`auth`), origin (`cors`), length of the
//! body (`body`). A call that does not pass is a [`Refusal`].

mod auth;
mod body;
mod cors;
mod refusal;

use std::cell::Cell;

use fault::{Fault, Kind};
use http::{HeaderMap, HeaderName, Method};
use outbound::Variables;
use spin_sdk::http::Request;
use spin_sdk::wasip3::http_compat::IncomingRequestBody;

use crate::{Answer, SpinPostgres, SpinVariables};

pub use body::MAX_BODY_BYTES;
pub use refusal::Refusal;

thread_local! {
    /// Whether the tables were found to be new enough, once in the life of an instance.
    static CURRENT: Cell<bool> = const { Cell::new(false) };
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
    pub(crate) const fn methods(self) -> &'static str {
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
}

/// A call that has to pass.
pub struct Guard {
    job: &'static str,
    method: Method,
    headers: HeaderMap,
    body: Option<IncomingRequestBody>,
    allowed_origins: Vec<String>,
}

impl Guard {
    /// Receives a call; refusals are on record under the name of the job.
    pub async fn receive(job: &'static str, request: Request) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        Ok(Self {
            job,
            method: parts.method,
            headers: parts.headers,
            body: Some(body),
            allowed_origins: SpinVariables.list("allowed_origins").await?,
        })
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

    /// Answers what a browser asks first, and methods that a path is not for.
    pub fn check_method(&self, r#use: Use) -> Result<(), Refusal> {
        if self.method == Method::OPTIONS {
            Err(Refusal::Preflight(r#use))
        } else if r#use.allows(&self.method) {
            Ok(())
        } else {
            Err(Refusal::Method(r#use))
        }
    }

    /// The database to work with: its settings are there, and its tables are new enough.
    pub async fn ready(
        &self,
        postgres: Result<SpinPostgres, Fault>,
    ) -> Result<SpinPostgres, Refusal> {
        let postgres = postgres?;
        if !CURRENT.get() {
            // Of any other trouble with Postgres the work itself tells, in its report.
            match ledger::schema::check(&postgres).await {
                Ok(()) => CURRENT.set(true),
                Err(fault) if fault.kind() == Kind::LedgerMissing => return Err(fault.into()),
                Err(_) => {}
            }
        }
        Ok(postgres)
    }

    /// What the caller gets, so that a page of a configured origin may read it.
    pub fn finish(&self, answered: Result<Answer, Refusal>) -> Answer {
        self.open_to_browsers(answered.unwrap_or_else(|refusal| refusal.answer()))
    }
}
