//! Why a call is not answered with what it asked for, and how it is answered instead.

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

/// Why a call is not answered with what it asked for.
#[derive(Debug)]
pub enum Refusal {
    /// A browser asks first what it may send.
    Preflight(Use),
    /// The path is for another method.
    Method(Use),
    /// Nobody knows the caller. It is told nothing that could help to guess; where the app is not set up, the names of
    /// the settings that are missing.
    Unauthorized(Vec<&'static str>),
    /// Who calls cannot be checked. Why is told in our own words, one of a list, since the diagnosis in the database
    /// and the card learn of it by this; what Postgres said is in the component's log.
    Unavailable(Option<&'static str>, Vec<&'static str>),
    /// The caller is known, and may not do this.
    Forbidden(Caller),
    /// The body did not come, or not as it should.
    Body(StatusCode, &'static str),
    /// The path names something that cannot be, in words.
    Malformed(&'static str),
    /// The request asks for something that there is not, in words that name it.
    Request(String),
    /// There is nothing of this name.
    NotFound(Value),
    /// A fault kept it from being answered.
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Refusal {
    /// How it is answered.
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

/// Says what is accepted (RFC 9110, 11.6.1).
const CHALLENGE: &str = r#"Bearer realm="odoo-to-supabase: a service key (select odoo_sync.new_key('me', 'admin') makes one), or the token of an admin who is signed in""#;

/// A refusal that names the settings that are missing, if any are.
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
