//! What begins: reading on, claiming, fetching, storing, recording, each within its bounds.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::channel::mpsc::UnboundedSender;
use ledger::Postgres;
use ledger::attachments::{self, Claimed};
use odoo::Odoo;
use outbound::{Clock, Http};

use super::{
    CLAIM_FILES, Done, FEW_PLANNED, LEDGER_WAIT, MOST_WAITING, Pipeline, Proof, RECORD_AFTER,
    RECORD_FILES, Tasks, Way,
};
use crate::discovery::Discovery;
use crate::plan::{Fetch, SMALL_BYTES, held_at_once, large_at_once};
use crate::sweep::Sweep;
use crate::transfer::{self, Fetched, Progress};

impl<'a, H: Http, C: Clock, P: Postgres> Pipeline<'a, H, C, P> {
    /// Reads on in Odoo's list: what is new and what changed, and when both rest, what is gone.
    pub(super) fn discover(
        &mut self,
        tasks: &mut Tasks<'a>,
        discovery: &mut Option<Discovery>,
        sweep: &mut Option<Sweep>,
        now: Duration,
    ) {
        let paused = !self.source_pace.open(now);
        if self.discovering || paused || self.reading_fault.is_some() {
            return;
        }
        let now_s = self.unix_seconds(now);
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

    pub(super) fn claim(&mut self, tasks: &mut Tasks<'a>) {
        let planned = self.small.len() + self.large.len();
        let enough = planned >= FEW_PLANNED || self.waiting >= MOST_WAITING;
        if self.claiming || !self.more_to_claim() || enough {
            return;
        }
        self.claiming = true;
        self.more_due = false;
        let (postgres, run_id, lease_s) = (self.postgres, self.run_id, self.settings.lease_s);
        // A named file is claimed before its time, so only once: it would else be tried again and again.
        let ids: Option<Vec<i64>> = self.named.as_mut().map(|named| {
            let next = std::iter::from_fn(|| named.pop_first());
            next.take(CLAIM_FILES).collect()
        });
        tasks.push(
            async move {
                Done::Claimed(
                    attachments::claim(postgres, run_id, lease_s, CLAIM_FILES, ids.as_deref())
                        .await,
                )
            }
            .boxed_local(),
        );
    }

    /// Tries a way on which so many files failed that it may be closed to all; with `last`, one on which any did,
    /// before the batch ends.
    pub(super) fn probe(&mut self, tasks: &mut Tasks<'a>, last: bool) {
        for way in [Way::Rpc, Way::Streams, Way::Storage] {
            if self.breaker(way).probe(last) {
                let (odoo, storage, postgres) = (self.odoo, self.storage, self.postgres);
                tasks.push(
                    async move {
                        let proof = match way {
                            Way::Storage => match storage.check_bucket().await {
                                Ok(()) => Proof::Well,
                                Err(fault) => Proof::Ill(Some(fault)),
                            },
                            Way::Rpc | Way::Streams => known_good(odoo, postgres, way).await,
                        };
                        Done::Probed(way, proof)
                    }
                    .boxed_local(),
                );
            }
        }
    }

    pub(super) fn fetch(
        &mut self,
        tasks: &mut Tasks<'a>,
        here: &UnboundedSender<(Claimed, Bytes)>,
        now: Duration,
        soft: Duration,
    ) {
        if !self.source_pace.open(now) || self.rpc.is_open() || self.streams.is_open() {
            return;
        }
        let (odoo, storage, clock) = (self.odoo, self.storage, self.clock);
        while self.large_may_begin()
            && self.held_bytes <= self.room_beside_large()
            && let Some(file) = self.large.pop_front()
        {
            let progress = Progress::of(&file);
            if progress.is_outdated(&file) {
                self.errors.error(format!(
                    "Upload {}: begins anew, since an earlier version kept its beginning in another form",
                    file.id
                ));
            }
            self.pieces.insert(file.id, progress.clone());
            let max_rpc_bytes = self.settings.max_rpc_bytes;
            tasks.push(
                async move {
                    let time_is_up = || clock.now() >= soft;
                    let end = transfer::pieces(
                        odoo,
                        storage,
                        &file,
                        max_rpc_bytes,
                        &progress,
                        time_is_up,
                    )
                    .await;
                    Done::Pieces(file, end)
                }
                .boxed_local(),
            );
        }
        let calls = self.source_pace.limit().saturating_sub(self.pieces.len());
        while self.fetches < calls.max(1)
            && self.next_fits(self.held_bytes)
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

    /// Whether the next large file would not be one too many.
    fn large_may_begin(&self) -> bool {
        let at_once = large_at_once(
            self.odoo.knows_ranges(),
            self.settings.parallel_runs,
            self.source_pace.limit(),
            self.uploads_pace.limit(),
        );
        !self.large.is_empty() && self.pieces.len() < at_once
    }

    /// The bytes that may be held whole beside the large files, the one that may begin included.
    fn room_beside_large(&self) -> u64 {
        let large = self.pieces.len() + usize::from(self.large_may_begin());
        held_at_once(large, self.settings.parallel_runs)
    }

    /// Whether there is room for what is to be fetched next, beside so many bytes.
    fn next_fits(&self, held_bytes: u64) -> bool {
        let room = self.room_beside_large();
        let next = self.small.front();
        held_bytes == 0 || next.is_none_or(|next| held_bytes + next.bytes() <= room)
    }

    pub(super) fn store(&mut self, tasks: &mut Tasks<'a>, now: Duration) {
        while self.uploads + self.confirming < self.uploads_pace.limit()
            && self.uploads_pace.open(now)
            && let Some(mut ready) = self.ready.pop_front()
        {
            self.uploads += 1;
            if ready.tries == 0 {
                ready.before = self.stored;
            }
            let storage = self.storage;
            tasks.push(
                async move {
                    let content = ready.content.clone();
                    let result =
                        transfer::upload(storage, &ready.file, content, &ready.fingerprint).await;
                    Done::Uploaded(ready, result)
                }
                .boxed_local(),
            );
        }
    }

    /// Asks for what the Storage took, by folders; for all of it when nothing more will come (not `open`, not
    /// `storing`), or nothing else is to be done.
    pub(super) fn confirm(
        &mut self,
        tasks: &mut Tasks<'a>,
        now: Duration,
        open: bool,
        storing: bool,
    ) {
        let uploading = storing && self.uploads + self.ready.len() > 0;
        let more = self.fetches + self.small.len() + self.large.len() + self.pieces.len() > 0
            || self.claiming
            || self.more_to_claim();
        let all = !(uploading || (open && more));
        while self.uploads + self.confirming < self.uploads_pace.limit()
            && self.uploads_pace.open(now)
            && let Some(confirmation) = self.unconfirmed.due(now, all)
        {
            self.confirming += 1;
            let storage = self.storage;
            tasks.push(
                async move {
                    let (files, rows) = transfer::confirm(storage, confirmation).await;
                    Done::Confirmed(files, rows)
                }
                .boxed_local(),
            );
        }
    }

    pub(super) fn record(&mut self, tasks: &mut Tasks<'a>, now: Duration) {
        let due = self.settled.len() >= RECORD_FILES
            || now.saturating_sub(self.last_record) >= RECORD_AFTER
            || tasks.is_empty();
        let patient = now.saturating_sub(self.last_record) < LEDGER_WAIT * self.ledger_tries;
        if self.recording || self.settled.is_empty() || !due || patient {
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

    /// Renews the lease of this run and of what it holds, long before it passes.
    pub(super) fn hold(&mut self, tasks: &mut Tasks<'a>, now: Duration) {
        let (postgres, run_id, lease_s) = (self.postgres, self.run_id, self.settings.lease_s);
        let third = Duration::from_secs(lease_s.into()) / 3;
        if self.holding || now.saturating_sub(self.last_hold) < third {
            return;
        }
        self.holding = true;
        self.last_hold = now;
        let ids: Vec<i64> = self.in_hand.keys().copied().collect();
        tasks.push(
            async move { Done::Held(attachments::hold(postgres, run_id, lease_s, &ids).await) }
                .boxed_local(),
        );
    }
}

/// Whether a file that was moved before can still be had this way.
async fn known_good<H: Http, C: Clock, P: Postgres>(
    odoo: &Odoo<H, C>,
    postgres: &P,
    way: Way,
) -> Proof {
    let Ok(Some(file)) = attachments::any_moved(postgres, SMALL_BYTES).await else {
        return Proof::Unknown;
    };
    let well = if way == Way::Streams {
        odoo.content(file.id, 0, 1).await.is_ok()
    } else {
        let content = transfer::whole(odoo, &file).await;
        content.is_ok_and(|content| Fetched::of(file, content).is_ok())
    };
    if well { Proof::Well } else { Proof::Ill(None) }
}
