//! Reading on, claiming, fetching, storing and recording, all at once and within their bounds.
//!
//! One task, no threads: everything under way is a future in one set, and whatever ends next decides
//! what begins next. Uploads in flight hide the 40 ms that each costs (Spin sends head and body of a
//! request in two writes: 1 upload at a time gave 25 files/s, 16 gave 203 to 269, measured on 4.1).

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use fault::{Fault, Kind, Reach};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use ledger::Postgres;
use ledger::attachments::{self, Catalogued, Claimed, Outcome, Recorded, Settled};
use ledger::sweep::Swept;
use odoo::Odoo;
use outbound::{Clock, Http};
use storage::Storage;
use uuid::Uuid;

use super::duplicates::{Duplicates, First};
use super::failures::{Streak, outcome, short_wait};
use crate::discovery::Discovery;
use crate::pace::Pace;
use crate::plan::{Fetch, WHOLE_BYTES, plan};
use crate::sweep::Sweep;
use crate::transfer::{self, Fetched, PiecesEnd};
use crate::{Report, Request, Settings};

/// The bytes of files that are held at once.
const BUDGET_BYTES: u64 = 16 * 1024 * 1024;
/// What is left of it for other files while a large one is under way.
const BUDGET_BESIDE_PIECES: u64 = BUDGET_BYTES - 2 * WHOLE_BYTES;
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
const LEDGER_TRIES: u32 = 3;

/// What ended.
enum Done {
    Discovered(Discovery, Result<Option<Catalogued>, Fault>),
    Swept(Sweep, Result<Option<Swept>, Fault>),
    Claimed(Result<Vec<Claimed>, Fault>),
    /// A group: those that could not be had.
    Group(Vec<(Claimed, Fault, bool)>),
    /// A file that is held whole.
    Whole(Claimed, Result<Bytes, Fault>),
    Pieces(Claimed, PiecesEnd),
    Uploaded {
        file: Claimed,
        content: Bytes,
        tries: u32,
        result: Result<(), Fault>,
    },
    Recorded(Vec<Settled>, Result<Recorded, Fault>),
}

enum Event {
    Here(Fetched),
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
    ready: VecDeque<Ready>,
    /// What is claimed and not settled: given back at the end, whatever happened to it.
    in_hand: HashMap<i64, Claimed>,
    settled: Vec<Settled>,
    duplicates: Duplicates,

    fetches: usize,
    uploads: usize,
    pieces: usize,
    held_bytes: u64,
    claiming: bool,
    recording: bool,
    discovering: bool,
    more_due: bool,
    last_record: Duration,
    ledger_tries: u32,
    source_busy: u32,
    uploads_pace: Pace,
    source_pace: Pace,
    streak: Streak,
    stop: Option<Fault>,
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
            fetches: 0,
            uploads: 0,
            pieces: 0,
            held_bytes: 0,
            claiming: false,
            recording: false,
            discovering: false,
            more_due: true,
            last_record: Duration::ZERO,
            ledger_tries: 0,
            source_busy: 0,
            uploads_pace: Pace::new(settings.parallel_uploads),
            source_pace: Pace::new(odoo.parallel_calls()),
            streak: Streak::default(),
            stop: None,
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
        let mut tasks = Tasks::new();
        let (sender, mut here) = unbounded();
        // Files asked for by name need no reading on.
        let mut discovery = request.ids.is_none().then_some(discovery);
        let mut sweep = request.ids.is_none().then_some(sweep);
        let mut look = Box::pin(self.clock.sleep(LOOK));
        loop {
            let now = self.clock.now();
            let open = now < soft && self.stop.is_none() && !self.given_up;
            if open {
                self.discover(&mut tasks, &mut discovery, &mut sweep);
                if request.mode.moves() {
                    self.claim(&mut tasks, request);
                    self.fetch(&mut tasks, &sender, now, soft);
                }
            }
            if (open || now < hard) && self.stop.is_none() && !self.given_up {
                self.store(&mut tasks, now);
            }
            self.record(&mut tasks, now, !open);
            if tasks.is_empty() && (!open || self.idle(now)) {
                break;
            }
            let faulty_since = self.stop.is_some() || self.given_up;
            if now >= hard || (faulty_since && self.only_waiting()) {
                break;
            }
            match next_event(&mut here, &mut tasks, &mut look).await {
                Event::Here(fetched) => {
                    self.ready.push_back(Ready {
                        file: fetched.file,
                        content: fetched.content,
                        tries: 0,
                    });
                }
                Event::Done(Done::Discovered(back, result)) => {
                    self.discovering = false;
                    discovery = Some(back);
                    self.discovered(result);
                }
                Event::Done(Done::Swept(back, result)) => {
                    self.discovering = false;
                    sweep = Some(back);
                    self.swept(result);
                }
                Event::Done(done) => self.done(done),
                Event::Look => look = Box::pin(self.clock.sleep(LOOK)),
            }
        }
        drop(tasks);
        self.wind_up().await;
        match self.stop.take() {
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
            && !self.more_due
            && self.uploads_pace.open(now)
            && self.source_pace.open(now)
    }

    /// Whether what is under way can be given up without loss: nothing is being stored or recorded.
    fn only_waiting(&self) -> bool {
        self.uploads == 0 && !self.recording
    }

    /// Reads on in Odoo's list: what is new and what changed, and when both rest, what is gone.
    fn discover(
        &mut self,
        tasks: &mut Tasks<'a>,
        discovery: &mut Option<Discovery>,
        sweep: &mut Option<Sweep>,
    ) {
        if self.discovering {
            return;
        }
        let now_s = self.clock.unix_seconds();
        let (odoo, postgres, run_id, settings) =
            (self.odoo, self.postgres, self.run_id, self.settings);
        if let Some(mut reading) = discovery.take_if(|reading| reading.due(now_s)) {
            self.discovering = true;
            tasks.push(
                async move {
                    let result = reading.step(odoo, postgres, run_id, settings, now_s).await;
                    Done::Discovered(reading, result)
                }
                .boxed_local(),
            );
        } else if let Some(mut sweeping) = sweep.take_if(|sweeping| sweeping.due(now_s)) {
            self.discovering = true;
            tasks.push(
                async move {
                    let result = sweeping.step(odoo, postgres, run_id, settings, now_s).await;
                    Done::Swept(sweeping, result)
                }
                .boxed_local(),
            );
        }
    }

    fn swept(&mut self, result: Result<Option<Swept>, Fault>) {
        match result {
            Ok(None) => {}
            Ok(Some(Swept { missing, marked: true, .. })) => {
                self.errors.deleted = u32::try_from(missing).unwrap_or(u32::MAX);
            }
            Ok(Some(Swept { missing, catalogued, .. })) => self.errors.error(format!(
                "Sweep: {missing} of {catalogued} attachments are missing in Odoo's list, more than archive_max_deleted_share allows; nothing was marked as deleted. Check the Odoo user's rights and the archive_ variables"
            )),
            Err(fault) if fault.kind() == Kind::SourceBusy => self.source_is_busy(fault),
            Err(fault) => self.stop_by(fault),
        }
    }

    fn discovered(&mut self, result: Result<Option<Catalogued>, Fault>) {
        match result {
            Ok(Some(page)) => {
                self.catalogued.new += page.new;
                self.catalogued.changed += page.changed;
                self.catalogued.skipped += page.skipped;
                self.more_due |= page.new > page.skipped || page.changed > 0;
            }
            Ok(None) => self.given_up = true,
            Err(fault) if fault.kind() == Kind::SourceBusy => self.source_is_busy(fault),
            Err(fault) => self.stop_by(fault),
        }
    }

    fn claim(&mut self, tasks: &mut Tasks<'a>, request: &Request) {
        let planned = self.small.len() + self.large.len();
        if self.claiming || !self.more_due || planned >= FEW_PLANNED {
            return;
        }
        self.claiming = true;
        self.more_due = false;
        let (postgres, run_id, lease_s) = (self.postgres, self.run_id, self.settings.lease_s);
        let ids = request.ids.clone();
        let limit = ids.as_ref().map_or(CLAIM_FILES, Vec::len);
        tasks.push(
            async move {
                Done::Claimed(
                    attachments::claim(postgres, run_id, lease_s, limit, ids.as_deref()).await,
                )
            }
            .boxed_local(),
        );
    }

    fn claimed(&mut self, claimed: Vec<Claimed>) {
        self.more_due |= claimed.len() >= CLAIM_FILES;
        let mut to_move = Vec::new();
        for file in claimed {
            self.in_hand.insert(file.id, file.clone());
            match self.duplicates.take_up(file) {
                First::Move(file) => to_move.push(file),
                First::Stored(file) => self.moved(&file),
                First::Waits => {}
            }
        }
        for fetch in plan(to_move) {
            match fetch {
                Fetch::Pieces(file) => self.large.push_back(file),
                small => self.small.push_back(small),
            }
        }
    }

    fn fetch(
        &mut self,
        tasks: &mut Tasks<'a>,
        here: &UnboundedSender<Fetched>,
        now: Duration,
        soft: Duration,
    ) {
        if !self.source_pace.open(now) {
            return;
        }
        let (odoo, storage, clock) = (self.odoo, self.storage, self.clock);
        if self.pieces == 0
            && self.held_bytes <= BUDGET_BESIDE_PIECES
            && let Some(file) = self.large.pop_front()
        {
            self.pieces += 1;
            let max_rpc_bytes = self.settings.max_rpc_bytes;
            tasks.push(
                async move {
                    let time_is_up = || clock.now() >= soft;
                    let end =
                        transfer::pieces(odoo, storage, &file, max_rpc_bytes, time_is_up).await;
                    Done::Pieces(file, end)
                }
                .boxed_local(),
            );
        }
        let budget = if self.pieces > 0 || !self.large.is_empty() {
            BUDGET_BESIDE_PIECES
        } else {
            BUDGET_BYTES
        };
        while self.fetches < self.source_pace.limit()
            && self.small.front().is_some_and(|fetch| {
                self.held_bytes == 0 || self.held_bytes + fetch.bytes() <= budget
            })
            && let Some(fetch) = self.small.pop_front()
        {
            self.fetches += 1;
            self.held_bytes += fetch.bytes();
            match fetch {
                Fetch::Group(files) => {
                    let here = here.clone();
                    tasks.push(
                        async move { Done::Group(transfer::group(odoo, files, &here).await) }
                            .boxed_local(),
                    );
                }
                Fetch::Whole(file) | Fetch::Pieces(file) => tasks.push(
                    async move {
                        let content = transfer::whole(odoo, &file).await;
                        Done::Whole(file, content)
                    }
                    .boxed_local(),
                ),
            }
        }
    }

    fn store(&mut self, tasks: &mut Tasks<'a>, now: Duration) {
        while self.uploads < self.uploads_pace.limit()
            && self.uploads_pace.open(now)
            && let Some(Ready {
                file,
                content,
                tries,
            }) = self.ready.pop_front()
        {
            self.uploads += 1;
            let storage = self.storage;
            tasks.push(
                async move {
                    let result = transfer::upload(storage, &file, content.clone()).await;
                    Done::Uploaded {
                        file,
                        content,
                        tries,
                        result,
                    }
                }
                .boxed_local(),
            );
        }
    }

    fn record(&mut self, tasks: &mut Tasks<'a>, now: Duration, closing: bool) {
        let due = self.settled.len() >= RECORD_FILES
            || now.saturating_sub(self.last_record) >= RECORD_AFTER
            || (closing || tasks.is_empty());
        if self.recording || self.settled.is_empty() || !due {
            return;
        }
        self.recording = true;
        self.last_record = now;
        let settled = std::mem::take(&mut self.settled);
        let (postgres, run_id, lease_s) = (self.postgres, self.run_id, self.settings.lease_s);
        tasks.push(
            async move {
                let recorded = attachments::record(postgres, run_id, lease_s, &settled).await;
                Done::Recorded(settled, recorded)
            }
            .boxed_local(),
        );
    }

    fn done(&mut self, done: Done) {
        match done {
            // Taken apart by the caller, which keeps the readings.
            Done::Discovered(_, result) => self.discovered(result),
            Done::Swept(_, result) => self.swept(result),
            Done::Claimed(result) => {
                self.claiming = false;
                match result {
                    Ok(claimed) => self.claimed(claimed),
                    Err(fault) => self.stop_by(fault),
                }
            }
            Done::Group(failed) => {
                self.fetches -= 1;
                self.group_ended(failed);
            }
            Done::Whole(file, result) => {
                self.fetches -= 1;
                match result {
                    Ok(content) => {
                        self.source_went_well();
                        self.ready.push_back(Ready {
                            file,
                            content,
                            tries: 0,
                        });
                    }
                    Err(fault) => {
                        self.held_bytes = self.held_bytes.saturating_sub(file.file_size);
                        self.fetch_failed(file, fault);
                    }
                }
            }
            Done::Pieces(file, end) => {
                self.pieces -= 1;
                self.pieces_ended(file, end);
            }
            Done::Uploaded {
                file,
                content,
                tries,
                result,
            } => {
                self.uploads -= 1;
                self.uploaded(file, content, tries, result);
            }
            Done::Recorded(settled, result) => {
                self.recording = false;
                self.was_recorded(settled, result);
            }
        }
    }

    fn group_ended(&mut self, failed: Vec<(Claimed, Fault, bool)>) {
        let mut whole_call = None;
        for (file, fault, of_the_call) in failed {
            self.held_bytes = self.held_bytes.saturating_sub(file.file_size);
            if !of_the_call {
                self.fetch_failed(file, fault);
                continue;
            }
            // What failed as a group is tried one by one, unless every call would fail.
            self.small.push_back(Fetch::Whole(file));
            whole_call = Some(fault);
        }
        match whole_call {
            None => self.source_went_well(),
            Some(fault) if fault.kind() == Kind::SourceBusy => self.source_is_busy(fault),
            Some(fault) if fault.reach() == Reach::Batch => self.stop_by(fault),
            Some(fault) => self
                .source_pace
                .overload(self.clock.now(), short_wait(&fault)),
        }
    }

    fn source_went_well(&mut self) {
        self.source_busy = 0;
        self.source_pace.success();
    }

    fn source_is_busy(&mut self, fault: Fault) {
        self.source_busy += 1;
        self.source_pace
            .overload(self.clock.now(), short_wait(&fault));
        if self.source_busy >= BUSY_TRIES {
            self.stop_by(fault);
        }
    }

    fn fetch_failed(&mut self, file: Claimed, fault: Fault) {
        match fault.kind() {
            Kind::SourceBusy => {
                self.small.push_back(Fetch::Whole(file));
                self.source_is_busy(fault);
            }
            _ => self.failed("File", file, fault, None),
        }
    }

    fn uploaded(&mut self, file: Claimed, content: Bytes, tries: u32, result: Result<(), Fault>) {
        let fault = match result {
            Ok(()) => {
                self.uploads_pace.success();
                self.held_bytes = self.held_bytes.saturating_sub(file.file_size);
                self.moved(&file);
                return;
            }
            Err(fault) => fault,
        };
        let overloaded = matches!(fault.kind(), Kind::StorageBusy | Kind::StorageTimeout);
        if overloaded {
            self.uploads_pace
                .overload(self.clock.now(), short_wait(&fault));
            // A dropped connection is tried once more, a wish for a pause as often as it takes.
            let most = if fault.kind() == Kind::StorageBusy {
                BUSY_TRIES
            } else {
                2
            };
            if tries + 1 < most {
                self.ready.push_back(Ready {
                    file,
                    content,
                    tries: tries + 1,
                });
                return;
            }
        }
        self.held_bytes = self.held_bytes.saturating_sub(file.file_size);
        if fault.kind() == Kind::StorageBusy {
            self.stop_by(fault);
        } else {
            self.failed("Upload", file, fault, None);
        }
    }

    fn pieces_ended(&mut self, file: Claimed, end: PiecesEnd) {
        match end {
            PiecesEnd::Moved => self.moved(&file),
            PiecesEnd::Cut(upload) => self.settle(file.id, Outcome::Back { upload }),
            PiecesEnd::Skipped(reason) => {
                self.settle(file.id, Outcome::Skipped { reason });
                while let Some(next) = self.duplicates.failed(&file) {
                    self.settle(next.id, Outcome::Skipped { reason });
                }
            }
            PiecesEnd::Failed(fault, upload) => match fault.kind() {
                Kind::SourceBusy | Kind::StorageBusy => {
                    self.settle(file.id, Outcome::Back { upload });
                    self.stop_by(fault);
                }
                _ => self.failed("Upload", file, fault, upload),
            },
        }
    }

    /// A file's content is in the Storage, and with it that of all who waited for it.
    fn moved(&mut self, file: &Claimed) {
        self.streak.broken();
        let object_path = transfer::path(file);
        let waited = self.duplicates.stored(file);
        for id in std::iter::once(file.id).chain(waited.iter().map(|file| file.id)) {
            self.settle(
                id,
                Outcome::Moved {
                    object_path: object_path.clone(),
                },
            );
        }
    }

    fn failed(
        &mut self,
        what: &str,
        file: Claimed,
        fault: Fault,
        upload: Option<serde_json::Value>,
    ) {
        let kind = fault.kind();
        if fault.reach() == Reach::Batch {
            self.stop_by(fault.at(format_args!("{what} {}", file.id)));
            return;
        }
        self.errors.error(format!("{what} {}: {fault}", file.id));
        self.settle(file.id, outcome(&file, &fault, upload, self.clock.chance()));
        // Another name for the same content may have better luck, by itself.
        match self.duplicates.failed(&file) {
            Some(next) if next.file_size > WHOLE_BYTES => self.large.push_back(next),
            Some(next) => self.small.push_back(Fetch::Whole(next)),
            None => {}
        }
        self.watch(kind, fault);
    }

    fn settle(&mut self, id: i64, outcome: Outcome) {
        self.in_hand.remove(&id);
        self.settled.push(Settled { id, outcome });
    }

    /// Many alike are the server's failures, not the files': then none of them has used an attempt.
    fn watch(&mut self, kind: Kind, fault: Fault) {
        if !self.streak.failed(kind) {
            return;
        }
        for settled in &mut self.settled {
            if let Outcome::Failed { reason, upload, .. } = &mut settled.outcome
                && *reason == kind.code()
            {
                settled.outcome = Outcome::Back {
                    upload: upload.take(),
                };
            }
        }
        self.stop_by(fault.at("many files in a row"));
    }

    fn was_recorded(&mut self, settled: Vec<Settled>, result: Result<Recorded, Fault>) {
        match result {
            Ok(recorded) => {
                self.ledger_tries = 0;
                self.recorded.moved += recorded.moved;
                self.recorded.bytes += recorded.bytes;
                self.recorded.failed += recorded.failed;
                self.recorded.skipped += recorded.skipped;
                self.given_up |= !recorded.alive;
            }
            Err(fault) => {
                // Recording twice is harmless: the lease is gone with the first time.
                self.settled.extend(settled);
                self.ledger_tries += 1;
                if self.ledger_tries >= LEDGER_TRIES {
                    self.stop_by(fault);
                }
            }
        }
    }

    /// The first fault that would meet every file is the one that is told.
    fn stop_by(&mut self, fault: Fault) {
        self.stop.get_or_insert(fault);
    }

    /// Gives back what was not begun or not ended, and records what is not on record.
    async fn wind_up(&mut self) {
        let unfinished = std::mem::take(&mut self.in_hand);
        self.settled
            .extend(unfinished.into_values().map(|file| Settled {
                id: file.id,
                outcome: Outcome::Back {
                    upload: file.upload,
                },
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
                self.clock.sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Whatever happens next. Files that are here come first: storing them is what hides all waiting.
async fn next_event<S: Future<Output = ()>>(
    here: &mut UnboundedReceiver<Fetched>,
    tasks: &mut Tasks<'_>,
    look: &mut Pin<Box<S>>,
) -> Event {
    std::future::poll_fn(|context| {
        if let Poll::Ready(Some(fetched)) = here.poll_next_unpin(context) {
            return Poll::Ready(Event::Here(fetched));
        }
        if let Poll::Ready(Some(done)) = tasks.poll_next_unpin(context) {
            return Poll::Ready(Event::Done(done));
        }
        look.as_mut().poll(context).map(|()| Event::Look)
    })
    .await
}
