//! HTTP responses: the one place where an outcome becomes a status and a body.

use bytes::Bytes;
use fault::Blame;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use spin_sdk::http::FullBody;

/// An HTTP response.
pub type Answer = Response<FullBody<Bytes>>;

/// The status for a fault: 502 for a failure of the other side, 500 for ours and for a wrong configuration.
pub fn blame_status(blame: Blame) -> StatusCode {
    match blame {
        Blame::Source | Blame::Destination => StatusCode::BAD_GATEWAY,
        Blame::Configuration | Blame::Program => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A JSON response that nobody may cache.
pub fn json(status: StatusCode, content: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(content).unwrap_or_default();
    let mut answer = document("application/json", body);
    *answer.status_mut() = status;
    answer
}

/// A response of any content type that nobody may cache, and whose type a browser must not guess (`nosniff`).
pub fn document(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(FullBody::new(body.into()));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    answer
}

/// Sets the `ETag` `tag` (with its quotes), so that clients cache the response but revalidate it. Returns 304
/// without a body if `If-None-Match` matches (RFC 9110, 13.1.2).
pub fn unless_known(mut answer: Answer, tag: &str, known: Option<&str>) -> Answer {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let is_known = known.is_some_and(|known| {
        known.trim() == "*" || known.split(',').any(|known| strong(known) == strong(tag))
    });
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        *answer.body_mut() = FullBody::new(Bytes::new());
    }
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    answer
}

/// The response for work that continues after it (RFC 7240).
pub fn accepted(content: &impl Serialize) -> Answer {
    let mut answer = json(StatusCode::ACCEPTED, content);
    answer.headers_mut().insert(
        HeaderName::from_static("preference-applied"),
        HeaderValue::from_static("respond-async"),
    );
    answer
}
