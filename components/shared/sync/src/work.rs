//! The work of one run.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use fault::{Fault, Kind};
use ledger::check::{self, Check};
use ledger::sync::Lease;
use ledger::{Postgres, unreadable};
use odoo::{Known, Odoo};
use outbound::{Clock, Http, Variables};
use run::{Environment, Plan, RequestError, Run};
use serde_json::Value;

use crate::comparison::Comparison;
use crate::dictionary;
use crate::entity_run::{EntityRun, Gap, RowWriter, Standing, Stop};
use crate::report::Figures;
use crate::source::Source;
use crate::{Entity, Job, Mode, Report, Request, Settings, Shape};

impl run::Job for Job {
    type Request = Request;
    type Settings = Settings;
    type Figures = Figures;

    const LEASE_LOST: &'static str = "this run was silent for longer than its lease and was given up: is Odoo or Postgres very slow?";

    fn name(&self) -> &'static str {
        self.name
    }

    fn parse(&self, body: &[u8]) -> Result<Request, RequestError> {
        Request::parse(body, self)
    }

    async fn settings(&self, variables: &impl Variables) -> Result<Settings, Fault> {
        Settings::read(self, variables).await
    }

    fn plan(&self, request: &Request, settings: Option<&Settings>) -> Plan {
        Plan {
            mode: request.mode.name(),
            lease_s: settings.cloned().unwrap_or_default().lease_s(),
            slots: 1,
        }
    }

    async fn work<H: Http, C: Clock, P: Postgres>(
        &self,
        run: &Run<Self, H, C, P>,
        settings: &Settings,
        known: &mut Known,
        report: &mut Report,
    ) -> Result<(), Fault> {
        let Environment {
            http,
            clock,
            postgres,
        } = &run.environment;
        let request = &run.request;
        report.figures.only.clone_from(&request.entities);
        let models: Vec<Entity<'_>> = settings
            .records
            .iter()
            .map(|name| Entity::of_model(name))
            .collect();
        let entities: Vec<&Entity<'_>> = self.entities.iter().chain(&models).collect();
        request.check(&entities)?;
        let odoo = Odoo::new(http, clock, settings.odoo.clone(), std::mem::take(known))?;
        let context = RunContext {
            source: Source::new(&odoo, &clock, run.started + settings.batch),
            writer: RowWriter {
                postgres,
                lease: Lease {
                    run_id: run.id,
                    lease_s: settings.lease_s(),
                },
                dry: request.mode == Mode::DryRun,
                moved: Cell::new(false),
            },
            settings,
            entities: &entities,
            request,
            check: run.check().filter(|_| request.is_whole()),
            compare_days: run.compare_days(),
            most_deleted_share: run.most_deleted_share().unwrap_or(MOST_DELETED_SHARE),
            slices: request.mode == Mode::Missing && self.missing_reads_changes,
            step_ends: Cell::default(),
        };
        let keeps = (request.mode != Mode::DryRun).then_some(run.id);
        let worked = match odoo.connect().await {
            Ok(_) => match run::belongs_here(&odoo, postgres, run.identities(), keeps).await {
                Ok(()) => context.run(self, run.cursors(), report).await,
                Err(fault) => Err(fault),
            },
            Err(fault) => Err(fault),
        };
        *known = odoo.known();
        report.figures.odoo_calls = odoo.calls();
        worked
    }
}

/// The context of a run.
pub(crate) struct RunContext<'a, H, C, P> {
    pub source: Source<'a, H, C>,
    pub writer: RowWriter<'a, P>,
    pub settings: &'a Settings,
    /// The entities to copy, in this order.
    pub entities: &'a [&'a Entity<'a>],
    pub request: &'a Request,
    /// The final check that this run works for.
    pub check: Option<Check>,
    /// The greatest age, in days, of the last comparison of contents.
    pub compare_days: Option<f64>,
    /// The greatest share of a table that may be marked as deleted at once.
    pub most_deleted_share: f64,
    /// Whether a comparison is done in slices, so that the run has time for changes first.
    pub slices: bool,
    /// When the current step must end.
    pub step_ends: Cell<Duration>,
}

/// The default for the greatest share marked as deleted at once.
const MOST_DELETED_SHARE: f64 = 0.2;

impl<H: Http, C: Clock, P> RunContext<'_, H, C, P> {
    /// Whether this step must not begin anything more. A step without any progress goes on: otherwise no run would
    /// get further if Odoo's answers before the first page took all its time.
    pub(crate) fn out_of_time(&self) -> bool {
        self.writer.moved.get() && !self.is_in_time()
    }

    /// Whether there is time left for this step.
    pub(crate) fn is_in_time(&self) -> bool {
        self.source.now() < self.step_ends.get()
    }

    /// Gives a step all remaining time, or half of it if later steps have work: otherwise frequent changes would keep
    /// a full reading from ever finishing.
    fn begin_step(&self, step: Step, entity_runs: &[EntityRun<'_>]) {
        let left = self.source.left();
        let others = |entity_run: &EntityRun<'_>| match step {
            Step::Changes => {
                entity_run.position.full.is_some() || entity_run.position.comparison.is_some()
            }
            Step::All | Step::Waiting | Step::Attachments => {
                entity_run.position.comparison.is_some()
            }
            Step::Compare => false,
        };
        let share = if entity_runs.iter().any(others) {
            left / 2
        } else {
            left
        };
        self.step_ends.set(self.source.now() + share);
        self.writer.moved.set(false);
    }
}

/// The steps of a run. Each one is done for all entities before the next: changes come before long work.
#[derive(Clone, Copy)]
enum Step {
    Changes,
    All,
    Waiting,
    Attachments,
    Compare,
}

impl<'a, H: Http, C: Clock, P: Postgres> RunContext<'a, H, C, P> {
    async fn run(
        &self,
        job: &Job,
        cursors: &BTreeMap<String, Value>,
        report: &mut Report,
    ) -> Result<(), Fault> {
        if let Some(check) = self.check {
            let names: Vec<&str> = self.entities.iter().map(|entity| entity.name).collect();
            let (postgres, run_id) = (self.writer.postgres, self.writer.lease.run_id);
            if check::join(postgres, run_id, check, &names).await? {
                run::tell_rights(self.source.odoo, postgres, run_id, check).await?;
            }
        }
        let mut entity_runs = Vec::new();
        let worked = match self.steps(job, cursors, &mut entity_runs, report).await {
            Ok(()) => self.save(&entity_runs).await,
            stopped => stopped,
        };
        // Entities that were not requested, or only counted, are no fresher than before.
        let names = self.entities.iter();
        let names = names.map(|entity| (entity.name.to_owned(), None));
        let figures = &mut report.figures;
        figures.as_of = names.collect();
        for entity_run in entity_runs.iter().filter(|_| !self.writer.dry) {
            let as_of = entity_run.as_of(self.writer.lease.run_id);
            figures
                .as_of
                .insert(entity_run.entity.name.to_owned(), as_of);
        }
        for entity_run in entity_runs {
            if entity_run.unfinished() && !self.writer.dry {
                figures.unfinished.push(entity_run.entity.name.to_owned());
            }
            let mut copied = entity_run.copied;
            copied.lag_s = entity_run
                .position
                .written
                .zip(entity_run.newest)
                .map(|(written, newest)| (newest - written).num_seconds().max(0));
            figures.add(entity_run.entity.name, copied);
        }
        match worked {
            Err(Stop::Fault(fault)) => Err(fault),
            // The end of the run notices this too, and reports it.
            Err(Stop::GivenUp) | Ok(()) => Ok(()),
        }
    }

    async fn steps(
        &self,
        job: &Job,
        cursors: &BTreeMap<String, Value>,
        entity_runs: &mut Vec<EntityRun<'a>>,
        report: &mut Report,
    ) -> Result<(), Stop> {
        if job.copies_chatter && self.request.mode != Mode::Incremental {
            self.ask_for_models(report).await?;
        }
        for entity in self.entities.iter().copied() {
            if !self.request.asks_for(entity) {
                continue;
            }
            let entity_run = |fields| {
                let shape = Shape::of(entity, &fields);
                let described = dictionary::fields(entity, &shape, &fields);
                let mut entity_run =
                    EntityRun::new(entity, job.name, shape, cursors, self.settings);
                entity_run.described = described;
                entity_run
            };
            let language = &self.settings.language;
            match self.source.fields(entity.model, language).await {
                Ok(fields) => {
                    let mut entity_run = entity_run(fields);
                    self.prepare(&mut entity_run);
                    if entity_run.frozen_anew && self.writes() {
                        let (model, frozen) = (entity.model, &entity_run.position.frozen);
                        let run_id = self.writer.lease.run_id;
                        unreadable::note_frozen(self.writer.postgres, run_id, model, frozen)
                            .await?;
                    }
                    entity_runs.push(entity_run);
                }
                Err(fault) => match gap(entity, &fault).or_else(|| absence(entity, &fault)) {
                    Some(gap) => {
                        let mut entity_run = entity_run(BTreeMap::new());
                        entity_run.leave_out(gap);
                        entity_runs.push(entity_run);
                    }
                    None => tell(entity, fault.into(), report)?,
                },
            }
        }
        // Entities that got no time in the last run come first: otherwise one entity with many changes could starve
        // those after it.
        entity_runs.sort_by_key(|entity_run| !entity_run.position.was_left_out());
        for step in [
            Step::Changes,
            Step::All,
            Step::Waiting,
            Step::Attachments,
            Step::Compare,
        ] {
            self.begin_step(step, entity_runs);
            let active = |entity_run: &&mut EntityRun<'a>| entity_run.standing == Standing::Active;
            for entity_run in entity_runs.iter_mut().filter(active) {
                self.source.turn_page(entity_run.entity);
                let done = match step {
                    Step::Changes | Step::All | Step::Waiting | Step::Attachments
                        if self.request.mode == Mode::Validate =>
                    {
                        Ok(())
                    }
                    Step::Changes if self.reads_changes(job, entity_run) => {
                        self.read_changes(entity_run).await
                    }
                    Step::Changes => Ok(()),
                    Step::All => self.read_all(entity_run).await,
                    Step::Waiting => self.read_waiting(entity_run).await,
                    Step::Attachments => self.catalogue_attachments(entity_run).await,
                    Step::Compare if self.writer.dry => Ok(()),
                    Step::Compare => self.compare(entity_run).await,
                };
                let Err(stop) = done else { continue };
                let gap = match &stop {
                    Stop::Fault(fault) => gap(entity_run.entity, fault),
                    Stop::GivenUp => None,
                };
                if let Some(gap) = gap {
                    entity_run.leave_out(gap);
                } else {
                    entity_run.standing = Standing::Failed;
                    tell(entity_run.entity, stop, report)?;
                }
            }
        }
        for entity_run in entity_runs.iter() {
            self.tell_left_out(entity_run).await?;
        }
        if self.writes() {
            self.write_dictionary(entity_runs).await?;
            // Only one job asks for names, so that they are in one language and asked for once.
            if !job.copies_chatter {
                self.name_the_rest().await?;
            }
        }
        Ok(())
    }

    /// Checks that the models whose messages are copied exist and are readable: for any other model Odoo lists no
    /// messages, which would look like a complete copy.
    async fn ask_for_models(&self, report: &mut Report) -> Result<(), Fault> {
        for model in &self.settings.models {
            let Err(fault) = self.source.may_read(model).await else {
                continue;
            };
            let said = fault.message();
            let named = match fault.kind() {
                Kind::SourceForbidden => Fault::told(
                    Kind::SourceForbidden,
                    format!(
                        "chatter_models names {model}, which the Odoo user may not read: {said}"
                    ),
                ),
                _ if is_absent(model, &fault) => Fault::told(
                    Kind::Setting,
                    format!("chatter_models names {model}, which this Odoo does not have: {said}"),
                ),
                _ => return Err(fault),
            };
            report.stopped_by(&named);
        }
        Ok(())
    }

    /// Whether this mode writes records.
    fn writes(&self) -> bool {
        !matches!(self.request.mode, Mode::DryRun | Mode::Validate)
    }

    /// Writes all unsaved cursors at once.
    async fn save(&self, entity_runs: &[EntityRun<'a>]) -> Result<(), Stop> {
        let mut cursors = Vec::new();
        for entity_run in entity_runs {
            cursors.extend(entity_run.unsaved()?);
        }
        self.writer.save(&cursors).await
    }

    /// Adds what this request asks for to what is under way.
    fn prepare(&self, entity_run: &mut EntityRun<'_>) {
        let now = self.source.today();
        let position = &mut entity_run.position;
        if let Some(check) = self.check {
            position.take_part(check.id);
        }
        let mends = matches!(self.request.mode, Mode::Full | Mode::Missing);
        position.confirmed |= mends && self.request.confirm_deletes;
        match self.request.mode {
            Mode::DryRun => {}
            Mode::Full => position.ask_for_full(),
            // A final check compares by itself; apart from that, only changes are read.
            Mode::Incremental | Mode::Missing if self.check.is_some() => {}
            Mode::Incremental => self.compare_by_age(position, now),
            Mode::Missing => {
                self.compare_by_age(position, now);
                position
                    .comparison
                    .get_or_insert_with(|| Comparison::new(true));
            }
            Mode::Validate => {
                let looking = &mut position.looking;
                looking.get_or_insert_with(|| Comparison::new(false));
            }
        }
        position.begin_full(now);
    }

    /// A run that only compares reads no changes, unless there is nothing to compare with yet.
    fn reads_changes(&self, job: &Job, entity_run: &EntityRun<'_>) -> bool {
        self.request.mode != Mode::Missing
            || self.check.is_some()
            || (self.request.mode == Mode::Missing && job.missing_reads_changes)
            || entity_run.position.written.is_none()
    }
}

/// Reports a fault of one entity, and goes on with the others. A fault that would hit all of them ends the run.
fn tell(entity: &Entity<'_>, stop: Stop, report: &mut Report) -> Result<(), Stop> {
    match stop {
        Stop::Fault(fault) if concerns_one(&fault) => {
            report.stopped_by(&fault.at(entity.name));
            Ok(())
        }
        Stop::Fault(fault) => Err(fault.at(entity.name).into()),
        Stop::GivenUp => Err(stop),
    }
}

/// Why an entity is left out, if that is not a fault.
fn gap(entity: &Entity<'_>, fault: &Fault) -> Option<Gap> {
    (entity.optional() && fault.kind() == Kind::SourceForbidden).then_some(Gap::Forbidden)
}

/// The same for the question for its fields: the model may not exist.
fn absence(entity: &Entity<'_>, fault: &Fault) -> Option<Gap> {
    (entity.table.is_shared() && is_absent(entity.model, fault)).then_some(Gap::Absent)
}

/// Whether Odoo says that it has no such model. Its words are in the user's language, so check the type of the error
/// and that it names the model. A missing column is a different error.
fn is_absent(model: &str, fault: &Fault) -> bool {
    let said = fault.message();
    let of_a_model = match fault.kind() {
        Kind::SourceRefused => said.ends_with("(odoo.exceptions.UserError)"),
        Kind::SourceProtocol => said.contains("(HTTP 404)"),
        _ => false,
    };
    of_a_model && said.contains(model)
}

pub(crate) fn concerns_one(fault: &Fault) -> bool {
    matches!(
        fault.kind(),
        Kind::SourceForbidden
            | Kind::SourceRefused
            | Kind::SourceProtocol
            | Kind::SourceTimeout
            | Kind::SourceEmpty
            | Kind::LedgerFailed
            | Kind::Program
    )
}
