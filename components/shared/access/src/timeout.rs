//! Timeouts.

use std::pin::pin;
use std::time::Duration;

use fault::Fault;
use futures::future::{Either, select};
use outbound::Clock;

/// The answer, or `late` if it takes longer than `timeout`.
pub(crate) async fn within<T>(
    clock: &impl Clock,
    timeout: Duration,
    late: &Fault,
    answer: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    match select(pin!(answer), pin!(clock.sleep(timeout))).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), _)) => Err(late.clone()),
    }
}
