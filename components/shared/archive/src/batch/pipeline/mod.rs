//! Reading on, claiming, fetching, storing and recording, all at once and within their bounds.
//!
//! One task, no threads: everything under way is a future in one set, and whatever ends next decides
//! what begins next. Uploads in flight hide how long each takes (measured on Spin 4.1, where head and
//! body of each left in two writes: 1 at a time gave 25 files/s, 16 gave 203 to 269).

mod begin;
mod ended;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use fault::Fault;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use ledger::Postgres;
use ledger::attachments::{self, Catalogued, Claimed, Outcome, Recorded, Settled};
use odoo::Odoo;
use outbound::{Clock, Http};
use storage::Storage;
use uuid::Uuid;

use super::duplicates::Duplicates;
use super::failures::Streak;
use crate::discovery::Discovery;
use crate::pace::Pace;
use crate::plan::Fetch;
use crate::sweep::{Stepped, Sweep};
use crate::transfer::{PiecesEnd, Progress, Together, Unverified};
use crate::{Report, Request, Settings};

/// How many files are claimed at once.
const CLAIM_FILES: usize = 200;
/// Below so many planned fetches more files are claimed.
const FEW_PLANNED: usize = 3;
/// So many results are recorded at once, or as many as there are after [`RECORD_AFTER`].
const RECORD_FILES: usize = 100;
const RECORD_AFTER: Duration = Duration::from_secs(2);
/// How often to look at the clock while nothing ends.
const LOOK: Duration = Duration::from_millis(200);
/// What is under way when the time is up may still end; then it is given back.
const GRACE: Duration = Duration::from_secs(8);
/// So many times a file, or a call, is tried again within a batch because the other side was busy.
const BUSY_TRIES: u32 = 6;
/// So many times the ledger is tried again before the batch gives up.
const LEDGER_TRIES: u32 = 5;
/// How much longer to wait before each of these.
const LEDGER_WAIT: Duration = Duration::from_secs(1);

/// What ended.
enum Done {
    Discovered(Discovery, Result<Option<Catalogued>, Fault>),
    Swept(Sweep, Result<Stepped, Fault>),
    Claimed(Result<Vec<Claimed>, Fault>),
    /// A group: those that could not be had.
    Group(Vec<(Claimed, Fault, bool)>),
    /// A file that is held whole, not verified yet.
    Whole(Claimed, Result<Bytes, Fault>),
    Pieces(Claimed, PiecesEnd),
    Uploaded {
        file: Claimed,
        content: Bytes,
        tries: u32,
        result: Result<(), Fault>,
    },
    Recorded(Vec<Settled>, Result<Recorded, Fault>),
    Held(Result<bool, Fault>),
    /// Whether Odoo gave a file that it gave before.
    Probed(bool),
}

enum Event {
    Here(Unverified),
    Done(Done),
    Look,
}

/// A file to be stored.
struct Ready {
    file: Claimed,
    content: Bytes,
    tries: u32,
}

pub(super) struct Pipeline<'a, H, C, P> {
    odoo: &'a Odoo<H, C>,
    storage: &'a Storage<H>,
    postgres: &'a P,
    clock: &'a C,
    settings: &'a Settings,
    run_id: Uuid,

    small: VecDeque<Fetch>,
    large: VecDeque<Claimed>,
    /// Files that are here and wait for company.
    unverified: Vec<Unverified>,
    ready: VecDeque<Ready>,
    /// What is claimed and not settled: given back at the end, whatever happened to it.
    in_hand: HashMap<i64, Claimed>,
    settled: Vec<Settled>,
    duplicates: Duplicates,

    fetches: usize,
    uploads: usize,
    /// The large files that are under way, and how far each is.
    pieces: BTreeMap<i64, Progress>,
    /// What hashes their pieces, and all other files.
    together: Together,
    held_bytes: u64,
    claiming: bool,
    recording: bool,
    holding: bool,
    discovering: bool,
    /// Whether files are moved at all, or only read of.
    moves: bool,
    more_due: bool,
    /// The files that are asked for by name and not claimed yet, if any are.
    named: Option<BTreeSet<i64>>,
    /// The clock that runs evenly, and the calendar's seconds, when the work began.
    began: (Duration, i64),
    last_record: Duration,
    last_hold: Duration,
    ledger_tries: u32,
    source_busy: u32,
    uploads_pace: Pace,
    source_pace: Pace,
    streak: Streak,
    /// So many of Odoo's files failed in a row, the last by this, that the batch stops unless one that
    /// is known to be good can still be had.
    doubt: Option<Fault>,
    probing: bool,
    stop: Option<Fault>,
    /// Who asked for a pause, and has not answered otherwise since.
    busy: Option<Fault>,
    /// Reading on failed, though Odoo can be reached: what is known already is moved all the same.
    reading_fault: Option<Fault>,
    given_up: bool,

    recorded: Recorded,
    catalogued: Catalogued,
    errors: Report,
}

type Tasks<'a> = FuturesUnordered<LocalBoxFuture<'a, Done>>;

impl<'a, H: Http, C: Clock, P: Postgres> Pipeline<'a, H, C, P> {
    pub(super) fn new(
        odoo: &'a Odoo<H, C>,
        storage: &'a Storage<H>,
        postgres: &'a P,
        clock: &'a C,
        settings: &'a Settings,
        run_id: Uuid,
    ) -> Self {
        Self {
            odoo,
            storage,
            postgres,
            clock,
            settings,
            run_id,
            small: VecDeque::new(),
            large: VecDeque::new(),
            unverified: Vec::new(),
            ready: VecDeque::new(),
            in_hand: HashMap::new(),
            settled: Vec::new(),
            duplicates: Duplicates::default(),
            fetches: 0,
            uploads: 0,
            pieces: BTreeMap::new(),
            together: Together::default(),
            held_bytes: 0,
            claiming: false,
            recording: false,
            holding: false,
            discovering: false,
            moves: false,
            more_due: true,
            named: None,
            began: (clock.now(), clock.unix_seconds()),
            last_record: Duration::ZERO,
            last_hold: Duration::ZERO,
            ledger_tries: 0,
            source_busy: 0,
            uploads_pace: Pace::new(settings.parallel_uploads),
            source_pace: Pace::new(odoo.parallel_calls()),
            streak: Streak::default(),
            doubt: None,
            probing: false,
            stop: None,
            busy: None,
            reading_fault: None,
            given_up: false,
            recorded: Recorded::default(),
            catalogued: Catalogued::default(),
            errors: Report::default(),
        }
    }

    /// Puts the figures into the report.
    pub(super) fn tell(&mut self, report: &mut Report) {
        report.migrated = self.recorded.moved;
        report.failed = self.recorded.failed;
        report.skipped = self.recorded.skipped + self.catalogued.skipped;
        report.bytes = self.recorded.bytes;
        report.discovered = self.catalogued.new;
        report.deleted = self.errors.deleted;
        report.errors = std::mem::take(&mut self.errors.errors);
        if let Some(fault) = self.odoo.session_refusal() {
            report.error(fault.message());
        }
    }

    /// Works until there is nothing left to do, the time is up, or a fault stops it.
    pub(super) async fn run(
        &mut self,
        request: &Request,
        discovery: Discovery,
        sweep: Sweep,
        started: Duration,
    ) -> Result<(), Fault> {
        let soft = started + self.settings.batch;
        let hard = soft + GRACE;
        self.last_record = self.clock.now();
        self.last_hold = self.last_record;
        self.moves = request.mode.moves();
        self.named = request
            .ids
            .as_ref()
            .map(|ids| ids.iter().copied().collect());
        let mut tasks = Tasks::new();
        let (sender, mut here) = unbounded();
        // Files asked for by name need no reading on.
        let mut discovery = request.ids.is_none().then_some(discovery);
        let mut sweep = request.ids.is_none().then_some(sweep);
        // In a set of its own it is not asked again until it wakes: each asking is a call of the host.
        let mut look = FuturesUnordered::from_iter([self.clock.sleep(LOOK)]);
        loop {
            // The last files of a group come with its end: without a look here they would be left behind.
            while let Some(Some(file)) = here.next().now_or_never() {
                self.arrived(file);
            }
            let now = self.clock.now();
            let open = now < soft && self.stop.is_none() && !self.given_up;
            if open {
                self.discover(&mut tasks, &mut discovery, &mut sweep, now);
                if self.moves {
                    self.claim(&mut tasks);
                    self.fetch(&mut tasks, &sender, now, soft);
                }
            }
            if (open || now < hard) && self.stop.is_none() && !self.given_up {
                self.verify(open);
                self.store(&mut tasks, now);
                self.probe(&mut tasks);
            }
            if now < hard {
                self.record(&mut tasks, now);
                self.hold(&mut tasks, now);
            }
            if tasks.is_empty() && (!open || self.idle(now)) {
                break;
            }
            let faulty_since = self.stop.is_some() || self.given_up;
            // A statement under way is waited for even then: what it claims or records would be held by
            // nobody until its lease passes.
            let over = now >= hard && !self.recording && !self.claiming;
            if over || now >= hard + GRACE || (faulty_since && self.only_waiting()) {
                break;
            }
            match next_event(&mut here, &mut tasks, &mut look).await {
                Event::Here(file) => self.arrived(file),
                Event::Done(Done::Discovered(back, result)) => {
                    self.discovering = false;
                    discovery = Some(back);
                    self.discovered(result);
                }
                Event::Done(Done::Swept(back, result)) => {
                    self.discovering = false;
                    sweep = self.swept(result).then_some(back);
                }
                Event::Done(done) => self.done(done),
                Event::Look => look.push(self.clock.sleep(LOOK)),
            }
        }
        drop(tasks);
        self.doubt_stays();
        if self.stop.is_none() && !self.given_up {
            self.tell_who_was_waited_for();
        }
        self.wind_up().await;
        match self.stop.take().or(self.reading_fault.take()) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// Whether nothing can begin any more.
    fn idle(&self, now: Duration) -> bool {
        self.small.is_empty()
            && self.large.is_empty()
            && self.unverified.is_empty()
            && self.ready.is_empty()
            && self.settled.is_empty()
            && !(self.moves && self.more_to_claim())
            && self.uploads_pace.open(now)
            && self.source_pace.open(now)
    }

    /// The calendar's time, which is not asked for at each turn: that is a call of the host.
    fn unix_seconds(&self, now: Duration) -> i64 {
        let (then, then_s) = self.began;
        let since_s = now.saturating_sub(then).as_secs();
        then_s.saturating_add_unsigned(since_s)
    }

    fn more_to_claim(&self) -> bool {
        let named = self.named.as_ref();
        named.map_or(self.more_due, |named| !named.is_empty())
    }

    /// Whether what is under way can be given up without loss: nothing is being claimed, stored or
    /// recorded.
    fn only_waiting(&self) -> bool {
        self.uploads == 0 && !self.recording && !self.claiming
    }

    /// The first fault that would meet every file is the one that is told.
    fn stop_by(&mut self, fault: Fault) {
        self.stop.get_or_insert(fault);
    }

    /// What is under way when the time is up, or waits for a pause to end, uses no attempt, since its own
    /// time was not up; but nobody shall wonder why nothing moves.
    fn tell_who_was_waited_for(&mut self) {
        let of_odoo = self.fetches + usize::from(self.discovering);
        for (who, requests) in [("Odoo", of_odoo), ("the Storage", self.uploads)] {
            if requests > 0 {
                self.errors.error(format!(
                    "{who} had not answered {requests} requests when the time was up; the next batch makes them again"
                ));
            }
        }
        for id in self.pieces.keys() {
            self.errors.error(format!(
                "File {id} got no further until the time was up; the next batch goes on with it"
            ));
        }
        if !self.in_hand.is_empty()
            && let Some(fault) = &self.busy
        {
            self.errors.error(fault.message());
        }
    }

    /// Gives back what was not begun or not ended, and records what is not on record.
    async fn wind_up(&mut self) {
        let suspects = if self.stop.is_some() {
            self.streak.stopped()
        } else {
            self.streak.broken_on_both_sides()
        };
        self.settled.extend(suspects);
        let mut unfinished = std::mem::take(&mut self.in_hand);
        for (id, progress) in std::mem::take(&mut self.pieces) {
            if let Some(file) = unfinished.get_mut(&id) {
                file.upload = progress.value();
            }
        }
        self.settled
            .extend(unfinished.into_values().map(|mut file| {
                let upload = file.upload.take();
                Settled::of(&file, Outcome::Back { upload })
            }));
        while !self.settled.is_empty() && !self.given_up {
            let settled = std::mem::take(&mut self.settled);
            let result =
                attachments::record(self.postgres, self.run_id, self.settings.lease_s, &settled)
                    .await;
            if let Err(fault) = &result
                && self.ledger_tries + 1 >= LEDGER_TRIES
            {
                // Their leases pass by themselves.
                self.settled.clear();
                self.stop_by(fault.clone());
                break;
            }
            let failed = result.is_err();
            self.was_recorded(settled, result);
            if failed {
                self.clock.sleep(LEDGER_WAIT * self.ledger_tries).await;
            }
        }
    }
}

/// Whatever happens next. Files that are here come first: storing them is what hides all waiting.
async fn next_event<S: Future<Output = ()>>(
    here: &mut UnboundedReceiver<Unverified>,
    tasks: &mut Tasks<'_>,
    look: &mut FuturesUnordered<S>,
) -> Event {
    std::future::poll_fn(|context| {
        if let Poll::Ready(Some(file)) = here.poll_next_unpin(context) {
            return Poll::Ready(Event::Here(file));
        }
        if let Poll::Ready(Some(done)) = tasks.poll_next_unpin(context) {
            return Poll::Ready(Event::Done(done));
        }
        match look.poll_next_unpin(context) {
            Poll::Ready(Some(())) => Poll::Ready(Event::Look),
            _ => Poll::Pending,
        }
    })
    .await
}
