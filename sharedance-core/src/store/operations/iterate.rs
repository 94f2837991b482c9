//! Iteration over the pairs of a store. Other operations do not wait for it.
//!
//! A walk copies the hashes of a shard under its read lock and releases the lock. Then it looks each hash up again, as
//! any reader does. So a pair that is overwritten, or moved by compaction, during the walk is found exactly once.

use std::fmt;
use std::time::Duration;
use std::vec;

use crate::store::api::value::Value;
use crate::store::engine::Engine;
use crate::store::segment::record::Pinned;

/// A pair of an iteration: see [`Store::iter`](crate::store::Store::iter). Like a [`Value`], it pins its bytes, which
/// never change.
///
/// ```
/// # use sharedance_core::store::{Store, Ttl};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let copy = Store::open(dir.path().join("copy"))?;
/// store.set("user:17", "Ada")?;
/// store.set_with_ttl("motto", "per aspera", Ttl::Never)?;
/// // A copy of a store, in which each pair lives for as long as it still has to.
/// for pair in &store {
///     copy.set_with_ttl(pair.key(), pair.value(), pair.expires_in().map_or(Ttl::Never, Ttl::After))?;
/// }
/// assert_eq!(copy.get("motto").unwrap(), "per aspera");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Pair {
    pub(crate) pinned: Pinned,
    pub(crate) expires_in: Option<Duration>,
}

impl Pair {
    /// The key.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// assert!(store.iter().all(|pair| pair.key() == b"user:17"));
    /// # assert_eq!(store.iter().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key(&self) -> &[u8] {
        self.pinned.key()
    }

    /// The value at the time of the iteration.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// let pair = store.iter().next().unwrap();
    /// store.set("user:17", "Grace")?;
    /// assert_eq!(pair.value(), b"Ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn value(&self) -> &[u8] {
        self.pinned.value()
    }

    /// The remaining TTL at the time of the iteration; `None` if the pair never expires.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{Pair, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set_with_ttl("code", "1234", Duration::from_secs(300))?;
    /// let soon = |pair: &Pair| pair.expires_in().is_some_and(|left| left <= Duration::from_secs(300));
    /// assert!(store.iter().all(|pair| soon(&pair)));
    /// # assert_eq!(store.iter().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    /// The value and its metadata, without the key.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// let version = store.get("user:17").unwrap().version();
    /// let value = store.iter().next().unwrap().into_value();
    /// assert_eq!((value.version(), value.client_flags()), (version, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_value(self) -> Value {
        Value::new(self.pinned)
    }
}

/// Prints lengths only: keys of sessions are secrets.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({} and {} bytes)", self.key().len(), self.value().len())
    }
}

/// The result of reading every record: see [`Store::verify`](crate::store::Store::verify).
///
/// ```
/// # use sharedance_core::store::Store;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.set("user:17", "Ada")?;
/// assert_eq!(store.verify().to_string(), "1 records of 10 bytes are sound");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Records that match their checksums.
    pub sound: u64,
    /// The bytes of these records: keys, values and client flags.
    pub bytes: u64,
    /// Records that do not, and were dropped.
    pub damaged: u64,
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records of {} bytes are sound", self.sound, self.bytes)?;
        if self.damaged > 0 {
            write!(f, ", {} were damaged and dropped", self.damaged)?;
        }
        Ok(())
    }
}

/// Iterates over all records in the index, shard by shard. No lock is held between two records.
pub(crate) struct Walk<'e> {
    engine: &'e Engine,
    pub(crate) next_shard: usize,
    hashes: vec::IntoIter<u64>,
    /// The records of the current hash: several only if several keys have the same hash.
    found: Vec<Pinned>,
}

impl<'e> Walk<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Walk<'e> {
        Walk { engine, next_shard: 0, hashes: Vec::new().into_iter(), found: Vec::new() }
    }

    /// The next record in the index, including expired and damaged ones.
    pub(crate) fn next_pinned(&mut self) -> Option<Pinned> {
        loop {
            if let Some(pinned) = self.found.pop() {
                return Some(pinned);
            }
            match self.hashes.next() {
                Some(hash) => self.engine.index.read(hash).for_each(hash, |found| {
                    self.found.push(found.pin());
                }),
                None if self.next_shard == self.engine.index.shards() => return None,
                None => {
                    self.hashes = self.engine.index.hashes(self.next_shard).into_iter();
                    self.next_shard += 1;
                }
            }
        }
    }
}

impl Engine {
    pub(crate) fn verify(&self) -> Verification {
        let mut verification = Verification::default();
        let mut walk = Walk::new(self);
        while let Some(pinned) = walk.next_pinned() {
            if pinned.record().is_intact() {
                verification.sound += 1;
                verification.bytes += pinned.record().payload().len() as u64;
            } else if self.drop_damaged(&pinned) {
                verification.damaged += 1;
            }
        }
        verification.damaged += self.index.remove_unreadable(None) as u64;
        verification
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::primitives::thread;
    use crate::store::{Options, Store, Ttl};

    fn open() -> (tempfile::TempDir, Store, ManualClock) {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let store = Options::manual().segment_len(65_536).clock(clock).open(dir.path()).unwrap();
        (dir, store, hand)
    }

    #[test]
    fn a_walk_returns_each_live_pair_once() {
        let (_dir, store, hand) = open();
        let mut expected = BTreeMap::new();
        for i in 0..3_000u32 {
            let key = format!("{}{i}", if i % 3 == 0 { "cart:" } else { "user:" });
            store.set_with_ttl(key.as_bytes(), i.to_be_bytes(), Ttl::Never).unwrap();
            expected.insert(key.into_bytes(), i.to_be_bytes().to_vec());
        }
        store.set_with_ttl(b"gone", b"x", Ttl::After(Duration::from_secs(1))).unwrap();
        store.set(b"deleted", b"x").unwrap();
        store.delete(b"deleted").unwrap();
        hand.advance(Duration::from_secs(1));
        let pairs: Vec<(Vec<u8>, Vec<u8>)> =
            store.iter().map(|pair| (pair.key().to_vec(), pair.into_value().to_vec())).collect();
        assert_eq!(pairs.len(), expected.len(), "no pair was returned twice");
        assert_eq!(BTreeMap::from_iter(pairs), expected);
        let carts = store.iter_prefix(b"cart:").inspect(|pair| assert!(pair.key().starts_with(b"cart:")));
        assert_eq!(carts.count(), 1_000);
        assert_eq!(store.iter_prefix(b"cart:x").count(), 0);
        assert!(store.iter().all(|pair| pair.expires_in().is_none()));
        store.set_with_ttl(b"cart:x", b"", Duration::from_secs(9)).unwrap();
        hand.advance(Duration::from_secs(2));
        let left: Vec<_> = store.iter_prefix(b"cart:x").map(|pair| pair.expires_in()).collect();
        assert_eq!(left, [Some(Duration::from_secs(7))]);
    }

    #[test]
    fn pairs_that_stay_are_found_during_other_operations() {
        let (_dir, store, _) = open();
        let stays = |i: u32| i.is_multiple_of(20);
        for i in 0..2_000u32 {
            store.set_with_ttl(i.to_be_bytes(), [1; 300], Ttl::Never).unwrap();
        }
        for _ in 0..5 {
            thread::scope(|scope| {
                scope.spawn(|| {
                    for i in (0..2_000u32).filter(|i| !stays(*i)) {
                        store.set_with_ttl(i.to_be_bytes(), [2; 310], Ttl::Never).unwrap();
                        store.delete((i / 7 * 7 + 1).to_be_bytes()).ok();
                        store.maintain(50).unwrap();
                    }
                });
                let seen: Vec<u32> = store
                    .iter()
                    .map(|pair| u32::from_be_bytes(pair.key().try_into().unwrap()))
                    .filter(|i| stays(*i) && i % 7 != 1)
                    .collect();
                let expected = (0..2_000u32).filter(|i| stays(*i) && i % 7 != 1);
                assert_eq!(seen.len(), expected.clone().count(), "none missed, none twice");
                assert_eq!(seen.into_iter().collect::<std::collections::BTreeSet<_>>(), expected.collect());
            });
        }
        assert!(store.stats().compacted_bytes > 0);
    }

    #[test]
    fn verifying_finds_damaged_slots_and_a_clear_frees_their_segments() {
        for is_verified in [true, false] {
            let (_dir, store, hand) = open();
            (0..100u32).for_each(|i| store.set_with_ttl(i.to_be_bytes(), [1; 60], Ttl::Never).unwrap());
            let segments = store.shared.engine.log.segments();
            for (slot, word, bits) in [(10, 3, 1 << 30), (20, 0, 1), (30, 1, 1 << 63)] {
                segments[0].damage(slot, word, bits);
            }
            drop(segments);
            if is_verified {
                assert_eq!(store.verify(), Verification { sound: 97, bytes: 97 * 64, damaged: 3 });
                assert_eq!((store.len(), store.stats().live_bytes, store.verify().damaged), (97, 97 * 96, 0));
            }
            store.clear().unwrap();
            for _ in 0..3 {
                hand.advance(Duration::from_secs(2));
                while store.maintain(100).unwrap().pending {}
            }
            let stats = store.stats();
            assert_eq!((stats.pairs, stats.segments, stats.live_bytes), (0, 0, 0));
            // A clear does not use the hashes.
            assert_eq!(stats.damaged, if is_verified { 3 } else { 2 });
        }
    }

    #[test]
    fn verifying_finds_and_drops_damaged_records() {
        let (dir, store, _) = open();
        for i in 0..100u32 {
            store.set_with_ttl(i.to_be_bytes(), [1; 60], Ttl::Never).unwrap();
        }
        assert_eq!(store.verify(), Verification { sound: 100, bytes: 6_400, damaged: 0 });
        let segment = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let segment = segment.filter(|path| path.extension().is_some_and(|extension| extension == "shd"));
        let mut bytes: Vec<(std::path::PathBuf, Vec<u8>)> =
            segment.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        let (path, bytes) = bytes.iter_mut().find(|(_, bytes)| bytes[4096..].contains(&1)).unwrap();
        let at = bytes.windows(60).position(|window| window == [1; 60]).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_at(&file, &[9], at as u64).unwrap();
        let verification = store.verify();
        assert_eq!(verification, Verification { sound: 99, bytes: 99 * 64, damaged: 1 });
        assert_eq!(verification.to_string(), "99 records of 6336 bytes are sound, 1 were damaged and dropped");
        assert_eq!((store.len(), store.stats().damaged), (99, 1));
        assert_eq!(store.verify().damaged, 0);
    }
}
