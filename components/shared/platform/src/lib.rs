//! The thin layer over Spin: outbound HTTP with timeouts, Postgres, variables, clock, responses.
//!
//! This is the only crate that knows Spin. The libraries use it through their own small traits, so that
//! everything else compiles and is tested natively.

mod answer;
mod clock;
mod guard;
mod log;
mod outbound_http;
mod postgres;
mod serve;
mod variables;

pub use answer::{Answer, accepted, document, json, unless_known};
pub use clock::SpinClock;
pub use guard::{Guard, MAX_BODY_BYTES, Refusal, Use};
pub use log::log;
pub use outbound_http::SpinHttp;
pub use postgres::SpinPostgres;
pub use run::Level;
pub use serve::serve;
pub use variables::SpinVariables;

/// Continues with work after the response is sent. Only the host's request timeout limits it, and a host that
/// stops drops it at once (seen on Spin 4.1), so the work must tolerate being cut off.
pub fn spawn(work: impl Future<Output = ()> + 'static) {
    spin_sdk::wasip3::spawn(work);
}

/// A new id for a run.
pub fn new_run_id() -> ledger::runs::RunId {
    let bytes = spin_sdk::wasip3::random::random::get_random_bytes(16);
    let bytes = <[u8; 16]>::try_from(bytes.as_slice()).unwrap_or_default();
    ledger::runs::RunId(uuid::Builder::from_random_bytes(bytes).into_uuid())
}
