//! The outside: a server that answers with what a target was given, a clock, a Postgres.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use fault::Fault;
use futures::StreamExt;
use http::header::{CONTENT_TYPE, HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use outbound::{Clock, Http, Request, Response, TransportError};

/// Where the server is. No request may leave for anywhere else.
pub(crate) const ORIGIN: &str = "https://server.example";

/// A key that no message may repeat.
pub(crate) const KEY: &str = "canary-7d1f0c2b9e64";

/// What the server answers: written as a status line without a version, header lines, an empty line,
/// and the body. What does not begin with a status is the body of a 200 of JSON.
pub(crate) struct Recorded {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Recorded {
    pub(crate) fn read(data: &[u8]) -> Self {
        Self::with_head(data).unwrap_or_else(|| Self::json(data))
    }

    fn json(body: &[u8]) -> Self {
        let json = HeaderValue::from_static("application/json");
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, json)]),
            body: Bytes::copy_from_slice(body),
        }
    }

    fn with_head(data: &[u8]) -> Option<Self> {
        let mut headers = HeaderMap::new();
        let mut lines = Lines(data);
        let status = std::str::from_utf8(lines.next()?).ok()?.trim();
        let status = StatusCode::from_bytes(status.get(..3)?.as_bytes()).ok()?;
        // A server sends no answer below 200 as its last.
        (status.as_u16() >= 200).then_some(())?;
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let mut parts = line.splitn(2, |byte| *byte == b':');
            let name = parts
                .next()
                .and_then(|name| HeaderName::from_bytes(name).ok());
            let value = parts.next().unwrap_or_default().trim_ascii();
            let value = HeaderValue::from_bytes(value).ok();
            // What is no header never reaches a program: the host refuses the answer.
            headers.append(name?, value?);
        }
        Some(Self {
            status,
            headers,
            body: Bytes::copy_from_slice(lines.0),
        })
    }

    /// The answer, its body in parts of this size.
    fn response(&self, part: usize) -> Response {
        let parts: Vec<Result<Bytes, TransportError>> = self
            .body
            .chunks(part.max(1))
            .map(|part| Ok(self.body.slice_ref(part)))
            .collect();
        Response {
            status: self.status,
            headers: self.headers.clone(),
            body: futures::stream::iter(parts).boxed_local(),
        }
    }
}

struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// The server. Logins succeed; everything else gets what was recorded.
pub(crate) struct Server {
    recorded: Recorded,
    part: usize,
    asked: Cell<u32>,
}

impl Server {
    pub(crate) fn new(recorded: Recorded, part: usize) -> Self {
        Self {
            recorded,
            part,
            asked: Cell::new(0),
        }
    }
}

impl Http for Server {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let url = &request.url;
        let rest = url.strip_prefix(ORIGIN);
        assert!(
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            "a request to {url}"
        );
        self.asked.set(self.asked.get() + 1);
        assert!(self.asked.get() < 100, "it asks without end: {url}");
        let body = request.body.clone().unwrap_or_default();
        let says = |words: &str| String::from_utf8_lossy(&body).contains(words);
        if says("\"authenticate\"") {
            return Ok(Recorded::json(br#"{"result":2}"#).response(usize::MAX));
        }
        if url.ends_with("/web/session/authenticate") {
            let mut opened = Recorded::json(br#"{"result":{"uid":2}}"#);
            let cookie = HeaderValue::from_static("session_id=abc; Path=/");
            opened.headers.insert(SET_COOKIE, cookie);
            return Ok(opened.response(usize::MAX));
        }
        Ok(self.recorded.response(self.part))
    }
}

/// A clock on which waiting takes no time.
#[derive(Default)]
pub(crate) struct InstantClock(Cell<Duration>);

impl Clock for InstantClock {
    fn now(&self) -> Duration {
        self.0.get()
    }

    fn unix_seconds(&self) -> i64 {
        1_800_000_000
    }

    async fn sleep(&self, duration: Duration) {
        self.0.set(self.0.get().saturating_add(duration));
    }

    fn chance(&self) -> f64 {
        0.5
    }
}

/// What holds of every fault: its message is one line of at most 300 characters, and one more where it
/// was cut, without a secret.
pub(crate) fn check_fault(fault: &Fault) {
    let message = fault.message();
    assert!(message.chars().count() <= 301, "too long: {message:?}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
    assert!(!message.contains(KEY), "it tells the key: {message:?}");
}

/// Looks at what came of it, whichever it was.
pub(crate) fn check<T>(result: Result<T, Fault>) -> Option<T> {
    result.inspect_err(check_fault).ok()
}

/// The first byte, and the rest.
pub(crate) fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first()
        .map_or((0, data), |(byte, rest)| (*byte, rest))
}
