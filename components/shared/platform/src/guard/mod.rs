//! The middleware of every call, before any work: method and caller (`auth`), origin (`cors`), length of the
//! body (`body`). A rejected call is a [`Refusal`].

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
    /// Whether this instance has found the tables to be recent enough.
    static CURRENT: Cell<bool> = const { Cell::new(false) };
}

/// The use of a path, which decides its methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Reading: GET and HEAD.
    Look,
    /// Starting work: POST.
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

/// A call on its way through the middleware.
pub struct Guard {
    job: &'static str,
    method: Method,
    headers: HeaderMap,
    body: Option<IncomingRequestBody>,
    allowed_origins: Vec<String>,
}

impl Guard {
    /// Receives a call; refusals are logged under the name of the job.
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

    /// The value of a header, as text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the caller prefers not to wait for the work (RFC 7240).
    pub fn prefers_async(&self) -> bool {
        let prefer = HeaderName::from_static("prefer");
        self.headers
            .get_all(prefer)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
    }

    /// Refuses methods that the path does not allow; a preflight is a refusal too.
    pub fn check_method(&self, r#use: Use) -> Result<(), Refusal> {
        if self.method == Method::OPTIONS {
            Err(Refusal::Preflight(r#use))
        } else if r#use.allows(&self.method) {
            Ok(())
        } else {
            Err(Refusal::Method(r#use))
        }
    }

    /// Returns the database, if it is configured and its tables are recent enough.
    pub async fn ready(
        &self,
        postgres: Result<SpinPostgres, Fault>,
    ) -> Result<SpinPostgres, Refusal> {
        let postgres = postgres?;
        if !CURRENT.get() {
            // Any other problem with Postgres is reported by the work itself.
            match ledger::schema::check(&postgres).await {
                Ok(()) => CURRENT.set(true),
                Err(fault) if fault.kind() == Kind::LedgerMissing => return Err(fault.into()),
                Err(_) => {}
            }
        }
        Ok(postgres)
    }

    /// Turns the result into the response, with CORS headers for configured origins.
    pub fn finish(&self, answered: Result<Answer, Refusal>) -> Answer {
        self.open_to_browsers(answered.unwrap_or_else(|refusal| refusal.answer()))
    }
}
