//! Detects whether the rows of an overlap have changed.

use serde::{Deserialize, Serialize};

/// The sum of the hashes of rows: equal for the same rows in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Tail(pub(crate) u64);

impl Tail {
    /// The contribution of one row.
    pub(crate) fn of(hash: &[u8]) -> Self {
        Self(
            hash.iter()
                .take(8)
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

// Stored as text: not every JSON reader preserves 64-bit numbers.
impl From<Tail> for String {
    fn from(tail: Tail) -> Self {
        format!("{:016x}", tail.0)
    }
}

impl From<String> for Tail {
    fn from(text: String) -> Self {
        Self(u64::from_str_radix(&text, 16).unwrap_or_default())
    }
}
