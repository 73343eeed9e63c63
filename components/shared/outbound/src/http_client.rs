//! The traits for HTTP and time, with requests and responses.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::{ByteStream, TransportError, collect};

/// Timeouts of a request. Spin's default is 600 s for each, which would hold a tick for ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For connecting.
    pub connect: Duration,
    /// Until the first byte of the response. Spin includes connecting and sending the whole body.
    pub first_byte: Duration,
    /// Between two bytes of the response.
    pub between_bytes: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            between_bytes: Duration::from_secs(15),
        }
    }
}

/// A request, ready to be sent.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// Headers without `Content-Length`, which follows from the body.
    pub headers: HeaderMap,
    /// The body, sent with a `Content-Length`: a chunked upload bypasses Storage's size limit.
    pub body: Option<Bytes>,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Size of the chunks in which the response's body is wanted; `None`: as it arrives.
    pub part_bytes: Option<usize>,
}

impl Request {
    /// A request without a body. It asks for an uncompressed response, because nothing here decompresses one.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        let identity = HeaderValue::from_static("identity");
        Self {
            method,
            url: url.into(),
            headers: HeaderMap::from_iter([(ACCEPT_ENCODING, identity)]),
            body: None,
            timeouts: Timeouts::default(),
            part_bytes: None,
        }
    }

    /// Sets a header. An invalid value is left out: it can only come from a setting, and the server's refusal
    /// explains it better.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the timeouts.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Asks for the response's body in chunks of this size (the last one excepted), if the client can do
    /// that. This saves a copy where the chunks would be put together anyway.
    #[must_use]
    pub fn in_parts_of(mut self, bytes: usize) -> Self {
        self.part_bytes = Some(bytes);
        self
    }
}

/// A response: status, headers, and a body that streams.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: ByteStream,
}

impl Response {
    /// The value of a header, as text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the `Content-Type` is JSON.
    pub fn is_json(&self) -> bool {
        self.header(&http::header::CONTENT_TYPE)
            .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json"))
    }

    /// `Retry-After` in seconds. Its other form, a date, is not used by the servers that this program calls.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self
            .header(&http::header::RETRY_AFTER)?
            .trim()
            .parse()
            .ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// Reads the body into memory if the response is successful JSON; an error if it breaks off or is longer
    /// than `max_bytes`. Other bodies are left as streams.
    pub async fn arrived(mut self, max_bytes: usize) -> Result<Self, TransportError> {
        if self.status.is_success() && self.is_json() {
            let body = collect(self.body, max_bytes).await?;
            self.body = stream::once(ready(Ok(body))).boxed_local();
        }
        Ok(self)
    }

    /// Reads the whole body; an error if it is longer than `max_bytes`.
    pub async fn bytes(self, max_bytes: usize) -> Result<Bytes, TransportError> {
        collect(self.body, max_bytes).await
    }
}

/// Whether a read-only request is worth one retry: the connection broke, or a proxy could not reach the
/// server. Not for 504, because the gateway has used up the time by waiting, and not for 500, which comes
/// from the server itself.
pub fn broke_off(answer: Result<&Response, &TransportError>) -> bool {
    match answer {
        Ok(answer) => matches!(answer.status.as_u16(), 502 | 520..=530) && !answer.is_json(),
        Err(error) => *error == TransportError::Reset,
    }
}

/// Outbound HTTP. Redirects are never followed: Odoo redirects an unknown endpoint to its login page, which
/// is a 200 with HTML (seen on Odoo 18).
pub trait Http {
    /// Sends a request and waits for the head of the response.
    fn send(&self, request: Request) -> impl Future<Output = Result<Response, TransportError>>;
}

/// Time and randomness.
pub trait Clock {
    /// Monotonic time since some fixed moment.
    fn now(&self) -> Duration;
    /// Seconds since 1970, by the wall clock.
    fn unix_seconds(&self) -> i64;
    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
    /// A random number in `0.0..1.0`, for jitter.
    fn chance(&self) -> f64;
}

impl<T: Http> Http for &T {
    fn send(&self, request: Request) -> impl Future<Output = Result<Response, TransportError>> {
        (**self).send(request)
    }
}

impl<T: Clock> Clock for &T {
    fn now(&self) -> Duration {
        (**self).now()
    }
    fn unix_seconds(&self) -> i64 {
        (**self).unix_seconds()
    }
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        (**self).sleep(duration)
    }
    fn chance(&self) -> f64 {
        (**self).chance()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn answer(
        status: u16,
        content_type: &str,
        body: Vec<Result<Bytes, TransportError>>,
    ) -> Response {
        Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([(
                http::header::CONTENT_TYPE,
                HeaderValue::from_str(content_type).unwrap(),
            )]),
            body: stream::iter(body).boxed_local(),
        }
    }

    #[test]
    fn what_breaks_off_at_once_is_worth_asking_again_and_what_was_said_is_not() {
        let json = "application/json; charset=utf-8";
        for (status, content_type, wanted) in [
            (502, "text/html", true),
            (522, "text/html", true),
            (500, "text/html", false),
            (502, json, false),
            (200, json, false),
            (404, "text/html", false),
            (429, "text/html", false),
            (503, "text/html", false),
            (504, "text/html", false),
        ] {
            let answer = answer(status, content_type, Vec::new());
            assert_eq!(broke_off(Ok(&answer)), wanted, "{status} {content_type}");
        }
        for (error, wanted) in [
            (TransportError::Reset, true),
            (TransportError::Timeout, false),
            (TransportError::Refused, false),
            (TransportError::TooLong { max_bytes: 1 }, false),
        ] {
            assert_eq!(broke_off(Err(&error)), wanted, "{error}");
        }
    }

    #[test]
    fn an_answer_that_breaks_off_in_its_midst_has_not_arrived() {
        let parts = || vec![Ok(Bytes::from_static(b"[1,")), Err(TransportError::Reset)];
        let broken = answer(200, "application/json", parts()).arrived(10);
        assert!(broke_off(broken.now_or_never().unwrap().as_ref()));
        // A response that is not JSON is left as a stream.
        let stream = answer(200, "application/pdf", parts()).arrived(1);
        assert!(stream.now_or_never().unwrap().is_ok());
        let whole = answer(
            200,
            "application/json",
            vec![Ok(Bytes::from_static(b"[1]"))],
        );
        let whole = whole.arrived(3).now_or_never().unwrap().unwrap();
        assert_eq!(
            whole.bytes(3).now_or_never().unwrap(),
            Ok(Bytes::from_static(b"[1]"))
        );
    }
}
