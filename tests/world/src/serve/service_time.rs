//! How long a server works at its requests: one after the other, as a real one does that is busy with
//! one processor. Unlike a latency, more requests at once do not hide it.

use std::time::Duration;

use tokio::time::Instant;

use super::{Locked, Trace};

/// The records that an answer shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) records: u32,
    /// Of all of them together.
    pub(crate) values: u32,
}

impl std::ops::AddAssign for Shown {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.values += other.values;
    }
}

/// What requests cost a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServiceTime {
    /// A remote call.
    pub per_call: Duration,
    /// Each record that a remote call names, beside.
    pub per_record: Duration,
    /// Each record of a remote call's answer, beside.
    pub per_row: Duration,
    /// Each value of such a record, beside.
    pub per_value: Duration,
    /// Any other request.
    pub per_request: Duration,
}

impl ServiceTime {
    fn of(&self, trace: &Trace) -> Duration {
        if trace.call.is_none() {
            return self.per_request;
        }
        let records = u32::try_from(trace.ids.len()).unwrap_or(u32::MAX);
        self.per_call + self.per_record * records
    }

    fn of_answer(&self, shown: Shown) -> Duration {
        self.per_row * shown.records + self.per_value * shown.values
    }
}

/// A server at work.
#[derive(Debug, Default)]
pub(super) struct Worker(Locked<State>);

#[derive(Debug, Default)]
struct State {
    service_time: ServiceTime,
    busy_until: Option<Instant>,
}

impl Worker {
    pub(super) fn set(&self, service_time: ServiceTime) {
        self.0.lock().service_time = service_time;
    }

    /// When a request that arrives now is done with; `None`: at once.
    pub(super) fn until(&self, trace: &Trace, now: Instant) -> Option<Instant> {
        let mut state = self.0.lock();
        if state.service_time == ServiceTime::default() {
            return None;
        }
        let takes = state.service_time.of(trace);
        // What came while it was busy begins when it is free, so that the coarse clock of sleeping makes
        // single answers later, and not the server slower.
        let begins = state.busy_until.map_or(now, |busy| busy.max(now));
        state.busy_until = Some(begins + takes);
        state.busy_until
    }

    /// When this answer to a request that was begun is ready; `None`: at once. It is work of the same server, which
    /// goes on from where it was: what the simulation itself takes for it is no time beside.
    pub(super) fn until_answered(&self, shown: Shown) -> Option<Instant> {
        let mut state = self.0.lock();
        let takes = state.service_time.of_answer(shown);
        if takes.is_zero() {
            return None;
        }
        state.busy_until = state.busy_until.map(|busy| busy + takes);
        state.busy_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn requests_at_once_take_as_long_as_one_after_the_other() {
        let worker = Worker::default();
        let trace = |call: Option<&str>, records: i64| Trace {
            method: Method::POST,
            path: String::new(),
            endpoint: String::new(),
            call: call.map(str::to_owned),
            ids: (0..records).collect(),
        };
        let now = Instant::now();
        assert_eq!(worker.until(&trace(None, 0), now), None);
        worker.set(ServiceTime {
            per_call: Duration::from_millis(18),
            per_record: Duration::from_millis(1),
            per_row: Duration::from_millis(2),
            per_value: Duration::from_micros(100),
            per_request: Duration::from_millis(5),
        });
        let took = |call, records| worker.until(&trace(call, records), now).map(|at| at - now);
        assert_eq!(
            took(Some("ir.attachment/read"), 40),
            Some(Duration::from_millis(58))
        );
        assert_eq!(
            took(Some("ir.attachment/read"), 2),
            Some(Duration::from_millis(78))
        );
        assert_eq!(took(None, 1), Some(Duration::from_millis(83)));
        let shown = Shown {
            records: 10,
            values: 100,
        };
        let answered = worker.until_answered(shown).map(|at| at - now);
        assert_eq!(answered, Some(Duration::from_millis(113)));
        assert_eq!(worker.until_answered(Shown::default()), None);
        assert_eq!(took(None, 0), Some(Duration::from_millis(118)));
    }
}
