//! Answers: the one place where an outcome becomes a status and a body.

use bytes::Bytes;
use fault::{Blame, Fault};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use spin_sdk::http::FullBody;

/// An answer.
pub type Answer = Response<FullBody<Bytes>>;

/// What a fault is to a caller: the other side's (502), or ours and our configuration's (500).
pub fn blame_status(blame: Blame) -> StatusCode {
    match blame {
        Blame::Source | Blame::Destination => StatusCode::BAD_GATEWAY,
        Blame::Configuration | Blame::Program => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A JSON answer that nobody keeps.
pub fn json(status: StatusCode, document: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(document).unwrap_or_default();
    let mut answer = Response::new(FullBody::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    answer
}

/// A refusal in words.
pub(crate) fn error(status: StatusCode, words: &str) -> Answer {
    json(status, &json!({ "error": words }))
}

/// A fault in words.
pub(crate) fn fault(fault: &Fault) -> Answer {
    json(
        blame_status(fault.blame()),
        &json!({ "error": fault.message(), "kind": fault.kind(), "blame": fault.blame() }),
    )
}
