//! One batch, from slot to log.

mod breaker;
mod duplicates;
mod failures;
mod password;
mod pipeline;

use std::time::Duration;

use fault::{Fault, Kind};
use job::{Environment, Status};
use ledger::runs::{self, Begin, Begun, End, Log};
use ledger::{Postgres, attachments};
use odoo::{Known, Odoo};
use outbound::{Clock, Http};
use serde_json::json;
use storage::Storage;
use uuid::Uuid;

use crate::census::census;
use crate::discovery::{self, Discovery};
use crate::sweep::{self, Sweep};
use crate::verify::{self, Verification};
use crate::{JOB, Mode, Report, Request, Settings};
use pipeline::Pipeline;

/// A batch that has its slot.
pub struct Batch<H, C, P> {
    environment: Environment<H, C, P>,
    settings: Result<Settings, Fault>,
    request: Request,
    run_id: Uuid,
    begun: Begun,
    started: Duration,
}

/// Whether a batch could begin.
pub enum Beginning<H, C, P> {
    /// It could.
    Begun(Box<Batch<H, C, P>>),
    /// It could not: another is at work, the job is paused, or the ledger cannot be reached.
    Not(Box<Report>),
}

/// Begins a batch: quick, one statement. Settings that are unusable do not keep it from beginning,
/// since that is how their fault gets into the log.
pub async fn begin<H: Http, C: Clock, P: Postgres>(
    environment: Environment<H, C, P>,
    settings: Result<Settings, Fault>,
    request: Request,
    run_id: Uuid,
) -> Beginning<H, C, P> {
    let started = environment.clock.now();
    let bounds = settings.clone().unwrap_or_default();
    let wanted = Begin {
        run_id,
        job: JOB,
        mode: request.mode.name(),
        lease_s: bounds.lease_s,
        slots: bounds.parallel_runs,
    };
    let mut report = Report {
        run_id,
        ..Report::default()
    };
    match runs::begin(&environment.postgres, &wanted).await {
        Ok(begun) if begun.begun => {
            return Beginning::Begun(Box::new(Batch {
                environment,
                settings,
                request,
                run_id,
                begun,
                started,
            }));
        }
        Ok(begun) => {
            report.status = if begun.paused {
                Status::Paused
            } else {
                Status::Running
            };
            report.remaining = Some(begun.remaining);
        }
        Err(fault) => report.stopped_by(&fault),
    }
    Beginning::Not(Box::new(report))
}

impl<H: Http, C: Clock, P: Postgres> Batch<H, C, P> {
    /// Works until nothing is left or the time is up, and logs what came of it. `known` is what an
    /// earlier batch learned of Odoo; it is brought up to date.
    pub async fn work(self, known: &mut Known) -> Report {
        let mut report = Report {
            run_id: self.run_id,
            ..Report::default()
        };
        if let Err(fault) = self.try_work(known, &mut report).await {
            report.stopped_by(&fault);
        }
        let elapsed = self.environment.clock.now().saturating_sub(self.started);
        report.elapsed_s = (elapsed.as_secs_f64() * 10.0).round() / 10.0;
        match self.environment.end(&self.end(&report)).await {
            Ok(ended) => {
                report.remaining = Some(ended.remaining);
                if !ended.alive {
                    report.stopped_by(&Fault::new(
                        Kind::OutOfTime,
                        "this batch took longer than its lease and was given up; raise archive_lease_seconds",
                    ));
                }
            }
            Err(fault) => report.stopped_by(&fault),
        }
        report
    }

    async fn try_work(&self, known: &mut Known, report: &mut Report) -> Result<(), Fault> {
        let Environment { http, clock, .. } = &self.environment;
        let settings = self.settings.as_ref().map_err(Fault::clone)?;
        let odoo = Odoo::new(http, clock, settings.odoo.clone(), std::mem::take(known))?;
        let storage = Storage::new(http, settings.storage.clone())?;
        // Both sides are tried before any file is touched: what is wrong with a setting costs no file
        // an attempt.
        let (connected, bucket) = futures::future::join(odoo.connect(), async {
            if self.request.mode.moves() || self.request.mode == Mode::Verify {
                storage.check_bucket().await
            } else {
                Ok(())
            }
        })
        .await;
        let worked = match connected.and(bucket) {
            Ok(()) => {
                self.by_mode(settings, &odoo, &storage, &clock, report)
                    .await
            }
            Err(fault) => Err(fault),
        };
        *known = odoo.known();
        report.odoo_calls = odoo.calls();
        report.storage_calls = storage.calls();
        worked
    }

    async fn by_mode<'a>(
        &'a self,
        settings: &Settings,
        odoo: &Odoo<&'a H, &'a C>,
        storage: &Storage<&'a H>,
        clock: &&'a C,
        report: &mut Report,
    ) -> Result<(), Fault> {
        let postgres = &self.environment.postgres;
        let until = self.started + settings.batch;
        let cursor = |name| self.begun.cursors.get(name);
        match self.request.mode {
            Mode::DryRun => {
                let after_id = self.request.after_id;
                report.census = Some(census(odoo, clock, settings, after_id, until).await?);
            }
            Mode::Verify => {
                let verification = Verification {
                    odoo,
                    storage,
                    postgres,
                    clock,
                    settings,
                    run_id: self.run_id,
                    request: &self.request,
                    until,
                };
                let verified = verification.run(cursor(verify::CURSOR)).await?;
                report.errors.clone_from(&verified.examples);
                report.errors.truncate(20);
                report.verified = Some(verified);
            }
            Mode::Migrate | Mode::Discover | Mode::RetryFailed => {
                if self.request.mode == Mode::RetryFailed {
                    attachments::revive(postgres, self.run_id).await?;
                }
                if self.request.mode.moves() && odoo.can_stream() {
                    password::take_up(postgres, clock, self.run_id, cursor(password::CURSOR))
                        .await?;
                }
                if let Some(ids) = &self.request.ids {
                    self.catalogue_named(ids, settings, odoo).await?;
                }
                let discovery = Discovery::resume(cursor(discovery::CURSOR));
                let sweep = Sweep::resume(cursor(sweep::CURSOR), &settings.selection);
                let mut pipeline =
                    Pipeline::new(odoo, storage, postgres, clock, settings, self.run_id);
                let worked = pipeline
                    .run(&self.request, discovery, sweep, self.started)
                    .await;
                pipeline.tell(report);
                worked?;
            }
        }
        Ok(())
    }

    /// Files that are asked for by name need not have been discovered yet.
    async fn catalogue_named(
        &self,
        ids: &[i64],
        settings: &Settings,
        odoo: &Odoo<&H, &C>,
    ) -> Result<(), Fault> {
        let postgres = &self.environment.postgres;
        let listed = odoo.attachments_by_id(ids).await?;
        discovery::note_unreadable(postgres, self.run_id, listed.unreadable).await?;
        let found: Vec<_> = listed
            .rows
            .into_iter()
            .map(|row| discovery::found(row, settings.max_file_bytes))
            .collect();
        attachments::catalogue(postgres, self.run_id, &found, None)
            .await
            .map(|_| ())
    }

    fn end(&self, report: &Report) -> End {
        let counts = json!({
            "moved": report.migrated, "failed": report.failed, "skipped": report.skipped,
            "bytes": report.bytes, "discovered": report.discovered, "deleted": report.deleted,
            "odoo_calls": report.odoo_calls, "storage_calls": report.storage_calls,
        });
        let outcome = if report.status == Status::Error {
            "error"
        } else {
            "success"
        };
        let log = report.worth_a_row().then(|| Log {
            migrated: report.migrated,
            failed: report.failed,
            skipped: report.skipped,
            bytes: report.bytes,
            elapsed_s: report.elapsed_s,
            errors: report.errors.clone(),
            status: outcome,
            detail: json!({
                "mode": self.request.mode.name(),
                "discovered": report.discovered,
                "deleted": report.deleted,
            }),
        });
        End {
            run_id: self.run_id,
            outcome,
            counts,
            fault: report.fault.clone(),
            log,
        }
    }
}
