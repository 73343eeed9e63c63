//! One run, from slot to log.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use fault::{Fault, Kind};
use job::{Environment, Status};
use ledger::Postgres;
use ledger::runs::{self, Begin, Begun, End, Log};
use ledger::sync::Writer;
use odoo::{Known, Odoo};
use outbound::{Clock, Http};
use serde_json::json;
use uuid::Uuid;

use crate::comparison::Comparison;
use crate::source::Source;
use crate::subject::{Pen, Stop, Subject};
use crate::{Entity, Job, Mode, Report, Request, Settings, Shape};

/// A run that has its slot.
pub struct Run<H, C, P> {
    job: &'static Job,
    environment: Environment<H, C, P>,
    settings: Result<Settings, Fault>,
    request: Request,
    id: Uuid,
    begun: Begun,
    started: Duration,
}

/// Whether a run could begin.
pub enum Beginning<H, C, P> {
    /// It could.
    Begun(Box<Run<H, C, P>>),
    /// It could not: another is at work, the job is paused, or the ledger cannot be reached.
    Not(Box<Report>),
}

/// Begins a run: quick, one statement. Settings that are unusable do not keep it from beginning, since
/// that is how their fault gets into the log.
pub async fn begin<H: Http, C: Clock, P: Postgres>(
    job: &'static Job,
    environment: Environment<H, C, P>,
    settings: Result<Settings, Fault>,
    request: Request,
    run_id: Uuid,
) -> Beginning<H, C, P> {
    let started = environment.clock.now();
    let wanted = Begin {
        run_id,
        job: job.name,
        mode: request.mode.name(),
        lease_s: settings.clone().unwrap_or_default().lease_s(),
        slots: 1,
    };
    let mut report = Report {
        run_id,
        mode: request.mode.name(),
        ..Report::default()
    };
    match runs::begin(&environment.postgres, &wanted).await {
        Ok(begun) if begun.begun => {
            return Beginning::Begun(Box::new(Run {
                job,
                environment,
                settings,
                request,
                id: run_id,
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
        }
        Err(fault) => report.stopped_by(&fault),
    }
    Beginning::Not(Box::new(report))
}

impl<H: Http, C: Clock, P: Postgres> Run<H, C, P> {
    /// Works until nothing is left or the time is up, and logs what came of it. `known` is what an
    /// earlier run learned of Odoo; it is brought up to date.
    pub async fn work(self, known: &mut Known) -> Report {
        let mut report = Report {
            run_id: self.id,
            mode: self.request.mode.name(),
            ..Report::default()
        };
        if let Err(fault) = self.try_work(known, &mut report).await {
            report.stopped_by(&fault);
        }
        let elapsed = self.environment.clock.now().saturating_sub(self.started);
        report.elapsed_s = (elapsed.as_secs_f64() * 10.0).round() / 10.0;
        match self.environment.end(&self.end(&report)).await {
            Ok(ended) if !ended.alive => report.stopped_by(&Fault::new(
                Kind::OutOfTime,
                "this run was silent for longer than its lease and was given up: is Odoo or Postgres very slow?",
            )),
            Ok(_) => {}
            Err(fault) => report.stopped_by(&fault),
        }
        report
    }

    async fn try_work(&self, known: &mut Known, report: &mut Report) -> Result<(), Fault> {
        let Environment {
            http,
            clock,
            postgres,
        } = &self.environment;
        let settings = self.settings.as_ref().map_err(Fault::clone)?;
        let odoo = Odoo::new(http, clock, settings.odoo.clone(), std::mem::take(known))?;
        let course = Course {
            source: Source::new(&odoo, &clock, self.started + settings.batch),
            pen: Pen {
                postgres,
                writer: Writer {
                    run_id: self.id,
                    lease_s: settings.lease_s(),
                },
                dry: self.request.mode == Mode::DryRun,
                moved: Cell::new(false),
            },
            settings,
            request: &self.request,
            step_ends: Cell::default(),
        };
        let worked = match odoo.connect().await {
            Ok(_) => course.run(self.job, &self.begun, report).await,
            Err(fault) => Err(fault),
        };
        *known = odoo.known();
        report.odoo_calls = odoo.calls();
        worked
    }

    fn end(&self, report: &Report) -> End {
        let written = report.written;
        let counts = json!({
            "read": report.read, "inserted": written.inserted, "updated": written.updated,
            "unchanged": written.unchanged, "deleted": written.deleted, "lag_s": report.lag_s,
            "odoo_calls": report.odoo_calls, "entities": report.entities, "unfinished": report.unfinished,
            "as_of": report.as_of, "only": self.request.entities,
        });
        let outcome = if report.status == Status::Error {
            "error"
        } else {
            "success"
        };
        let dry = self.request.mode == Mode::DryRun;
        let log = report.worth_a_row().then(|| Log {
            migrated: if dry {
                0
            } else {
                u32::try_from(report.changed()).unwrap_or(u32::MAX)
            },
            failed: u32::try_from(report.errors.len()).unwrap_or(u32::MAX),
            elapsed_s: report.elapsed_s,
            errors: report.errors.clone(),
            status: outcome,
            detail: json!({
                "mode": report.mode, "entities": report.entities, "unfinished": report.unfinished,
            }),
            ..Log::default()
        });
        End {
            run_id: self.id,
            outcome,
            counts,
            fault: report.fault.clone(),
            log,
        }
    }
}

/// The work of a run.
pub(crate) struct Course<'a, H, C, P> {
    pub source: Source<'a, H, C>,
    pub pen: Pen<'a, P>,
    pub settings: &'a Settings,
    pub request: &'a Request,
    /// When the step under way has to end.
    pub step_ends: Cell<Duration>,
}

impl<H: Http, C: Clock, P> Course<'_, H, C, P> {
    /// Whether this step has to begin nothing more. A step that got nothing forward yet goes on: where
    /// Odoo takes as long for the questions before the first page as a run has time, no run would get
    /// any further.
    pub(crate) fn out_of_time(&self) -> bool {
        self.pen.moved.get() && self.source.now() >= self.step_ends.get()
    }

    /// Gives a step its time: all there is, or half of that if there is work for the steps after it.
    /// Otherwise much that changes would keep a full reading from ever coming to its end.
    fn begin_step(&self, step: Step, subjects: &[Subject]) {
        let left = self.source.left();
        let others = |subject: &Subject| match step {
            Step::Changes => {
                subject.position.full.is_some() || subject.position.comparison.is_some()
            }
            Step::All | Step::Waiting | Step::Attachments => subject.position.comparison.is_some(),
            Step::Compare => false,
        };
        let share = if subjects.iter().any(others) {
            left / 2
        } else {
            left
        };
        self.step_ends.set(self.source.now() + share);
        self.pen.moved.set(false);
    }
}

/// The steps of a run. Each is done for all entities before the next: what is new comes before what
/// takes long.
#[derive(Clone, Copy)]
enum Step {
    Changes,
    All,
    Waiting,
    Attachments,
    Compare,
}

impl<H: Http, C: Clock, P: Postgres> Course<'_, H, C, P> {
    async fn run(&self, job: &Job, begun: &Begun, report: &mut Report) -> Result<(), Fault> {
        let mut subjects = Vec::new();
        let worked = match self.steps(job, begun, &mut subjects, report).await {
            Ok(()) => self.save(&subjects).await,
            stopped => stopped,
        };
        // What was not asked for, or only counted, is no newer than it was.
        let names = job.entities.iter().map(|entity| (entity.name, None));
        report.as_of = names.collect();
        for subject in subjects.iter().filter(|_| !self.pen.dry) {
            report
                .as_of
                .insert(subject.entity.name, subject.as_of(self.pen.writer.run_id));
        }
        for subject in subjects {
            if subject.unfinished() && !self.pen.dry {
                report.unfinished.push(subject.entity.name);
            }
            let mut copied = subject.copied;
            copied.lag_s = subject
                .position
                .written
                .zip(subject.newest)
                .map(|(written, newest)| (newest - written).num_seconds().max(0));
            report.add(subject.entity.name, copied);
        }
        match worked {
            Err(Stop::Fault(fault)) => Err(fault),
            // The end of the run finds the same, and says so.
            Err(Stop::GivenUp) | Ok(()) => Ok(()),
        }
    }

    async fn steps(
        &self,
        job: &Job,
        begun: &Begun,
        subjects: &mut Vec<Subject>,
        report: &mut Report,
    ) -> Result<(), Stop> {
        for entity in job.entities {
            if !self.request.asks_for(entity) {
                continue;
            }
            let subject = |fields| {
                let shape = Shape::of(entity, &fields);
                Subject::new(entity, job.name, shape, &begun.cursors, self.settings)
            };
            match self.source.fields(entity.model).await {
                Ok(fields) => {
                    let mut subject = subject(fields);
                    self.prepare(&mut subject);
                    subjects.push(subject);
                }
                Err(fault) if may_be_left_out(entity, &fault) => {
                    let mut subject = subject(BTreeMap::new());
                    subject.forbid();
                    subjects.push(subject);
                }
                Err(fault) => tell(entity, fault.into(), report)?,
            }
        }
        // Who was left out by the last run comes first: otherwise one entity with much that changes
        // would keep those after it from ever having their turn.
        subjects.sort_by_key(|subject| !subject.position.was_left_out());
        for step in [
            Step::Changes,
            Step::All,
            Step::Waiting,
            Step::Attachments,
            Step::Compare,
        ] {
            self.begin_step(step, subjects);
            for subject in subjects.iter_mut().filter(|subject| !subject.failed) {
                self.source.turn_page(subject.entity);
                let done = match step {
                    Step::Changes if self.reads_changes(job, subject) => {
                        self.read_changes(subject).await
                    }
                    Step::Changes => Ok(()),
                    Step::All => self.read_all(subject).await,
                    Step::Waiting => self.read_waiting(subject).await,
                    Step::Attachments => self.catalogue_attachments(subject).await,
                    Step::Compare if self.pen.dry => Ok(()),
                    Step::Compare => self.compare(subject).await,
                };
                match done {
                    Ok(()) => {}
                    Err(Stop::Fault(fault)) if may_be_left_out(subject.entity, &fault) => {
                        subject.forbid();
                    }
                    Err(stop) => {
                        subject.failed = true;
                        tell(subject.entity, stop, report)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What is left of positions to be written, all at once.
    async fn save(&self, subjects: &[Subject]) -> Result<(), Stop> {
        let mut cursors = Vec::new();
        for subject in subjects {
            cursors.extend(subject.unsaved()?);
        }
        self.pen.save(&cursors).await
    }

    /// What is asked for, beside what is under way.
    fn prepare(&self, subject: &mut Subject) {
        let position = &mut subject.position;
        let mends = matches!(self.request.mode, Mode::Full | Mode::Missing);
        position.confirmed |= mends && self.request.confirm_deletes;
        match self.request.mode {
            Mode::Incremental | Mode::DryRun => {}
            Mode::Full => position.ask_for_full(),
            Mode::Missing | Mode::Validate => {
                let heal = self.request.mode == Mode::Missing;
                let under_way = position.comparison.as_ref();
                // One that only looks does not mend what it has passed already.
                if under_way.is_none_or(|under_way| heal && !under_way.heal) {
                    position.comparison = Some(Comparison::new(heal));
                }
            }
        }
    }

    /// A comparison alone reads no rows, but there has to be something to compare with.
    fn reads_changes(&self, job: &Job, subject: &Subject) -> bool {
        !matches!(self.request.mode, Mode::Missing | Mode::Validate)
            || (self.request.mode == Mode::Missing && job.missing_reads_changes)
            || subject.position.written.is_none()
    }
}

/// A fault at one entity is told, and the others go on; one that would meet them all ends the run.
fn tell(entity: &Entity, stop: Stop, report: &mut Report) -> Result<(), Stop> {
    match stop {
        Stop::Fault(fault) if concerns_one(&fault) => {
            report.stopped_by(&fault.at(entity.name));
            Ok(())
        }
        Stop::Fault(fault) => Err(fault.at(entity.name).into()),
        Stop::GivenUp => Err(stop),
    }
}

/// Whether what the user may not read is no fault.
fn may_be_left_out(entity: &Entity, fault: &Fault) -> bool {
    entity.optional() && fault.kind() == Kind::SourceForbidden
}

fn concerns_one(fault: &Fault) -> bool {
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
