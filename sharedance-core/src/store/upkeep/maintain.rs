//! Maintenance: the pieces of one call of `maintain`, their order and their budget.

use crate::store::api::durability::Durability;
use crate::store::disk::meta::SAVE_INTERVAL_MS;
use crate::store::durability::quarantine::Quarantine;
use crate::store::durability::syncs::Syncs;
use crate::store::engine::Engine;
use crate::store::error::StoreError;
use crate::store::primitives::{Mutex, PoisonError};
use crate::store::upkeep::compaction::{self, Compaction, Need};
use crate::store::upkeep::eviction;
use crate::store::upkeep::expiry::{self, Sweep, Swept};

/// The result of one piece of [maintenance](crate::store::Store::maintain), and whether more is due.
///
/// ```
/// # use std::time::Duration;
/// # use sharedance_core::clock::Clock;
/// # use sharedance_core::store::{Background, Options};
/// # let dir = tempfile::tempdir()?;
/// # let (clock, hand) = Clock::manual();
/// # let store = Options::new().background(Background::Manual).clock(clock).open(dir.path())?;
/// for code in 0..10u32 {
///     store.set_with_ttl(&code.to_be_bytes(), "x", Duration::from_secs(1))?;
/// }
/// hand.advance(Duration::from_secs(10));
/// let progress = store.maintain(4)?;
/// assert_eq!((progress.examined, progress.expired, progress.pending), (4, 4, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Slots that were read.
    pub examined: usize,
    /// Pairs that were removed because they had expired.
    pub expired: usize,
    /// Bytes of live records that were copied out of segments that contain little else.
    pub compacted_bytes: usize,
    /// Segments that were retired.
    pub retired: usize,
    /// Whether there is more work now.
    pub pending: bool,
}

/// The state of maintenance between calls.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    sweep: Sweep,
    compaction: Compaction,
    quarantine: Quarantine,
    /// The number of segments that were emptied in a row for lack of space.
    rounds: usize,
    next_save_ms: u64,
    next_reclaim_ms: u64,
    /// The space for which a big value was refused, in bytes; zero if none was.
    refused_bytes: u64,
}

/// The number of segments for which there should be space in a store that evicts: for new writes, for copies by
/// compaction, and one more.
const HEADROOM_SEGMENTS: u64 = 3;
/// The time after a failure in which no writer tries again to make space, in milliseconds: refused writers must not use
/// up the processor.
const RECLAIM_INTERVAL_MS: u64 = 100;
/// The compaction that a writer does if it found no space, in steps: about two segments' worth of copying. The rest is
/// left to maintenance.
const RECLAIM_STEPS: usize = 16_384;
/// The same in segments, each of which may cost a sync: as many as the longest record needs if each of them has the
/// smallest dead part.
const RECLAIM_SEGMENTS: usize = 4;

/// One bounded piece of work: see [`Store::maintain`](crate::store::Store::maintain).
pub(crate) fn maintain(
    engine: &Engine,
    syncs: &Syncs,
    upkeep: &Mutex<Upkeep>,
    budget: usize,
) -> Result<Progress, StoreError> {
    let mut upkeep = upkeep.lock().unwrap_or_else(PoisonError::into_inner);
    let now_ms = engine.timeline.now_ms();
    engine.log.files.retry_deletions(now_ms);
    if upkeep.sweep.is_done() {
        upkeep.sweep.plan(engine.log.segments_where(|segment| expiry::is_due(segment, now_ms)));
    }
    let swept = upkeep.sweep.run(&engine.index, now_ms, budget);
    engine.count_swept(swept);
    let need = upkeep.need(engine);
    let mut retired = upkeep.retire_spent(engine, syncs, now_ms, need);
    let left = budget.saturating_sub(swept.examined);
    let compacted = upkeep.compaction.run(&engine.log, &engine.index, now_ms, need, left)?;
    if compacted.steps > 0 {
        engine.counters.compacted_bytes.add(compacted.bytes);
        retired += upkeep.retire_spent(engine, syncs, now_ms, need);
    } else if need == Need::Full && !compacted.pending {
        // There are no dead bytes to reclaim: the refused value stays refused.
        upkeep.refused_bytes = 0;
    }
    let evicted =
        upkeep.make_room(engine, syncs, now_ms, HEADROOM_SEGMENTS * engine.log.description().segment_len as u64)?;
    retired += evicted.unwrap_or(0);
    let is_time_to_save = now_ms >= upkeep.next_save_ms;
    if is_time_to_save {
        upkeep.next_save_ms = now_ms + SAVE_INTERVAL_MS;
        syncs.save_clock(&engine.log, &engine.timeline)?;
        engine.log.update_demand();
        (0..engine.index.shards()).for_each(|shard| engine.index.write_shard(shard).shrink());
    }
    let mut pending = !upkeep.sweep.is_done() || compacted.pending || evicted.is_some();
    let awaited_sync = upkeep.quarantine.awaited_sync();
    drop(upkeep);
    syncs.sync_unless_kept(&engine.log, &engine.timeline)?;
    // Under `Always` only writers sync: without writers, spent segments would never be freed. If writers find no space,
    // spent segments do not wait for the interval either.
    let is_urgent = need == Need::Full || is_time_to_save && syncs.mode == Durability::Always;
    if is_urgent && awaited_sync.is_some_and(|number| number > syncs.group_commit.ended()) {
        syncs.sync(&engine.log, &engine.timeline)?;
        pending |= need == Need::Full;
    }
    // Last, so that a file that cannot be deleted does not prevent the other work.
    if let Some(source) = engine.log.files.deletions.take_error() {
        return Err(StoreError::Io { action: "delete a segment file", source });
    }
    Ok(Progress {
        examined: swept.examined,
        expired: swept.expired,
        compacted_bytes: compacted.bytes,
        retired,
        pending,
    })
}

impl Engine {
    fn count_swept(&self, swept: Swept) {
        self.counters.expired.add(swept.expired);
        self.counters.expired_unread.add(swept.unread);
    }
}

impl Upkeep {
    /// Makes some of the `wanted` bytes of space in a store that evicts: empties one segment, so that no thread waits
    /// for long. Returns the number of retired segments; `None` if there is nothing to do, or if it failed too often.
    fn make_room(
        &mut self,
        engine: &Engine,
        syncs: &Syncs,
        now_ms: u64,
        wanted: u64,
    ) -> Result<Option<usize>, StoreError> {
        let Some(queues) = &engine.log.queues else {
            return Ok(None);
        };
        let round = std::mem::take(&mut self.rounds);
        if round == eviction::ROUNDS || engine.log.files.headroom() >= wanted {
            return Ok(None);
        }
        let steps = engine.log.description().segment_len / compaction::BYTES_A_STEP;
        let compacted = self.compaction.run(&engine.log, &engine.index, now_ms, Need::Eviction, steps)?;
        engine.counters.compacted_bytes.add(compacted.bytes);
        if compacted.steps == 0 {
            let Some(evicted) = eviction::evict_segment(&engine.log, queues, &engine.index, now_ms, round)? else {
                return Ok(None);
            };
            engine.counters.evicted.add(evicted.records);
            engine.counters.compacted_bytes.add(evicted.kept_bytes);
        }
        self.rounds = round + 1;
        self.retire_spent_at_once(engine, syncs, now_ms).map(Some)
    }

    /// Why compaction is needed. In a store that evicts, eviction makes space: see [`Upkeep::make_room`].
    fn need(&mut self, engine: &Engine) -> Need {
        if engine.log.queues.is_some() {
            return Need::Target;
        }
        if self.refused_bytes > 0 && engine.log.files.headroom() >= self.refused_bytes {
            self.refused_bytes = 0;
        }
        if self.refused_bytes > 0 || !engine.log.has_room() { Need::Full } else { Need::Target }
    }

    /// Retires the segments without live records, as far as that cannot lose durable records.
    fn retire_spent(&mut self, engine: &Engine, syncs: &Syncs, now_ms: u64, need: Need) -> usize {
        self.admit_spent(engine, syncs, now_ms);
        self.release_spent(engine, syncs, now_ms, need)
    }

    /// The same, after the sync that it needs.
    fn retire_spent_at_once(&mut self, engine: &Engine, syncs: &Syncs, now_ms: u64) -> Result<usize, StoreError> {
        self.admit_spent(engine, syncs, now_ms);
        if self.quarantine.awaited_sync().is_some_and(|number| number > syncs.group_commit.ended()) {
            syncs.sync(&engine.log, &engine.timeline)?;
        }
        Ok(self.release_spent(engine, syncs, now_ms, Need::Full))
    }

    fn admit_spent(&mut self, engine: &Engine, syncs: &Syncs, now_ms: u64) {
        engine.log.seal_idle(now_ms);
        engine.log.recycle_limbo();
        self.quarantine.admit(&engine.log, syncs, now_ms);
    }

    fn release_spent(&mut self, engine: &Engine, syncs: &Syncs, now_ms: u64, need: Need) -> usize {
        let spent = self.quarantine.release(&engine.log, syncs, now_ms, need == Need::Full);
        let retired = spent.len();
        for segment in spent {
            engine.index.forget_segment(segment.number);
            engine.log.retire(segment);
        }
        retired
    }
}

/// Makes as much space as possible at once, for a writer that found none: for a segment, or for a file of `big_len`
/// bytes.
pub(crate) fn reclaim(
    engine: &Engine,
    syncs: &Syncs,
    upkeep: &Mutex<Upkeep>,
    big_len: Option<u64>,
) -> Result<(), StoreError> {
    let reserve = engine.log.description().segment_len as u64;
    if big_len.is_some_and(|len| !engine.log.files.space.could_hold(len + reserve)) {
        return Ok(());
    }
    let wanted = reserve + big_len.unwrap_or(reserve);
    let mut upkeep = upkeep.lock().unwrap_or_else(PoisonError::into_inner);
    let now_ms = engine.timeline.now_ms();
    // Another thread may have made space while this one waited. But blanks are no space for a big file.
    let has_been_made = big_len.is_none()
        && (engine.log.files.has_blanks() || engine.log.queues.is_some() && engine.log.files.headroom() >= wanted);
    if has_been_made || now_ms < upkeep.next_reclaim_ms {
        return Ok(());
    }
    engine.log.files.retry_deletions_now();
    // A walk in progress is completed: its segment has no record of its next expiry.
    engine.count_swept(upkeep.sweep.run(&engine.index, now_ms, usize::MAX));
    upkeep.sweep.plan(engine.log.segments_where(|segment| segment.next_expiry_ms() <= now_ms));
    engine.count_swept(upkeep.sweep.run(&engine.index, now_ms, usize::MAX));
    let mut retired = upkeep.retire_spent_at_once(engine, syncs, now_ms)?;
    let is_enough = || match big_len {
        None if engine.log.queues.is_some() => engine.log.files.can_add_segment(),
        None => engine.log.has_room(),
        Some(_) => {
            // Blanks cannot become another file.
            engine.log.files.delete_blanks();
            engine.log.files.headroom() >= wanted
        }
    };
    if is_enough() {
        return Ok(());
    }
    if engine.log.queues.is_none() {
        let mut steps = RECLAIM_STEPS;
        for _ in 0..RECLAIM_SEGMENTS {
            let compacted = upkeep.compaction.run(&engine.log, &engine.index, now_ms, Need::Full, steps)?;
            engine.counters.compacted_bytes.add(compacted.bytes);
            retired += upkeep.retire_spent_at_once(engine, syncs, now_ms)?;
            steps = steps.saturating_sub(compacted.steps);
            if !compacted.pending || steps == 0 || is_enough() {
                break;
            }
        }
        if big_len.is_some() && !is_enough() {
            upkeep.refused_bytes = upkeep.refused_bytes.max(wanted);
        }
    }
    upkeep.rounds = eviction::WRITERS_ROUND;
    while let Some(emptied) = upkeep.make_room(engine, syncs, now_ms, wanted)? {
        retired += emptied;
        if big_len.is_some() {
            engine.log.files.delete_blanks();
        }
    }
    // If another thread has made the space meanwhile, this one may need to make more at once.
    if retired == 0 && engine.log.files.headroom() < wanted {
        upkeep.next_reclaim_ms = now_ms + RECLAIM_INTERVAL_MS;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::{Options, Store, Ttl, WhenFull};

    fn open(dir: &tempfile::TempDir) -> (Store, ManualClock) {
        let (clock, hand) = Clock::manual();
        (Options::manual().segment_len(65_536).clock(clock).open(dir.path()).unwrap(), hand)
    }

    #[test]
    fn a_writer_that_found_space_does_not_stop_others_from_making_more() {
        let dir = tempfile::tempdir().unwrap();
        let (clock, _hand) = Clock::manual();
        let options = Options::manual().segment_len(65_536).max_bytes(16 * 65_536).when_full(WhenFull::Evict);
        let store = options.clock(clock).open(dir.path()).unwrap();
        for i in 0..5_000u32 {
            store.set(i.to_be_bytes(), [1; 1_000]).unwrap();
            if i % 100 == 0 {
                while store.maintain(1_000).unwrap().pending {}
                reclaim(&store.shared.engine, &store.shared.syncs, &store.shared.upkeep, None).unwrap();
            }
        }
        assert!(store.stats().evicted > 3_000 && store.stats().refused_full == 0, "{:?}", store.stats());
    }

    #[test]
    fn a_writer_that_finds_no_space_does_not_reset_the_sweep() {
        let dir = tempfile::tempdir().unwrap();
        let (store, hand) = open(&dir);
        for i in 0..100u32 {
            store.set_with_ttl(i.to_be_bytes(), b"value", Ttl::After(Duration::from_secs(10))).unwrap();
        }
        store.touch(0u32.to_be_bytes(), Ttl::Never).unwrap();
        hand.advance(Duration::from_secs(20));
        assert!(store.maintain(5).unwrap().pending, "the walk has begun");
        reclaim(&store.shared.engine, &store.shared.syncs, &store.shared.upkeep, None).unwrap();
        while store.maintain(5).unwrap().pending {}
        assert_eq!((store.len(), store.stats().expired), (1, 99));
    }

    #[test]
    fn space_is_freed_under_always_without_writers() {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let options = Options::manual().segment_len(65_536).clock(clock).durability(Durability::Always);
        let store = options.open(dir.path()).unwrap();
        store.set_with_ttl(b"key", b"value", Ttl::After(Duration::from_secs(1))).unwrap();
        for _ in 0..3 {
            hand.advance(Duration::from_secs(2));
            store.maintain(10).unwrap();
        }
        assert_eq!(store.stats().segments, 0);
    }

    #[test]
    fn the_largest_budget_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _hand) = open(&dir);
        for i in 0..1_000u32 {
            store.set(i.to_be_bytes(), [1; 600]).unwrap();
        }
        for i in (0..1_000u32).filter(|i| i % 20 != 0) {
            store.delete(i.to_be_bytes()).unwrap();
        }
        let progress = store.maintain(usize::MAX).unwrap();
        assert!(progress.compacted_bytes > 0 && !progress.pending, "{progress:?}");
        assert_eq!(store.len(), 50);
    }

    #[test]
    fn a_budget_is_kept_and_the_rest_follows_in_the_next_call() {
        let dir = tempfile::tempdir().unwrap();
        let (store, hand) = open(&dir);
        for i in 0..500u32 {
            store.set_with_ttl(i.to_be_bytes(), b"value", Ttl::After(Duration::from_secs(1))).unwrap();
        }
        hand.advance(Duration::from_secs(5));
        let mut expired = 0;
        for turn in 0.. {
            let progress = store.maintain(64).unwrap();
            assert!(progress.examined <= 64 && progress.expired <= progress.examined);
            expired += progress.expired;
            assert_eq!(progress.pending, expired < 500, "turn {turn}");
            if !progress.pending {
                break;
            }
        }
        assert_eq!((expired, store.len()), (500, 0));
    }

    #[test]
    fn space_made_for_a_big_value_does_not_refuse_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual().0;
        let store = Options::manual().segment_len(65_536).max_bytes(1 << 20).clock(clock).open(dir.path()).unwrap();
        // The clock does not advance, so nothing is tried again because time has passed.
        for _ in 0..20 {
            store.set(b"big", [7; 200_000]).unwrap();
            store.delete(b"big").unwrap();
        }
    }
}
