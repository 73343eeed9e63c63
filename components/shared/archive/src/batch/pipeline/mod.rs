//! Lists, claims, fetches, uploads and records, all concurrently and within limits.
//!
//! One task, no threads: all work in flight is futures in one set, and each event decides what begins next. A batch
//! is [`Phase::Active`] until its time is up, then [`Phase::Draining`] until the work in flight has ended; a fault
//! that would hit every file makes it [`Phase::Aborted`]. Parallel uploads hide latency (measured on Spin 4.1, where
//! head and body of each left in two writes: 1 at a time gave 25 files/s, 16 gave 203 to 269).

mod claiming;
mod events;
mod fetching;
mod listing;
mod probing;
mod recording;
mod uploading;

use std::pin::pin;
use std::time::Duration;

use fault::{Fault, Kind};
use futures::channel::mpsc::unbounded;
use futures::future::{Either, LocalBoxFuture, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use ledger::Postgres;
use ledger::runs::RunId;
use odoo::Odoo;
use outbound::{Clock, Http};
use storage::Storage;

use crate::batch::failures::outcome;
use crate::discovery::Discovery;
use crate::sweep::Sweep;
use crate::transfer::LargeUpload;
use crate::{Report, Request, Settings};
use claiming::Claimer;
use events::{Arrivals, Event, next_event};
use fetching::Fetcher;
use listing::Listing;
use probing::takes_uploads;
use recording::Recorder;
use uploading::Uploader;

/// How often to check the clock while no work ends.
const TICK: Duration = Duration::from_millis(200);
/// How long work in flight may go on after the time is up; then it is released.
const GRACE: Duration = Duration::from_secs(8);
/// How many times a file or a call is tried within a batch while the other side is busy.
const BUSY_TRIES: u32 = 6;

/// What a batch works with.
pub(super) struct Context<'a, H, C, P> {
    pub(super) odoo: &'a Odoo<H, C>,
    pub(super) storage: &'a Storage<H>,
    pub(super) postgres: &'a P,
    pub(super) clock: &'a C,
    pub(super) settings: &'a Settings,
    pub(super) run_id: RunId,
}

/// The work in flight.
type Tasks<'a> = FuturesUnordered<LocalBoxFuture<'a, Event>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// New work begins.
    Active,
    /// Time is up: fetched files are uploaded, uploads confirmed, outcomes recorded.
    Draining,
    /// A fault would hit every file, the lease is lost, or the grace period is over: wait only for what would
    /// otherwise be lost.
    Aborted,
}

/// When a batch must end.
struct Deadlines {
    /// From here on, nothing new begins.
    soft: Duration,
    /// From here on, work in flight is released.
    hard: Duration,
}

impl Deadlines {
    fn phase(&self, now: Duration, aborted: bool) -> Phase {
        if aborted || now >= self.hard {
            Phase::Aborted
        } else if now >= self.soft {
            Phase::Draining
        } else {
            Phase::Active
        }
    }

    /// Whether uploads may still begin: a late upload must also be confirmed within the grace period.
    fn allow_uploads(&self, now: Duration) -> bool {
        now < self.soft + GRACE / 2
    }
}

pub(super) struct Pipeline<'a, H, C, P> {
    context: &'a Context<'a, H, C, P>,
    report: &'a mut Report,
    deadlines: Deadlines,
    tasks: Tasks<'a>,
    arrivals: Arrivals,
    listing: Listing,
    claimer: Claimer,
    fetcher: Fetcher,
    uploader: Uploader,
    recorder: Recorder,
    /// The first fault that would hit every file.
    fault: Option<Fault>,
}

impl<'a, H: Http, C: Clock, P: Postgres> Pipeline<'a, H, C, P> {
    pub(super) fn new(
        context: &'a Context<'a, H, C, P>,
        request: &Request,
        (discovery, sweep): (Discovery, Sweep),
        started: Duration,
        report: &'a mut Report,
    ) -> Self {
        let settings = context.settings;
        let now = context.clock.now();
        let soft = started + settings.batch;
        let (sender, receiver) = unbounded();
        // Requested files need no listing.
        let readings = request.ids.is_none().then_some((discovery, sweep));
        Self {
            context,
            report,
            deadlines: Deadlines {
                soft,
                hard: soft + GRACE,
            },
            tasks: Tasks::new(),
            arrivals: Arrivals { sender, receiver },
            listing: Listing::new(readings, now, context.clock.unix_seconds()),
            claimer: Claimer::new(request),
            fetcher: Fetcher::new(context.odoo.parallel_calls()),
            uploader: Uploader::new(settings.parallel_uploads),
            recorder: Recorder::new(now),
            fault: None,
        }
    }

    /// Works until nothing is left to do, time is up, or a fault stops the batch.
    pub(super) async fn run(mut self) -> Result<(), Fault> {
        let clock = self.context.clock;
        // `FuturesUnordered` polls the timer only when it wakes: each poll is a host call.
        let mut tick = FuturesUnordered::from_iter([clock.sleep(TICK)]);
        loop {
            // The last files of a group arrive together with its end: handle them first, or they are left behind.
            while let Some(Some((file, content))) = self.arrivals.receiver.next().now_or_never() {
                self.handle(Event::Arrived(file, content));
            }
            let now = clock.now();
            let aborted = self.fault.is_some() || self.recorder.lease_lost;
            let ended = match self.deadlines.phase(now, aborted) {
                Phase::Active => self.active(now),
                Phase::Draining => self.draining(now),
                Phase::Aborted => self.aborted(now),
            };
            if ended {
                break;
            }
            match next_event(&mut self.arrivals, &mut self.tasks, &mut tick).await {
                Event::Tick => tick.push(clock.sleep(TICK)),
                event => self.handle(event),
            }
        }
        self.finish().await
    }

    /// Begins whatever may begin. Returns whether nothing is left to do.
    fn active(&mut self, now: Duration) -> bool {
        let (context, tasks) = (self.context, &mut self.tasks);
        if self.fetcher.limiter.allows(now) {
            self.listing.begin(context, tasks, now);
        }
        self.claimer.begin(context, tasks, self.fetcher.planned());
        let uploads = self.uploader.limiter.limit();
        let soft = self.deadlines.soft;
        self.fetcher
            .begin(context, tasks, &self.arrivals, uploads, now, soft);
        let more = self.fetcher.is_at_work() || self.claimer.under_way || self.claimer.more();
        let all = !(self.uploader.is_at_work() || more);
        self.uploader.confirm(context, tasks, now, all);
        self.uploader.begin(context, tasks, now);
        let last = self.tasks.is_empty() && self.is_idle(now);
        self.probe(last);
        self.recorder
            .begin(context, &mut self.tasks, &mut self.fetcher, now);
        self.tasks.is_empty() && self.uploader.unconfirmed.is_empty() && self.is_idle(now)
    }

    /// Uploads fetched files, confirms and records. Returns whether all of it has ended.
    fn draining(&mut self, now: Duration) -> bool {
        let (context, tasks) = (self.context, &mut self.tasks);
        let uploads = self.deadlines.allow_uploads(now);
        let all = !(uploads && self.uploader.is_at_work());
        self.uploader.confirm(context, tasks, now, all);
        if uploads {
            self.uploader.begin(context, tasks, now);
        }
        let last = self.tasks.is_empty();
        self.probe(last);
        self.recorder
            .begin(context, &mut self.tasks, &mut self.fetcher, now);
        self.tasks.is_empty() && self.uploader.unconfirmed.is_empty()
    }

    /// Confirms and records what is stored. Returns whether no work in flight would be lost.
    fn aborted(&mut self, now: Duration) -> bool {
        // Await a statement in flight even now: files that it claims or records would else stay blocked until their
        // lease expires.
        let statement = self.claimer.under_way || self.recorder.recording;
        let hard = self.deadlines.hard;
        if now >= hard {
            return !statement || now >= hard + GRACE;
        }
        let lost = self.recorder.lease_lost;
        if !lost {
            let (context, tasks) = (self.context, &mut self.tasks);
            self.uploader.confirm(context, tasks, now, true);
            self.recorder.begin(context, tasks, &mut self.fetcher, now);
        }
        let statement = self.claimer.under_way || self.recorder.recording;
        let unconfirmed = !lost && !self.uploader.unconfirmed.is_empty();
        !statement && !unconfirmed && self.uploader.under_way() == 0
    }

    /// Whether nothing can begin any more.
    fn is_idle(&self, now: Duration) -> bool {
        self.fetcher.planned() == 0
            && self.uploader.is_idle()
            && self.recorder.settled.is_empty()
            && !self.claimer.more()
            && self.uploader.limiter.allows(now)
            && self.fetcher.limiter.allows(now)
    }

    /// Releases unfinished files, records the remaining outcomes, and fills the report.
    async fn finish(mut self) -> Result<(), Fault> {
        self.tasks.clear();
        if self.fault.is_none() && !self.recorder.lease_lost {
            let stuck = self.fail_the_stuck().await;
            self.tell_who_was_waited_for(&stuck);
        }
        let unproven = [
            self.fetcher.rpc.release(),
            self.fetcher.streams.release(),
            self.uploader.breaker.release(),
        ];
        self.recorder.settled.extend(unproven.into_iter().flatten());
        self.recorder.release(self.fetcher.large_under_way());
        if let Err(fault) = self.recorder.finish(self.context).await {
            self.abort(fault);
        }
        let (recorded, found) = (self.recorder.recorded, self.listing.found);
        let report = self.report;
        let figures = &mut report.figures;
        figures.migrated = recorded.moved;
        figures.failed = recorded.failed;
        figures.skipped = recorded.skipped + found.skipped;
        figures.bytes = recorded.bytes;
        figures.discovered = found.new;
        if let Some(fault) = self.context.odoo.session_refusal() {
            report.error(fault.message());
        }
        match self.fault.or(self.listing.fault) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// Lets a large file without progress in half a batch use an attempt, if both sides answer other requests: else
    /// it restarts forever and blocks the next ones. Returns the ids.
    async fn fail_the_stuck(&mut self) -> Vec<i64> {
        let context = self.context;
        let batch = context.settings.batch;
        let stuck = self.fetcher.stuck(context.clock.now(), batch / 2);
        if stuck.is_empty() || !both_answer(context).await {
            return Vec::new();
        }
        for upload in &stuck {
            let file = &upload.file;
            let again = if upload.offset() > 0 && !context.odoo.knows_ranges() {
                " (this Odoo gives no part of a content, so all before is read again first)"
            } else {
                ""
            };
            let batch_s = batch.as_secs();
            let fault = Fault::told(
                Kind::NoProgress,
                format!(
                    "got no further in the {batch_s} s of a batch{again}: raise archive_batch_seconds, or give it a faster way"
                ),
            );
            self.report.error(format!("Upload {}: {fault}", file.id));
            let outcome = outcome(file, &fault, upload.document(), context.clock.chance());
            self.recorder.settle(file, outcome);
        }
        stuck.iter().map(|upload| upload.file.id).collect()
    }

    /// Reports what is in flight or paused when the time is up, so that nobody wonders why nothing moves. It uses no
    /// attempt, as its own timeout has not passed.
    fn tell_who_was_waited_for(&mut self, stuck: &[i64]) {
        let statement = self.claimer.under_way || self.recorder.recording;
        if statement {
            self.report.error(
                "Postgres had not answered a statement when the time was up; the next batch goes on",
            );
        }
        // The listing may be waiting for that statement's connection, too.
        let of_odoo = self.fetcher.calls + usize::from(self.listing.under_way && !statement);
        for (who, requests) in [("Odoo", of_odoo), ("Storage", self.uploader.under_way())] {
            if requests > 0 {
                self.report.error(format!(
                    "{who} had not answered {requests} requests when the time was up; the next batch makes them again"
                ));
            }
        }
        let others = |upload: &&LargeUpload| !stuck.contains(&upload.file.id);
        for upload in self.fetcher.large_under_way().filter(others) {
            self.report.error(format!(
                "File {} got no further until the time was up; the next batch goes on with it",
                upload.file.id
            ));
        }
        if !self.recorder.claimed.is_empty() {
            for fault in [&self.fetcher.busy, &self.uploader.busy]
                .into_iter()
                .flatten()
            {
                self.report.error(fault.message());
            }
        }
    }
}

/// Whether both sides answer a small request within `SOON`.
async fn both_answer<H: Http, C: Clock, P>(context: &Context<'_, H, C, P>) -> bool {
    const SOON: Duration = Duration::from_secs(4);
    let answers = pin!(async {
        let odoo = context.odoo.may_read("ir.attachment").await;
        odoo.is_ok() && takes_uploads(context.storage).await.is_ok()
    });
    let time = pin!(context.clock.sleep(SOON));
    matches!(select(answers, time).await, Either::Left((true, _)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_drains_when_its_time_is_up_and_aborts_at_a_fault_or_when_its_grace_is_over() {
        let soft = Duration::from_secs(45);
        let hard = soft + GRACE;
        let deadlines = Deadlines { soft, hard };
        let just_before = |moment: Duration| moment.saturating_sub(Duration::from_nanos(1));
        assert_eq!(deadlines.phase(just_before(soft), false), Phase::Active);
        assert_eq!(deadlines.phase(soft, false), Phase::Draining);
        assert_eq!(deadlines.phase(just_before(hard), false), Phase::Draining);
        assert_eq!(deadlines.phase(hard, false), Phase::Aborted);
        for now in [Duration::ZERO, soft] {
            assert_eq!(deadlines.phase(now, true), Phase::Aborted);
        }
    }

    #[test]
    fn what_is_uploaded_late_can_still_be_confirmed_within_the_grace() {
        let soft = Duration::from_secs(45);
        let hard = soft + GRACE;
        let deadlines = Deadlines { soft, hard };
        assert!(soft + GRACE / 2 < hard);
        assert!(deadlines.allow_uploads(soft));
        assert!(!deadlines.allow_uploads(soft + GRACE / 2));
    }
}
