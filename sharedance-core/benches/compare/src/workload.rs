//! The operations on a peer: the keys and their order, the values, and the expected values afterwards.
//!
//! Everything is derived from a seed, so that all peers of a round, and all processes of a reopening, do the same.

use crate::peer::Result;

pub(crate) const KEY_LEN: usize = 32;

/// Values are slices of one pool of random bytes, at `OFFSETS` offsets `OFFSET_STEP` bytes apart. The pool is small
/// enough to stay in the CPU cache, as a request buffer does.
const OFFSETS: u64 = 4096;
const OFFSET_STEP: usize = 16;

/// The size of the workload.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Load {
    /// Number of keys
    #[arg(long, default_value_t = 500_000)]
    pub(crate) keys: usize,
    /// Bytes of each value
    #[arg(long, default_value_t = 2048)]
    pub(crate) value_len: usize,
    /// Number of threads in the phases with several threads
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Load {
    /// Returns the bytes of all pairs.
    pub(crate) fn data_len(&self) -> usize {
        self.keys * (KEY_LEN + self.value_len)
    }
}

/// A pass over all keys. The phases run in this order: first on new files; then, once everything was overwritten, on
/// aged files; then with several threads; then while the files are being flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    SetNew,
    Get,
    Half,
    SetIdentical,
    /// Overwrites everything, so that later phases run on files that have been in use for long.
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

/// The action of a phase on its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Sets the current value of the key, or its first value.
    Set,
    /// Sets another value.
    Overwrite,
    Get,
    /// Chooses one of the two at random.
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

    pub(crate) fn action(self) -> Action {
        match self {
            Phase::SetNew | Phase::SetIdentical => Action::Set,
            Phase::Age | Phase::Overwrite | Phase::OverwriteFlushed | Phase::OverwriteShared => Action::Overwrite,
            Phase::Get | Phase::GetAged | Phase::GetShared => Action::Get,
            Phase::Half | Phase::HalfAged | Phase::HalfFlushed | Phase::HalfShared => Action::GetOrOverwrite,
            Phase::Delete => Action::Delete,
        }
    }

    /// Whether keys are drawn at random, some repeatedly and some never, instead of each key once. If everything is
    /// overwritten once in order, the older part of a log is dead as a whole and costs nothing to reclaim.
    pub(crate) fn is_drawn(self) -> bool {
        matches!(self.action(), Action::Overwrite | Action::GetOrOverwrite) && !self.is_shared()
    }

    /// The number of operations per key.
    pub(crate) fn operations_per_key(self) -> usize {
        if self == Phase::Age { 2 } else { 1 }
    }

    /// Whether the files are being flushed during the phase.
    pub(crate) fn is_flushed(self) -> bool {
        matches!(self, Phase::OverwriteFlushed | Phase::HalfFlushed)
    }

    /// Whether several threads share the keys.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Phase::OverwriteShared | Phase::GetShared | Phase::HalfShared)
    }

    /// The new memory that the phase may need, as a fraction of all data.
    pub(crate) fn growth(self) -> f64 {
        match self.action() {
            Action::Set if self == Phase::SetNew => 1.5,
            Action::Overwrite => 1.5,
            Action::GetOrOverwrite => 0.75,
            Action::Set | Action::Get | Action::Delete => 0.0,
        }
    }
}

/// A key and its number.
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

/// Returns all keys, each once, in an order derived from `seed`. They are stored in the order of use, so that reading
/// them costs little.
pub(crate) fn shuffled(load: &Load, seed: u64) -> Result<Vec<Key>> {
    let mut order: Vec<u32> = (0..u32::try_from(load.keys)?).collect();
    shuffle(&mut order, &mut Random::new(seed));
    Ok(order.into_iter().map(Key::new).collect())
}

/// Shuffles `order`.
pub(crate) fn shuffle(order: &mut [u32], random: &mut Random) {
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i + 1));
    }
}

/// Random numbers derived from a seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(mix(seed))
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) % limit as u64) as usize
    }
}

/// The values of the keys.
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

/// Returns a word of which every bit depends on every bit of `x` (the finalizer of splitmix64).
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
    fn keys_are_distinct_and_shuffling_loses_none() {
        let keys = shuffled(&LOAD, 7).unwrap();
        assert!(keys.iter().enumerate().any(|(i, key)| key.index as usize != i));
        let mut bytes: Vec<_> = keys.iter().map(|key| key.bytes).collect();
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), LOAD.keys);
    }

    #[test]
    fn phase_names_are_unique_and_phases_are_in_order() {
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
