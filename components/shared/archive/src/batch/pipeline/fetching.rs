//! Fetches from Odoo: small files in groups, larger ones alone, the largest in pieces.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use fault::Fault;
use futures::FutureExt;
use ledger::Postgres;
use ledger::attachments::Claimed;
use outbound::{Clock, Http};
use serde_json::Value;

use super::events::Arrivals;
use super::{BUSY_TRIES, Context, Event, Pipeline, Tasks};
use crate::batch::breaker::Breaker;
use crate::batch::failures::short_wait;
use crate::limiter::Limiter;
use crate::plan::{Fetch, held_at_once, large_at_once, plan};
use crate::transfer::{self, LargeUpload};

/// Progress of a large file is stored after this many pieces, so that a killed instance loses no more.
const KEPT_PIECES: u32 = 4;

/// A large file under way.
struct Large {
    upload: Rc<LargeUpload>,
    began: Duration,
    /// How many of its pieces the ledger knows of.
    kept: u32,
}

pub(super) struct Fetcher {
    planned: VecDeque<Fetch>,
    planned_large: VecDeque<LargeUpload>,
    /// How many calls are under way.
    pub(super) calls: usize,
    large: BTreeMap<i64, Large>,
    /// Bytes held whole, from the fetch to the end of the upload.
    held_bytes: u64,
    pub(super) limiter: Limiter,
    pub(super) rpc: Breaker,
    pub(super) streams: Breaker,
    /// The fault by which Odoo asked for a pause, until it answers normally again.
    pub(super) busy: Option<Fault>,
    /// How many times in a row Odoo asked for a pause.
    busy_times: u32,
}

impl Fetcher {
    pub(super) fn new(parallel_calls: usize) -> Self {
        Self {
            planned: VecDeque::new(),
            planned_large: VecDeque::new(),
            calls: 0,
            large: BTreeMap::new(),
            held_bytes: 0,
            limiter: Limiter::new(parallel_calls),
            rpc: Breaker::default(),
            streams: Breaker::default(),
            busy: None,
            busy_times: 0,
        }
    }

    pub(super) fn plan(&mut self, fetch: Fetch) {
        self.planned.push_back(fetch);
    }

    pub(super) fn plan_large(&mut self, upload: LargeUpload) {
        self.planned_large.push_back(upload);
    }

    /// How many fetches are planned.
    pub(super) fn planned(&self) -> usize {
        self.planned.len() + self.planned_large.len()
    }

    /// Whether anything is planned or under way.
    pub(super) fn is_at_work(&self) -> bool {
        self.planned() + self.calls + self.large.len() > 0
    }

    pub(super) fn large_under_way(&self) -> impl Iterator<Item = &LargeUpload> {
        self.large.values().map(|large| large.upload.as_ref())
    }

    /// Large files that had this much time without finishing a piece.
    pub(super) fn stuck(&self, now: Duration, time: Duration) -> Vec<Rc<LargeUpload>> {
        let is_stuck =
            |large: &&Large| large.upload.pieces() == 0 && now.saturating_sub(large.began) >= time;
        let stuck = self.large.values().filter(is_stuck);
        stuck.map(|large| Rc::clone(&large.upload)).collect()
    }

    /// Whether a large file progressed far enough to store it.
    pub(super) fn has_advanced(&self) -> bool {
        let mut large = self.large.values();
        large.any(|large| large.upload.pieces() >= large.kept + KEPT_PIECES)
    }

    /// The progress of large files by id, about to be stored.
    pub(super) fn positions(&mut self) -> BTreeMap<i64, Value> {
        let position = |(id, large): (&i64, &mut Large)| {
            large.kept = large.upload.pieces();
            Some((*id, large.upload.document()?))
        };
        self.large.iter_mut().filter_map(position).collect()
    }

    pub(super) fn large_ended(&mut self, upload: &LargeUpload) {
        self.large.remove(&upload.file.id);
    }

    /// Frees the memory of a file that is no longer held.
    pub(super) fn dropped(&mut self, file: &Claimed) {
        self.held_bytes = self.held_bytes.saturating_sub(file.file_size);
    }

    /// Notes a normal answer of Odoo.
    pub(super) fn answers(&mut self) {
        self.busy_times = 0;
        self.busy = None;
    }

    /// Notes that Odoo asked for a pause. Returns the fault after too many in a row.
    pub(super) fn is_busy(&mut self, fault: Fault, now: Duration) -> Result<(), Fault> {
        self.busy_times += 1;
        self.limiter.overload(now, short_wait(&fault));
        self.busy = Some(fault.clone());
        if self.busy_times >= BUSY_TRIES {
            return Err(fault);
        }
        Ok(())
    }

    pub(super) fn begin<'a, H: Http, C: Clock, P: Postgres>(
        &mut self,
        context: &'a Context<'a, H, C, P>,
        tasks: &mut Tasks<'a>,
        arrivals: &Arrivals,
        uploads: usize,
        now: Duration,
        soft: Duration,
    ) {
        if !self.limiter.allows(now) || self.rpc.is_open() || self.streams.is_open() {
            return;
        }
        let Context {
            odoo,
            storage,
            clock,
            settings,
            ..
        } = *context;
        let at_once = large_at_once(
            odoo.knows_ranges(),
            settings.parallel_runs,
            self.limiter.limit(),
            uploads,
        );
        while self.large_may_begin(at_once)
            && self.held_bytes <= self.room(at_once, settings.parallel_runs)
            && let Some(upload) = self.planned_large.pop_front()
        {
            let upload = Rc::new(upload);
            let large = Large {
                upload: Rc::clone(&upload),
                began: now,
                kept: 0,
            };
            self.large.insert(upload.file.id, large);
            tasks.push(
                async move {
                    let time_is_up = || clock.now() >= soft;
                    let max_rpc_bytes = settings.max_rpc_bytes;
                    let moving = transfer::large(odoo, storage, &upload, max_rpc_bytes, time_is_up);
                    let end = moving.await;
                    Event::LargeEnded(upload, end)
                }
                .boxed_local(),
            );
        }
        while self.calls + self.large.len() < self.limiter.limit()
            && self.next_fits(self.room(at_once, settings.parallel_runs))
            && let Some(fetch) = self.planned.pop_front()
        {
            self.calls += 1;
            self.held_bytes += fetch.bytes();
            match fetch {
                Fetch::Group(files) => {
                    let here = arrivals.sender.clone();
                    tasks.push(
                        async move { Event::GroupEnded(transfer::group(odoo, files, &here).await) }
                            .boxed_local(),
                    );
                }
                Fetch::Whole(file) | Fetch::Pieces(file) => tasks.push(
                    async move {
                        let result = transfer::whole(odoo, &file).await;
                        Event::Fetched(file, result)
                    }
                    .boxed_local(),
                ),
            }
        }
    }

    /// Whether another large file may start. It takes the place of one call as long as it lasts; if the limit is one,
    /// small files go first.
    fn large_may_begin(&self, at_once: usize) -> bool {
        let alone = self.limiter.limit() == 1;
        let has_place = if alone {
            self.calls == 0 && self.planned.is_empty()
        } else {
            self.calls + self.large.len() < self.limiter.limit()
        };
        !self.planned_large.is_empty() && self.large.len() < at_once && has_place
    }

    /// How many bytes may be held whole beside the large files, including one that may start now.
    fn room(&self, large_at_once: usize, runs: u32) -> u64 {
        let large = self.large.len() + usize::from(self.large_may_begin(large_at_once));
        held_at_once(large, runs)
    }

    /// Whether the next planned fetch fits into memory.
    fn next_fits(&self, room: u64) -> bool {
        let next = self.planned.front();
        self.held_bytes == 0 || next.is_none_or(|next| self.held_bytes + next.bytes() <= room)
    }
}

impl<H: Http, C: Clock, P: Postgres> Pipeline<'_, H, C, P> {
    /// Plans how these files are fetched.
    pub(super) fn plan(&mut self, files: Vec<Claimed>) {
        for fetch in plan(files) {
            match fetch {
                Fetch::Pieces(file) => self.plan_large(file),
                small => self.fetcher.plan(small),
            }
        }
    }

    pub(super) fn plan_large(&mut self, file: Claimed) {
        let upload = LargeUpload::of(file);
        if upload.is_outdated() {
            self.report.error(format!(
                "Upload {}: begins anew, since an earlier version kept its beginning in another form",
                upload.file.id
            ));
        }
        self.fetcher.plan_large(upload);
    }
}
