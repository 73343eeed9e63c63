//! Why a call is refused, and the response to it.

use access::Caller;
use fault::Fault;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    WWW_AUTHENTICATE,
};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::Use;
use super::cors::ALLOWED_HEADERS;
use crate::{Answer, answer};

/// Why a call is refused.
#[derive(Debug)]
pub enum Refusal {
    /// A CORS preflight.
    Preflight(Use),
    /// The path does not allow this method.
    Method(Use),
    /// The caller is unknown. The response says nothing that helps to guess keys; if the app is not set up,
    /// it names the missing settings.
    Unauthorized(Vec<&'static str>),
    /// The caller cannot be authenticated now. The reason is one of a fixed list of our own messages, because
    /// the database's diagnosis and the card show it; what Postgres said is only in the component's log.
    Unavailable(Option<&'static str>, Vec<&'static str>),
    /// The caller is known, but may not do this.
    Forbidden(Caller),
    /// The body did not arrive, or is invalid.
    Body(StatusCode, &'static str),
    /// The path or the query is invalid; described in words.
    Malformed(&'static str),
    /// The request asks for something that does not exist; the message names it.
    Request(String),
    /// The path names something that does not exist.
    NotFound(Value),
    /// A fault prevented the response.
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Refusal {
    /// The response to the refusal.
    pub fn answer(&self) -> Answer {
        match self {
            Self::Preflight(r#use) => preflight(*r#use),
            Self::Method(r#use) => {
                let words = match r#use {
                    Use::Look => "Use GET",
                    Use::Work => "Use POST",
                };
                let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, words);
                let methods = HeaderValue::from_static(r#use.methods());
                answer.headers_mut().insert(ALLOW, methods);
                answer
            }
            Self::Unauthorized(missing) => {
                let mut answer = not_set_up(StatusCode::UNAUTHORIZED, "Unauthorized", missing);
                let challenge = HeaderValue::from_static(CHALLENGE);
                answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                answer
            }
            Self::Unavailable(why, missing) => {
                let why = why.unwrap_or("the database, or its settings, is out of order");
                let words = format!(
                    "Who calls cannot be checked just now: {why}. The component's log says more"
                );
                not_set_up(StatusCode::SERVICE_UNAVAILABLE, &words, missing)
            }
            Self::Forbidden(Caller::User { .. }) => error(
                StatusCode::FORBIDDEN,
                "Forbidden: only an admin may do this",
            ),
            Self::Forbidden(Caller::Service(_)) => error(
                StatusCode::FORBIDDEN,
                "Forbidden: this key is for other things; select odoo_sync.new_key('me', 'admin') makes one for everything",
            ),
            Self::Body(status, words) => error(*status, words),
            Self::Malformed(words) => error(StatusCode::BAD_REQUEST, words),
            Self::Request(words) => error(StatusCode::UNPROCESSABLE_ENTITY, words),
            Self::NotFound(document) => answer::json(StatusCode::NOT_FOUND, document),
            Self::Fault(fault) => answer::json(
                answer::blame_status(fault.blame()),
                &json!({ "error": fault.message(), "kind": fault.kind(), "blame": fault.blame() }),
            ),
        }
    }
}

/// The challenge: which credentials are accepted (RFC 9110, 11.6.1).
const CHALLENGE: &str = r#"Bearer realm="odoo-to-supabase: a service key (select odoo_sync.new_key('me', 'admin') makes one), or the token of an admin who is signed in""#;

/// A refusal that names the missing settings, if there are any.
fn not_set_up(status: StatusCode, words: &str, missing: &[&str]) -> Answer {
    if missing.is_empty() {
        return error(status, words);
    }
    answer::json(status, &json!({ "error": words, "missing": missing }))
}

fn error(status: StatusCode, words: &str) -> Answer {
    answer::json(status, &json!({ "error": words }))
}

fn preflight(r#use: Use) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, r#use.methods()),
        (ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
