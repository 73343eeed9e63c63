//! The two traits.

use std::time::Duration;

use bytes::Bytes;
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

    /// The whole body, if it is at most `max_bytes` long.
    pub async fn bytes(self, max_bytes: usize) -> Result<Bytes, TransportError> {
        collect(self.body, max_bytes).await
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
