//! One reading for everybody who polls, so that a flood of them costs what one costs.

use std::rc::Rc;
use std::time::Duration;

use access::{Snapshot, Terms};
use fault::{Fault, Kind};
use ledger::status::{self, Reading};
use outbound::Clock;
use platform::{SpinClock, SpinPostgres};

/// How long somebody waits who finds the most readings under way that there may be.
const BUSY: Duration = Duration::from_millis(500);

const TERMS: Terms = Terms {
    // So old it may get where Postgres takes long.
    max_age: Duration::from_secs(5),
    min_interval: Duration::from_secs(1),
    patience: Duration::from_secs(10),
    late: Fault::new(
        Kind::LedgerUnreachable,
        "Postgres did not say within 10 s how things stand",
    ),
};

thread_local! {
    // Shared by the up to 16 requests that an instance serves at once, and by those after them.
    static SHARED: Rc<Snapshot<Reading>> = Rc::new(Snapshot::new(TERMS));
}

/// How things stand, or stood a second ago; where Postgres takes long to say it, somewhat more.
pub(crate) async fn read() -> Result<Rc<Reading>, Fault> {
    let shared = SHARED.with(Rc::clone);
    if let Some(reading) = shared.at_hand(SpinClock.now()) {
        return Ok(reading);
    }
    let ask = async |_| {
        loop {
            // A connection of its own, back in the pool before there is a wait: others need it.
            let postgres = SpinPostgres::configured().await?;
            if let Some(reading) = status::read_shared(&postgres).await? {
                return Ok(reading);
            }
            drop(postgres);
            SpinClock.sleep(BUSY).await;
        }
    };
    shared.renewed(&SpinClock, ask).await
}

/// What was changed here is not to be shown as it was.
pub(crate) fn forget() {
    SHARED.with(|shared| shared.forget());
}
