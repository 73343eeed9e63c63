//! Files that wait for a setting: a password or a higher limit. Each batch checks again whether they still must wait.

use fault::Fault;
use ledger::runs::RunId;
use ledger::{Postgres, attachments};
use outbound::Clock;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Settings;

/// The name of the cursor in the ledger.
pub(super) const CURSOR: &str = "archive-batch:password";

/// How often, in seconds, files that need a password are retried once there is one: seldom, as failing logins may
/// lock the user out.
const EVERY_S: i64 = 24 * 60 * 60;

/// When files were last retried with a password, as stored in the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Tried {
    /// In seconds since 1970 by our clock; 0 if never, or if the password was removed since.
    tried: i64,
}

impl Tried {
    /// Whether files are retried now, and the state to store.
    fn next(self, has_password: bool, now_s: i64) -> (bool, Self) {
        let due = has_password && !(0..EVERY_S).contains(&now_s.saturating_sub(self.tried));
        let tried = match (has_password, due) {
            (false, _) => 0,
            (true, true) => now_s,
            (true, false) => self.tried,
        };
        (due, Self { tried })
    }
}

/// Makes files due that the current settings allow. A file that still must wait is put aside again when it is
/// claimed.
pub(super) async fn take_up(
    postgres: &impl Postgres,
    clock: &impl Clock,
    run_id: RunId,
    settings: &Settings,
    has_password: bool,
    position: Option<&Value>,
) -> Result<(), Fault> {
    let kept: Tried = position
        .and_then(|position| serde_json::from_value(position.clone()).ok())
        .unwrap_or_default();
    let (with_password, next) = kept.next(has_password, clock.unix_seconds());
    let limits = attachments::Limits {
        max_file_bytes: settings.max_file_bytes,
        max_rpc_bytes: settings.max_rpc_bytes,
        with_password,
    };
    let position = serde_json::to_value(next).unwrap_or_default();
    let moved = (next != kept).then_some((CURSOR, &position));
    attachments::take_up(postgres, run_id, limits, moved).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_tried_when_it_is_given_and_then_once_a_day() {
        let now = 1_000_000;
        let (due, kept) = Tried::default().next(true, now);
        assert_eq!((due, kept), (true, Tried { tried: now }));
        assert_eq!(kept.next(true, now + EVERY_S - 1), (false, kept));
        assert!(kept.next(true, now + EVERY_S).0);
        let (due, without) = kept.next(false, now + 1);
        assert!(!due);
        assert!(without.next(true, now + 2).0, "given again");
    }
}
