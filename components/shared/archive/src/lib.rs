//! Moves attachments from Odoo to Storage.
//!
//! [`ARCHIVE`] is a job that does one batch a run: it reads on in Odoo's list, claims files, moves them and
//! records what became of each, all within a time budget. Whatever cuts it off, the next batch goes on: the promise is *at least once, idempotent*, and "moved" means that
//! the SHA-1 and the length of the bytes sent are Odoo's and that Storage has confirmed them.
//!
//! The decisions (`cursor`, `limiter`, [`plan`], [`verdict`]) are pure and apart from the work
//! (`discovery`, `sweep`, `transfer`, `batch`; `verify` and `dry_run` have both).

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
