//! How much linear memory an instance may have, and how much any had.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use wasmtime::ResourceLimiter;

/// The most linear memory that one instance of a component ever had, in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peak(Arc<AtomicU64>);

impl Peak {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Accounts for the linear memories of one instance, together.
#[derive(Debug)]
pub(crate) struct Meter {
    peak: Peak,
    limit_bytes: Option<usize>,
    used_bytes: usize,
}

impl Meter {
    pub(crate) fn new(peak: Peak, limit_bytes: Option<usize>) -> Self {
        Self {
            peak,
            limit_bytes,
            used_bytes: 0,
        }
    }
}

impl ResourceLimiter for Meter {
    /// A refused growth is `memory.grow` returning -1: the guest's allocator then aborts, which
    /// traps, and all requests of the instance are answered with a 500, as with Spin.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self
            .used_bytes
            .saturating_add(desired.saturating_sub(current));
        if self.limit_bytes.is_some_and(|limit| used > limit)
            || maximum.is_some_and(|maximum| desired > maximum)
        {
            return Ok(false);
        }
        self.used_bytes = used;
        self.peak.0.fetch_max(used as u64, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_beyond_the_limit_is_refused_and_the_peak_is_what_was_granted() {
        let peak = Peak::default();
        let mut meter = Meter::new(peak.clone(), Some(1000));
        assert!(meter.memory_growing(0, 600, None).unwrap());
        assert!(meter.memory_growing(0, 300, None).unwrap());
        assert!(!meter.memory_growing(600, 800, None).unwrap());
        assert_eq!(peak.bytes(), 900);
    }
}
