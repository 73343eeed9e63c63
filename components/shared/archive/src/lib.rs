//! Moves attachments from Odoo to Storage.
//!
//! [`begin`] takes a slot, and [`Batch::work`] does one batch: it reads on in Odoo's list, claims
//! files, moves them, records what became of each, and logs itself, all within a time budget. Whatever
//! cuts it off, the next batch goes on: the promise is *at least once, idempotent*, and "moved" means that
//! the SHA-1 and the length of the bytes sent are Odoo's and that the Storage has confirmed them.
//!
//! The decisions (`cursor`, `pace`, [`plan`], [`verdict`]) are pure and apart from the work
//! (`discovery`, `sweep`, `transfer`, `batch`; `verify` and `census` have both).

mod batch;
mod census;
mod cursor;
mod discovery;
mod pace;
pub mod plan;
mod report;
mod request;
mod settings;
mod sweep;
mod transfer;
pub mod verdict;
mod verify;

pub use batch::{Batch, Beginning, begin};
pub use discovery::{found, note_unreadable};
pub use job::{Environment, RequestError, Status};
pub use report::Report;
pub use request::{Mode, Part, Request};
pub use settings::Settings;

/// This job's name in the ledger.
pub const JOB: &str = "archive-batch";
