//! The thin Spin shell: outbound HTTP with timeouts, Postgres, variables, clock, answers.
//!
//! This is the only crate that knows Spin. The libraries see it through their own small traits, so
//! everything else compiles and is tested natively.

mod answer;
mod clock;
mod door;
mod job;
mod outbound_http;
mod postgres;
mod settings;

pub use answer::{Answer, blame_status, document, json as plain_json, unless_known};
pub use clock::SpinClock;
pub use door::{Door, MAX_BODY_BYTES, Use};
pub use job::{Copies, Job, serve};
pub use outbound_http::SpinHttp;
pub use postgres::SpinPostgres;
pub use settings::{
    DatabaseSettings, Variables, access_policy, archive_settings, chatter_settings, crm_settings,
    odoo_settings, storage_settings,
};

/// Goes on with work after the answer is out. Nothing bounds it but the host's request timeout, and
/// a host that stops drops it at once (seen on Spin 4.1): what it does must stand being cut off.
pub fn spawn(work: impl Future<Output = ()> + 'static) {
    spin_sdk::wasip3::spawn(work);
}

/// A new id for a run.
pub fn new_id() -> uuid::Uuid {
    let bytes = spin_sdk::wasip3::random::random::get_random_bytes(16);
    let bytes = <[u8; 16]>::try_from(bytes.as_slice()).unwrap_or_default();
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
