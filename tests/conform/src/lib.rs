//! The simulated world, held to the real one.
//!
//! `exchanges/` is one table: requests in words and as data, and what has to come back, each with where it was
//! seen. The tests run it against the simulated servers; the program `conform` runs it against real ones.

mod client;
mod conversation;
mod endpoint;
mod fixtures;
pub mod odoo;
mod pattern;
pub mod postgres;
mod report;
pub mod storage;
mod table;
pub mod way;

pub use fixtures::Fixtures;
pub use report::{Difference, Report};
pub use table::{Caller, Exchange, exchanges};

/// The servers that the table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// An Odoo, 14 to 19.
    Odoo,
    /// A Supabase Storage.
    Storage,
    /// Postgres with `pg_cron`, `pg_net` and the vault.
    Postgres,
}
