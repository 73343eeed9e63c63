//! Uploads files to Storage, and confirms that the objects are there.

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

/// A file to upload.
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
    /// The file after its upload, waiting for confirmation.
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
    /// How many folders are being confirmed.
    confirming: usize,
    /// Uploaded files that wait for confirmation.
    pub(super) unconfirmed: Unconfirmed,
    pub(super) limiter: Limiter,
    pub(super) breaker: Breaker,
    /// The fault by which Storage asked for a pause or dropped a connection, until an upload succeeds.
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

    /// Whether uploads wait or are in flight.
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

    /// Confirms uploads by folder. With `all`, confirms everything now, as no more uploads will come.
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

    /// Notes the end of an upload.
    pub(super) fn ended(&mut self) {
        self.uploads -= 1;
    }

    /// Notes a successful upload.
    pub(super) fn took(&mut self) {
        self.limiter.success();
        self.busy = None;
    }

    /// Notes the end of a confirmation, and how many rows its listing had.
    pub(super) fn confirmed(&mut self, rows: usize) {
        self.confirming -= 1;
        self.unconfirmed.listed(rows);
    }

    /// Queues a failed upload again if it may be retried; otherwise returns it.
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

    /// Whether to retry: once after a dropped connection, until [`BUSY_TRIES`] tries while Storage is busy.
    pub(super) fn is_tried_again(&mut self, fault: &Fault, tries: u32, now: Duration) -> bool {
        let most = match fault.kind() {
            Kind::StorageBusy => BUSY_TRIES,
            Kind::StorageTimeout => 2,
            _ => return false,
        };
        // Other uploads succeeded since its first refusal: it concerns this one alone, so the others need no pause.
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
        // Without a success in between, there is a pause again.
        assert!(uploader.is_tried_again(&busy, 2, second(30)));
        assert!(!uploader.limiter.allows(second(30)));
        assert!(!uploader.is_tried_again(&busy, BUSY_TRIES, second(40)));
    }
}
