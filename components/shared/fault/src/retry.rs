//! Retry and backoff, as pure functions.

use std::time::Duration;

/// After this many failed attempts a file is dead until a person asks for it again.
pub const MAX_ATTEMPTS: u32 = 8;

const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_hours(6);

/// Whether a retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, after a wait.
    Later,
    /// Yes, without a limit of attempts: the obstacle is outside, and will be removed at some time.
    Waits,
    /// Only after a person has changed something.
    Manual,
    /// No: this file will never pass as it is.
    Never,
}

/// The wait before the next attempt, or `None` if there is none.
///
/// `attempts` counts the failed attempts so far, this one included. The wait doubles from 30 s up to six
/// hours; `jitter` in `0.0..=1.0` spreads it over its upper half, so that files that failed together do not
/// come back together. A wait that the other side asked for is the minimum, up to six hours.
pub fn next_attempt(
    retry: Retry,
    attempts: u32,
    asked: Option<Duration>,
    jitter: f64,
) -> Option<Duration> {
    let most = if retry == Retry::Waits {
        u32::MAX
    } else {
        MAX_ATTEMPTS
    };
    if retry == Retry::Never || attempts >= most {
        return None;
    }
    let doublings = attempts.min(MAX_ATTEMPTS).saturating_sub(1);
    let full = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    let wait = full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
    Some(asked.map_or(wait, |asked| wait.max(asked.min(LONGEST_WAIT))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_eighth_failure_is_the_last() {
        assert!(next_attempt(Retry::Later, 7, None, 0.5).is_some());
        assert_eq!(next_attempt(Retry::Later, 8, None, 0.5), None);
        assert_eq!(next_attempt(Retry::Never, 1, None, 0.5), None);
    }

    #[test]
    fn what_waits_for_somebody_else_is_never_given_up_and_tried_once_an_hour_at_least() {
        for attempts in 1..1000 {
            let wait = next_attempt(Retry::Waits, attempts, None, 1.0).unwrap();
            assert!(wait <= Duration::from_mins(64), "{attempts}");
        }
    }

    proptest! {
        #[test]
        fn waits_grow_within_their_bounds(attempts in 1u32..8, jitter in 0.0f64..=1.0) {
            let wait = next_attempt(Retry::Later, attempts, None, jitter).unwrap();
            prop_assert!(wait >= FIRST_WAIT / 2 && wait <= LONGEST_WAIT);
            if let Some(next) = next_attempt(Retry::Later, attempts + 1, None, jitter) {
                prop_assert!(next >= wait);
            }
        }

        #[test]
        fn a_wait_that_was_asked_for_is_kept(attempts in 1u32..8, jitter in 0.0f64..=1.0, asked in 0u64..20_000) {
            let asked = Duration::from_secs(asked);
            prop_assert!(next_attempt(Retry::Later, attempts, Some(asked), jitter).unwrap() >= asked);
        }

        #[test]
        fn no_input_overflows(attempts: u32, jitter: f64, asked: u64) {
            next_attempt(Retry::Later, attempts, Some(Duration::from_secs(asked)), if jitter.is_nan() { 0.0 } else { jitter });
        }
    }
}
