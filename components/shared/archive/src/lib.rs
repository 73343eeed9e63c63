//! Moves attachments from Odoo to Storage.
//!
//! [`ARCHIVE`] is a job that does one batch per run: it continues reading Odoo's list, claims files, moves them and
//! records each outcome, within a time budget. If a batch is cut off, the next one continues: the promise is *at
//! least once, idempotent*. "Moved" means that the bytes sent have Odoo's SHA-1 and length and that Storage has
//! confirmed them.
//!
//! The decisions (`cursor`, `limiter`, [`plan`], [`verdict`]) are pure and separate from the I/O (`discovery`,
//! `sweep`, `transfer`, `batch`); `verify` and `dry_run` contain both.

mod batch;
mod cursor;
mod discovery;
mod dry_run;
mod limiter;
pub mod plan;
mod report;
mod request;
mod settings;
mod sweep;
mod transfer;
pub mod verdict;
mod verify;

pub use batch::{ARCHIVE, Archive};
pub use discovery::{found, found_all, note_unreadable};
pub use report::{Figures, Report};
pub use request::{Mode, Part, Request};
pub use settings::{Settings, read_selection};
pub use transfer::media_type;
