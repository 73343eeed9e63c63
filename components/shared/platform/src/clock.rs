//! Spin's clocks.

use std::time::{Duration, SystemTime};

use outbound::Clock;
use spin_sdk::wasip3::{clocks::monotonic_clock, random::random};

/// Time and randomness from the host.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpinClock;

impl Clock for SpinClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now())
    }

    fn unix_seconds(&self) -> i64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            .unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        spin_sdk::time::sleep(duration)
    }

    fn chance(&self) -> f64 {
        // An f64 holds 32 bits exactly.
        let bits = u32::try_from(random::get_random_u64() >> 32).unwrap_or_default();
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}
