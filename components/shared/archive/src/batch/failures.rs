//! What follows from a failure: for the file, and for the batch.

use std::time::Duration;

use fault::{Blame, Fault, Kind, Retry, next_attempt};
use ledger::attachments::{Claimed, Outcome, Settled};
use serde_json::Value;

/// So many failures of one side in a row, without one success, are no longer the files' own.
const STREAK: usize = 10;

/// Watches for failures that are not the files' own though each looks as if it were. A file that
/// failed so uses its attempt only when something else of the same side has gone well since: what the
/// Storage takes says nothing of Odoo, which may have gone while uploads were still under way.
#[derive(Debug, Default)]
pub(super) struct Streak {
    source: Vec<Settled>,
    destination: Vec<Settled>,
}

/// What to do about a file that failed.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Put it on record.
    Record(Settled),
    /// See first what comes of the others.
    Wait,
    /// So many have failed alike that the batch must stop, unless their side proves to be well.
    Stop,
}

impl Streak {
    /// Something of this side went well: those that failed there before did so by themselves.
    pub(super) fn broken(&mut self, side: Blame) -> Vec<Settled> {
        match side {
            Blame::Source => std::mem::take(&mut self.source),
            Blame::Destination => std::mem::take(&mut self.destination),
            Blame::Configuration | Blame::Program => Vec::new(),
        }
    }

    /// A file failed.
    pub(super) fn failed(&mut self, kind: Kind, settled: Settled) -> Next {
        let suspects = match kind {
            Kind::StorageFailed | Kind::StorageTimeout | Kind::StorageBusy => &mut self.destination,
            Kind::SourceTimeout | Kind::SourceRefused => &mut self.source,
            _ => return Next::Record(settled),
        };
        suspects.push(settled);
        if suspects.len() >= STREAK {
            Next::Stop
        } else {
            Next::Wait
        }
    }

    /// Both sides went well, or nothing stopped the batch: all that failed did so by themselves.
    pub(super) fn broken_on_both_sides(&mut self) -> Vec<Settled> {
        let mut suspects = std::mem::take(&mut self.source);
        suspects.append(&mut self.destination);
        suspects
    }

    /// The batch stops: those that failed just before are given back, and have used no attempt.
    pub(super) fn stopped(&mut self) -> Vec<Settled> {
        let back = |settled: Settled| Settled {
            id: settled.id,
            checksum: settled.checksum,
            outcome: Outcome::Back {
                upload: match settled.outcome {
                    Outcome::Failed { upload, .. } | Outcome::Back { upload } => upload,
                    _ => None,
                },
            },
        };
        self.broken_on_both_sides().into_iter().map(back).collect()
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
        let file = Claimed { id, ..file(0) };
        let outcome = outcome(&file, &fault, None, 0.5);
        (kind, Settled::of(&file, outcome))
    }

    #[test]
    fn ten_alike_in_a_row_stop_the_batch_and_none_of_them_has_used_an_attempt() {
        let mut streak = Streak::default();
        for id in 1..10 {
            let (kind, settled) = failure(id, Kind::StorageFailed);
            assert_eq!(streak.failed(kind, settled), Next::Wait);
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
    fn a_success_of_the_same_side_in_between_makes_them_failures_of_their_own() {
        let mut streak = Streak::default();
        let (kind, of_the_storage) = failure(1, Kind::StorageFailed);
        assert_eq!(streak.failed(kind, of_the_storage.clone()), Next::Wait);
        let (kind, of_odoo) = failure(2, Kind::SourceTimeout);
        assert_eq!(streak.failed(kind, of_odoo.clone()), Next::Wait);
        assert_eq!(streak.broken(Blame::Destination), [of_the_storage]);
        let given_back = streak.stopped();
        assert_eq!(given_back.len(), 1);
        assert_eq!(given_back.first().map(|s| s.id), Some(of_odoo.id));
    }

    #[test]
    fn the_two_sides_are_counted_apart() {
        let mut streak = Streak::default();
        for id in 1..10 {
            for kind in [Kind::StorageTimeout, Kind::SourceTimeout] {
                let (kind, settled) = failure(id, kind);
                assert_eq!(streak.failed(kind, settled), Next::Wait);
            }
        }
        assert_eq!(streak.broken_on_both_sides().len(), 18);
        assert_eq!(streak.stopped(), []);
    }

    #[test]
    fn lost_files_never_stop_a_batch() {
        let mut streak = Streak::default();
        for id in 0..100 {
            let (kind, settled) = failure(id, Kind::SourceEmpty);
            assert_eq!(streak.failed(kind, settled.clone()), Next::Record(settled));
        }
    }
}
