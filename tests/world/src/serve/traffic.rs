//! What went over the wire: counters for each endpoint, and a log of requests on demand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http::Method;
use serde::Serialize;

use super::Locked;

/// What is known of a request before it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub method: Method,
    /// The path as it came, without the query.
    pub path: String,
    /// The endpoint it counts for, such as `GET /web/content`.
    pub endpoint: String,
    /// `model/method` of a remote call.
    pub call: Option<String>,
    /// The record ids it names.
    pub ids: Vec<i64>,
}

/// Counters of one endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Requests that began.
    pub calls: u64,
    /// Requests that have not yet sent their last byte.
    pub in_flight: u64,
    /// The most that were ever in flight at once.
    pub max_in_flight: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
    /// Answers with a status of 400 or more, and connections ended without an answer.
    pub errors: u64,
}

/// One request in the log.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// When it began, in milliseconds since the server started.
    pub at_ms: u64,
    /// How long it took up to its last byte, in milliseconds.
    pub took_ms: u64,
    /// The same in microseconds.
    pub took_us: u64,
    /// The HTTP method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// `model/method` of a remote call.
    pub call: Option<String>,
    /// How many record ids it named.
    pub ids: usize,
    /// The status of the answer; 0 where there was none.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were sent.
    pub bytes_out: u64,
}

/// The counters of one server. Clones share them.
#[derive(Debug, Clone)]
pub struct Counters(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    counts: Locked<BTreeMap<String, Count>>,
    total: Locked<Count>,
    recording: AtomicBool,
    log: Locked<Vec<Entry>>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            started: Instant::now(),
            counts: Locked::default(),
            total: Locked::default(),
            recording: AtomicBool::new(false),
            log: Locked::default(),
        }))
    }

    /// All endpoints that were called.
    pub fn all(&self) -> BTreeMap<String, Count> {
        self.0.counts.lock().clone()
    }

    /// One endpoint: `GET /web/content`, `ir.attachment/read`, `POST /object`. All zero if never called.
    pub fn of(&self, endpoint: &str) -> Count {
        self.0
            .counts
            .lock()
            .get(endpoint)
            .copied()
            .unwrap_or_default()
    }

    /// All endpoints together; `max_in_flight` is over all of them.
    pub fn total(&self) -> Count {
        *self.0.total.lock()
    }

    /// Sets all counters to zero but those in flight.
    pub fn reset(&self) {
        let fresh = |count: &mut Count| {
            *count = Count {
                in_flight: count.in_flight,
                max_in_flight: count.in_flight,
                ..Count::default()
            };
        };
        self.0.counts.lock().values_mut().for_each(fresh);
        fresh(&mut self.0.total.lock());
    }

    /// Starts or ends the log of requests.
    pub fn record(&self, on: bool) {
        self.0.recording.store(on, Ordering::Relaxed);
    }

    /// Takes the log out: requests in the order in which they ended.
    pub fn take_log(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.0.log.lock())
    }

    pub(crate) fn begin(&self, trace: Trace) -> InFlight {
        let enter = |count: &mut Count| {
            count.calls += 1;
            count.in_flight += 1;
            count.max_in_flight = count.max_in_flight.max(count.in_flight);
        };
        {
            let mut counts = self.0.counts.lock();
            match counts.get_mut(&trace.endpoint) {
                Some(count) => enter(count),
                None => enter(counts.entry(trace.endpoint.clone()).or_default()),
            }
        }
        enter(&mut self.0.total.lock());
        InFlight {
            counters: self.clone(),
            trace,
            began: Instant::now(),
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
        }
    }
}

/// A request between its first and its last byte. Counted as ended when it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    counters: Counters,
    trace: Trace,
    began: Instant,
    pub status: u16,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let failed = self.status == 0 || self.status >= 400;
        let leave = |count: &mut Count| {
            count.in_flight = count.in_flight.saturating_sub(1);
            count.bytes_in += self.bytes_in;
            count.bytes_out += self.bytes_out;
            count.errors += u64::from(failed);
        };
        let shared = &self.counters.0;
        if let Some(count) = shared.counts.lock().get_mut(&self.trace.endpoint) {
            leave(count);
        }
        leave(&mut shared.total.lock());
        if shared.recording.load(Ordering::Relaxed) {
            let milliseconds =
                |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let took = self.began.elapsed();
            shared.log.lock().push(Entry {
                at_ms: milliseconds(self.began.duration_since(shared.started)),
                took_ms: milliseconds(took),
                took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                method: self.trace.method.to_string(),
                path: std::mem::take(&mut self.trace.path),
                call: self.trace.call.take(),
                ids: self.trace.ids.len(),
                status: self.status,
                bytes_in: self.bytes_in,
                bytes_out: self.bytes_out,
            });
        }
    }
}
