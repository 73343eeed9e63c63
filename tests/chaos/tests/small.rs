//! A small run of `cargo chaos`, with a fixed seed.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use chaos::{Leases, Order, Size, run};

/// The small run's seed. Another one is as good: it is fixed so that a failure can be run again.
const SEED: u64 = 20_261_122;

#[tokio::test(flavor = "multi_thread")]
async fn under_faults_everywhere_nothing_is_lost_and_every_count_is_exact() -> Result<()> {
    let order = Order {
        seed: SEED,
        length: Duration::from_secs(20),
        size: Size {
            attachments: 300,
            leads: 60,
        },
        leases: Leases::AtOnce,
    };
    let program = Path::new(env!("CARGO_BIN_EXE_chaos"));
    let summary = run(program, &order, |_| {}).await?;
    println!("{summary}");
    assert!(summary.faults.total() >= 50, "{summary}");
    assert!(summary.good(), "{summary}");
    Ok(())
}
