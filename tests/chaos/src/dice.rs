//! Numbers that look random and follow from a seed.

/// A sequence of numbers (`SplitMix64`): the same for the same seed, on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `sides`; 0 where there are none.
    pub fn throw(&mut self, sides: u64) -> u64 {
        self.next() % sides.max(1)
    }

    /// A number of a range, both ends included.
    pub fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.throw(to.saturating_sub(from).saturating_add(1))
    }

    /// One of several.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let chosen = self.throw(of.len() as u64);
        of.get(usize::try_from(chosen).unwrap_or_default())
    }
}
