//! All ways move everything. How fast they are is no matter of a test.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

#[test]
fn all_ways_move_everything_and_the_components_calls_and_memory_stay_within_bounds() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("table.json");
    let status = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--quick", "--rounds", "1", "--json"])
        .arg(&path)
        .status()?;
    // A run fails unless all files lie in Storage, each under the hash of its bytes.
    ensure!(status.success(), "the benchmark failed");
    let table: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let runs = table
        .get("runs")
        .and_then(Value::as_array)
        .context("no runs")?;
    let cases = ["mixed, 0 ms", "1 KB, 5 ms", "8 MB, 0 ms"];
    for case in cases {
        for way in ["component", "native", "naive", "copying"] {
            ensure!(
                runs.iter()
                    .any(|run| run["case"] == case && run["way"] == way),
                "{way} did not run in {case}"
            );
        }
    }
    for run in runs.iter().filter(|run| run["way"] == "component") {
        let instance_bytes = run["instance_bytes"].as_u64().context("no instance ran")?;
        ensure!(instance_bytes < 64 << 20, "{run}");
    }
    Ok(())
}
