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
use storage::{Fingerprint, Storage, Stored};
use uuid::Uuid;

use super::breaker::{Breaker, Proof};
use super::duplicates::Duplicates;
use crate::discovery::Discovery;
use crate::pace::Pace;
use crate::plan::Fetch;
use crate::sweep::{Stepped, Sweep};
use crate::transfer::{PiecesEnd, Progress, Sent, Unconfirmed};
use crate::{Report, Request, Settings};

/// How many files are claimed at once.
const CLAIM_FILES: usize = 200;
/// So many files that cannot be had in this batch are held, and then no more are claimed.
const MOST_WAITING: usize = 1000;
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
    /// A file that is held whole.
    Whole(Claimed, Result<Bytes, Fault>),
    Pieces(Claimed, PiecesEnd),
    Uploaded(Ready, Result<Stored, Fault>),
    /// What the Storage has of files that it took, and how many objects a listing had.
    Confirmed(Vec<(Sent, Result<(), Fault>)>, usize),
    Recorded(Vec<Settled>, Result<Recorded, Fault>),
    Held(Result<bool, Fault>),
    Probed(Way, Proof),
}

enum Event {
    Here(Claimed, Bytes),
    Done(Done),
    Look,
}

/// A way that files take, on which all of them may fail alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Contents by RPC.
    Rpc,
    /// Contents by `/web/content`.
    Streams,
    /// Into the Storage.
    Storage,
}

/// A file to be stored.
struct Ready {
    file: Claimed,
    content: Bytes,
    fingerprint: Fingerprint,
    tries: u32,
    /// How many uploads had gone well when it was first tried.
    before: u64,
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
    ready: VecDeque<Ready>,
    /// What is claimed and not settled: given back at the end, whatever happened to it.
    in_hand: HashMap<i64, Claimed>,
    settled: Vec<Settled>,
    duplicates: Duplicates,
    /// What the Storage took, and is still to be asked for.
    unconfirmed: Unconfirmed,

    fetches: usize,
    uploads: usize,
    /// How many uploads went well.
    stored: u64,
    /// How many folders are being asked for.
    confirming: usize,
    /// How many files are in hand that cannot be had in this batch.
    waiting: usize,
    /// The large files that are under way, and how far each is.
    pieces: BTreeMap<i64, Progress>,
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
    rpc: Breaker,
    streams: Breaker,
    storing: Breaker,
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
            ready: VecDeque::new(),
            in_hand: HashMap::new(),
            settled: Vec::new(),
            duplicates: Duplicates::default(),
            unconfirmed: Unconfirmed::default(),
            fetches: 0,
            uploads: 0,
            stored: 0,
            confirming: 0,
            waiting: 0,
            pieces: BTreeMap::new(),
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
            rpc: Breaker::default(),
            streams: Breaker::default(),
            storing: Breaker::default(),
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
            while let Some(Some((file, content))) = here.next().now_or_never() {
                self.arrived(file, content);
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
            // What was taken late has to be asked for within the grace too.
            let storing = open || now < soft + GRACE / 2;
            if now < hard && !self.given_up {
                self.confirm(&mut tasks, now, open, storing && self.stop.is_none());
            }
            if now < hard && self.stop.is_none() && !self.given_up {
                if storing {
                    self.store(&mut tasks, now);
                }
                let last = tasks.is_empty() && (!open || self.idle(now));
                self.probe(&mut tasks, last);
            }
            if now < hard {
                self.record(&mut tasks, now);
                self.hold(&mut tasks, now);
            }
            let unconfirmed = now < hard && self.is_unconfirmed();
            if tasks.is_empty() && !unconfirmed && (!open || self.idle(now)) {
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
                Event::Here(file, content) => self.arrived(file, content),
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
            && self.ready.is_empty()
            && self.settled.is_empty()
            && self.unconfirmed.is_empty()
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

    /// Whether what is under way can be given up without loss: nothing is being claimed, stored, confirmed or
    /// recorded.
    fn only_waiting(&self) -> bool {
        self.uploads == 0
            && self.confirming == 0
            && !self.is_unconfirmed()
            && !self.recording
            && !self.claiming
    }

    /// Whether something is still to be asked for that this batch may record.
    fn is_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty() && !self.given_up
    }

    fn breaker(&mut self, way: Way) -> &mut Breaker {
        match way {
            Way::Rpc => &mut self.rpc,
            Way::Streams => &mut self.streams,
            Way::Storage => &mut self.storing,
        }
    }

    /// The first fault that would meet every file is the one that is told.
    fn stop_by(&mut self, fault: Fault) {
        self.stop.get_or_insert(fault);
    }

    /// What is under way when the time is up, or waits for a pause to end, uses no attempt, since its own
    /// time was not up; but nobody shall wonder why nothing moves.
    fn tell_who_was_waited_for(&mut self) {
        let of_odoo = self.fetches + usize::from(self.discovering);
        let of_storage = self.uploads + self.confirming;
        for (who, requests) in [("Odoo", of_odoo), ("the Storage", of_storage)] {
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
        for way in [Way::Rpc, Way::Streams, Way::Storage] {
            let unproven = self.breaker(way).give_back();
            self.settled.extend(unproven);
        }
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
    here: &mut UnboundedReceiver<(Claimed, Bytes)>,
    tasks: &mut Tasks<'_>,
    look: &mut FuturesUnordered<S>,
) -> Event {
    std::future::poll_fn(|context| {
        if let Poll::Ready(Some((file, content))) = here.poll_next_unpin(context) {
            return Poll::Ready(Event::Here(file, content));
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
