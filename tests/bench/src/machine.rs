//! On which machine, and when.

use std::fs;

use serde::Serialize;

/// What a table was measured on.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The day, as `2026-11-22`.
    pub date: String,
    /// What the processor calls itself.
    pub processor: String,
    /// How many cores this process may use.
    pub cores: usize,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// The kernel's release.
    pub kernel: String,
}

/// This machine, now.
pub fn machine() -> Machine {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let memory_kib: u64 = field("/proc/meminfo", "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or_default();
    Machine {
        date: chrono::Utc::now().format("%Y-%m-%d").to_string(),
        processor: field("/proc/cpuinfo", "model name"),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_gib: (memory_kib + (1 << 19)) >> 20,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
    }
}
