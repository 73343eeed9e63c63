//! The whole program on one machine: a database, the simulated Odoo and Storage, and the app with
//! its compiled components, put together for tests, the demo and the benchmarks.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use stage::Stage;
//! use world::odoo::{self, Attachments};
//!
//! let odoo = odoo::Options { attachments: Attachments::of(100), ..odoo::Options::default() };
//! let stage = Stage::builder().odoo(odoo).variable("archive_batch_seconds", "5").start().await?;
//! let answer = stage.post("/archive-batch", "{}").await?;
//! assert_eq!(answer.json()["migrated"], 100);
//! # Ok(()) }
//! ```

mod app;
mod caller;
mod components;
mod secrecy;
mod server;
mod spin;
mod tokens;
mod variables;
mod waiting;
pub mod wire;

pub use app::{Builder, Stage};
pub use caller::{Answer, Caller};
pub use components::{build_components, root};
pub use secrecy::Watch;
pub use server::{Host, Limits, Server};
pub use spin::{Spin, SpinFound, find_spin};
pub use tokens::{ISSUER, JWT_SECRET, signed_token, token_of};
pub use variables::{Variables, of_database, of_odoo, of_storage};
pub use waiting::until;

/// The service key that the app accepts by its variable.
pub const SERVICE_KEY: &str = "stage-service-key-c2f7a1-of-at-least-32";
