//! What is done to a peer: which keys in which order, which values, and what must be there afterwards.
//!
//! Everything follows from a seed, so that all peers of a round, and the processes of a reopening, do the same.

use crate::peer::Result;

pub(crate) const KEY_LEN: usize = 32;

/// Values are slices of one pool of random bytes, at so many offsets of so many bytes: small enough to stay in the
/// cache, as a request's buffer does.
const OFFSETS: u64 = 4096;
const OFFSET_STEP: usize = 16;

/// How many of the keys are looked at in full after each phase.
const SAMPLE: usize = 5_000;

/// How much of what.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Load {
    /// Keys in all
    #[arg(long, default_value_t = 500_000)]
    pub(crate) keys: usize,
    /// Bytes of each value
    #[arg(long, default_value_t = 2048)]
    pub(crate) value_len: usize,
    /// Threads that share the keys
    #[arg(long, default_value_t = 1)]
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

/// A pass over all keys. They follow one another in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    SetNew,
    Get,
    Half,
    SetIdentical,
    /// Half and half again, while the files are being flushed.
    HalfFlushed,
    Delete,
}

impl Phase {
    pub(crate) const ALL: [Phase; 6] =
        [Phase::SetNew, Phase::Get, Phase::Half, Phase::SetIdentical, Phase::HalfFlushed, Phase::Delete];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::SetNew => "set",
            Phase::Get => "get",
            Phase::Half => "half",
            Phase::SetIdentical => "identical",
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
            Phase::HalfFlushed => "half and half, flushing",
            Phase::Delete => "delete",
        }
    }

    /// What is done to a key in this phase.
    pub(crate) fn step(self, index: u32) -> Step {
        let coin = mix(u64::from(index) ^ (self as u64) << 40) & 1 == 0;
        match self {
            Phase::SetNew | Phase::SetIdentical => Step::Set,
            Phase::Half | Phase::HalfFlushed if coin => Step::Set,
            Phase::Get | Phase::Half | Phase::HalfFlushed => Step::Get,
            Phase::Delete => Step::Delete,
        }
    }

    /// Which of its values a key has after this phase; none after its deletion.
    pub(crate) fn version_after(self, index: u32) -> Option<u32> {
        let sets_anew = |phase: Phase| u32::from(self >= phase && phase.step(index) == Step::Set);
        (self != Phase::Delete).then(|| sets_anew(Phase::Half) + sets_anew(Phase::HalfFlushed))
    }

    /// How many bytes of new memory it may take, as a part of all the data.
    pub(crate) fn growth(self) -> f64 {
        match self {
            Phase::SetNew => 1.5,
            Phase::Half | Phase::HalfFlushed => 0.75,
            Phase::Get | Phase::SetIdentical | Phase::Delete => 0.0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Get,
    Set,
    Delete,
}

/// A key, and its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) bytes: [u8; KEY_LEN],
}

impl Key {
    fn new(index: u32) -> Key {
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

/// All keys. They stand in the order in which they are used, so that reading them costs little.
pub(crate) fn keys(load: &Load) -> Result<Vec<Key>> {
    Ok((0..u32::try_from(load.keys)?).map(Key::new).collect())
}

/// Puts `keys` into an order that `seed` decides.
pub(crate) fn shuffle(keys: &mut [Key], seed: u64) {
    let mut state = mix(seed);
    for i in (1..keys.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        keys.swap(i, (mix(state) % (i as u64 + 1)) as usize);
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

/// A part of `keys`, spread over all of them.
pub(crate) fn sample(keys: &[Key]) -> impl Iterator<Item = &Key> {
    keys.iter().step_by((keys.len() / SAMPLE).max(1))
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
        let mut shuffled = keys(&LOAD).unwrap();
        shuffle(&mut shuffled, 7);
        assert!(shuffled.iter().enumerate().any(|(i, key)| key.index as usize != i));
        let mut bytes: Vec<_> = shuffled.iter().map(|key| key.bytes).collect();
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), LOAD.keys);
    }

    #[test]
    fn half_and_half_is_that_and_makes_new_values() {
        let values = Values::new(&LOAD);
        let sets = (0..10_000).filter(|index| Phase::Half.step(*index) == Step::Set).count();
        assert!((4_500..5_500).contains(&sets), "{sets}");
        for index in 0..10_000 {
            let before = Phase::Get.version_after(index).map(|version| values.of(index, version));
            let after = Phase::Half.version_after(index).map(|version| values.of(index, version));
            assert_eq!(before != after, Phase::Half.step(index) == Step::Set);
        }
        assert_eq!(Phase::Delete.version_after(0), None);
    }

    #[test]
    fn identical_sets_change_no_version() {
        for index in 0..1_000 {
            assert_eq!(Phase::Half.version_after(index), Phase::SetIdentical.version_after(index));
        }
    }
}
