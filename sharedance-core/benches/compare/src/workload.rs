//! What is done to a peer: which keys in which order, which values, and what must be there afterwards.
//!
//! Everything follows from a seed, so that all peers of a round, and the processes of a reopening, do the same.

use crate::peer::Result;

pub(crate) const KEY_LEN: usize = 32;

/// Values are slices of one pool of random bytes, at so many offsets of so many bytes: small enough to stay in the
/// cache, as a request's buffer does.
const OFFSETS: u64 = 4096;
const OFFSET_STEP: usize = 16;

/// How much of what.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Load {
    /// Keys in all
    #[arg(long, default_value_t = 500_000)]
    pub(crate) keys: usize,
    /// Bytes of each value
    #[arg(long, default_value_t = 2048)]
    pub(crate) value_len: usize,
    /// Threads that share the keys in the phases of several
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
    /// What the random numbers start from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Load {
    /// Bytes of all pairs.
    pub(crate) fn data_len(&self) -> usize {
        self.keys * (KEY_LEN + self.value_len)
    }
}

/// A pass over all keys. They follow one another in this order: first on fresh files; then, once everything was
/// overwritten, on aged ones; then by several threads; then while the files are being flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    SetNew,
    Get,
    Half,
    SetIdentical,
    /// Overwrites everything, so that what follows finds files that have long been in use.
    Age,
    Overwrite,
    GetAged,
    HalfAged,
    OverwriteShared,
    GetShared,
    HalfShared,
    OverwriteFlushed,
    HalfFlushed,
    Delete,
}

/// What a phase does to keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The value that it has, or its first.
    Set,
    /// Another value.
    Overwrite,
    Get,
    /// By a coin, one or the other.
    GetOrOverwrite,
    Delete,
}

impl Phase {
    pub(crate) const ALL: [Phase; 14] = [
        Phase::SetNew,
        Phase::Get,
        Phase::Half,
        Phase::SetIdentical,
        Phase::Age,
        Phase::Overwrite,
        Phase::GetAged,
        Phase::HalfAged,
        Phase::OverwriteShared,
        Phase::GetShared,
        Phase::HalfShared,
        Phase::OverwriteFlushed,
        Phase::HalfFlushed,
        Phase::Delete,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::SetNew => "set",
            Phase::Get => "get",
            Phase::Half => "half",
            Phase::SetIdentical => "identical",
            Phase::Age => "age",
            Phase::Overwrite => "overwrite",
            Phase::GetAged => "get-aged",
            Phase::HalfAged => "half-aged",
            Phase::OverwriteShared => "overwrite-shared",
            Phase::GetShared => "get-shared",
            Phase::HalfShared => "half-shared",
            Phase::OverwriteFlushed => "overwrite-flushed",
            Phase::HalfFlushed => "half-flushed",
            Phase::Delete => "delete",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Phase::SetNew => "set, new key",
            Phase::Get => "get and copy",
            Phase::Half => "half and half",
            Phase::SetIdentical => "set, identical",
            Phase::Age => "overwrite, the first time",
            Phase::Overwrite => "overwrite, aged",
            Phase::GetAged => "get and copy, aged",
            Phase::HalfAged => "half and half, aged",
            Phase::OverwriteShared => "overwrite, several threads",
            Phase::GetShared => "get and copy, several threads",
            Phase::HalfShared => "half and half, several threads",
            Phase::OverwriteFlushed => "overwrite, flushing",
            Phase::HalfFlushed => "half and half, flushing",
            Phase::Delete => "delete",
        }
    }

    pub(crate) fn deed(self) -> Deed {
        match self {
            Phase::SetNew | Phase::SetIdentical => Deed::Set,
            Phase::Age | Phase::Overwrite | Phase::OverwriteFlushed | Phase::OverwriteShared => Deed::Overwrite,
            Phase::Get | Phase::GetAged | Phase::GetShared => Deed::Get,
            Phase::Half | Phase::HalfAged | Phase::HalfFlushed | Phase::HalfShared => Deed::GetOrOverwrite,
            Phase::Delete => Deed::Delete,
        }
    }

    /// Whether keys are drawn, some of them again and again and some never, instead of each having its turn once: a log in
    /// which everything is overwritten once is one whose older part is dead as a whole, and costs nothing to reclaim.
    pub(crate) fn is_drawn(self) -> bool {
        matches!(self.deed(), Deed::Overwrite | Deed::GetOrOverwrite) && !self.is_shared()
    }

    /// How many operations there are for each key.
    pub(crate) fn operations_per_key(self) -> usize {
        if self == Phase::Age { 2 } else { 1 }
    }

    /// Whether the files are being flushed meanwhile.
    pub(crate) fn is_flushed(self) -> bool {
        matches!(self, Phase::OverwriteFlushed | Phase::HalfFlushed)
    }

    /// Whether several threads share the keys.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Phase::OverwriteShared | Phase::GetShared | Phase::HalfShared)
    }

    /// How many bytes of new memory it may take, as a part of all the data.
    pub(crate) fn growth(self) -> f64 {
        match self.deed() {
            Deed::Set if self == Phase::SetNew => 1.5,
            Deed::Overwrite => 1.5,
            Deed::GetOrOverwrite => 0.75,
            Deed::Set | Deed::Get | Deed::Delete => 0.0,
        }
    }
}

/// A key, and its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) bytes: [u8; KEY_LEN],
}

impl Key {
    pub(crate) fn new(index: u32) -> Key {
        let mut bytes = [0; KEY_LEN];
        for (half, salt) in bytes.chunks_exact_mut(16).zip([0, 1 << 63]) {
            let word = mix(u64::from(index) | salt);
            half.iter_mut()
                .enumerate()
                .for_each(|(i, byte)| *byte = b"0123456789abcdef"[(word >> (4 * i)) as usize & 15]);
        }
        Key { index, bytes }
    }
}

/// All keys, each once, in an order that `seed` decides; they stand in the order in which they are used, so that reading
/// them costs little.
pub(crate) fn shuffled(load: &Load, seed: u64) -> Result<Vec<Key>> {
    let mut order: Vec<u32> = (0..u32::try_from(load.keys)?).collect();
    shuffle(&mut order, &mut Dice::new(seed));
    Ok(order.into_iter().map(Key::new).collect())
}

/// Puts `order` into another one.
pub(crate) fn shuffle(order: &mut [u32], dice: &mut Dice) {
    for i in (1..order.len()).rev() {
        order.swap(i, dice.below(i + 1));
    }
}

/// Random numbers that follow from a seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(mix(seed))
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) % limit as u64) as usize
    }
}

/// The values that keys are given.
pub(crate) struct Values {
    pool: Vec<u8>,
    value_len: usize,
}

impl Values {
    pub(crate) fn new(load: &Load) -> Values {
        let pool_len = load.value_len + OFFSETS as usize * OFFSET_STEP;
        let pool = (0..pool_len.div_ceil(8) as u64).flat_map(|i| mix(i | 1 << 62).to_le_bytes()).collect();
        Values { pool, value_len: load.value_len }
    }

    pub(crate) fn of(&self, index: u32, version: u32) -> &[u8] {
        let offset = (u64::from(index) + u64::from(version) * 1_543) % OFFSETS;
        &self.pool[offset as usize * OFFSET_STEP..][..self.value_len]
    }
}

/// A word in which every bit depends on every bit of `x` (the finalizer of splitmix64).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { keys: 10_000, value_len: 100, threads: 1, seed: 1 };

    #[test]
    fn keys_differ_and_shuffling_loses_none() {
        let keys = shuffled(&LOAD, 7).unwrap();
        assert!(keys.iter().enumerate().any(|(i, key)| key.index as usize != i));
        let mut bytes: Vec<_> = keys.iter().map(|key| key.bytes).collect();
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), LOAD.keys);
    }

    #[test]
    fn all_phases_are_named_once_and_in_order() {
        assert!(Phase::ALL.is_sorted());
        let names: std::collections::BTreeSet<_> = Phase::ALL.iter().map(|phase| phase.name()).collect();
        assert_eq!(names.len(), Phase::ALL.len());
    }

    #[test]
    fn consecutive_values_of_a_key_differ() {
        let values = Values::new(&LOAD);
        assert!((0..1_000).all(|version| values.of(7, version) != values.of(7, version + 1)));
    }
}
