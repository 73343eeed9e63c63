//! Waiting for a condition, and never for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Waits until something holds; fails after five minutes, which are no part of any promise.
pub async fn until<F: Future<Output = Result<bool>>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> Result<()> {
    let begun = Instant::now();
    while !holds().await? {
        ensure!(
            begun.elapsed() < Duration::from_mins(5),
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
