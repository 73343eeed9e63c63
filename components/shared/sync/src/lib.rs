//! Keeps copies of Odoo's models in Postgres: complete, fresh and checked.
//!
//! A [`Job`] is a description: for each of its entities a run asks Odoo what may be read, reads what changed, goes on with a full reading where one is under
//! way, and compares both sides, all within a time budget. Whatever cuts it off, the next run goes on
//! where the ledger says: a page and the cursor behind it are one statement.
//!
//! The decisions ([`cursor`], [`comparison`], `shape`, `row`) are pure and apart from the work
//! (`reading`, `validation`, `run`). What differs from job to job is data: [`Entity`].

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
    /// What its variables begin with.
    pub variables: &'static str,
    /// Whether it copies the chatter of the models that a variable names, and catalogues its attachments.
    pub copies_chatter: bool,
    /// What it copies, in this order.
    pub entities: &'static [Entity<'static>],
    /// Whether a `missing` run reads what changed, too: so it is for a job that is called with it as a
    /// rule.
    pub missing_reads_changes: bool,
}
