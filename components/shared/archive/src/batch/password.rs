//! Files that wait for a password, where there is one.

use fault::Fault;
use ledger::{Postgres, attachments};
use outbound::Clock;
use serde_json::{Value, json};
use uuid::Uuid;

/// The name of the position in the ledger.
pub(super) const CURSOR: &str = "archive-batch:password";

/// How often they are taken up, in seconds: seldom, since whoever tries in vain may be locked out.
const EVERY_S: i64 = 24 * 60 * 60;

/// Takes up, once a day, what was skipped for want of a password: one may have been given since, or what refused
/// it was a proxy. Whatever still needs one is skipped again.
pub(super) async fn take_up(
    postgres: &impl Postgres,
    clock: &impl Clock,
    run_id: Uuid,
    position: Option<&Value>,
) -> Result<(), Fault> {
    let tried = position.and_then(|position| position.get("tried")?.as_i64());
    let now_s = clock.unix_seconds();
    if now_s.saturating_sub(tried.unwrap_or_default()) < EVERY_S {
        return Ok(());
    }
    let position = json!({ "tried": now_s });
    attachments::take_up_needs_password(postgres, run_id, (CURSOR, &position)).await
}
