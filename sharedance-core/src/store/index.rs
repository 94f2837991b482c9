//! Which record is live for a key: a sharded table of locations, the only truth about it.
//!
//! A shard also holds the segments that its locations name. A reader thus gets from key to pinned segment under one
//! read lock, and a segment that is named cannot go away.

use hashbrown::HashTable;

use crate::store::disk::format::{MAX_SEGMENT_LEN, RECORD_ALIGN, SLOT_LEN};
use crate::store::primitives::Counter;
use crate::store::primitives::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::store::segment::record::RecordRef;
use crate::store::segment::sealed::Segment;

/// Many, so that a table that grows holds up few others, and writers seldom meet.
const SHARDS: usize = 64;
/// A table that is emptier than this part of its capacity is shrunk.
const SHRINK_BELOW: usize = 4;
/// Tables of fewer entries than this are left alone.
const SHRINK_FLOOR: usize = 64;

/// Segment number and slot of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) segment: u32,
    pub(crate) slot: u32,
}

/// The whole hash is kept, so that growing a table never touches a record. Beside the location stands the record's
/// offset, which the slot has as well: so slot and record can be fetched from memory at the same time, not one after the
/// other.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    place: Place,
}

const _: () = assert!(size_of::<Entry>() == 16);

/// A location and the record's offset, as [`Packing`] puts them into one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(u64);

/// How many bits of a [`Place`] slot and offset take: enough for any in a segment. The segment's number has the others,
/// no fewer than [`MAX_SEGMENTS`] needs.
#[derive(Debug, Clone, Copy)]
struct Packing {
    offset_bits: u32,
    slot_bits: u32,
}

/// How many segments there can be at once.
pub(crate) const MAX_SEGMENTS: usize = 1 << 17;

const _: () = {
    let longest = Packing::of(MAX_SEGMENT_LEN);
    assert!(longest.offset_bits + longest.slot_bits + MAX_SEGMENTS.ilog2() <= u64::BITS);
};

impl Packing {
    const fn of(segment_len: usize) -> Packing {
        Packing { offset_bits: (segment_len / RECORD_ALIGN).ilog2(), slot_bits: (segment_len / SLOT_LEN).ilog2() }
    }

    fn pack(self, location: Location, record_offset: u32) -> Place {
        let offset = u64::from(record_offset) / RECORD_ALIGN as u64;
        let slot = u64::from(location.slot) << self.offset_bits;
        Place(u64::from(location.segment) << (self.offset_bits + self.slot_bits) | slot | offset)
    }

    fn location(self, place: Place) -> Location {
        let slot_mask = (1 << self.slot_bits) - 1;
        Location {
            segment: (place.0 >> (self.offset_bits + self.slot_bits)) as u32,
            slot: (place.0 >> self.offset_bits & slot_mask) as u32,
        }
    }

    fn record_offset(self, place: Place) -> usize {
        (place.0 & ((1 << self.offset_bits) - 1)) as usize * RECORD_ALIGN
    }
}

#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[PaddedShard]>,
    /// Records that were removed because their payload or slot is damaged.
    pub(crate) damaged: Counter,
}

/// Shards stand on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
struct PaddedShard(RwLock<Shard>);

#[derive(Debug)]
pub(crate) struct Shard {
    packing: Packing,
    table: HashTable<Entry>,
    /// By segment number; those that `table` names are there, others may be.
    segments: Vec<Option<Arc<Segment>>>,
}

impl Location {
    pub(crate) fn of(record: &RecordRef<'_>) -> Location {
        Location { segment: record.segment().number, slot: record.slot() }
    }
}

impl Index {
    /// An empty index of a store with segments of this length, in bytes.
    pub(crate) fn new(segment_len: usize) -> Index {
        let packing = Packing::of(segment_len);
        let shard = || Shard { packing, table: HashTable::new(), segments: Vec::new() };
        let shards = (0..SHARDS).map(|_| PaddedShard(RwLock::new(shard()))).collect();
        Index { shards, damaged: Counter::default() }
    }

    /// Which shard a hash belongs to. The table places entries by the low bits and tells them apart by the top ones.
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

    /// Indexed pairs, those among them that have expired and were not swept yet included.
    pub(crate) fn len(&self) -> usize {
        (0..self.shards()).map(|shard| self.read_shard(shard).table.len()).sum()
    }

    /// The hashes in a shard, each once, in the order in which their records lie in the segments.
    pub(crate) fn hashes(&self, shard: usize) -> Vec<u64> {
        let mut entries: Vec<Entry> = self.read_shard(shard).table.iter().copied().collect();
        entries.sort_unstable_by_key(|entry| entry.hash);
        entries.dedup_by_key(|entry| entry.hash);
        entries.sort_unstable_by_key(|entry| entry.place.0);
        entries.into_iter().map(|entry| entry.hash).collect()
    }

    /// Memory that the tables take, in bytes.
    pub(crate) fn memory(&self) -> usize {
        (0..self.shards())
            .map(|shard| {
                let shard = self.read_shard(shard);
                shard.table.allocation_size() + shard.segments.capacity() * size_of::<Option<Arc<Segment>>>()
            })
            .sum()
    }

    /// Removes the record in `slot` of `segment` and marks it gone, if it is live, the index names it, and `condition`
    /// holds for it: all of that decided under the lock of its shard. Returns whether it was removed.
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

    /// Removes a record whose payload or word is damaged, and marks it gone, if the index still names it; returns whether
    /// it did. `record` is the record as it was before its word was damaged: it is what the accounts contain.
    pub(crate) fn remove_damaged(&self, record: &RecordRef<'_>) -> bool {
        let mut shard = self.write(record.hash());
        let removed = shard.remove_from(record.hash(), record.segment(), record.slot());
        if removed {
            record.mark_gone();
            self.damaged.add(1);
        }
        removed
    }

    /// Removes the records that the index names and whose slots are not the ones that were written: memory or disk has
    /// changed them since. No walk over the slots finds such a record, and no reader does; it is found from the index
    /// alone, which takes a look at all of it, or at all that it names in `only`. Returns how many there were.
    pub(crate) fn remove_unreadable(&self, only: Option<&Arc<Segment>>) -> usize {
        let mut removed = 0;
        for shard_number in 0..self.shards() {
            let entries: Vec<Entry> = {
                let shard = self.read_shard(shard_number);
                let is_candidate = |entry: &&Entry| {
                    only.is_none_or(|segment| shard.packing.location(entry.place).segment == segment.number)
                };
                shard.table.iter().filter(is_candidate).copied().collect()
            };
            for entry in entries {
                if self.read_shard(shard_number).is_unreadable(&entry) {
                    removed += usize::from(self.write_shard(shard_number).remove_unreadable(&entry));
                }
            }
        }
        self.damaged.add(removed);
        removed
    }

    /// Removes the unreadable records of a segment that is sealed and should be spent, since a walk has removed each live
    /// record that it found in it, but is not spent. Without damaged slots this costs nothing.
    pub(crate) fn remove_unreadable_if_unspent(&self, segment: &Arc<Segment>) {
        if segment.is_complete() && !segment.is_spent() {
            self.remove_unreadable(Some(segment));
        }
    }

    /// Drops what the shards hold of segment `number`, which no location names.
    pub(crate) fn forget_segment(&self, number: u32) {
        for shard in 0..self.shards() {
            if let Some(held) = self.write_shard(shard).segments.get_mut(number as usize) {
                *held = None;
            }
        }
    }
}

impl Shard {
    /// The live record of `key`, expired or not.
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<RecordRef<'_>> {
        let mut found = None;
        self.table.find(hash, |entry| match self.matches(entry, hash, key) {
            Some(candidate) => {
                found = Some(candidate);
                true
            }
            None => false,
        })?;
        found
    }

    fn matches(&self, entry: &Entry, hash: u64, key: &[u8]) -> Option<RecordRef<'_>> {
        if entry.hash != hash {
            return None;
        }
        let Location { segment, slot } = self.packing.location(entry.place);
        let segment = self.segments.get(segment as usize)?.as_ref()?;
        segment.prefetch(self.packing.record_offset(entry.place));
        let record = segment.record(slot)?;
        (record.key() == key).then_some(record)
    }

    /// Goes over all live records of this hash, expired or not.
    pub(crate) fn for_each(&self, hash: u64, mut visit: impl FnMut(RecordRef<'_>)) {
        for entry in self.table.iter_hash(hash).filter(|entry| entry.hash == hash) {
            let Location { segment, slot } = self.packing.location(entry.place);
            if let Some(segment) = self.segments.get(segment as usize).and_then(Option::as_ref)
                && let Some(record) = segment.record(slot)
            {
                visit(record);
            }
        }
    }

    /// A record other than that in `slot` of `segment`, live or not, for the same key. Records are read only where hashes agree.
    pub(crate) fn find_same_key(&self, hash: u64, segment: &Arc<Segment>, slot: u32) -> Option<(Arc<Segment>, u32)> {
        let is_candidate = |entry: &Entry| {
            entry.hash == hash
                && segment.committed(slot).is_some_and(|record| self.matches(entry, hash, record.key()).is_some())
        };
        let other = self.packing.location(self.table.find(hash, is_candidate)?.place);
        Some((self.segments.get(other.segment as usize)?.clone()?, other.slot))
    }

    /// Whether `slot` of `segment` is named for a record of this hash.
    pub(crate) fn names(&self, hash: u64, segment: &Arc<Segment>, slot: u32) -> bool {
        let location = Location { segment: segment.number, slot };
        self.holds(segment) && self.table.find(hash, |entry| self.packing.location(entry.place) == location).is_some()
    }

    /// Names the record in `slot` of `segment`, which is at `record_offset`, in place of the location `replaced` or
    /// as a new entry.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        segment: &Arc<Segment>,
        slot: u32,
        record_offset: u32,
        replaced: Option<Location>,
    ) {
        self.hold(segment);
        let place = self.packing.pack(Location { segment: segment.number, slot }, record_offset);
        let packing = self.packing;
        let replaced = replaced.and_then(|old| self.table.find_mut(hash, |entry| packing.location(entry.place) == old));
        match replaced {
            Some(entry) => entry.place = place,
            None => {
                self.table.insert_unique(hash, Entry { hash, place }, |entry| entry.hash);
            }
        }
    }

    fn hold(&mut self, segment: &Arc<Segment>) {
        let number = segment.number as usize;
        if self.segments.len() <= number {
            self.segments.resize(number + 1, None);
        }
        if self.segments[number].is_none() {
            self.segments[number] = Some(segment.clone());
        }
    }

    /// Whether `segment` is the one of its number: that of one taken out of use may be another's by now.
    fn holds(&self, segment: &Arc<Segment>) -> bool {
        self.segments
            .get(segment.number as usize)
            .and_then(Option::as_ref)
            .is_some_and(|held| Arc::ptr_eq(held, segment))
    }

    /// Whether the slot that `entry` names does not hold the record that `entry` was made for.
    fn is_unreadable(&self, entry: &Entry) -> bool {
        let Location { segment, slot } = self.packing.location(entry.place);
        let Some(segment) = self.segments.get(segment as usize).and_then(Option::as_ref) else {
            return false;
        };
        let is_of = |record: RecordRef<'_>| {
            record.hash() == entry.hash && record.offset() == self.packing.record_offset(entry.place)
        };
        !segment.record(slot).is_some_and(is_of)
    }

    /// Removes `entry`, and takes its record out of the accounts, if it is still there and its record is unreadable.
    fn remove_unreadable(&mut self, entry: &Entry) -> bool {
        let is_named = self.table.find(entry.hash, |named| named.place == entry.place).is_some();
        if !is_named || !self.is_unreadable(entry) {
            return false;
        }
        let Location { segment, slot } = self.packing.location(entry.place);
        if let Some(segment) = &self.segments[segment as usize] {
            segment.write_off(slot, self.packing.record_offset(entry.place));
        }
        self.remove(entry.hash, Location { segment, slot })
    }

    /// Takes the entry that names `slot` of `segment` out of the index; false where there is none.
    fn remove_from(&mut self, hash: u64, segment: &Arc<Segment>, slot: u32) -> bool {
        self.holds(segment) && self.remove(hash, Location { segment: segment.number, slot })
    }

    /// Takes the entry that names `location`, which was found under this same lock, out of the index.
    pub(crate) fn remove(&mut self, hash: u64, location: Location) -> bool {
        match self.table.find_entry(hash, |entry| self.packing.location(entry.place) == location) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Makes room for `additional` entries at once.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.table.reserve(additional, |entry| entry.hash);
    }

    /// Empties the table; returns the segment, the slot and the offset of each of its records.
    pub(crate) fn take_all(&mut self) -> Vec<(Arc<Segment>, u32, usize)> {
        let entries = std::mem::take(&mut self.table);
        let located = |entry: &Entry| {
            let Location { segment, slot } = self.packing.location(entry.place);
            let offset = self.packing.record_offset(entry.place);
            Some((self.segments.get(segment as usize)?.clone()?, slot, offset))
        };
        entries.iter().filter_map(located).collect()
    }

    /// Gives memory back that a table grew to when it held far more.
    pub(crate) fn shrink(&mut self) {
        if self.table.capacity() > SHRINK_FLOOR && self.table.len() < self.table.capacity() / SHRINK_BELOW {
            self.table.shrink_to(self.table.len() * 2, |entry| entry.hash);
        }
        while let Some(None) = self.segments.last() {
            self.segments.pop();
        }
        self.segments.shrink_to(self.segments.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::directory::Directory;
    use crate::store::disk::format::{Deadline, Header, Kind, Word};
    use crate::store::disk::mapping::Mapping;
    use crate::store::segment::blank::Blank;
    use crate::store::segment::open::OpenSegment;
    use crate::store::segment::payload::Payload;

    const LEN: usize = 65_536;

    #[test]
    fn places_hold_the_greatest_numbers_there_are() {
        for segment_len in [LEN, MAX_SEGMENT_LEN] {
            let packing = Packing::of(segment_len);
            let location = Location { segment: MAX_SEGMENTS as u32 - 1, slot: (segment_len / SLOT_LEN) as u32 - 1 };
            let offset = segment_len - RECORD_ALIGN;
            let place = packing.pack(location, offset as u32);
            assert_eq!((packing.location(place), packing.record_offset(place)), (location, offset));
            let first = Location { segment: 0, slot: 0 };
            assert_eq!(packing.location(packing.pack(first, offset as u32)), first);
        }
    }

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
    fn keys_of_one_hash_are_told_apart() {
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
    fn a_segment_that_is_forgotten_is_held_by_no_shard() {
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
    fn memory_comes_back_after_a_crowd() {
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
