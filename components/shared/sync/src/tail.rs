//! Whether the rows of an overlap are the same as before.

use serde::{Deserialize, Serialize};

/// A sum of the hashes of rows: the same rows have the same sum, in whatever order they come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Tail(pub(crate) u64);

impl Tail {
    /// The part of one row.
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

// As text: numbers of 64 bits do not survive every reader of JSON.
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
