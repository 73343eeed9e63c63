//! What processes have used, from `/proc`.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result};

/// The unit of `/proc/<pid>/stat` (`USER_HZ`): 100 a second on every machine that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What this process and those that it started have used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// CPU time in seconds, in user and kernel mode.
    pub cpu_s: f64,
    /// The most memory that any of them ever had in RAM, summed, in bytes.
    pub peak_rss_bytes: u64,
}

/// What has been used by now.
pub fn used() -> Result<Used> {
    let all = processes()?;
    let own = std::process::id();
    let mut used = Used::default();
    for (pid, process) in &all {
        let mut at = *pid;
        // Up to the process that started it all; pid 0 is the parent of none of ours.
        let is_ours = loop {
            if at == own {
                break true;
            }
            match all.get(&at) {
                Some(process) if process.parent != 0 => at = process.parent,
                _ => break false,
            }
        };
        if is_ours {
            used.cpu_s += process.cpu_s;
            used.peak_rss_bytes += peak_rss_bytes(*pid);
        }
    }
    Ok(used)
}

struct Process {
    parent: u32,
    cpu_s: f64,
}

fn processes() -> Result<HashMap<u32, Process>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc").context("no /proc: this runs on Linux only")? {
        let pid = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        // One that has ended meanwhile has no file.
        if let Some(pid) = pid
            && let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat"))
            && let Some(process) = parse(&stat)
        {
            all.insert(pid, process);
        }
    }
    Ok(all)
}

/// Reads `/proc/<pid>/stat`; the name in parentheses may hold anything.
fn parse(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        cpu_s: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
    })
}

fn peak_rss_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    peak.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_is_passed_over() {
        let stat = "7 (a) (b 3) S 42 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 1 2 3";
        let process = parse(stat).unwrap();
        assert_eq!(process.parent, 42);
        assert!((process.cpu_s - 3.0).abs() < 1e-9);
    }

    #[test]
    fn work_is_seen_in_the_figures() {
        let before = used().unwrap();
        let begun = std::time::Instant::now();
        let mut sum = 0u64;
        while begun.elapsed().as_millis() < 60 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let after = used().unwrap();
        assert!(after.cpu_s > before.cpu_s && after.peak_rss_bytes > 0);
    }
}
