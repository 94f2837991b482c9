//! Inserts the records of the segments into the index: of several writes of a key the last one.

use crate::store::disk::format::Kind;
use crate::store::index::{Index, Location, Shard};
use crate::store::primitives::Arc;
use crate::store::recovery::slots::{LiveRecord, Slots};
use crate::store::segment::open::OpenSegment;
use crate::store::segment::sealed::Segment;

/// A segment, and its records by their shard.
pub(crate) struct Scanned {
    pub(crate) segment: Arc<Segment>,
    /// The right to append, if the earlier process was still appending.
    pub(crate) open: Option<OpenSegment>,
    live_by_shard: Vec<Vec<LiveRecord>>,
    /// Hash and slot.
    gone_by_shard: Vec<Vec<(u64, u32)>>,
}

/// The numbers of records of a shard that were not inserted.
#[derive(Debug, Default)]
pub(crate) struct Entered {
    /// Records with a later record of the same key.
    pub(crate) superseded: u64,
    /// Records that had expired.
    pub(crate) expired: u64,
}

impl Scanned {
    /// Adds the live records to the statistics of the segment.
    pub(crate) fn new(segment: Arc<Segment>, open: Option<OpenSegment>, slots: Slots, index: &Index) -> Scanned {
        let mut live_by_shard = vec![Vec::new(); index.shards()];
        for live in slots.live {
            segment.adopt(live.footprint, live.deadline);
            live_by_shard[Index::shard_of(live.record.hash)].push(live.record);
        }
        let mut gone_by_shard = vec![Vec::new(); index.shards()];
        for (hash, slot) in slots.gone {
            gone_by_shard[Index::shard_of(hash)].push((hash, slot));
        }
        Scanned { segment, open, live_by_shard, gone_by_shard }
    }
}

/// Inserts the records of one shard into the index; returns how many had a later one, and how many had expired. Of two
/// records of a key the later one is inserted. Expired records are removed after that: otherwise an earlier record
/// would replace one that had a shorter life.
pub(crate) fn fill_shard(index: &Index, shard_number: usize, segments: &[Scanned]) -> Entered {
    let mut shard = index.write_shard(shard_number);
    shard.reserve(segments.iter().map(|scanned| scanned.live_by_shard[shard_number].len()).sum());
    let mut entered = Entered::default();
    for scanned in segments {
        for record in &scanned.live_by_shard[shard_number] {
            entered.superseded += u64::from(enter_later(&mut shard, &scanned.segment, *record));
        }
    }
    for scanned in segments {
        for (hash, slot) in &scanned.gone_by_shard[shard_number] {
            entered.superseded += u64::from(remove_older(&mut shard, &scanned.segment, *hash, *slot));
        }
    }
    for scanned in segments {
        for record in scanned.live_by_shard[shard_number].iter().filter(|record| record.is_expired) {
            let location = Location { segment: scanned.segment.number, slot: record.slot };
            if !shard.remove(record.hash, location) {
                continue;
            }
            match scanned.segment.record(record.slot) {
                Some(found) => {
                    found.mark_gone();
                    entered.expired += 1;
                }
                None => scanned.segment.write_off(record.slot, record.offset as usize),
            }
        }
    }
    entered
}

/// Inserts a record unless the index has a later one of its key, or its copy. The other one is marked dead. Returns
/// whether there were two writes of the key: a record and its copy by compaction are one write.
fn enter_later(shard: &mut Shard, segment: &Arc<Segment>, entering: LiveRecord) -> bool {
    let LiveRecord { hash, slot, offset, .. } = entering;
    let Some((other, other_slot)) = shard.find_same_key(hash, segment, slot) else {
        shard.insert(hash, segment, slot, offset, None);
        return false;
    };
    let (Some(record), Some(other_record)) = (segment.record(slot), other.record(other_slot)) else {
        // One of them was damaged after its slot was read. Maintenance finds it in the index and removes it.
        shard.insert(hash, segment, slot, offset, None);
        return false;
    };
    let (sequence, other_sequence) = (record.sequence(), other_record.sequence());
    if (sequence, carried_order(segment)) > (other_sequence, carried_order(&other)) {
        let replaced = Location { segment: other.number, slot: other_slot };
        shard.insert(hash, segment, slot, offset, Some(replaced));
        other_record.mark_dead();
    } else {
        record.mark_dead();
    }
    sequence != other_sequence
}

/// Removes the record of a key with a later record that is gone, in `slot` of `segment`: when that one was marked, the
/// older one was dead already, but the disk may not have that mark. Returns whether there was one.
fn remove_older(shard: &mut Shard, segment: &Arc<Segment>, hash: u64, slot: u32) -> bool {
    let Some((other, other_slot)) = shard.find_same_key(hash, segment, slot) else {
        return false;
    };
    let (Some(gone), Some(record)) = (segment.committed(slot), other.record(other_slot)) else {
        return false;
    };
    let is_older = record.sequence() <= gone.sequence();
    if is_older && shard.remove(hash, Location { segment: other.number, slot: other_slot }) {
        record.mark_gone();
    }
    is_older
}

/// Increases from a record's first location to that of its last copy. Copies are in cold segments, of which one is open
/// at a time; it may have been activated before the segment to which the record was first written.
fn carried_order(segment: &Segment) -> (bool, u64) {
    (segment.header.kind == Kind::Cold, segment.header.base)
}
