//! The ground both simulated servers stand on: connections, streamed bodies, faults, counters.

mod payload;
mod server;
mod service_time;
mod traffic;

pub(crate) use payload::{Part, Payload, Source, Upload};
pub(crate) use server::{
    Received, Server, Site, empty, html, internal_server_error, json, redirect_to_login,
};
pub use service_time::ServiceTime;
pub(crate) use service_time::Shown;
pub(crate) use traffic::Trace;
pub use traffic::{Count, Counters, Entry};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex that goes on after a panic elsewhere: a test that failed must not hang the next one.
#[derive(Debug, Default)]
pub(crate) struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that looks random and always follows from `seed` (the finaliser of `SplitMix64`).
pub(crate) fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number that differs from run to run, for ids and tokens. Not fit for secrets.
pub(crate) fn unpredictable() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    scramble(RandomState::new().hash_one(std::time::SystemTime::now()))
}
