//! What all jobs share: how they are asked, what they stand on, how they end.
//!
//! `pg_cron` and the dashboard call every job alike, and read its answer alike; what is particular to
//! a job (its modes, its figures) is in the crate of that job.

mod request;

use std::time::Duration;

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::runs::{self, End, Ended};
use outbound::Clock;
use serde::Serialize;
use serde_json::{Value, json};

pub use request::{Keys, RequestError};

/// The world outside.
#[derive(Debug)]
pub struct Environment<H, C, P> {
    /// Outbound HTTP.
    pub http: H,
    /// Time.
    pub clock: C,
    /// Postgres.
    pub postgres: P,
}

impl<H, C: Clock, P: Postgres> Environment<H, C, P> {
    /// Ends a run and logs it. Tried three times, a second apart, while Postgres cannot be reached: it may
    /// just be starting anew, and this is how people hear of the run. Ending twice is ending once.
    pub async fn end(&self, end: &End) -> Result<Ended, Fault> {
        const TRIES: u32 = 3;
        for _ in 1..TRIES {
            match runs::end(&self.postgres, end).await {
                Err(fault) if fault.kind() == Kind::LedgerUnreachable => {
                    self.clock.sleep(Duration::from_secs(1)).await;
                }
                other => return other,
            }
        }
        runs::end(&self.postgres, end).await
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It did what there was to do, or what its time allowed.
    #[default]
    Success,
    /// A fault stopped it, or a part of it.
    Error,
    /// Another one is at work; nothing was changed.
    Running,
    /// A person has paused the job; nothing was changed.
    Paused,
}

/// A fault as it is answered and kept in the ledger: `kind`, `blame`, `message`.
pub fn told(fault: &Fault) -> Value {
    json!({ "kind": fault.kind(), "blame": fault.blame(), "message": fault.message() })
}
