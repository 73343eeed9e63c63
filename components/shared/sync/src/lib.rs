//! Keeps copies of Odoo's models in Postgres: complete, fresh and checked.
//!
//! A [`Job`] is a description. For each of its entities a run asks Odoo which fields are readable, reads changes,
//! continues a full reading if one is under way, and compares both sides, within a time budget. If a run is cut off,
//! the next one continues from the ledger: each page and the cursor behind it are written in one statement.
//!
//! The decisions ([`cursor`], [`comparison`], `shape`, `row`) are pure and separate from the I/O (`source`,
//! `reading`, `validation`, `work`). Jobs differ only in their data: [`Entity`].

mod attachments;
pub mod chatter;
mod checking;
mod comparison;
pub mod crm;
mod cursor;
mod dictionary;
mod entity;
mod entity_run;
mod fate;
pub mod html;
mod naming;
mod reading;
mod refining;
mod report;
mod request;
mod row;
mod settings;
mod shape;
mod source;
mod tail;
mod validation;
mod work;

pub use entity::{Entity, EntityOptions, Field, Index, Kind, Known, List, Refine, Scope};
pub use fate::Reason;
pub use report::{Copied, Figures, Report};
pub use request::{Mode, Request};
pub use settings::Settings;
pub use shape::Shape;

/// What one component copies.
#[derive(Debug)]
pub struct Job {
    /// Its name in the ledger.
    pub name: &'static str,
    /// The prefix of its variables.
    pub variables: &'static str,
    /// Whether it copies the chatter of the models named by a variable, and catalogues the attachments.
    pub copies_chatter: bool,
    /// The entities to copy, in this order.
    pub entities: &'static [Entity<'static>],
    /// Whether a `missing` run also reads changes: for a job whose schedule uses that mode.
    pub missing_reads_changes: bool,
}
