//! Which files to claim next, and which of them wait for another of the same content.

use std::collections::BTreeSet;

use futures::FutureExt;
use ledger::Postgres;
use ledger::attachments;

use super::{Context, Event, Tasks};
use crate::Request;
use crate::batch::duplicates::Duplicates;

/// How many files are claimed at once.
const CLAIM_FILES: usize = 200;
/// So many files that cannot be had in this batch are held, and then no more are claimed.
const MOST_WAITING: usize = 1000;
/// So many files wait for another of their content at most: they plan no fetch.
const MOST_HELD: usize = 3000;
/// Below so many planned fetches more files are claimed.
const FEW_PLANNED: usize = 3;

pub(super) struct Claimer {
    /// Whether files are moved at all, or only read of.
    moves: bool,
    more_due: bool,
    /// The files that are asked for by name and not claimed yet, if any are.
    named: Option<BTreeSet<i64>>,
    pub(super) under_way: bool,
    /// How many claimed files cannot be had in this batch.
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

    /// Something was found that may be due.
    pub(super) fn found(&mut self, any: bool) {
        self.more_due |= any;
    }

    /// A claim ended with so many files: a full one may have left others.
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
        // A named file is claimed before its time, so only once: it would else be tried again and again.
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
