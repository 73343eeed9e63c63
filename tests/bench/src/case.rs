//! What is moved, and over which distance.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use world::odoo::{Attachments, Sizes};
use world::serve::ServiceTime;

use crate::mover::Way;

/// How large the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Files {
    /// As in a real database: most of a few KB, some of MBs.
    Mixed,
    /// All of so many bytes.
    Each(u64),
}

impl Files {
    /// So many of them, no two alike: that identical files are moved once would flatter us.
    pub fn attachments(self, count: u64) -> Attachments {
        Attachments {
            shared_one_in: 0,
            ..Attachments::of(count).sized(match self {
                Self::Mixed => Sizes::Mixed,
                Self::Each(bytes) => Sizes::Fixed(bytes),
            })
        }
    }

    /// Whether the rate of bytes is what counts, not that of files.
    pub const fn are_large(self) -> bool {
        matches!(self, Self::Each(1_000_000..))
    }
}

/// One case: so many files of a kind, and so much latency to both sides.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name in the table.
    pub name: String,
    /// The files.
    pub files: Files,
    /// How many there are in all; a slow way moves fewer, see [`Case::count`].
    pub count: u64,
    /// The servers.
    pub place: Place,
}

/// What the servers are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// How long each answer of either server takes at least, in milliseconds.
    pub latency_ms: u64,
    /// Whether they are as slow as real ones were; else they cost next to nothing.
    pub is_slow: bool,
}

/// A real Odoo 18 on a machine of two cores gave 53 files/s one to a call and 580 with 20 to a call, one
/// call after the other: so much for a call, and so much for each file in it. By `/web/content` it gave
/// 193 files/s.
pub const ODOO_SERVICE_TIME: ServiceTime = ServiceTime {
    per_call: Duration::from_millis(18),
    per_record: Duration::from_micros(820),
    per_row: Duration::ZERO,
    per_value: Duration::ZERO,
    per_request: Duration::from_micros(5_180),
};

/// A real Storage on that machine took 281 files/s, however many came at once.
pub const STORAGE_SERVICE_TIME: ServiceTime = ServiceTime {
    per_call: Duration::ZERO,
    per_record: Duration::ZERO,
    per_row: Duration::ZERO,
    per_value: Duration::ZERO,
    per_request: Duration::from_micros(3_560),
};

/// A run of the slow ways is to end in about this time, in seconds.
const SLOW_RUN_S: u64 = 20;

impl Case {
    fn new(what: &str, files: Files, count: u64, latency_ms: u64) -> Self {
        Self {
            name: format!("{what}, {latency_ms} ms"),
            files,
            count,
            place: Place {
                latency_ms,
                is_slow: false,
            },
        }
    }

    /// The cases of the full table.
    pub fn all() -> Vec<Self> {
        // With servers that cost nothing, even the naive way waits for little.
        let mut cases = vec![Self {
            name: "mixed, 0 ms, slow servers".to_owned(),
            files: Files::Mixed,
            count: 18_323,
            place: Place {
                latency_ms: 0,
                is_slow: true,
            },
        }];
        for latency_ms in [0, 20, 100] {
            cases.push(Self::new("mixed", Files::Mixed, 18_323, latency_ms));
        }
        for latency_ms in [0, 20, 100] {
            cases.push(Self::new("1 KB", Files::Each(1_000), 100_000, latency_ms));
        }
        for latency_ms in [0, 20, 100] {
            let large = Files::Each(100_000_000);
            cases.push(Self::new("100 MB", large, 20, latency_ms));
        }
        cases
    }

    /// The cases that a test can afford: small, but with a large file in pieces among them.
    pub fn quick() -> Vec<Self> {
        vec![
            Self::new("mixed", Files::Mixed, 120, 0),
            Self::new("1 KB", Files::Each(1_000), 150, 5),
            Self::new("8 MB", Files::Each(8_000_000), 2, 0),
        ]
    }

    /// How many files one run moves in this way. The rate is what is measured, so a slow way need not
    /// move all of them.
    pub fn count(&self, way: Way, most: Option<u64>) -> u64 {
        let most = most.unwrap_or(u64::MAX);
        if self.files.are_large() {
            return self.count.min(most);
        }
        let enough = match (way, self.place.latency_ms) {
            (Way::Naive, 0) if self.place.is_slow => 800,
            (_, 0) if self.place.is_slow => 5_000,
            (_, 0) => u64::MAX,
            // One after the other: twice the latency each.
            (Way::Naive, latency_ms) => SLOW_RUN_S * 1000 / (2 * latency_ms),
            (_, 1..50) => 20_000,
            (_, _) => 8_000,
        };
        self.count.min(enough).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slow_way_moves_fewer_and_none_moves_nothing() {
        for case in Case::all().iter().chain(&Case::quick()) {
            for way in Way::ALL {
                let count = case.count(way, None);
                assert!(count > 0 && count <= case.count, "{}: {count}", case.name);
            }
        }
    }
}
