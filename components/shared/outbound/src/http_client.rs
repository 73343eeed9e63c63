//! The two traits.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::{ByteStream, TransportError, collect};

/// How long to wait. Spin's own default is 600 s for each, which would hold a tick for ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// From the beginning to the answer's first byte: Spin counts connecting and the sending of the whole body in.
    pub first_byte: Duration,
    /// Between two bytes of the answer.
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
    /// The absolute address.
    pub url: String,
    /// Headers; `Content-Length` follows from the body and is not among them.
    pub headers: HeaderMap,
    /// The body, sent with a `Content-Length`: a chunked upload slips past Storage's size limit.
    pub body: Option<Bytes>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Parts of how many bytes the answer's body is wanted in, if not as it comes.
    pub part_bytes: Option<usize>,
}

impl Request {
    /// A request without a body. Its answer is to come as it is: nothing here unpacks it.
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

    /// With this header. A value that is no header value is left out: it could only come from a
    /// setting, and the other side's refusal names it better than we could.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(name, value);
        }
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// With these timeouts.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// With an answer whose body comes in parts of so many bytes, the last one excepted, where the client can
    /// do that: what would be put together to such parts anyway is not copied for it then.
    #[must_use]
    pub fn in_parts_of(mut self, bytes: usize) -> Self {
        self.part_bytes = Some(bytes);
        self
    }
}

/// An answer: its head, and its body as it comes.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: ByteStream,
}

impl Response {
    /// A header as text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the `Content-Type` is JSON.
    pub fn is_json(&self) -> bool {
        self.header(&http::header::CONTENT_TYPE)
            .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json"))
    }

    /// `Retry-After` in seconds (the other form, a date, is not used by the servers we speak to).
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self
            .header(&http::header::RETRY_AFTER)?
            .trim()
            .parse()
            .ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// The same with its body here, if that is JSON that was asked for and at most `max_bytes` long: by then it is
    /// known whether it arrived.
    pub async fn arrived(mut self, max_bytes: usize) -> Result<Self, TransportError> {
        if self.status.is_success() && self.is_json() {
            let body = collect(self.body, max_bytes).await?;
            self.body = stream::once(ready(Ok(body))).boxed_local();
        }
        Ok(self)
    }

    /// The whole body, if it is at most `max_bytes` long.
    pub async fn bytes(self, max_bytes: usize) -> Result<Bytes, TransportError> {
        collect(self.body, max_bytes).await
    }
}

/// Whether a question that changes nothing is worth asking once more: the connection broke off, or somebody in
/// between could not reach the other side. A gateway that waited in vain (504) has used the time for it, and a 500 is
/// the other side's own.
pub fn broke_off(answer: Result<&Response, &TransportError>) -> bool {
    match answer {
        Ok(answer) => matches!(answer.status.as_u16(), 502 | 520..=530) && !answer.is_json(),
        Err(error) => *error == TransportError::Reset,
    }
}

/// Outbound HTTP. Redirects are never followed: Odoo answers an unknown endpoint with a redirect to
/// its login page, which is a 200 full of HTML (seen on Odoo 18).
pub trait Http {
    /// Sends a request and waits for the head of its answer.
    fn send(&self, request: Request) -> impl Future<Output = Result<Response, TransportError>>;
}

/// Time and chance.
pub trait Clock {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;
    /// Seconds since 1970 by the wall.
    fn unix_seconds(&self) -> i64;
    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
    /// A number in `0.0..1.0`, for jitter.
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
        // What is no answer in JSON is left as it comes.
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
