//! Why a call is not answered with what it asked for, and how it is answered instead.

use access::Caller;
use fault::Fault;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ALLOW,
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
    /// Nobody knows the caller. It is told nothing that could help to guess.
    Unauthorized,
    /// Who calls cannot be checked. Why is told in our own words, one of a list, since the diagnosis in the database
    /// and the card learn of it by this; what Postgres said is in the component's log.
    Unavailable(Option<&'static str>),
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
            Self::Unauthorized => error(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Unavailable(why) => {
                let why = why.unwrap_or("the database, or its settings, is out of order");
                let words = format!(
                    "Who calls cannot be checked just now: {why}. The component's log says more"
                );
                error(StatusCode::SERVICE_UNAVAILABLE, &words)
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
