//! Limits concurrent requests to Odoo or Storage: grows until an overload, then halves and grows slowly.

use std::time::Duration;

/// The limit at the start of a batch.
const FIRST: usize = 4;

/// Additive increase, multiplicative decrease. Up to the first overload the limit grows with each success: growing by
/// one per round would take some 500 files to get from 4 to 32.
#[derive(Debug, Clone)]
pub struct Limiter {
    limit: usize,
    most: usize,
    /// Whether an overload has occurred.
    cautious: bool,
    /// Successes since the limit last changed.
    successes: usize,
    /// No second halving before this moment: all requests in flight see the same overload.
    halved_until: Duration,
    /// No new request before this moment.
    pause_until: Duration,
}

impl Limiter {
    /// A limiter that allows at most `most` requests at once.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            limit: FIRST.min(most),
            most,
            cautious: false,
            successes: 0,
            halved_until: Duration::ZERO,
            pause_until: Duration::ZERO,
        }
    }

    /// How many requests may be in flight.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether a new request may begin.
    pub fn allows(&self, now: Duration) -> bool {
        now >= self.pause_until
    }

    /// Records a success. After an overload the limit grows by one per `limit` successes, before it by one per
    /// success.
    pub fn success(&mut self) {
        self.successes += 1;
        let enough = if self.cautious { self.limit } else { 1 };
        if self.successes >= enough && self.limit < self.most {
            self.limit += 1;
            self.successes = 0;
        }
    }

    /// Records an overload of the other side (429, 503, 544, a reset, a timeout).
    pub fn overload(&mut self, now: Duration, retry_after: Option<Duration>) {
        self.successes = 0;
        self.cautious = true;
        if now >= self.halved_until {
            self.limit = (self.limit / 2).max(1);
            self.halved_until = now + Duration::from_secs(1);
        }
        let pause = retry_after.unwrap_or(Duration::from_millis(500));
        self.pause_until = self.pause_until.max(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds(most in 0usize..100, events in prop::collection::vec((any::<bool>(), 0u64..3000), 0..300)) {
            let mut limiter = Limiter::new(most);
            let mut now = Duration::ZERO;
            for (good, wait) in events {
                now += Duration::from_millis(wait);
                let before = limiter.limit();
                if good { limiter.success() } else { limiter.overload(now, None) }
                prop_assert!(limiter.limit() >= 1 && limiter.limit() <= most.max(1));
                prop_assert!(limiter.limit() <= before + 1);
                prop_assert!(limiter.limit() >= (before / 2).max(1));
            }
        }

        #[test]
        fn a_wait_that_was_asked_for_is_kept(asked in 0u64..600) {
            let mut limiter = Limiter::new(16);
            let now = Duration::from_secs(10);
            limiter.overload(now, Some(Duration::from_secs(asked)));
            let over = now + Duration::from_secs(asked);
            prop_assert!(!limiter.allows(over.saturating_sub(Duration::from_nanos(1))));
            prop_assert!(limiter.allows(over));
        }
    }

    #[test]
    fn the_limit_is_reached_at_once_and_after_an_overload_slowly() {
        let mut limiter = Limiter::new(16);
        let successes_to = |limiter: &mut Limiter, limit: usize| {
            let mut successes = 0;
            while limiter.limit() < limit {
                limiter.success();
                successes += 1;
            }
            successes
        };
        assert_eq!(successes_to(&mut limiter, 16), 12);
        limiter.overload(Duration::from_secs(5), None);
        assert_eq!(successes_to(&mut limiter, 16), (8..16).sum::<usize>());
    }

    #[test]
    fn one_overload_seen_by_many_halves_once() {
        let mut limiter = Limiter::new(16);
        for _ in 0..1000 {
            limiter.success();
        }
        assert_eq!(limiter.limit(), 16);
        for _ in 0..16 {
            limiter.overload(Duration::from_secs(5), None);
        }
        assert_eq!(limiter.limit(), 8);
    }
}
