//! Storing what is here, and asking what Storage has of it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use fault::{Fault, Kind};
use futures::FutureExt;
use ledger::attachments::Claimed;
use outbound::Http;
use storage::Fingerprint;

use super::{BUSY_TRIES, Context, Event, Tasks};
use crate::batch::breaker::Breaker;
use crate::batch::failures::short_wait;
use crate::limiter::Limiter;
use crate::transfer::{self, Fetched, Sent, Unconfirmed};

/// A file to be stored.
pub(super) struct Upload {
    pub(super) file: Claimed,
    content: Bytes,
    fingerprint: Fingerprint,
    tries: u32,
}

impl From<Fetched> for Upload {
    fn from(fetched: Fetched) -> Self {
        Self {
            file: fetched.file,
            content: fetched.content,
            fingerprint: fetched.fingerprint,
            tries: 0,
        }
    }
}

impl Upload {
    /// Storage took it, and is to be asked for it.
    pub(super) fn sent(self) -> Sent {
        Sent {
            file: self.file,
            fingerprint: Some(self.fingerprint),
            tries: 0,
        }
    }
}

pub(super) struct Uploader {
    ready: VecDeque<Upload>,
    uploads: usize,
    /// How many folders are being asked for.
    confirming: usize,
    /// What Storage took, and is still to be asked for.
    pub(super) unconfirmed: Unconfirmed,
    pub(super) limiter: Limiter,
    pub(super) breaker: Breaker,
    /// Storage asked for a pause, or dropped a connection, and has not taken anything since.
    pub(super) busy: Option<Fault>,
}

impl Uploader {
    pub(super) fn new(parallel_uploads: usize) -> Self {
        Self {
            ready: VecDeque::new(),
            uploads: 0,
            confirming: 0,
            unconfirmed: Unconfirmed::default(),
            limiter: Limiter::new(parallel_uploads),
            breaker: Breaker::default(),
            busy: None,
        }
    }

    pub(super) fn ready(&mut self, upload: Upload) {
        self.ready.push_back(upload);
    }

    /// How many requests are under way.
    pub(super) fn under_way(&self) -> usize {
        self.uploads + self.confirming
    }

    /// Whether anything is to be uploaded, or on its way.
    pub(super) fn is_at_work(&self) -> bool {
        self.uploads + self.ready.len() > 0
    }

    /// Whether nothing waits to be uploaded or confirmed.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.unconfirmed.is_empty()
    }

    pub(super) fn begin<'a, H: Http, C, P>(
        &mut self,
        context: &'a Context<'a, H, C, P>,
        tasks: &mut Tasks<'a>,
        now: Duration,
    ) {
        while self.under_way() < self.limiter.limit()
            && self.limiter.allows(now)
            && let Some(upload) = self.ready.pop_front()
        {
            self.uploads += 1;
            let storage = context.storage;
            tasks.push(
                async move {
                    let bytes = upload.content.clone();
                    let result =
                        transfer::upload(storage, &upload.file, bytes, &upload.fingerprint).await;
                    Event::Uploaded(upload, result)
                }
                .boxed_local(),
            );
        }
    }

    /// Asks for what Storage took, by folders; for `all` of it when nothing more will come, or nothing else is
    /// to be done.
    pub(super) fn confirm<'a, H: Http, C, P>(
        &mut self,
        context: &'a Context<'a, H, C, P>,
        tasks: &mut Tasks<'a>,
        now: Duration,
        all: bool,
    ) {
        while self.under_way() < self.limiter.limit()
            && self.limiter.allows(now)
            && let Some(confirmation) = self.unconfirmed.due(now, all)
        {
            self.confirming += 1;
            let storage = context.storage;
            tasks.push(
                async move {
                    let (files, rows) = transfer::confirm(storage, confirmation).await;
                    Event::Confirmed(files, rows)
                }
                .boxed_local(),
            );
        }
    }

    /// An upload ended.
    pub(super) fn ended(&mut self) {
        self.uploads -= 1;
    }

    /// Storage took a file.
    pub(super) fn took(&mut self) {
        self.limiter.success();
        self.busy = None;
    }

    /// Folders were asked for; the listing had so many rows.
    pub(super) fn confirmed(&mut self, rows: usize) {
        self.confirming -= 1;
        self.unconfirmed.listed(rows);
    }

    /// Puts a failed upload at the end of the queue, if it is to be tried again; else it comes back.
    pub(super) fn retry(
        &mut self,
        mut upload: Upload,
        fault: &Fault,
        now: Duration,
    ) -> Option<Upload> {
        if !self.is_tried_again(fault, upload.tries, now) {
            return Some(upload);
        }
        upload.tries += 1;
        self.ready.push_back(upload);
        None
    }

    /// Whether a request is made once more: after a dropped connection once, after a wish for a pause as often as
    /// it takes.
    pub(super) fn is_tried_again(&mut self, fault: &Fault, tries: u32, now: Duration) -> bool {
        let most = match fault.kind() {
            Kind::StorageBusy => BUSY_TRIES,
            Kind::StorageTimeout => 2,
            _ => return false,
        };
        // Others were taken since it was refused before: it is alone in this, and they need not wait for it.
        let alone = tries > 0 && self.busy.is_none();
        if !alone {
            self.limiter.overload(now, short_wait(fault));
        }
        self.busy = Some(fault.clone());
        tries + 1 < most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_refused_again_and_again_keeps_no_other_waiting() {
        let busy = Fault::new(Kind::StorageBusy, "HTTP 503");
        let second = |number| Duration::from_secs(number);
        let mut uploader = Uploader::new(16);
        assert!(uploader.is_tried_again(&busy, 0, second(10)));
        assert!(
            !uploader.limiter.allows(second(10)),
            "the first of all, maybe"
        );
        uploader.took();
        assert!(uploader.is_tried_again(&busy, 1, second(20)));
        assert!(uploader.limiter.allows(second(20)));
        // Where nothing is taken any more, there is a pause again.
        assert!(uploader.is_tried_again(&busy, 2, second(30)));
        assert!(!uploader.limiter.allows(second(30)));
        assert!(!uploader.is_tried_again(&busy, BUSY_TRIES, second(40)));
    }
}
