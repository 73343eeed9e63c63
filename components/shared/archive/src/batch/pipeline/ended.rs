//! What follows when something has ended.

use bytes::Bytes;
use fault::{Blame, Fault, Kind, Reach};
use ledger::Postgres;
use ledger::attachments::{Catalogued, Claimed, Outcome, Recorded, Settled};
use outbound::{Clock, Http};

use super::super::duplicates::First;
use super::super::failures::{outcome, short_wait};
use super::{BUSY_TRIES, CLAIM_FILES, Done, LEDGER_TRIES, Pipeline, Ready, Way};
use crate::plan::{Fetch, WHOLE_BYTES, plan};
use crate::sweep::{Stepped, Swept};
use crate::transfer::{self, Fetched, PiecesEnd, Sent};
use storage::Stored;

/// After so many batches that ended without a word while they held it, a file has used an attempt: one
/// that brings every batch down would else be taken up for ever, and the wait parts it from the others.
const MOST_INTERRUPTIONS: u32 = 3;

const CUT_OFF: Fault = Fault::new(
    Kind::CutOff,
    "three batches in a row ended without a word while they held this file",
);

impl<H: Http, C: Clock, P: Postgres> Pipeline<'_, H, C, P> {
    pub(super) fn done(&mut self, done: Done) {
        match done {
            // Taken apart by the caller, which keeps the readings.
            Done::Discovered(_, result) => self.discovered(result),
            Done::Swept(_, result) => {
                self.swept(result);
            }
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
                        self.source_pace.success();
                        self.arrived(file, content);
                    }
                    Err(fault) => self.not_fetched(file, fault),
                }
            }
            Done::Pieces(file, end) => {
                self.pieces.remove(&file.id);
                self.pieces_ended(&file, end);
            }
            Done::Uploaded(ready, result) => {
                self.uploads -= 1;
                self.uploaded(ready, result);
            }
            Done::Confirmed(files, rows) => {
                self.confirming -= 1;
                self.unconfirmed.listed(rows);
                for (sent, result) in files {
                    self.confirmed(sent, result);
                }
            }
            Done::Recorded(settled, result) => {
                self.recording = false;
                self.was_recorded(settled, result);
            }
            Done::Held(result) => {
                self.holding = false;
                // If it could not be renewed, the next try or the next record may.
                self.given_up |= matches!(result, Ok(false));
            }
            Done::Probed(way, proof) => {
                let verdict = self.breaker(way).proved(proof);
                self.settled.extend(verdict.own);
                if let Some(fault) = verdict.stop {
                    self.stop_by(fault);
                }
            }
        }
    }

    /// A file is here, and is what it should be, or is not.
    pub(super) fn arrived(&mut self, file: Claimed, content: Bytes) {
        match Fetched::of(file, content) {
            Ok(Fetched {
                file,
                content,
                fingerprint,
            }) => {
                self.source_answers();
                self.settled.extend(self.rpc.succeeded());
                self.ready.push_back(Ready {
                    file,
                    content,
                    fingerprint,
                    tries: 0,
                    before: 0,
                });
            }
            Err((file, fault)) => self.not_fetched(file, fault),
        }
    }

    fn not_fetched(&mut self, file: Claimed, fault: Fault) {
        self.held_bytes = self.held_bytes.saturating_sub(file.file_size);
        self.fetch_failed(file, fault);
    }

    fn group_ended(&mut self, failed: Vec<(Claimed, Fault, bool)>) {
        let mut whole_call = None;
        let mut together = Vec::new();
        for (file, fault, of_the_call) in failed {
            self.held_bytes = self.held_bytes.saturating_sub(file.file_size);
            if !of_the_call {
                self.fetch_failed(file, fault);
                continue;
            }
            // What failed as a group is tried one by one, unless Odoo was only busy.
            if fault.kind() == Kind::SourceBusy {
                together.push(file);
            } else {
                self.small.push_back(Fetch::Whole(file));
            }
            whole_call = Some(fault);
        }
        if !together.is_empty() {
            self.small.push_back(Fetch::Group(together));
        }
        match whole_call {
            None => {
                self.source_pace.success();
                self.source_answers();
            }
            Some(fault) if fault.kind() == Kind::SourceBusy => self.source_is_busy(fault),
            Some(fault) if fault.kind() != Kind::SourceProxy && fault.reach() == Reach::Batch => {
                self.stop_by(fault);
            }
            Some(fault) => self
                .source_pace
                .overload(self.clock.now(), short_wait(&fault)),
        }
    }

    /// Odoo answers, and does not ask for a pause.
    fn source_answers(&mut self) {
        self.source_busy = 0;
        self.busy.take_if(|fault| fault.blame() == Blame::Source);
    }

    fn source_is_busy(&mut self, fault: Fault) {
        self.source_busy += 1;
        self.busy = Some(fault.clone());
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
            _ => self.failed("File", &file, fault, None),
        }
    }

    fn uploaded(&mut self, mut ready: Ready, result: Result<Stored, Fault>) {
        let fault = match result {
            Ok(stored) => {
                self.storage_took();
                self.held_bytes = self.held_bytes.saturating_sub(ready.file.file_size);
                match stored {
                    Stored::Confirmed => self.moved(&ready.file),
                    Stored::Taken => self.unconfirmed.add(
                        Sent {
                            file: ready.file,
                            fingerprint: ready.fingerprint,
                            tries: 0,
                        },
                        self.clock.now(),
                    ),
                }
                return;
            }
            Err(fault) => fault,
        };
        if self.is_tried_again(&fault, ready.tries) {
            ready.tries += 1;
            self.ready.push_back(ready);
            return;
        }
        self.held_bytes = self.held_bytes.saturating_sub(ready.file.file_size);
        // Others were taken meanwhile: it is this one that something is wrong with.
        if fault.kind() == Kind::StorageBusy && self.stored == ready.before {
            self.stop_by(fault);
        } else {
            self.failed("Upload", &ready.file, fault, None);
        }
    }

    /// The Storage takes what it is given.
    fn storage_took(&mut self) {
        self.stored += 1;
        self.settled.extend(self.storing.succeeded());
        self.uploads_pace.success();
        self.busy
            .take_if(|fault| fault.blame() == Blame::Destination);
    }

    /// Whether a request to the Storage is made once more: a dropped connection once, a wish for a pause as often
    /// as it takes.
    fn is_tried_again(&mut self, fault: &Fault, tries: u32) -> bool {
        let most = match fault.kind() {
            Kind::StorageBusy => BUSY_TRIES,
            Kind::StorageTimeout => 2,
            _ => return false,
        };
        self.busy = Some(fault.clone());
        self.uploads_pace
            .overload(self.clock.now(), short_wait(fault));
        tries + 1 < most
    }

    /// What the Storage has of a file is known, or could not be asked for.
    fn confirmed(&mut self, mut sent: Sent, result: Result<(), Fault>) {
        let Err(fault) = result else {
            self.moved(&sent.file);
            return;
        };
        if self.stop.is_none() && self.is_tried_again(&fault, sent.tries) {
            sent.tries += 1;
            self.unconfirmed.add(sent, self.clock.now());
        } else if fault.kind() == Kind::StorageBusy {
            self.stop_by(fault);
        } else {
            self.failed("Upload", &sent.file, fault, None);
        }
    }

    fn pieces_ended(&mut self, file: &Claimed, end: PiecesEnd) {
        match end {
            PiecesEnd::Moved => {
                self.settled.extend(self.rpc.succeeded());
                self.settled.extend(self.storing.succeeded());
                self.moved(file);
            }
            // It stays in hand, and is given back at the end.
            PiecesEnd::Waits => self.waiting += 1,
            PiecesEnd::Cut(upload) => self.settle(file, Outcome::Back { upload }),
            PiecesEnd::Skipped(reason) => {
                self.settle(file, Outcome::Skipped { reason });
                while let Some(next) = self.duplicates.failed(file) {
                    self.settle(&next, Outcome::Skipped { reason });
                }
            }
            PiecesEnd::Failed(fault, upload) => match fault.kind() {
                Kind::SourceBusy | Kind::StorageBusy => {
                    self.settle(file, Outcome::Back { upload });
                    self.stop_by(fault);
                }
                _ => self.failed("Upload", file, fault, upload),
            },
        }
    }

    /// A file's content is in the Storage, and with it that of all who waited for it.
    fn moved(&mut self, file: &Claimed) {
        let object_path = transfer::path(file);
        let waited = self.duplicates.stored(file);
        for file in std::iter::once(file).chain(&waited) {
            self.settle(
                file,
                Outcome::Moved {
                    object_path: object_path.clone(),
                },
            );
        }
    }

    fn failed(
        &mut self,
        what: &str,
        file: &Claimed,
        fault: Fault,
        upload: Option<serde_json::Value>,
    ) {
        let way = match fault.kind() {
            Kind::SourceContent => Way::Streams,
            _ if fault.blame() == Blame::Destination => Way::Storage,
            _ => Way::Rpc,
        };
        let needs_proof = matches!(fault.kind(), Kind::SourceContent | Kind::SourceProxy);
        if fault.reach() == Reach::Batch && !needs_proof {
            if upload.is_some() {
                self.settle(file, Outcome::Back { upload });
            }
            self.stop_by(fault.at(format_args!("{what} {}", file.id)));
            return;
        }
        self.errors.error(format!("{what} {}: {fault}", file.id));
        self.in_hand.remove(&file.id);
        // What it is if it is the file's own.
        let own = match fault.kind() {
            Kind::SourceContent => Fault::new(Kind::SourceEmpty, "Attachment not found or empty"),
            Kind::SourceProxy => Fault::told(Kind::FileBlocked, fault.message()),
            _ => fault.clone(),
        };
        let settled = Settled::of(file, outcome(file, &own, upload, self.clock.chance()));
        let proved = self.breaker(way).failed(&fault, settled);
        self.settled.extend(proved);
        // Of the Storage nothing is known to be good but that it answers.
        if way == Way::Storage && self.storing.is_open() {
            self.stop_by(fault.at("many files in a row"));
        }
        // Another name for the same content may have better luck, by itself.
        match self.duplicates.failed(file) {
            Some(next) if next.file_size > WHOLE_BYTES => self.large.push_back(next),
            Some(next) => self.small.push_back(Fetch::Whole(next)),
            None => {}
        }
    }

    fn settle(&mut self, file: &Claimed, outcome: Outcome) {
        self.in_hand.remove(&file.id);
        self.settled.push(Settled::of(file, outcome));
    }

    pub(super) fn was_recorded(&mut self, settled: Vec<Settled>, result: Result<Recorded, Fault>) {
        match result {
            Ok(recorded) => {
                self.ledger_tries = 0;
                if recorded.alive {
                    self.recorded = recorded;
                } else {
                    self.given_up = true;
                }
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

    fn reading_failed(&mut self, fault: Fault) {
        match (fault.kind(), fault.reach()) {
            (Kind::SourceBusy, _) => self.source_is_busy(fault),
            (_, Reach::Batch) => self.stop_by(fault),
            (_, Reach::File) => self.reading_fault = Some(fault),
        }
    }

    /// Whether this batch goes on with the sweep.
    pub(super) fn swept(&mut self, result: Result<Stepped, Fault>) -> bool {
        match result {
            Ok(Stepped::On(page)) => self.found(page),
            Ok(Stepped::Ended(Swept { missing, marked: true, .. })) => {
                self.errors.deleted = u32::try_from(missing).unwrap_or(u32::MAX);
            }
            Ok(Stepped::Ended(Swept { missing, catalogued, .. })) => self.errors.error(format!(
                "Sweep: {missing} of {catalogued} attachments are missing in Odoo's list, more than archive_max_deleted_share allows; nothing was marked as deleted. Check the Odoo user's rights and the archive_ variables"
            )),
            Ok(Stepped::Overtaken(page)) => {
                self.found(page);
                return false;
            }
            // What to move is known without it.
            Err(fault) if matches!(fault.kind(), Kind::LedgerFailed | Kind::LedgerUnreachable) => {
                self.errors.error(format!("Sweep: {fault}; the next batch goes on with it"));
                return false;
            }
            Err(fault) => self.reading_failed(fault),
        }
        true
    }

    pub(super) fn discovered(&mut self, result: Result<Option<Catalogued>, Fault>) {
        match result {
            Ok(Some(page)) => self.found(page),
            Ok(None) => self.given_up = true,
            Err(fault) => self.reading_failed(fault),
        }
    }

    fn found(&mut self, page: Catalogued) {
        self.catalogued.new += page.new;
        self.catalogued.changed += page.changed;
        self.catalogued.skipped += page.skipped;
        if page.unreadable > 0 {
            self.errors.error(format!(
                "{} attachments cannot be read by the Odoo user and are left out: see odoo_sync.unreadable",
                page.unreadable
            ));
        }
        self.more_due |= page.new > page.skipped || page.changed > 0;
    }

    fn claimed(&mut self, claimed: Vec<Claimed>) {
        self.more_due |= claimed.len() >= CLAIM_FILES;
        let mut to_move = Vec::new();
        for file in claimed {
            // Its content changed while the one before is still on its way: that has to end first.
            if let Some(held) = self.in_hand.get(&file.id) {
                if held.checksum != file.checksum {
                    let back = Outcome::Back { upload: None };
                    self.settled.push(Settled::of(&file, back));
                }
                continue;
            }
            if file.interruptions >= MOST_INTERRUPTIONS {
                self.errors
                    .error(format!("File {}: {}", file.id, CUT_OFF.message()));
                let upload = file.upload.clone();
                let outcome = outcome(&file, &CUT_OFF, upload, self.clock.chance());
                self.settle(&file, outcome);
                continue;
            }
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
}
