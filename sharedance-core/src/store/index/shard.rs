//! One shard of the index: a table of locations by hash.
//!
//! A shard holds the segments of its locations. So a reader gets from a key to a pinned segment under one read lock, and
//! a segment with indexed records is not freed.

use hashbrown::HashTable;

use crate::store::index::location::{Location, Packing, Place};
use crate::store::primitives::Arc;
use crate::store::segment::record::RecordRef;
use crate::store::segment::sealed::Segment;

/// A table is shrunk if less than 1/SHRINK_BELOW of its capacity is in use.
const SHRINK_BELOW: usize = 4;
/// Tables with at most this capacity are not shrunk.
const SHRINK_FLOOR: usize = 64;

/// Has the whole hash, so that a table grows without reading records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    hash: u64,
    place: Place,
}

const _: () = assert!(size_of::<Entry>() == 16);

#[derive(Debug)]
pub(crate) struct Shard {
    packing: Packing,
    table: HashTable<Entry>,
    /// By segment number: those with records in `table`, and possibly others.
    segments: Vec<Option<Arc<Segment>>>,
}

impl Shard {
    pub(super) fn new(packing: Packing) -> Shard {
        Shard { packing, table: HashTable::new(), segments: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// In bytes.
    pub(super) fn memory(&self) -> usize {
        self.table.allocation_size() + self.segments.capacity() * size_of::<Option<Arc<Segment>>>()
    }

    /// The hashes, each once, in the order of their records in the segments.
    pub(super) fn hashes(&self) -> Vec<u64> {
        let mut entries = self.entries(None);
        entries.sort_unstable_by_key(|entry| entry.hash);
        entries.dedup_by_key(|entry| entry.hash);
        entries.sort_unstable_by_key(|entry| entry.place);
        entries.into_iter().map(|entry| entry.hash).collect()
    }

    /// The entries of all segments, or of `only`.
    pub(super) fn entries(&self, only: Option<&Arc<Segment>>) -> Vec<Entry> {
        let is_in =
            |entry: &&Entry| only.is_none_or(|segment| self.packing.location(entry.place).segment == segment.number);
        self.table.iter().filter(is_in).copied().collect()
    }

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

    /// Visits all live records of this hash, expired or not.
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

    /// Another live record of the key of the record in `slot` of `segment`. Only records with this hash are read.
    pub(crate) fn find_same_key(&self, hash: u64, segment: &Arc<Segment>, slot: u32) -> Option<(Arc<Segment>, u32)> {
        let is_candidate = |entry: &Entry| {
            entry.hash == hash
                && segment.committed(slot).is_some_and(|record| self.matches(entry, hash, record.key()).is_some())
        };
        let other = self.packing.location(self.table.find(hash, is_candidate)?.place);
        Some((self.segments.get(other.segment as usize)?.clone()?, other.slot))
    }

    /// Whether a record of this hash in `slot` of `segment` is indexed.
    pub(crate) fn names(&self, hash: u64, segment: &Arc<Segment>, slot: u32) -> bool {
        let location = Location { segment: segment.number, slot };
        self.holds(segment) && self.table.find(hash, |entry| self.packing.location(entry.place) == location).is_some()
    }

    /// Inserts the location of the record in `slot` of `segment`, which is at `record_offset`. It replaces the location
    /// `replaced`, or is a new entry.
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

    /// Whether `segment` is the one with its number. After a segment is retired, another one gets its number.
    fn holds(&self, segment: &Arc<Segment>) -> bool {
        self.segments
            .get(segment.number as usize)
            .and_then(Option::as_ref)
            .is_some_and(|held| Arc::ptr_eq(held, segment))
    }

    /// Whether the slot of `entry` does not contain the record for which `entry` was inserted.
    pub(super) fn is_unreadable(&self, entry: &Entry) -> bool {
        let Location { segment, slot } = self.packing.location(entry.place);
        let Some(segment) = self.segments.get(segment as usize).and_then(Option::as_ref) else {
            return false;
        };
        let is_of = |record: RecordRef<'_>| {
            record.hash() == entry.hash && record.offset() == self.packing.record_offset(entry.place)
        };
        !segment.record(slot).is_some_and(is_of)
    }

    /// Removes `entry`, and its record from the statistics of the segment, if it is still there and unreadable.
    pub(super) fn remove_unreadable(&mut self, entry: &Entry) -> bool {
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

    /// Removes the entry for `slot` of `segment`; returns whether there was one.
    pub(super) fn remove_from(&mut self, hash: u64, segment: &Arc<Segment>, slot: u32) -> bool {
        self.holds(segment) && self.remove(hash, Location { segment: segment.number, slot })
    }

    /// Removes the entry for `location`, which was found while this lock was held; returns whether there was one.
    pub(crate) fn remove(&mut self, hash: u64, location: Location) -> bool {
        match self.table.find_entry(hash, |entry| self.packing.location(entry.place) == location) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Allocates memory for `additional` entries.
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

    /// Releases the segment with this number.
    pub(super) fn forget_segment(&mut self, number: u32) {
        if let Some(held) = self.segments.get_mut(number as usize) {
            *held = None;
        }
    }

    /// Frees memory that the table needed when it had far more entries.
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
