//! What follows from a failure: for the file, and for the batch.

use std::time::Duration;

use fault::{Fault, Kind, Retry, next_attempt};
use ledger::attachments::{Claimed, Outcome};
use serde_json::Value;

/// So many failures of one kind in a row, without one success, are no longer the files' own.
const STREAK: usize = 10;

/// Watches for failures that are not the files' own though each looks as if it were.
#[derive(Debug, Default)]
pub(super) struct Streak {
    kind: Option<Kind>,
    length: usize,
}

impl Streak {
    /// Something went well.
    pub(super) fn broken(&mut self) {
        *self = Self::default();
    }

    /// A file failed. `true`: so many have failed alike that the batch must stop.
    pub(super) fn failed(&mut self, kind: Kind) -> bool {
        let of_the_servers = matches!(
            kind,
            Kind::StorageFailed
                | Kind::StorageTimeout
                | Kind::StorageBusy
                | Kind::SourceTimeout
                | Kind::SourceRefused
        );
        if !of_the_servers {
            return false;
        }
        if self.kind != Some(kind) {
            *self = Self {
                kind: Some(kind),
                length: 0,
            };
        }
        self.length += 1;
        self.length >= STREAK
    }
}

/// What becomes of a file that failed: another attempt after a wait, or none.
pub(super) fn outcome(
    file: &Claimed,
    fault: &Fault,
    upload: Option<Value>,
    chance: f64,
) -> Outcome {
    let retry = match fault.kind().retry() {
        // A person has to mend it, and does so for all files: this one is tried again like others.
        Retry::Manual => Retry::Later,
        retry => retry,
    };
    let attempts = file.attempts.saturating_add(1);
    let (reason, blame) = (fault.kind().code(), fault.blame());
    let message = fault.message().to_owned();
    match next_attempt(retry, attempts, fault.wait(), chance) {
        Some(wait) => Outcome::Failed {
            reason,
            blame,
            message,
            wait_s: wait.as_secs_f64(),
            upload,
        },
        None => Outcome::Dead {
            reason,
            blame,
            message,
        },
    }
}

/// How long to wait before asking again within a batch.
pub(super) fn short_wait(fault: &Fault) -> Option<Duration> {
    fault.wait().map(|wait| wait.min(Duration::from_secs(30)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(attempts: u32) -> Claimed {
        Claimed {
            id: 8832,
            mimetype: None,
            file_size: 1,
            checksum: None,
            attempts,
            interruptions: 0,
            upload: None,
            stored: false,
        }
    }

    #[test]
    fn the_eighth_failure_makes_it_dead_and_a_hopeless_one_at_once() {
        let empty = Fault::new(Kind::SourceEmpty, "Attachment not found or empty");
        assert!(matches!(
            outcome(&file(0), &empty, None, 0.5),
            Outcome::Failed { .. }
        ));
        assert!(matches!(
            outcome(&file(7), &empty, None, 0.5),
            Outcome::Dead { .. }
        ));
        let large = Fault::new(Kind::TooLarge, "larger than the bucket allows");
        assert!(matches!(
            outcome(&file(0), &large, None, 0.5),
            Outcome::Dead { .. }
        ));
    }

    #[test]
    fn ten_alike_in_a_row_stop_the_batch_but_lost_files_never_do() {
        let mut streak = Streak::default();
        for _ in 0..9 {
            assert!(!streak.failed(Kind::StorageFailed));
        }
        assert!(streak.failed(Kind::StorageFailed));
        streak.broken();
        assert!(!streak.failed(Kind::StorageFailed));
        for _ in 0..100 {
            assert!(!streak.failed(Kind::SourceEmpty));
        }
    }
}
