//! Limits concurrent calls and calls per second to what was agreed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use outbound::Clock;

/// How long to wait before checking again for a free permit.
const LOOK_AWAY: Duration = Duration::from_millis(5);

/// Widens the gap between calls, as they may arrive closer together than they were sent.
const MARGIN: f64 = 1.05;

/// Hands out permits for calls.
#[derive(Debug)]
pub(crate) struct Limiter {
    parallel: usize,
    gap: Duration,
    under_way: Cell<usize>,
    next: Cell<Duration>,
}

/// A permit, released when dropped, even if the call is cancelled.
#[derive(Debug)]
pub(crate) struct Permit(Rc<Limiter>);

impl Drop for Permit {
    fn drop(&mut self) {
        let places = &self.0.under_way;
        places.set(places.get().saturating_sub(1));
    }
}

impl Limiter {
    /// A limiter whose first call is not before `next`.
    pub(crate) fn new(parallel: usize, calls_per_second: f64, next: Duration) -> Self {
        let gap = if calls_per_second > 0.0 {
            Duration::try_from_secs_f64(MARGIN / calls_per_second).unwrap_or_default()
        } else {
            Duration::ZERO
        };
        Self {
            parallel: parallel.max(1),
            gap,
            under_way: Cell::new(0),
            next: Cell::new(next),
        }
    }

    /// The earliest start of the next call.
    pub(crate) fn next(&self) -> Duration {
        self.next.get()
    }

    /// Reserves a permit, if one is free. Returns when the call may start.
    fn reserve(&self, now: Duration) -> Option<Duration> {
        if self.under_way.get() >= self.parallel {
            return None;
        }
        self.under_way.set(self.under_way.get() + 1);
        let start = self.next.get().max(now);
        self.next.set(start + self.gap);
        Some(start)
    }

    /// Waits for a permit.
    pub(crate) async fn permit(self: &Rc<Self>, clock: &impl Clock) -> Permit {
        loop {
            let now = clock.now();
            if let Some(start) = self.reserve(now) {
                let permit = Permit(Rc::clone(self));
                if start > now {
                    clock.sleep(start.saturating_sub(now)).await;
                    // A sleep may last longer than asked for: start the gap when this call leaves.
                    self.next.set(self.next.get().max(clock.now() + self.gap));
                }
                return permit;
            }
            clock.sleep(LOOK_AWAY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn calls_never_come_faster_than_agreed(rate in 0.5f64..50.0, asks in prop::collection::vec(0u64..2000, 1..50)) {
            let limiter = Limiter::new(usize::MAX, rate, Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut last: Option<Duration> = None;
            for wait in asks {
                now += Duration::from_millis(wait);
                let start = limiter.reserve(now).unwrap();
                if let Some(last) = last {
                    prop_assert!(start.saturating_sub(last).as_secs_f64() >= 1.0 / rate - 1e-6);
                }
                last = Some(start);
            }
        }
    }

    #[test]
    fn no_more_calls_at_once_than_agreed_and_a_dropped_turn_is_free_again() {
        let limiter = Rc::new(Limiter::new(1, 0.0, Duration::ZERO));
        assert!(limiter.reserve(Duration::ZERO).is_some());
        let permit = Permit(Rc::clone(&limiter));
        assert!(limiter.reserve(Duration::ZERO).is_none());
        drop(permit);
        assert!(limiter.reserve(Duration::ZERO).is_some());
    }
}
