//! The lifecycle of a run, the same for every job: slot, lease, work, report, log.
//!
//! A [`Job`] defines what differs between jobs and has one method that works. [`begin`] takes a slot in one
//! statement; [`Run::work`] works within the lease, ends the run and logs it. `pg_cron` and the dashboard
//! call every job in the same way and get the same kind of answer.

mod identity;
mod job;
mod lifecycle;
mod logging;
mod report;
mod request;

pub use identity::{belongs_here, bucket_belongs_here, tell_rights};
pub use job::{Job, Plan};
pub use lifecycle::{Environment, Run, begin};
pub use logging::{Level, LoggedWarnings, Logging};
pub use report::{Figures, Report, Status};
pub use request::{Keys, RequestError};
