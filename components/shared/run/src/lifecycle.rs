//! The lifecycle of a run: slot, lease, work, report, log.

use std::collections::BTreeMap;
use std::time::Duration;

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::check::{self, Check};
use ledger::identity::Identity;
use ledger::runs::RunId;
use ledger::runs::{self, Begin, Begun, End, Ended, Log};
use odoo::Known;
use outbound::{Clock, Http};
use serde_json::Value;

use crate::{Figures, Job, Report, Status};

/// The external services of a run.
#[derive(Debug)]
pub struct Environment<H, C, P> {
    /// Outbound HTTP.
    pub http: H,
    /// Time.
    pub clock: C,
    /// Postgres.
    pub postgres: P,
}

/// A run that has its slot.
pub struct Run<J: Job, H, C, P> {
    job: &'static J,
    settings: Result<J::Settings, Fault>,
    mode: &'static str,
    begun: Begun,
    /// The external services.
    pub environment: Environment<H, C, P>,
    /// The caller's request.
    pub request: J::Request,
    /// The run's id in the ledger.
    pub id: RunId,
    /// When it began.
    pub started: Duration,
}

/// Begins a run with one quick statement. Returns a report instead if another run is at work, the job is
/// paused, or the ledger is unreachable.
pub async fn begin<J: Job, H: Http, C: Clock, P: Postgres>(
    job: &'static J,
    environment: Environment<H, C, P>,
    settings: Result<J::Settings, Fault>,
    request: J::Request,
    run_id: RunId,
) -> Result<Run<J, H, C, P>, Report<J::Figures>> {
    let started = environment.clock.now();
    let plan = job.plan(&request, settings.as_ref().ok());
    let wanted = Begin {
        run_id,
        job: job.name(),
        mode: plan.mode,
        lease_s: plan.lease_s,
        slots: plan.slots,
    };
    let mut report: Report<J::Figures> = Report::new(run_id, plan.mode);
    match runs::begin(&environment.postgres, &wanted).await {
        Ok(begun) if begun.begun => {
            return Ok(Run {
                job,
                settings,
                mode: plan.mode,
                begun,
                environment,
                request,
                id: run_id,
                started,
            });
        }
        Ok(begun) => {
            report.status = if begun.paused {
                Status::Paused
            } else {
                Status::Running
            };
            report.figures.remaining(begun.remaining);
        }
        Err(fault) => report.stopped_by(&fault),
    }
    Err(report)
}

impl<J: Job, H: Http, C: Clock, P: Postgres> Run<J, H, C, P> {
    /// The position that an earlier run stored under this name.
    pub fn cursor(&self, name: &str) -> Option<&Value> {
        self.begun.cursors.get(name)
    }

    /// All cursors of this job, by name.
    pub fn cursors(&self) -> &BTreeMap<String, Value> {
        &self.begun.cursors
    }

    /// The Odoo and the bucket that the tables belong to, by side.
    pub fn identities(&self) -> &BTreeMap<String, Identity> {
        &self.begun.identities
    }

    /// The final check that is running, if this job takes part in it.
    pub fn check(&self) -> Option<Check> {
        self.begun.check
    }

    /// Maximum age in days of the last comparison of contents.
    pub fn compare_days(&self) -> Option<f64> {
        self.begun.compare_days
    }

    /// Whether objects wait to be deleted from the bucket because their records were erased.
    pub fn erases(&self) -> bool {
        self.begun.erases
    }

    /// The largest share of a table that may be marked as deleted at once.
    pub fn most_deleted_share(&self) -> Option<f64> {
        self.begun.most_deleted_share
    }

    /// Works, ends the run and logs it. `known` caches what earlier runs learned of Odoo, and is updated.
    pub async fn work(self, known: &mut Known) -> Report<J::Figures> {
        let mut report: Report<J::Figures> = Report::new(self.id, self.mode);
        let worked = match &self.settings {
            Ok(settings) => self.job.work(&self, settings, known, &mut report).await,
            Err(fault) => Err(fault.clone()),
        };
        if let Err(fault) = worked {
            report.stopped_by(&fault);
        }
        let elapsed = self.environment.clock.now().saturating_sub(self.started);
        report.elapsed_s = (elapsed.as_secs_f64() * 10.0).round() / 10.0;
        match self.end(&report).await {
            Ok(ended) => {
                report.figures.remaining(ended.remaining);
                if !ended.alive {
                    report.stopped_by(&Fault::new(Kind::OutOfTime, J::LEASE_LOST));
                }
            }
            Err(fault) => report.stopped_by(&fault),
        }
        if self.begun.check.is_some()
            && let Err(fault) = check::conclude(&self.environment.postgres).await
        {
            report.stopped_by(&fault);
        }
        report
    }

    /// Ends the run and logs it. While Postgres is unreachable or busy it tries three times, a second apart:
    /// Postgres may be restarting, and without this row nobody hears of the run. Ending twice is harmless.
    async fn end(&self, report: &Report<J::Figures>) -> Result<Ended, Fault> {
        const TRIES: u32 = 3;
        let end = End {
            run_id: self.id,
            outcome: report.outcome(),
            counts: J::Figures::counts(report),
            fault: report.fault.clone(),
            log: J::Figures::log(report).map(|log| Log {
                elapsed_s: report.elapsed_s,
                errors: report.errors.clone(),
                status: report.outcome(),
                ..log
            }),
        };
        for _ in 1..TRIES {
            match runs::end(&self.environment.postgres, &end).await {
                Err(fault)
                    if matches!(fault.kind(), Kind::LedgerUnreachable | Kind::LedgerBusy) =>
                {
                    self.environment.clock.sleep(Duration::from_secs(1)).await;
                }
                other => return other,
            }
        }
        runs::end(&self.environment.postgres, &end).await
    }
}
