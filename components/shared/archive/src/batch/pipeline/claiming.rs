//! Decides when to claim more files, and which files wait for another one with the same content.

use std::collections::BTreeSet;

use futures::FutureExt;
use ledger::Postgres;
use ledger::attachments;

use super::{Context, Event, Tasks};
use crate::Request;
use crate::batch::duplicates::Duplicates;

/// How many files one statement claims.
const CLAIM_FILES: usize = 200;
/// No more files are claimed while this many claimed files cannot be fetched in this batch.
const MOST_WAITING: usize = 1000;
/// The most files that may wait for another one with the same content: they plan no fetch.
const MOST_HELD: usize = 3000;
/// More files are claimed while fewer fetches than this are planned.
const FEW_PLANNED: usize = 3;

pub(super) struct Claimer {
    /// Whether this mode moves files at all.
    moves: bool,
    more_due: bool,
    /// The requested ids that are not claimed yet, if any were requested.
    named: Option<BTreeSet<i64>>,
    pub(super) under_way: bool,
    /// How many claimed files cannot be fetched in this batch.
    pub(super) waiting: usize,
    pub(super) duplicates: Duplicates,
}

impl Claimer {
    pub(super) fn new(request: &Request) -> Self {
        let named = request.ids.as_ref();
        Self {
            moves: request.mode.moves(),
            more_due: true,
            named: named.map(|ids| ids.iter().copied().collect()),
            under_way: false,
            waiting: 0,
            duplicates: Duplicates::default(),
        }
    }

    /// Whether there may be more to claim.
    pub(super) fn more(&self) -> bool {
        let named = self.named.as_ref();
        self.moves && named.map_or(self.more_due, |named| !named.is_empty())
    }

    /// Notes that files were found which may be due.
    pub(super) fn found(&mut self, any: bool) {
        self.more_due |= any;
    }

    /// Notes the end of a claim. A full one may have left more due files.
    pub(super) fn claimed(&mut self, files: usize) {
        self.under_way = false;
        self.more_due |= files >= CLAIM_FILES;
    }

    pub(super) fn begin<'a, H, C, P: Postgres>(
        &mut self,
        context: &'a Context<'a, H, C, P>,
        tasks: &mut Tasks<'a>,
        planned: usize,
    ) {
        let enough = planned >= FEW_PLANNED
            || self.waiting >= MOST_WAITING
            || self.duplicates.held() + CLAIM_FILES > MOST_HELD;
        if self.under_way || !self.more() || enough {
            return;
        }
        self.under_way = true;
        self.more_due = false;
        let (postgres, run_id, lease_s) =
            (context.postgres, context.run_id, context.settings.lease_s);
        // Requested files are claimed before they are due: claim each once, or a failing one comes back at once.
        let ids: Option<Vec<i64>> = self.named.as_mut().map(|named| {
            let next = std::iter::from_fn(|| named.pop_first());
            next.take(CLAIM_FILES).collect()
        });
        tasks.push(
            async move {
                Event::Claimed(
                    attachments::claim(postgres, run_id, lease_s, CLAIM_FILES, ids.as_deref())
                        .await,
                )
            }
            .boxed_local(),
        );
    }
}
