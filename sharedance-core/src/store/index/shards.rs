//! The index: shards by hash, each behind a lock, and the operations on all of them.

use crate::store::index::location::Packing;
use crate::store::index::shard::Shard;
use crate::store::primitives::{Arc, Counter, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::store::segment::record::RecordRef;
use crate::store::segment::sealed::Segment;

/// Many, so that writers rarely wait for each other, and a table that grows delays few of them.
const SHARDS: usize = 64;

#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[PaddedShard]>,
    /// Records that were removed because their payload or slot is damaged.
    pub(crate) damaged: Counter,
}

/// On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct PaddedShard(RwLock<Shard>);

impl Index {
    /// An empty index of a store with segments of this length, in bytes.
    pub(crate) fn new(segment_len: usize) -> Index {
        let packing = Packing::of(segment_len);
        let shards = (0..SHARDS).map(|_| PaddedShard(RwLock::new(Shard::new(packing)))).collect();
        Index { shards, damaged: Counter::default() }
    }

    /// The shard of a hash. Its table uses the low bits and the top bits of the hash, so this uses others.
    pub(crate) fn shard_of(hash: u64) -> usize {
        (hash >> 40) as usize % SHARDS
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn read(&self, hash: u64) -> RwLockReadGuard<'_, Shard> {
        self.read_shard(Self::shard_of(hash))
    }

    pub(crate) fn write(&self, hash: u64) -> RwLockWriteGuard<'_, Shard> {
        self.write_shard(Self::shard_of(hash))
    }

    fn read_shard(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard].0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_shard(&self, shard: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard].0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of pairs, including those that have expired and are not removed yet.
    pub(crate) fn len(&self) -> usize {
        (0..self.shards()).map(|shard| self.read_shard(shard).len()).sum()
    }

    /// The hashes in a shard, each once, in the order of their records in the segments.
    pub(crate) fn hashes(&self, shard: usize) -> Vec<u64> {
        self.read_shard(shard).hashes()
    }

    /// The memory of the tables, in bytes.
    pub(crate) fn memory(&self) -> usize {
        (0..self.shards()).map(|shard| self.read_shard(shard).memory()).sum()
    }

    /// Removes the record in `slot` of `segment` from the index and marks it gone, if it is live, indexed, and meets
    /// `condition`; all of that under the lock of its shard. Returns whether it was removed.
    pub(crate) fn remove_if(
        &self,
        segment: &Arc<Segment>,
        slot: u32,
        condition: impl FnOnce(&RecordRef<'_>) -> bool,
    ) -> bool {
        let hash = segment.raw_slot(slot).slot().hash;
        let mut shard = self.write(hash);
        let Some(record) = segment.record(slot).filter(condition) else {
            return false;
        };
        let removed = shard.remove_from(hash, segment, slot);
        if removed {
            record.mark_gone();
        }
        removed
    }

    /// Removes a record whose payload or word is damaged, and marks it gone, if it is still indexed; returns whether it
    /// was. `record` has the word from before the damage, which is the one that the statistics contain.
    pub(crate) fn remove_damaged(&self, record: &RecordRef<'_>) -> bool {
        let mut shard = self.write(record.hash());
        let removed = shard.remove_from(record.hash(), record.segment(), record.slot());
        if removed {
            record.mark_gone();
            self.damaged.add(1);
        }
        removed
    }

    /// Removes the records whose slots memory or disk has changed since they were written, from all segments or from
    /// `only`. No walk over the slots and no reader finds such a record: this compares each entry of the index with its
    /// slot. Returns the number of removed records.
    pub(crate) fn remove_unreadable(&self, only: Option<&Arc<Segment>>) -> usize {
        let mut removed = 0;
        for shard_number in 0..self.shards() {
            let entries = self.read_shard(shard_number).entries(only);
            for entry in entries {
                if self.read_shard(shard_number).is_unreadable(&entry) {
                    removed += usize::from(self.write_shard(shard_number).remove_unreadable(&entry));
                }
            }
        }
        self.damaged.add(removed);
        removed
    }

    /// Removes the unreadable records of a sealed segment from which a walk has removed each live record that it found.
    /// The segment is spent then, unless it has damaged slots: without those this costs nothing.
    pub(crate) fn remove_unreadable_if_unspent(&self, segment: &Arc<Segment>) {
        if segment.is_complete() && !segment.is_spent() {
            self.remove_unreadable(Some(segment));
        }
    }

    /// Releases the segment with this number, in which no indexed record is.
    pub(crate) fn forget_segment(&self, number: u32) {
        for shard in 0..self.shards() {
            self.write_shard(shard).forget_segment(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::directory::Directory;
    use crate::store::disk::format::{Deadline, Header, Kind, Word};
    use crate::store::disk::mapping::Mapping;
    use crate::store::index::Location;
    use crate::store::segment::blank::Blank;
    use crate::store::segment::open::OpenSegment;
    use crate::store::segment::payload::Payload;

    const LEN: usize = 65_536;

    fn segment(number: u32) -> OpenSegment {
        let lock = Directory::open(tempfile::tempdir().unwrap().path()).unwrap().lock;
        let header =
            Header { store_id: 1, base: 1, segment_id: 0, kind: Kind::Hot, ttl_class: 0, file_len: LEN as u64 };
        OpenSegment::new(Blank::new(0, Mapping::of_heap(LEN)).activate(number, header, lock))
    }

    fn offset(segment: &Segment, slot: u32) -> u32 {
        segment.raw_slot(slot).slot().record_offset
    }

    fn write(segment: &mut OpenSegment, hash: u64, key: &[u8]) -> u32 {
        let payload = Payload::of([key]);
        let mut reservation = segment.reserve(&payload).unwrap();
        let slot = reservation.slot();
        reservation.fill(&payload);
        reservation.commit(hash, 2, Word::live(key.len(), Deadline::NEVER));
        slot
    }

    #[test]
    fn keys_with_the_same_hash_are_distinguished() {
        const HASH: u64 = 0x1234_5678_9abc_def0;
        let (index, mut segment) = (Index::new(LEN), segment(3));
        let keys = [&b"one"[..], b"two", b"three"];
        let slots = keys.map(|key| write(&mut segment, HASH, key));
        let mut shard = index.write(HASH);
        slots.iter().for_each(|slot| shard.insert(HASH, &segment, *slot, offset(&segment, *slot), None));
        let found = |shard: &Shard| keys.map(|key| shard.find(HASH, key).map(|found| found.slot()));
        assert_eq!(found(&shard), slots.map(Some));
        assert!(shard.find(HASH, b"four").is_none());
        assert!(shard.remove(HASH, Location { segment: 3, slot: slots[1] }));
        assert!(!shard.remove(HASH, Location { segment: 3, slot: slots[1] }));
        assert_eq!(found(&shard), [Some(slots[0]), None, Some(slots[2])]);
        // A new record takes the place of its own key's.
        let newer = write(&mut segment, HASH, b"three");
        shard.insert(HASH, &segment, newer, offset(&segment, newer), Some(Location { segment: 3, slot: slots[2] }));
        assert_eq!(found(&shard), [Some(slots[0]), None, Some(newer)]);
    }

    #[test]
    fn no_shard_holds_a_forgotten_segment() {
        let (index, mut segment) = (Index::new(LEN), segment(5));
        for i in 0..200u64 {
            let hash = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let slot = write(&mut segment, hash, &i.to_be_bytes());
            index.write(hash).insert(hash, &segment, slot, offset(&segment, slot), None);
        }
        assert_eq!(index.len(), 200);
        assert!(Arc::strong_count(&segment) > 1);
        let taken: usize = (0..index.shards()).map(|shard| index.write_shard(shard).take_all().len()).sum();
        assert_eq!((taken, index.len()), (200, 0));
        index.forget_segment(5);
        assert_eq!(Arc::strong_count(&segment), 1);
    }

    #[test]
    fn the_memory_of_removed_entries_is_freed() {
        let (index, mut segment) = (Index::new(LEN), segment(0));
        let slot = write(&mut segment, 0, b"key");
        let entries = 64 * 100;
        let hash = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..entries).for_each(|i| index.write(hash(i)).insert(hash(i), &segment, slot, offset(&segment, slot), None));
        let full = index.memory();
        assert!(full as u64 <= 40 * entries, "{full} bytes for {entries} entries");
        (0..entries).for_each(|i| assert!(index.write(hash(i)).remove(hash(i), Location { segment: 0, slot })));
        (0..index.shards()).for_each(|shard| index.write_shard(shard).shrink());
        assert!(index.memory() < full / 4, "{} of {full}", index.memory());
    }
}
