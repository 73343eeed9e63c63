//! What happens in a batch and what follows: the only place where its parts interact.

use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use fault::{Blame, Fault, Kind, Reach};
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures::stream::FuturesUnordered;
use ledger::Postgres;
use ledger::attachments::{Catalogued, Claimed, Outcome, Recorded, Settled, Skip, Unverifiable};
use outbound::{Clock, Http};
use storage::Stored;

use super::probing::Way;
use super::uploading::Upload;
use super::{Pipeline, Tasks};
use crate::batch::breaker::ProbeResult;
use crate::batch::duplicates::First;
use crate::batch::failures::{outcome, short_wait};
use crate::discovery::Discovery;
use crate::plan::{Fetch, WHOLE_BYTES};
use crate::sweep::{StepOutcome, Sweep, Swept};
use crate::transfer::{self, Fetched, LargeEnd, LargeUpload, Sent};

/// After this many crashed batches in a row, a file uses an attempt: otherwise a file that crashes each batch would
/// be claimed forever. The wait that follows separates it from the other files.
const MOST_INTERRUPTIONS: u32 = 3;

const CUT_OFF: Fault = Fault::new(
    Kind::CutOff,
    "three batches in a row ended without a report while they had claimed this file",
);

/// What happened.
pub(super) enum Event {
    Discovered(Discovery, Result<Option<Catalogued>, Fault>),
    Swept(Sweep, Result<StepOutcome, Fault>),
    Claimed(Result<Vec<Result<Claimed, Unverifiable>>, Fault>),
    /// A file of a group arrived; the call goes on.
    Arrived(Claimed, Bytes),
    /// The call for a group ended: files that failed, and whether because the whole call failed.
    GroupEnded(Vec<(Claimed, Fault, bool)>),
    /// A file fetched alone and held whole.
    Fetched(Claimed, Result<Bytes, Fault>),
    LargeEnded(Rc<LargeUpload>, LargeEnd),
    Uploaded(Upload, Result<Stored, Fault>),
    /// What Storage has of uploaded files, and how many rows the listing had.
    Confirmed(Vec<(Sent, Result<(), Fault>)>, usize),
    Recorded(Vec<Settled>, Result<Recorded, Fault>),
    Renewed(Result<bool, Fault>),
    Probed(Way, ProbeResult),
    /// Time to check the clock.
    Tick,
}

/// A channel for the files of groups as they arrive.
pub(super) struct Arrivals {
    pub(super) sender: UnboundedSender<(Claimed, Bytes)>,
    pub(super) receiver: UnboundedReceiver<(Claimed, Bytes)>,
}

/// The next event. Arrived files come first: uploads in flight hide all other waiting.
pub(super) async fn next_event<S: Future<Output = ()>>(
    arrivals: &mut Arrivals,
    tasks: &mut Tasks<'_>,
    tick: &mut FuturesUnordered<S>,
) -> Event {
    std::future::poll_fn(|context| {
        if let Poll::Ready(Some((file, content))) = arrivals.receiver.poll_next_unpin(context) {
            return Poll::Ready(Event::Arrived(file, content));
        }
        if let Poll::Ready(Some(event)) = tasks.poll_next_unpin(context) {
            return Poll::Ready(event);
        }
        match tick.poll_next_unpin(context) {
            Poll::Ready(Some(())) => Poll::Ready(Event::Tick),
            _ => Poll::Pending,
        }
    })
    .await
}

impl<H: Http, C: Clock, P: Postgres> Pipeline<'_, H, C, P> {
    pub(super) fn handle(&mut self, event: Event) {
        let followed = match event {
            Event::Discovered(discovery, result) => self.discovered(discovery, result),
            Event::Swept(sweep, result) => self.swept(sweep, result),
            Event::Claimed(result) => self.claimed(result),
            Event::Arrived(file, content) => self.arrived(file, content),
            Event::GroupEnded(failed) => self.group_ended(failed),
            Event::Fetched(file, result) => self.fetched(file, result),
            Event::LargeEnded(upload, end) => self.large_ended(&upload, end),
            Event::Uploaded(upload, result) => self.uploaded(upload, result),
            Event::Confirmed(files, rows) => {
                self.confirmed(files, rows);
                Ok(())
            }
            Event::Recorded(settled, result) => self.recorder.recorded(settled, result),
            Event::Renewed(result) => {
                self.recorder.renewed(&result);
                Ok(())
            }
            Event::Probed(way, proof) => self.probed(way, proof),
            Event::Tick => Ok(()),
        };
        if let Err(fault) = followed {
            self.abort(fault);
        }
    }

    /// Keeps the first fault that would hit every file; later ones are dropped.
    pub(super) fn abort(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn discovered(
        &mut self,
        discovery: Discovery,
        result: Result<Option<Catalogued>, Fault>,
    ) -> Result<(), Fault> {
        self.listing.under_way = false;
        self.listing.discovery = Some(discovery);
        match result {
            Ok(Some(page)) => self.found(page),
            Ok(None) => self.recorder.lease_lost = true,
            Err(fault) => return self.listing_failed(fault),
        }
        Ok(())
    }

    fn swept(&mut self, sweep: Sweep, result: Result<StepOutcome, Fault>) -> Result<(), Fault> {
        self.listing.under_way = false;
        let mut goes_on = true;
        let followed = match result {
            Ok(StepOutcome::On(page)) => {
                self.found(page);
                Ok(())
            }
            Ok(StepOutcome::Ended(swept)) => {
                self.sweep_ended(swept);
                Ok(())
            }
            Ok(StepOutcome::Overtaken(page)) => {
                self.found(page);
                goes_on = false;
                Ok(())
            }
            // A fault of the ledger ends only the sweep: moving files does not need it.
            Err(fault)
                if matches!(
                    fault.kind(),
                    Kind::LedgerFailed | Kind::LedgerUnreachable | Kind::LedgerBusy
                ) =>
            {
                self.report
                    .error(format!("Sweep: {fault}; the next batch goes on with it"));
                goes_on = false;
                Ok(())
            }
            Err(fault) => self.listing_failed(fault),
        };
        self.listing.sweep = goes_on.then_some(sweep);
        followed
    }

    fn sweep_ended(&mut self, swept: Swept) {
        let Swept {
            missing,
            catalogued,
            marked,
        } = swept;
        if marked {
            self.report.figures.deleted = u32::try_from(missing).unwrap_or(u32::MAX);
        } else {
            self.report.error(format!(
                "Sweep: {missing} of {catalogued} attachments are missing in Odoo's list, more than archive_max_deleted_share allows; nothing was marked as deleted. Check the Odoo user's rights and the archive_ variables"
            ));
        }
    }

    fn listing_failed(&mut self, fault: Fault) -> Result<(), Fault> {
        match (fault.kind(), fault.reach()) {
            (Kind::SourceBusy, _) => self.fetcher.is_busy(fault, self.context.clock.now()),
            (_, Reach::Batch) => Err(fault),
            (_, Reach::File) => {
                self.listing.fault = Some(fault);
                Ok(())
            }
        }
    }

    fn found(&mut self, page: Catalogued) {
        let found = &mut self.listing.found;
        found.new += page.new;
        found.changed += page.changed;
        found.skipped += page.skipped;
        if page.unreadable > 0 {
            self.report.error(format!(
                "{} attachments cannot be read by the Odoo user and are left out: see odoo_sync.unreadable",
                page.unreadable
            ));
        }
        self.claimer
            .found(page.new > page.skipped || page.changed > 0);
    }

    fn claimed(
        &mut self,
        result: Result<Vec<Result<Claimed, Unverifiable>>, Fault>,
    ) -> Result<(), Fault> {
        self.claimer.claimed(result.as_ref().map_or(0, Vec::len));
        let mut to_move = Vec::new();
        for claimed in result? {
            let file = match claimed {
                Ok(file) => file,
                Err(Unverifiable { id, checksum }) => {
                    let reason = Skip::NoChecksum;
                    let outcome = Outcome::Skipped { reason };
                    self.recorder.settled.push(Settled {
                        id,
                        checksum,
                        outcome,
                    });
                    continue;
                }
            };
            // The content changed while the previous version is under way, which must finish first.
            if let Some(under_way) = self.recorder.claimed.get(&file.id) {
                if under_way.checksum != file.checksum {
                    let released = Outcome::Released { upload: None };
                    self.recorder.settled.push(Settled::of(&file, released));
                }
                continue;
            }
            if file.interruptions >= MOST_INTERRUPTIONS {
                self.report
                    .error(format!("File {}: {}", file.id, CUT_OFF.message()));
                let upload = file.upload.clone();
                let chance = self.context.clock.chance();
                self.recorder
                    .settle(&file, outcome(&file, &CUT_OFF, upload, chance));
                continue;
            }
            if file.file_size > self.context.settings.max_file_bytes {
                let reason = Skip::OverSizeLimit;
                self.recorder.settle(&file, Outcome::Skipped { reason });
                continue;
            }
            self.recorder.claimed.insert(file.id, file.clone());
            match self.claimer.duplicates.take_up(file) {
                First::Move(file) => to_move.push(file),
                First::Stored(file) => self.moved(&file),
                First::Presumed(file) => {
                    let now = self.context.clock.now();
                    self.uploader.unconfirmed.add(Sent::earlier(file), now);
                }
                First::Waits => {}
            }
        }
        self.plan(to_move);
        Ok(())
    }

    /// Verifies a file that arrived, and queues it for upload.
    pub(super) fn arrived(&mut self, file: Claimed, content: Bytes) -> Result<(), Fault> {
        match Fetched::of(file, content) {
            Ok(fetched) => {
                self.fetcher.answers();
                let own = self.fetcher.rpc.succeeded();
                self.recorder.settled.extend(own);
                self.uploader.ready(fetched.into());
                Ok(())
            }
            Err((file, fault)) => self.not_fetched(file, fault),
        }
    }

    fn fetched(&mut self, file: Claimed, result: Result<Bytes, Fault>) -> Result<(), Fault> {
        self.fetcher.calls -= 1;
        match result {
            Ok(content) => {
                self.fetcher.limiter.success();
                self.arrived(file, content)
            }
            Err(fault) => self.not_fetched(file, fault),
        }
    }

    fn not_fetched(&mut self, file: Claimed, fault: Fault) -> Result<(), Fault> {
        self.fetcher.dropped(&file);
        if fault.kind() == Kind::SourceBusy {
            self.fetcher.plan(Fetch::Whole(file));
            return self.fetcher.is_busy(fault, self.context.clock.now());
        }
        self.failed("File", &file, fault, None)
    }

    fn group_ended(&mut self, failed: Vec<(Claimed, Fault, bool)>) -> Result<(), Fault> {
        self.fetcher.calls -= 1;
        let mut whole_call = None;
        let mut together = Vec::new();
        for (file, fault, of_the_call) in failed {
            if !of_the_call {
                if let Err(fault) = self.not_fetched(file, fault) {
                    self.abort(fault);
                }
                continue;
            }
            self.fetcher.dropped(&file);
            // Fetch the files of a failed group one by one, unless Odoo was only busy.
            if fault.kind() == Kind::SourceBusy {
                together.push(file);
            } else {
                self.fetcher.plan(Fetch::Whole(file));
            }
            whole_call = Some(fault);
        }
        if !together.is_empty() {
            self.fetcher.plan(Fetch::Group(together));
        }
        let now = self.context.clock.now();
        match whole_call {
            None => {
                self.fetcher.limiter.success();
                self.fetcher.answers();
            }
            Some(fault) if fault.kind() == Kind::SourceBusy => {
                return self.fetcher.is_busy(fault, now);
            }
            Some(fault) if fault.kind() != Kind::SourceProxy && fault.reach() == Reach::Batch => {
                return Err(fault);
            }
            Some(fault) => self.fetcher.limiter.overload(now, short_wait(&fault)),
        }
        Ok(())
    }

    fn large_ended(&mut self, upload: &LargeUpload, end: LargeEnd) -> Result<(), Fault> {
        self.fetcher.large_ended(upload);
        let file = &upload.file;
        match end {
            LargeEnd::Moved => {
                let own = [
                    self.fetcher.rpc.succeeded(),
                    self.uploader.breaker.succeeded(),
                ];
                self.recorder.settled.extend(own.into_iter().flatten());
                self.moved(file);
            }
            // The file stays claimed, and is released at the end of the batch.
            LargeEnd::Waits => self.claimer.waiting += 1,
            LargeEnd::Cut => {
                let upload = upload.document();
                self.recorder.settle(file, Outcome::Released { upload });
            }
            LargeEnd::Skipped(reason) => {
                self.recorder.settle(file, Outcome::Skipped { reason });
                while let Some(next) = self.claimer.duplicates.failed(file) {
                    self.recorder.settle(&next, Outcome::Skipped { reason });
                }
            }
            LargeEnd::Failed(fault) => {
                let document = upload.document();
                if fault.kind() == Kind::SourceBusy {
                    let upload = document;
                    self.recorder.settle(file, Outcome::Released { upload });
                    return Err(fault);
                }
                return self.failed("Upload", file, fault, document);
            }
        }
        Ok(())
    }

    fn uploaded(&mut self, upload: Upload, result: Result<Stored, Fault>) -> Result<(), Fault> {
        self.uploader.ended();
        let now = self.context.clock.now();
        let fault = match result {
            Ok(stored) => {
                self.uploader.took();
                let own = self.uploader.breaker.succeeded();
                self.recorder.settled.extend(own);
                self.fetcher.dropped(&upload.file);
                match stored {
                    Stored::Confirmed => self.moved(&upload.file),
                    Stored::Taken => self.uploader.unconfirmed.add(upload.sent(), now),
                }
                return Ok(());
            }
            Err(fault) => fault,
        };
        let Some(upload) = self.uploader.retry(upload, &fault, now) else {
            return Ok(());
        };
        self.fetcher.dropped(&upload.file);
        self.failed("Upload", &upload.file, fault, None)
    }

    fn confirmed(&mut self, files: Vec<(Sent, Result<(), Fault>)>, rows: usize) {
        self.uploader.confirmed(rows);
        for (mut sent, result) in files {
            let Err(fault) = result else {
                self.moved(&sent.file);
                continue;
            };
            // The object that an earlier batch stored is gone or differs: move the file again.
            let gone = matches!(fault.kind(), Kind::StorageFailed | Kind::ObjectDiffers);
            if sent.fingerprint.is_none() && gone {
                self.plan(vec![sent.file]);
                continue;
            }
            let now = self.context.clock.now();
            if self.fault.is_none() && self.uploader.is_tried_again(&fault, sent.tries, now) {
                sent.tries += 1;
                self.uploader.unconfirmed.add(sent, now);
            } else if let Err(fault) = self.failed("Upload", &sent.file, fault, None) {
                self.abort(fault);
            }
        }
    }

    fn probed(&mut self, way: Way, proof: ProbeResult) -> Result<(), Fault> {
        let verdict = self.breaker(way).proved(proof);
        self.recorder.settled.extend(verdict.own);
        verdict.stop.map_or(Ok(()), Err)
    }

    /// Settles a file whose content is stored, and all files that waited for it.
    fn moved(&mut self, file: &Claimed) {
        let object_path = transfer::path(file);
        let waited = self.claimer.duplicates.stored(file);
        for file in std::iter::once(file).chain(&waited) {
            let object_path = object_path.clone();
            self.recorder.settle(file, Outcome::Moved { object_path });
        }
    }

    /// Handles a file's failure. Returns the fault if it would hit every file.
    fn failed(
        &mut self,
        what: &str,
        file: &Claimed,
        fault: Fault,
        upload: Option<serde_json::Value>,
    ) -> Result<(), Fault> {
        let way = match fault.kind() {
            Kind::SourceContent => Way::Streams,
            Kind::FileBlocked => Way::Storage,
            _ if fault.blame() == Blame::Destination => Way::Storage,
            _ => Way::Rpc,
        };
        let needs_proof = matches!(fault.kind(), Kind::SourceContent | Kind::SourceProxy);
        if fault.reach() == Reach::Batch && !needs_proof {
            if upload.is_some() {
                self.recorder.settle(file, Outcome::Released { upload });
            }
            return Err(fault.at(format_args!("{what} {}", file.id)));
        }
        self.report.error(format!("{what} {}: {fault}", file.id));
        self.recorder.claimed.remove(&file.id);
        // The fault to record if the failure proves to be the file's own.
        let own = match fault.kind() {
            Kind::SourceContent => Fault::told(
                Kind::SourceEmpty,
                format!("Attachment not found or empty: {}", fault.message()),
            ),
            Kind::SourceProxy => Fault::told(Kind::FileBlocked, fault.message()),
            _ => fault.clone(),
        };
        let chance = self.context.clock.chance();
        let settled = Settled::of(file, outcome(file, &own, upload, chance));
        let proved = self.breaker(way).failed(&fault, settled);
        self.recorder.settled.extend(proved);
        // Another file with the same content may succeed: try it alone.
        match self.claimer.duplicates.failed(file) {
            Some(next) if next.file_size > WHOLE_BYTES => self.plan_large(next),
            Some(next) => self.fetcher.plan(Fetch::Whole(next)),
            None => {}
        }
        // An answer from Storage does not prove that it can store, so a streak stops the batch. A proxy's refusals
        // are probed instead: if another upload passes, they concern these files only.
        if way == Way::Storage
            && fault.kind() != Kind::FileBlocked
            && self.uploader.breaker.is_open()
            && self.uploader.breaker.is_streak()
        {
            return Err(fault.at("many files in a row"));
        }
        Ok(())
    }
}
