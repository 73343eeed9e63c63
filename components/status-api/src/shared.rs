//! One shared reading for all pollers, so that a flood of them costs as much as one.

use std::rc::Rc;
use std::time::Duration;

use access::{Snapshot, Timing};
use fault::{Fault, Kind};
use ledger::status::{self, Reading};
use outbound::Clock;
use platform::{SpinClock, SpinPostgres};

/// Wait before the next try, if as many readings as allowed are under way.
const BUSY: Duration = Duration::from_millis(500);

const TIMING: Timing = Timing {
    // A reading may get this old while Postgres is slow.
    max_age: Duration::from_secs(5),
    min_interval: Duration::from_secs(1),
    timeout: Duration::from_secs(10),
    late: Fault::new(
        Kind::LedgerUnreachable,
        "Postgres did not say within 10 s how things stand",
    ),
};

thread_local! {
    // Shared by up to 16 concurrent requests of an instance, and by later ones.
    static SHARED: Rc<Snapshot<Reading>> = Rc::new(Snapshot::new(TIMING));
}

/// The status, at most a second old; somewhat older while Postgres is slow.
pub(crate) async fn read() -> Result<Rc<Reading>, Fault> {
    let shared = SHARED.with(Rc::clone);
    if let Some(reading) = shared.at_hand(SpinClock.now()) {
        return Ok(reading);
    }
    let ask = async |_| {
        loop {
            // Use a separate connection and return it to the pool before waiting, because others need it.
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

/// Drops the shared reading after a change, so that the next one shows it.
pub(crate) fn forget() {
    SHARED.with(|shared| shared.forget());
}
