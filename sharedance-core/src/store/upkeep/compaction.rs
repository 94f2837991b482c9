//! Compaction: copies live records out of segments that contain little else, so that these can be retired.
//!
//! No operation waits for it. A record is copied without a lock. Then, under its shard's lock, the copy is committed if
//! the index still contains the source, with the source's sequence and its current deadline and marks. Otherwise the
//! copy is never committed, and never visible.
//!
//! Survivors are copied to separate cold segments: among new writes they would be copied again and again.

use crate::store::disk::format::{self, Kind, RECORDS_OFFSET};
use crate::store::error::StoreError;
use crate::store::index::{Index, Location};
use crate::store::log::segment_log::Log;
use crate::store::primitives::Arc;
use crate::store::segment::payload::Payload;
use crate::store::segment::record::RecordRef;
use crate::store::segment::sealed::Segment;
use crate::store::segment::sources::{Reason, Source};
use crate::store::segment::ttl_class::TtlClass;

/// The space of the segments as a multiple of their live bytes. With a value closer to one, disk writes double for a
/// tenth of the space.
const SPACE_TARGET: u64 = 2;
/// Segments in addition to that: the open ones, and the one that is being emptied.
const SLACK_SEGMENTS: u64 = 3;
/// A segment with a higher live ratio is not compacted: copying it would gain almost nothing.
const MAX_LIVE_RATIO: f64 = 0.9;
/// If writers find no space, a segment is emptied if at least 1/MIN_DEAD_PART of it is dead: at most that many bytes
/// are copied for each byte gained. Any segment is emptied while a whole segment's worth of bytes is dead in all
/// segments together.
const MIN_DEAD_PART: u64 = 16;
/// A segment with a higher live ratio is not compacted before old pairs are evicted: copying it would cost more than
/// losing some of the pairs that are read least.
const MAX_LIVE_RATIO_BEFORE_EVICTION: f64 = 0.6;
/// A segment whose records all expire within this time is not compacted: waiting gains more.
const SOON_MS: u64 = 60_000;
/// Copying this many bytes counts as much as reading one slot.
pub(crate) const BYTES_A_STEP: usize = 1024;

/// Why segments are emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// They take more space than they should.
    Target,
    /// Writers find no space: dead bytes are reclaimed at any cost.
    Full,
    /// Old pairs will be evicted: dead bytes are reclaimed first if that costs little.
    Eviction,
}

/// The segment that is being emptied. The work continues where it stopped.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    victim: Option<Arc<Segment>>,
    next_slot: u32,
}

/// The result of one piece of work.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Compacted {
    /// Slots that were read, and bytes that were copied, in the units of budgets.
    pub(crate) steps: usize,
    pub(crate) bytes: usize,
    /// Whether the budget was used up before the work was done.
    pub(crate) pending: bool,
}

impl Compaction {
    /// Empties segments as long as needed, within about `budget` steps.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a file for the survivors cannot be created, unless the reason is missing space. Records
    /// that were not copied stay.
    pub(crate) fn run(
        &mut self,
        log: &Log,
        index: &Index,
        now_ms: u64,
        need: Need,
        budget: usize,
    ) -> Result<Compacted, StoreError> {
        let mut done = Compacted { pending: true, ..Compacted::default() };
        while done.steps < budget {
            if self.victim.is_none() {
                self.victim = match need {
                    Need::Full => choose_for_room(log, now_ms),
                    Need::Target | Need::Eviction => choose(log, now_ms, need),
                };
                self.next_slot = 0;
            }
            let Some(victim) = self.victim.clone() else {
                done.pending = false;
                break;
            };
            let slots = victim.reserved().slots;
            while self.next_slot < slots && done.steps < budget {
                let copied = match copy_record(log, index, &victim, self.next_slot, now_ms) {
                    // No space even for the survivors: records must die first.
                    Err(StoreError::Full) => return Ok(Compacted { pending: false, ..done }),
                    copied => copied?,
                };
                done.steps += 1 + copied / BYTES_A_STEP;
                done.bytes += copied;
                self.next_slot += 1;
            }
            if self.next_slot == slots {
                index.remove_unreadable_if_unspent(&victim);
                self.victim = None;
                if need == Need::Full {
                    // The caller retires it, and checks whether that is enough.
                    break;
                }
            }
        }
        Ok(done)
    }
}

/// The segment with the best ratio of gain to cost; `None` if no space is needed or none can be gained.
///
/// Cost and benefit as in log-structured file systems (Rosenblum and Ousterhout, 1992): (1 − u) / (1 + u) × age, where
/// u is the live ratio. Older records are more likely to stay live. An age above the TTL counts as the TTL.
fn choose(log: &Log, now_ms: u64, need: Need) -> Option<Arc<Segment>> {
    let segments = log.segments_where(|segment| segment.header.kind != Kind::Big && !segment.is_spent());
    let sealed = || segments.iter().filter(|segment| segment.sealed_at_ms().is_some());
    let used: u64 = sealed().map(|segment| segment.file_len() as u64).sum();
    let live: u64 = sealed().map(|segment| segment.live_bytes()).sum();
    let slack = SLACK_SEGMENTS * log.description().segment_len as u64;
    if need == Need::Target && used <= SPACE_TARGET * live + slack {
        return None;
    }
    let max_live_ratio = match need {
        Need::Eviction => MAX_LIVE_RATIO_BEFORE_EVICTION,
        Need::Target | Need::Full => MAX_LIVE_RATIO,
    };
    let scored =
        segments.into_iter().filter_map(|segment| gain(&segment, now_ms, max_live_ratio).map(|gain| (gain, segment)));
    scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, segment)| segment)
}

/// The segment with the most dead bytes, which gives new writes the most space for its cost; age and lifetimes do not
/// count. `None` if less than a segment's worth is dead in all segments, and no segment has a large dead part: a store
/// that is full of live pairs copies nothing.
///
/// Each emptied segment reduces the sum of dead bytes, so this ends.
fn choose_for_room(log: &Log, now_ms: u64) -> Option<Arc<Segment>> {
    let longest = format::footprint(log.max_shared_payload());
    let candidates = log.segments_where(|segment| {
        let is_open_for_more = segment.sealed_at_ms().is_none() && segment.room() >= longest;
        segment.header.kind != Kind::Big && !segment.is_spent() && !is_open_for_more
    });
    let segment_len = log.description().segment_len as u64;
    let scored = candidates.into_iter().map(|segment| (reclaimable(&segment, longest), segment));
    let (mut total, mut best) = (0, None);
    for (bytes, segment) in scored.filter(|(bytes, _)| *bytes > 0) {
        total += bytes;
        if best.as_ref().is_none_or(|(most, _)| bytes > *most) {
            best = Some((bytes, segment));
        }
    }
    let (most, segment) = best?;
    if total < segment_len && most < segment_len / MIN_DEAD_PART {
        return None;
    }
    log.seal(&segment, now_ms);
    Some(segment)
}

/// Bytes that new records can use once the segment is emptied: those of dead records, and those that were never written
/// if they are more than the `longest` record may leave unused at the end of a segment.
fn reclaimable(segment: &Segment, longest: usize) -> u64 {
    let room = segment.room();
    let dead = ((segment.file_len() - RECORDS_OFFSET - room) as u64).saturating_sub(segment.live_bytes());
    dead + if room > longest { room as u64 } else { 0 }
}

fn gain(segment: &Segment, now_ms: u64, max_live_ratio: f64) -> Option<f64> {
    let sealed_at_ms = segment.sealed_at_ms()?;
    let live_ratio = segment.live_bytes() as f64 / segment.file_len() as f64;
    let ttl_ms = TtlClass(segment.header.ttl_class).ttl_ms();
    let expired_by_ms = sealed_at_ms.saturating_add(ttl_ms);
    let expires_soon = (now_ms..now_ms.saturating_add(SOON_MS)).contains(&expired_by_ms);
    if live_ratio > max_live_ratio || expires_soon {
        return None;
    }
    // At least a millisecond: a segment that was just sealed may be the only one.
    let age_ms = now_ms.saturating_sub(sealed_at_ms).clamp(1, ttl_ms);
    Some((1.0 - live_ratio) / (1.0 + live_ratio) * age_ms as f64)
}

/// Copies the record in `slot`, if it is live, and puts the copy into the index; returns the number of copied bytes.
/// The source stays live on disk until the copy is safe: see the quarantine.
pub(crate) fn copy_record(
    log: &Log,
    index: &Index,
    victim: &Arc<Segment>,
    slot: u32,
    now_ms: u64,
) -> Result<usize, StoreError> {
    let Some(record) = victim.record(slot) else {
        return Ok(0);
    };
    let hash = record.hash();
    let source = Location { segment: victim.number, slot };
    if !index.read(hash).names(hash, victim, slot) {
        return Ok(0);
    }
    let has_expired = |record: &RecordRef<'_>| record.has_expired(now_ms);
    if has_expired(&record) {
        // Unless it has been touched meanwhile.
        index.remove_if(victim, slot, has_expired);
        return Ok(0);
    }
    let payload = Payload::of([record.payload()]);
    // The copy gets a new checksum, so this is the last chance to detect damage.
    if !record.has_checksum(payload.crc()) {
        index.remove_damaged(&record);
        return Ok(0);
    }
    let mut reservation = log.reserve_cold(TtlClass(victim.header.ttl_class), &payload, now_ms)?;
    reservation.fill(&payload);
    let (segment, copy, copy_offset) = (reservation.segment().clone(), reservation.slot(), reservation.record_offset());
    let mut shard = index.write(hash);
    let Some(current) = victim.record(slot).filter(|_| shard.names(hash, victim, slot)) else {
        return Ok(payload.len());
    };
    let sequence = match record.sequence() {
        sequence if segment.can_express(sequence) => sequence,
        // The record is two thousand million writes older than the segment: its version changes.
        _ => log.next_sequence(),
    };
    segment.inherit_reads(copy, victim.take_reads(slot));
    if let (Some(from), Some(to)) = (&victim.accesses, &segment.accesses) {
        to.note(copy, from.last(slot));
    }
    reservation.commit(hash, sequence, current.word());
    shard.insert(hash, &segment, copy, copy_offset, Some(source));
    segment.note_source(copy, Source { segment: victim.clone(), slot, reason: Reason::Compaction });
    current.discount();
    Ok(payload.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::clock::{Clock, ManualClock};
    use crate::store::{Durability, Options, Store, Ttl};

    const SEGMENT_LEN: usize = 65_536;

    fn open(dir: &tempfile::TempDir) -> (Store, ManualClock) {
        let (clock, hand) = Clock::manual();
        (Options::manual().segment_len(SEGMENT_LEN).clock(clock).open(dir.path()).unwrap(), hand)
    }

    fn key(i: u32) -> [u8; 4] {
        i.to_be_bytes()
    }

    fn settle(store: &Store, hand: &ManualClock) {
        for _ in 0..3 {
            while store.maintain(16).unwrap().pending {}
            hand.advance(Duration::from_secs(1));
        }
    }

    /// Writes the pairs of a round: 60 that later rounds overwrite, each followed by one that stays.
    fn write_round(store: &Store, round: u32) {
        for i in 0..60 {
            store.set(key(i), [round as u8; 900]).unwrap();
            if i % 6 == 0 {
                store.set(key(1_000 + round * 100 + i), [round as u8; 900]).unwrap();
            }
        }
    }

    #[test]
    fn steady_overwriting_stays_within_the_space_target() {
        let dir = tempfile::tempdir().unwrap();
        let (store, hand) = open(&dir);
        for round in 0..60 {
            write_round(&store, round);
            store.maintain(200).unwrap();
            hand.advance(Duration::from_millis(100));
        }
        settle(&store, &hand);
        let stats = store.stats();
        assert!(stats.compacted_bytes > 0);
        let allowed = 2 * stats.live_bytes + 5 * SEGMENT_LEN as u64;
        assert!(stats.file_bytes <= allowed, "{stats:?}");
        for i in 0..60 {
            assert_eq!(store.get(key(i)).unwrap(), [59; 900], "{i}");
        }
        for (round, i) in (0..60).flat_map(|round| (0..60).step_by(6).map(move |i| (round, i))) {
            assert_eq!(store.get(key(1_000 + round * 100 + i)).unwrap(), [round as u8; 900], "{round} {i}");
        }
    }

    #[test]
    fn a_copied_record_keeps_its_deadline_and_survives_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let (store, hand) = open(&dir);
        for i in 0..1_000u32 {
            store.set_with_ttl(key(i), [1; 600], Ttl::After(Duration::from_secs(400))).unwrap();
        }
        let kept = || (0..1_000).step_by(20);
        for i in kept() {
            assert!(store.touch(key(i), Ttl::After(Duration::from_secs(1_000))).unwrap());
        }
        for i in (0..1_000).filter(|i| i % 20 != 0) {
            store.delete(key(i)).unwrap();
        }
        settle(&store, &hand);
        assert!(store.stats().compacted_bytes >= 20 * 600, "{:?}", store.stats());
        drop(store);

        let store = Options::manual().segment_len(SEGMENT_LEN).clock(hand.clock()).open(dir.path()).unwrap();
        assert_eq!((store.recovery().pairs, store.recovery().dropped), (50, 0));
        hand.advance(Duration::from_secs(900));
        assert!(kept().all(|i| store.get(key(i)).unwrap() == [1; 600]));
        hand.advance(Duration::from_secs(200));
        assert!(!kept().any(|i| store.contains(key(i))));
    }

    #[test]
    fn a_held_value_survives_the_compaction_of_its_segment() {
        let dir = tempfile::tempdir().unwrap();
        let (store, hand) = open(&dir);
        store.set(b"held", [42; 100]).unwrap();
        let held = store.get(b"held").unwrap();
        for round in 0..60 {
            write_round(&store, round);
            settle(&store, &hand);
        }
        assert!(store.stats().compacted_bytes > 0);
        assert_eq!(held, [42; 100]);
        assert_eq!(store.get(b"held").unwrap(), [42; 100]);
    }

    /// Deletes all but every fortieth of a thousand pairs, and lets compaction copy those.
    fn thin_out(store: &Store, hand: &ManualClock, from: u32) -> Vec<u32> {
        let ttl = Ttl::After(Duration::from_secs(400));
        for i in from..from + 1_000 {
            store.set_with_ttl(key(i), [1; 600], ttl).unwrap();
        }
        for i in (from..from + 1_000).filter(|i| i % 40 != 0) {
            store.delete(key(i)).unwrap();
        }
        settle(store, hand);
        (from..from + 1_000).filter(|i| i % 40 == 0).collect()
    }

    /// The second time, the cold segment is activated before the segments whose records are copied to it.
    fn touched_after_it_was_copied(ttl: Duration) -> (tempfile::TempDir, Store, ManualClock, Vec<u32>) {
        let durability = Durability::Interval(Duration::from_secs(36_000));
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let options = || Options::manual().segment_len(SEGMENT_LEN).clock(hand.clock()).durability(durability);
        let store = options().clock(clock).open(dir.path()).unwrap();
        thin_out(&store, &hand, 0);
        let kept = thin_out(&store, &hand, 2_000);
        for i in &kept {
            assert!(store.touch(key(*i), Ttl::After(ttl)).unwrap());
        }
        hand.advance(Duration::from_secs(2));
        drop(store);
        let store = options().open(dir.path()).unwrap();
        (dir, store, hand, kept)
    }

    #[test]
    fn a_touch_of_a_copied_record_survives_reopening() {
        let (_dir, store, hand, kept) = touched_after_it_was_copied(Duration::from_secs(5_000));
        hand.advance(Duration::from_secs(1_000));
        assert!(kept.iter().all(|i| store.contains(key(*i))));
    }

    #[test]
    fn a_record_that_expired_after_it_was_copied_stays_expired_after_reopening() {
        let (_dir, store, _hand, kept) = touched_after_it_was_copied(Duration::from_secs(1));
        assert!(!kept.iter().any(|i| store.contains(key(*i))));
    }

    /// Writes records, deletes most of them, and flips bits in the slot of one in each segment. Some segments need not
    /// be emptied afterwards.
    fn thin_out_and_damage(word: usize, bits: u64) -> (tempfile::TempDir, Store, ManualClock) {
        let dir = tempfile::tempdir().unwrap();
        let (store, hand) = open(&dir);
        (0..1_000).for_each(|i| store.set_with_ttl(key(i), [1; 600], Ttl::Never).unwrap());
        (0..1_000).filter(|i| i % 20 != 0).for_each(|i| assert!(store.delete(key(i)).unwrap()));
        for segment in store.shared.engine.log.segments() {
            let slot = (0..segment.reserved().slots).find(|slot| segment.record(*slot).is_some()).unwrap();
            segment.damage(slot, word, bits);
        }
        (dir, store, hand)
    }

    #[test]
    fn a_segment_with_a_damaged_slot_is_emptied_like_any_other() {
        // In the word, in the hash, and in the offset: beyond the file and within it.
        for (word, bits) in [(3, 1 << 30), (0, 1 << 41), (1, 1 << 63), (1, 1 << 36)] {
            let (_dir, store, hand) = thin_out_and_damage(word, bits);
            for _ in 0..3 {
                let turns = (0..2_000).take_while(|_| store.maintain(16).unwrap().pending).count();
                assert!(turns < 2_000, "compaction does not end after a flip of {bits:#x} in word {word}");
                hand.advance(Duration::from_secs(60));
            }
            let stats = store.stats();
            assert!(stats.damaged >= 5 && stats.segments <= 5, "{stats:?}");
            assert_eq!((stats.pairs, stats.live_bytes), (50 - stats.damaged, stats.pairs * 640), "{word}");
            store.verify();
            assert!((0..1_000).filter_map(|i| store.get(key(i))).all(|value| value == [1; 600]));
        }
    }

    #[test]
    fn compaction_gives_no_damaged_value_a_new_checksum() {
        // In the value's length: the copy would be shorter.
        let (_dir, store, hand) = thin_out_and_damage(2, 1);
        settle(&store, &hand);
        let found = store.stats().damaged;
        assert!(store.stats().compacted_bytes > 0 && found >= 5, "{:?}", store.stats());
        store.verify();
        assert!((0..1_000).filter_map(|i| store.get(key(i))).all(|value| value == [1; 600]));
    }

    #[test]
    fn compaction_ends_however_many_segments_are_open() {
        let dir = tempfile::tempdir().unwrap();
        let (store, hand) = open(&dir);
        for class in 0..7 {
            let ttl = Ttl::After(Duration::from_secs(100 << class));
            store.set_with_ttl(key(1_000 + class), b"small", ttl).unwrap();
        }
        for i in 0..14 {
            let ttl = Ttl::After(Duration::from_secs(100_000));
            store.set_with_ttl(key(i), [i as u8; 15_500], ttl).unwrap();
        }
        let turns = (0..2_000).take_while(|_| {
            hand.advance(Duration::from_millis(10));
            store.maintain(64).unwrap().pending
        });
        assert!(turns.count() < 2_000, "{:?}", store.stats());
    }
}
