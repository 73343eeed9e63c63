//! The work of one batch.

mod breaker;
mod duplicates;
mod erasing;
mod failures;
mod pipeline;
mod waiting;

use fault::Fault;
use ledger::check::{self, Check};
use ledger::{Postgres, attachments};
use odoo::{Known, Odoo};
use outbound::{Clock, Http, Variables};
use run::{Environment, Job, Plan, RequestError, Run};
use storage::Storage;

use crate::discovery::{self, Discovery};
use crate::dry_run::dry_run;
use crate::report::Figures;
use crate::sweep::{self, Sweep};
use crate::verify::{self, Verification};
use crate::{Mode, Report, Request, Settings};
use pipeline::{Context, Pipeline};

/// The job that moves attachments, one batch per run.
#[derive(Debug)]
pub struct Archive;

/// The job of `archive-batch`.
pub static ARCHIVE: Archive = Archive;

impl Job for Archive {
    type Request = Request;
    type Settings = Settings;
    type Figures = Figures;

    const LEASE_LOST: &'static str =
        "this batch took longer than its lease and was given up; raise archive_lease_seconds";

    fn name(&self) -> &'static str {
        "archive-batch"
    }

    fn parse(&self, body: &[u8]) -> Result<Request, RequestError> {
        Request::parse(body)
    }

    async fn settings(&self, variables: &impl Variables) -> Result<Settings, Fault> {
        Settings::read(variables).await
    }

    fn plan(&self, request: &Request, settings: Option<&Settings>) -> Plan {
        let bounds = settings.cloned().unwrap_or_default();
        Plan {
            mode: request.mode.name(),
            lease_s: bounds.lease_s,
            slots: bounds.parallel_runs,
        }
    }

    async fn work<H: Http, C: Clock, P: Postgres>(
        &self,
        run: &Run<Self, H, C, P>,
        settings: &Settings,
        known: &mut Known,
        report: &mut Report,
    ) -> Result<(), Fault> {
        let Environment { http, clock, .. } = &run.environment;
        let mode = run.request.mode;
        let odoo = Odoo::new(http, clock, settings.odoo.clone(), std::mem::take(known))?;
        let storage = Storage::new(http, settings.storage.clone())?;
        report.figures.storage = Some(settings.storage.summary());
        // Try both sides before touching a file: a wrong setting costs no file an attempt.
        let (connected, bucket) = futures::future::join(odoo.connect(), async {
            if stores(mode) {
                storage.check_bucket().await.map(drop)
            } else {
                Ok(())
            }
        })
        .await;
        let batch = Batch {
            run,
            settings,
            odoo: &odoo,
            storage: &storage,
        };
        let here = match connected.and(bucket) {
            Ok(()) => batch.is_of_here().await,
            Err(fault) => Err(fault),
        };
        let worked = match here {
            Ok(()) => batch.work(report).await,
            Err(fault) => Err(fault),
        };
        let cleared = odoo.clear_access_tokens().await.map(drop);
        let worked = worked.and(cleared);
        *known = odoo.known();
        report.figures.odoo_calls = odoo.calls();
        report.figures.storage_calls = storage.calls();
        worked
    }
}

/// Whether a mode uses Storage.
fn stores(mode: Mode) -> bool {
    mode.moves() || mode == Mode::Verify
}

/// A batch whose two sides both answer.
struct Batch<'a, H, C, P> {
    run: &'a Run<Archive, H, C, P>,
    settings: &'a Settings,
    odoo: &'a Odoo<&'a H, &'a C>,
    storage: &'a Storage<&'a H>,
}

impl<H: Http, C: Clock, P: Postgres> Batch<'_, H, C, P> {
    /// Whether Odoo and the bucket are those that the catalogue belongs to.
    async fn is_of_here(&self) -> Result<(), Fault> {
        let (run, settings) = (self.run, self.settings);
        let (postgres, known) = (&run.environment.postgres, run.identities());
        let keeps = (run.request.mode != Mode::DryRun).then_some(run.id);
        run::belongs_here(self.odoo, postgres, known, keeps).await?;
        if !stores(run.request.mode) {
            return Ok(());
        }
        let bucket = (
            settings.storage.url.as_str(),
            settings.storage.bucket.as_str(),
        );
        run::bucket_belongs_here(bucket, postgres, known, keeps).await
    }

    /// The final check that this batch works for.
    fn check(&self) -> Option<Check> {
        let request = &self.run.request;
        let whole = request.mode == Mode::Migrate && request.ids.is_none();
        self.run.check().filter(|_| whole)
    }

    async fn work(&self, report: &mut Report) -> Result<(), Fault> {
        let Self {
            run,
            settings,
            odoo,
            ..
        } = self;
        let clock = &&run.environment.clock;
        let until = run.started + settings.batch;
        match run.request.mode {
            Mode::DryRun => {
                let after_id = run.request.after_id;
                let counted = dry_run(odoo, clock, settings, after_id, until).await?;
                report.figures.dry_run = Some(counted);
                Ok(())
            }
            Mode::Verify => {
                let verification = Verification {
                    odoo,
                    storage: self.storage,
                    postgres: &run.environment.postgres,
                    clock,
                    settings,
                    run_id: run.id,
                    request: &run.request,
                    until,
                    check: None,
                };
                let verified = verification.run(run.cursor(verify::CURSOR)).await?;
                for example in &verified.examples {
                    report.error(example);
                }
                report.figures.verified = Some(verified);
                Ok(())
            }
            Mode::Migrate | Mode::Discover | Mode::RetryFailed => self.migrate(report).await,
        }
    }

    async fn migrate(&self, report: &mut Report) -> Result<(), Fault> {
        let Self {
            run,
            settings,
            odoo,
            storage,
        } = *self;
        let Environment {
            clock, postgres, ..
        } = &run.environment;
        let mode = run.request.mode;
        if mode == Mode::RetryFailed {
            attachments::revive(postgres, run.id).await?;
        }
        if mode.moves() {
            // Erase before moving anything: what is moved again must stay.
            self.erase().await?;
            let position = run.cursor(waiting::CURSOR);
            let has_password = odoo.can_stream();
            waiting::take_up(postgres, clock, run.id, settings, has_password, position).await?;
        }
        if let Some(ids) = &run.request.ids {
            self.catalogue_named(ids).await?;
        }
        let mut discovery = Discovery::resume(run.cursor(discovery::CURSOR), settings.overlap);
        if let Some(check) = self.check() {
            if check::join(postgres, run.id, check, &["attachments"]).await? {
                run::tell_rights(odoo, postgres, run.id, check).await?;
            }
            discovery = discovery.at_once();
        }
        let sweep = Sweep::resume(run.cursor(sweep::CURSOR), &settings.selection);
        let context = Context {
            odoo,
            storage,
            postgres,
            clock: &clock,
            settings,
            run_id: run.id,
        };
        let readings = (discovery, sweep);
        Pipeline::new(&context, &run.request, readings, run.started, report)
            .run()
            .await?;
        self.verify_for_check().await
    }

    /// Does this job's part of a final check, after everything that can be moved was moved.
    async fn verify_for_check(&self) -> Result<(), Fault> {
        let run = self.run;
        let Some(check) = self.check() else {
            return Ok(());
        };
        let position = run.cursor(verify::CHECK_CURSOR);
        let clock = &&run.environment.clock;
        let until = run.started + self.settings.batch;
        let has_time = clock.now() < until || verify::is_under_way(check, position);
        if verify::is_done(check, position) || !has_time {
            return Ok(());
        }
        let verification = Verification {
            odoo: self.odoo,
            storage: self.storage,
            postgres: &run.environment.postgres,
            clock,
            settings: self.settings,
            run_id: run.id,
            request: &run.request,
            until,
            check: Some(check),
        };
        verification.run(position).await.map(|_| ())
    }

    /// Catalogues files requested by id, which may not be discovered yet.
    async fn catalogue_named(&self, ids: &[i64]) -> Result<(), Fault> {
        let (postgres, run_id) = (&self.run.environment.postgres, self.run.id);
        let listed = self.odoo.attachments_by_id(ids).await?;
        discovery::note_unreadable(postgres, run_id, listed.unreadable).await?;
        let found = discovery::found_all(self.odoo, listed.rows).await?;
        attachments::catalogue(postgres, run_id, &found, None)
            .await
            .map(|_| ())
    }
}
