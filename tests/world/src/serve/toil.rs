//! How long a server works at its requests: one after the other, as a real one does that is busy with
//! one processor. Unlike a latency, more requests at once do not hide it.

use std::time::Duration;

use tokio::time::Instant;

use super::{Locked, Trace};

/// What requests cost a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Toil {
    /// A remote call.
    pub per_call: Duration,
    /// Each record that a remote call names, beside.
    pub per_record: Duration,
    /// Any other request.
    pub per_request: Duration,
}

impl Toil {
    fn of(&self, trace: &Trace) -> Duration {
        if trace.call.is_none() {
            return self.per_request;
        }
        let records = u32::try_from(trace.ids.len()).unwrap_or(u32::MAX);
        self.per_call + self.per_record * records
    }
}

/// A server at work.
#[derive(Debug, Default)]
pub(super) struct Toiling(Locked<State>);

#[derive(Debug, Default)]
struct State {
    toil: Toil,
    busy_until: Option<Instant>,
}

impl Toiling {
    pub(super) fn set(&self, toil: Toil) {
        self.0.lock().toil = toil;
    }

    /// When a request that arrives now is done with; `None`: at once.
    pub(super) fn until(&self, trace: &Trace, now: Instant) -> Option<Instant> {
        let mut state = self.0.lock();
        let takes = state.toil.of(trace);
        if takes.is_zero() {
            return None;
        }
        // What came while it was busy begins when it is free, so that the coarse clock of sleeping makes
        // single answers later, and not the server slower.
        let begins = state.busy_until.map_or(now, |busy| busy.max(now));
        state.busy_until = Some(begins + takes);
        state.busy_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn requests_at_once_take_as_long_as_one_after_the_other() {
        let toiling = Toiling::default();
        let trace = |call: Option<&str>, records: i64| Trace {
            method: Method::POST,
            path: String::new(),
            endpoint: String::new(),
            call: call.map(str::to_owned),
            ids: (0..records).collect(),
        };
        let now = Instant::now();
        assert_eq!(toiling.until(&trace(None, 0), now), None);
        toiling.set(Toil {
            per_call: Duration::from_millis(18),
            per_record: Duration::from_millis(1),
            per_request: Duration::from_millis(5),
        });
        let took = |call, records| toiling.until(&trace(call, records), now).map(|at| at - now);
        assert_eq!(
            took(Some("ir.attachment/read"), 40),
            Some(Duration::from_millis(58))
        );
        assert_eq!(
            took(Some("ir.attachment/read"), 2),
            Some(Duration::from_millis(78))
        );
        assert_eq!(took(None, 1), Some(Duration::from_millis(83)));
    }
}
