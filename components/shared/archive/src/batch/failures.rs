//! Decides what a failure means for the file.

use std::time::Duration;

use fault::{Fault, Retry, next_attempt};
use ledger::attachments::{Claimed, Outcome};
use serde_json::Value;

/// The outcome of a failed file: another attempt after a wait, or none.
pub(super) fn outcome(
    file: &Claimed,
    fault: &Fault,
    upload: Option<Value>,
    chance: f64,
) -> Outcome {
    let retry = match fault.kind().retry() {
        // A person will fix it for all files at once: retry this one like any other.
        Retry::Manual => Retry::Later,
        retry => retry,
    };
    let attempts = file.attempts.saturating_add(1);
    let (reason, blame) = (fault.kind(), fault.blame());
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

/// The wait that was asked for, cut to what fits into a batch.
pub(super) fn short_wait(fault: &Fault) -> Option<Duration> {
    fault.wait().map(|wait| wait.min(Duration::from_secs(30)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fault::Kind;

    fn file(attempts: u32) -> Claimed {
        Claimed {
            id: 8832,
            name: None,
            mimetype: None,
            file_size: 1,
            checksum: content::Sha1::new([0; 20]),
            attempts,
            interruptions: 0,
            upload: None,
            stored: false,
            lost: false,
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
    fn what_somebody_else_blocks_is_tried_for_ever() {
        let blocked = Fault::new(Kind::FileBlocked, "a proxy takes no request of this size");
        assert!(matches!(
            outcome(&file(1000), &blocked, None, 0.5),
            Outcome::Failed { .. }
        ));
    }
}
