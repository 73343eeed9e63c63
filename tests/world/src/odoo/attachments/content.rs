//! What is in the files: bytes that follow from a seed, hashed without being produced.
//!
//! A file is the beginning of one endless pattern, closed by a tail of its own. So a gigabyte costs no
//! memory, streams without a copy, and its SHA-1 is the saved state of the pattern's hash plus the tail.

use std::io;
use std::sync::{OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use sha1::{Digest, Sha1};

use crate::serve::{Source, scramble};

/// The pattern's period: a prime, so that exchanged chunks of any round size change the hash.
const PERIOD: usize = 1_048_573;
/// How many bytes at the end are the file's own.
const TAIL: u64 = 32;
/// How far apart the saved states of the pattern's hash are.
const STEP: u64 = 4096;

/// The bytes of one file.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// They follow from the seed.
    Generated { seed: u64, len: u64 },
    /// They were given.
    Given(Bytes),
    /// The first `len` bytes of another file: what is left of it.
    Stump { of: Box<Content>, len: u64 },
}

impl Content {
    /// The SHA-1 of the bytes.
    pub(crate) fn sha1(&self) -> [u8; 20] {
        match self {
            Self::Generated { seed, len } => {
                let body = len.saturating_sub(TAIL);
                let mut hash = pattern_hash(body);
                hash.update(tail(*seed).get(..len_of(*len - body)).unwrap_or_default());
                hash.finalize().into()
            }
            Self::Given(bytes) => Sha1::digest(bytes).into(),
            Self::Stump { .. } => {
                Sha1::digest(self.read_all(0, self.len()).unwrap_or_default()).into()
            }
        }
    }
}

impl Source for Content {
    fn len(&self) -> u64 {
        match self {
            Self::Generated { len, .. } | Self::Stump { len, .. } => *len,
            Self::Given(bytes) => bytes.len() as u64,
        }
    }

    fn read(&self, at: u64, max: u64) -> io::Result<Bytes> {
        let max = max.min(self.len().saturating_sub(at));
        match self {
            Self::Generated { seed, len } => {
                let body = len.saturating_sub(TAIL);
                if at >= body {
                    let tail = Bytes::copy_from_slice(
                        tail(*seed).get(..len_of(len - body)).unwrap_or_default(),
                    );
                    return tail.read(at - body, max);
                }
                pattern().read(at % PERIOD as u64, max.min(body - at))
            }
            Self::Given(bytes) => bytes.read(at, max),
            Self::Stump { of, .. } => of.read(at, max),
        }
    }
}

fn len_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The bytes that only the file of this seed has.
fn tail(seed: u64) -> [u8; 32] {
    let mut tail = [0; 32];
    let mut word = scramble(seed);
    for piece in tail.chunks_mut(8) {
        piece.copy_from_slice(&word.to_le_bytes());
        word = scramble(word);
    }
    tail
}

/// One period of the pattern.
fn pattern() -> &'static Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut pattern = Vec::with_capacity(PERIOD + 8);
        let mut word = 0;
        while pattern.len() < PERIOD {
            word = scramble(word);
            pattern.extend_from_slice(&word.to_le_bytes());
        }
        pattern.truncate(PERIOD);
        pattern.into()
    })
}

fn absorb(hash: &mut Sha1, mut at: u64, end: u64) {
    while at < end {
        // Reading the pattern, which is in memory, cannot fail.
        let Ok(piece) = pattern().read(at % PERIOD as u64, end - at) else {
            return;
        };
        hash.update(&piece);
        at += piece.len() as u64;
    }
}

/// The hash of the pattern's first `len` bytes, not yet finished.
fn pattern_hash(len: u64) -> Sha1 {
    /// The hash at every `STEP`, as far as it was ever needed.
    static STATES: RwLock<Vec<Sha1>> = RwLock::new(Vec::new());
    let index = len_of(len / STEP);
    let known = STATES
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(index)
        .cloned();
    let mut hash = known.unwrap_or_else(|| {
        let mut states = STATES.write().unwrap_or_else(PoisonError::into_inner);
        let mut hash = states.last().cloned().unwrap_or_default();
        if states.is_empty() {
            states.push(hash.clone());
        }
        while states.len() <= index {
            let at = (states.len() as u64 - 1) * STEP;
            absorb(&mut hash, at, at + STEP);
            states.push(hash.clone());
        }
        states.get(index).cloned().unwrap_or_default()
    });
    absorb(&mut hash, len - len % STEP, len);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_bytes_at_every_length() {
        for len in [
            0,
            1,
            31,
            32,
            33,
            4095,
            4096,
            4127,
            4128,
            4129,
            100_000,
            PERIOD as u64,
            PERIOD as u64 + 40,
            3_500_000,
        ] {
            let content = Content::Generated { seed: len * 7, len };
            let bytes = content.read_all(0, len).unwrap();
            assert_eq!(bytes.len() as u64, len);
            assert_eq!(
                content.sha1(),
                <[u8; 20]>::from(Sha1::digest(&bytes)),
                "at {len} bytes"
            );
        }
    }

    #[test]
    fn exchanged_chunks_of_six_mebibytes_change_the_checksum() {
        let chunk = 6 * 1024 * 1024;
        let content = Content::Generated {
            seed: 1,
            len: 3 * chunk,
        };
        assert_ne!(
            content.read_all(0, chunk).unwrap(),
            content.read_all(chunk, 2 * chunk).unwrap()
        );
    }
}
