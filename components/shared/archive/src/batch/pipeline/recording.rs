//! Records outcomes of claimed files, many per statement, and renews the lease.

use std::collections::HashMap;
use std::time::Duration;

use fault::Fault;
use futures::FutureExt;
use ledger::Postgres;
use ledger::attachments::{self, Claimed, Outcome, Recorded, Renewed, Settled};
use outbound::Clock;

use super::fetching::Fetcher;
use super::{Context, Event, Tasks};
use crate::transfer::LargeUpload;

/// Outcomes are recorded when there are this many, or after [`RECORD_AFTER`].
const RECORD_FILES: usize = 100;
const RECORD_AFTER: Duration = Duration::from_secs(2);
/// The least interval between storing the progress of large files.
const KEEP_AFTER: Duration = Duration::from_secs(2);
/// How many times in a row recording may fail before the batch gives up.
const LEDGER_TRIES: u32 = 5;
/// The linear backoff: the wait grows by this with each failure.
const LEDGER_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Recorder {
    /// Claimed files without an outcome: released at the end.
    pub(super) claimed: HashMap<i64, Claimed>,
    pub(super) settled: Vec<Settled>,
    pub(super) recorded: Recorded,
    pub(super) recording: bool,
    renewing: bool,
    /// The run was given up as crashed, and may record nothing more.
    pub(super) lease_lost: bool,
    recorded_at: Duration,
    renewed_at: Duration,
    /// How many times in a row recording failed.
    failures: u32,
}

impl Recorder {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            claimed: HashMap::new(),
            settled: Vec::new(),
            recorded: Recorded::default(),
            recording: false,
            renewing: false,
            lease_lost: false,
            recorded_at: now,
            renewed_at: now,
            failures: 0,
        }
    }

    pub(super) fn settle(&mut self, file: &Claimed, outcome: Outcome) {
        self.claimed.remove(&file.id);
        self.settled.push(Settled::of(file, outcome));
    }

    /// Records outcomes that are due. Renews the lease of the run and its files when a third of it has passed, or
    /// earlier to store the progress of large files.
    pub(super) fn begin<'a, H, C, P: Postgres>(
        &mut self,
        context: &'a Context<'a, H, C, P>,
        tasks: &mut Tasks<'a>,
        fetcher: &mut Fetcher,
        now: Duration,
    ) {
        let since = now.saturating_sub(self.recorded_at);
        let due = self.settled.len() >= RECORD_FILES || since >= RECORD_AFTER || tasks.is_empty();
        let waits = since < LEDGER_WAIT * self.failures;
        let Context {
            postgres,
            run_id,
            settings,
            ..
        } = *context;
        let lease_s = settings.lease_s;
        if due && !waits && !self.recording && !self.settled.is_empty() {
            self.recording = true;
            self.recorded_at = now;
            let settled = std::mem::take(&mut self.settled);
            tasks.push(
                async move {
                    let recorded = attachments::record(postgres, run_id, lease_s, &settled).await;
                    Event::Recorded(settled, recorded)
                }
                .boxed_local(),
            );
        }
        let third = Duration::from_secs(lease_s.into()) / 3;
        let since = now.saturating_sub(self.renewed_at);
        let due = since >= third || (since >= KEEP_AFTER && fetcher.has_advanced());
        if due && !self.renewing {
            self.renewing = true;
            self.renewed_at = now;
            let mut positions = fetcher.positions();
            let held = self.claimed.keys().map(|&id| Renewed {
                id,
                upload: positions.remove(&id),
            });
            let held: Vec<Renewed> = held.collect();
            tasks.push(
                async move {
                    Event::Renewed(attachments::renew(postgres, run_id, lease_s, &held).await)
                }
                .boxed_local(),
            );
        }
    }

    /// Handles the end of recording. Returns the fault after too many failures.
    pub(super) fn recorded(
        &mut self,
        settled: Vec<Settled>,
        result: Result<Recorded, Fault>,
    ) -> Result<(), Fault> {
        self.recording = false;
        match result {
            Ok(recorded) => {
                self.failures = 0;
                if recorded.alive {
                    self.recorded = recorded;
                } else {
                    self.lease_lost = true;
                }
            }
            Err(fault) => {
                // Recording twice is harmless: the first time ends the file's lease.
                self.settled.extend(settled);
                self.failures += 1;
                if self.failures >= LEDGER_TRIES {
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// Handles the end of a renewal. If it failed, the next renewal or record may succeed.
    pub(super) fn renewed(&mut self, result: &Result<bool, Fault>) {
        self.renewing = false;
        self.lease_lost |= matches!(result, Ok(false));
    }

    /// Releases all claimed files without an outcome, large ones with their progress.
    pub(super) fn release<'a>(&mut self, large: impl Iterator<Item = &'a LargeUpload>) {
        for upload in large {
            if let Some(file) = self.claimed.get_mut(&upload.file.id) {
                file.upload = upload.document();
            }
        }
        let unfinished = self.claimed.drain().map(|(_, mut file)| {
            let upload = file.upload.take();
            Settled::of(&file, Outcome::Released { upload })
        });
        self.settled.extend(unfinished);
    }

    /// Records what is left, while the lease lasts. If the ledger fails, the leases expire by themselves.
    pub(super) async fn finish<H, C: Clock, P: Postgres>(
        &mut self,
        context: &Context<'_, H, C, P>,
    ) -> Result<(), Fault> {
        while !self.settled.is_empty() && !self.lease_lost {
            let settled = std::mem::take(&mut self.settled);
            let lease_s = context.settings.lease_s;
            let result =
                attachments::record(context.postgres, context.run_id, lease_s, &settled).await;
            let failed = result.is_err();
            self.recorded(settled, result)?;
            if failed {
                context.clock.sleep(LEDGER_WAIT * self.failures).await;
            }
        }
        Ok(())
    }
}
