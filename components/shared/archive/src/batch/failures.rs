//! What follows from a failure: for the file, and for the batch.

use std::time::Duration;

use fault::{Blame, Fault, Kind, Retry, next_attempt};
use ledger::attachments::{Claimed, Outcome, Settled};
use serde_json::Value;

/// So many failures of one side in a row, without one success, are no longer the files' own.
const STREAK: usize = 10;

/// Watches for failures that are not the files' own though each looks as if it were. A file that
/// failed so uses its attempt only when something else has gone well.
#[derive(Debug, Default)]
pub(super) struct Streak {
    side: Option<Blame>,
    suspects: Vec<Settled>,
}

/// What to do about a file that failed.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Put these on record.
    Record(Vec<Settled>),
    /// So many have failed alike that the batch must stop.
    Stop,
}

impl Streak {
    /// Something went well: those that failed before did so by themselves.
    pub(super) fn broken(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.suspects)
    }

    /// A file failed.
    pub(super) fn failed(&mut self, kind: Kind, settled: Settled) -> Next {
        let of_the_servers = matches!(
            kind,
            Kind::StorageFailed
                | Kind::StorageTimeout
                | Kind::StorageBusy
                | Kind::SourceTimeout
                | Kind::SourceRefused
        );
        if !of_the_servers {
            return Next::Record(vec![settled]);
        }
        let others = if self.side == Some(kind.blame()) {
            Vec::new()
        } else {
            self.broken()
        };
        self.side = Some(kind.blame());
        self.suspects.push(settled);
        if self.suspects.len() >= STREAK {
            Next::Stop
        } else {
            Next::Record(others)
        }
    }

    /// The batch stops: those that failed just before are given back, and have used no attempt.
    pub(super) fn stopped(&mut self) -> Vec<Settled> {
        let back = |settled: Settled| Settled {
            id: settled.id,
            outcome: Outcome::Back {
                upload: match settled.outcome {
                    Outcome::Failed { upload, .. } | Outcome::Back { upload } => upload,
                    _ => None,
                },
            },
        };
        self.broken().into_iter().map(back).collect()
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

    fn failure(id: i64, kind: Kind) -> (Kind, Settled) {
        let fault = Fault::new(kind, "it failed");
        let outcome = outcome(&file(0), &fault, None, 0.5);
        (kind, Settled { id, outcome })
    }

    #[test]
    fn ten_alike_in_a_row_stop_the_batch_and_none_of_them_has_used_an_attempt() {
        let mut streak = Streak::default();
        for id in 1..10 {
            let (kind, settled) = failure(id, Kind::StorageFailed);
            assert_eq!(streak.failed(kind, settled), Next::Record(Vec::new()));
        }
        let (kind, settled) = failure(10, Kind::StorageTimeout);
        assert_eq!(streak.failed(kind, settled), Next::Stop);
        let given_back = streak.stopped();
        assert_eq!(given_back.len(), 10);
        assert!(
            given_back
                .iter()
                .all(|s| matches!(s.outcome, Outcome::Back { .. }))
        );
    }

    #[test]
    fn a_success_in_between_makes_them_failures_of_their_own() {
        let mut streak = Streak::default();
        let (kind, settled) = failure(1, Kind::StorageFailed);
        assert_eq!(
            streak.failed(kind, settled.clone()),
            Next::Record(Vec::new())
        );
        assert_eq!(streak.broken(), [settled]);
        assert_eq!(streak.stopped(), []);
    }

    #[test]
    fn lost_files_never_stop_a_batch() {
        let mut streak = Streak::default();
        for id in 0..100 {
            let (kind, settled) = failure(id, Kind::SourceEmpty);
            assert_eq!(
                streak.failed(kind, settled.clone()),
                Next::Record(vec![settled])
            );
        }
    }
}
