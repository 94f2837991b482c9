//! Clearing the store: deletes all pairs, at once or at a scheduled time.
//!
//! A scheduled clear is saved in `store.meta`, in store time. So it survives the process, and no step of the clock
//! changes its time. The first operation of any kind after that time executes it: no operation returns a pair that was
//! stored before, whether or not the store is maintained.
//!
//! One write to `store.meta` makes it atomic: it replaces the schedule by the current sequence, and records with a
//! lower sequence are deleted. The records are marked afterwards. If a crash prevents or reverts that, recovery marks
//! those with a lower sequence. Records that were stored after the clear have higher ones.

use std::time::Duration;

use crate::store::disk::meta::{Clears, NEVER};
use crate::store::durability::syncs::Syncs;
use crate::store::engine::Engine;
use crate::store::error::StoreError;
use crate::store::primitives::atomic::{AtomicU64, Ordering};
use crate::store::primitives::{Mutex, MutexGuard, PoisonError};

/// The scheduled clear.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// The same as in [`Clears`], for operations that only compare it with the time.
    due_at_ms: AtomicU64,
    /// The sequence below which records are deleted, while a clear that is due has not been saved in `store.meta`.
    unsaved: Mutex<Option<u64>>,
}

impl Schedule {
    pub(crate) fn new(clears: Clears) -> Schedule {
        Schedule { due_at_ms: AtomicU64::new(clears.due_at_ms), unsaved: Mutex::new(None) }
    }

    fn due_at_ms(&self) -> u64 {
        self.due_at_ms.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Option<u64>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of a store that a clear changes.
#[derive(Clone, Copy)]
pub(crate) struct Clearing<'s> {
    pub(crate) schedule: &'s Schedule,
    pub(crate) engine: &'s Engine,
    pub(crate) syncs: &'s Syncs,
}

impl Clearing<'_> {
    /// Deletes all pairs, and cancels a scheduled clear.
    pub(crate) fn clear_now(&self) -> Result<(), StoreError> {
        let mut unsaved = self.schedule.lock();
        // In the other order, a crash in between would leave neither the pairs nor the clear.
        self.engine.clear();
        if self.schedule.due_at_ms() != NEVER {
            self.save_clears(NEVER, unsaved.unwrap_or(0))?;
            *unsaved = None;
            self.schedule.due_at_ms.store(NEVER, Ordering::Release);
        }
        Ok(())
    }

    /// Schedules a clear, which replaces an earlier schedule.
    pub(crate) fn clear_after(&self, delay: Duration) -> Result<(), StoreError> {
        if delay.is_zero() {
            return self.clear_now();
        }
        let mut unsaved = self.schedule.lock();
        let now = self.engine.timeline.now();
        if self.schedule.due_at_ms() <= now.ms {
            self.execute(&mut unsaved)?;
        }
        let delay_ms = u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let due_at_ms = now.rounded_up_ms.saturating_add(delay_ms).min(NEVER - 1);
        self.save_clears(due_at_ms, 0)?;
        self.schedule.due_at_ms.store(due_at_ms, Ordering::Release);
        Ok(())
    }

    /// The time until the scheduled clear.
    pub(crate) fn clears_in(&self) -> Option<Duration> {
        let due_at_ms = self.schedule.due_at_ms();
        (due_at_ms != NEVER).then(|| Duration::from_millis(due_at_ms.saturating_sub(self.engine.timeline.now_ms())))
    }

    /// Executes the scheduled clear if it is due. Each operation on pairs calls this first.
    ///
    /// # Errors
    /// The clear cannot be saved. A write could be deleted by the next process, which would clear again, so it is
    /// refused. Pairs that the clear deletes are not returned.
    #[inline]
    pub(crate) fn clear_if_due(&self) -> Result<(), StoreError> {
        if self.schedule.due_at_ms() == NEVER { Ok(()) } else { self.compare_with_schedule() }
    }

    #[inline(never)]
    fn compare_with_schedule(&self) -> Result<(), StoreError> {
        let now_ms = self.engine.timeline.now_ms();
        if self.schedule.due_at_ms() > now_ms {
            return Ok(());
        }
        let mut unsaved = self.schedule.lock();
        // Another thread may have executed it, or scheduled another one.
        if self.schedule.due_at_ms() > now_ms { Ok(()) } else { self.execute(&mut unsaved) }
    }

    fn execute(&self, unsaved: &mut Option<u64>) -> Result<(), StoreError> {
        let is_first_attempt = unsaved.is_none();
        let below = *unsaved.get_or_insert_with(|| self.engine.log.next_sequence());
        let saved = match self.syncs.have_failed() {
            true => Err(StoreError::ReadOnly),
            false => self.save_clears(NEVER, below),
        };
        if is_first_attempt {
            self.engine.clear();
        }
        saved?;
        *unsaved = None;
        self.schedule.due_at_ms.store(NEVER, Ordering::Release);
        Ok(())
    }

    fn save_clears(&self, due_at_ms: u64, cleared_below: u64) -> Result<(), StoreError> {
        let sequence = self.engine.log.peek_sequence();
        let mut meta = self.syncs.lock_meta();
        let cleared_below = cleared_below.max(meta.clears().cleared_below);
        meta.save_clears(Clears { due_at_ms, cleared_below }, self.engine.timeline.times(), sequence)
            .map_err(StoreError::io("save when the store is to be cleared"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::{BootId, Durability, GetOptions, Options, Store, Ttl};

    const SECOND: Duration = Duration::from_secs(1);

    struct Scene {
        dir: tempfile::TempDir,
        hand: ManualClock,
        options: Options,
    }

    impl Scene {
        fn new(durability: Durability) -> Scene {
            let (clock, hand) = Clock::manual();
            let options = Options::manual().segment_len(65_536).clock(clock).durability(durability);
            Scene { dir: tempfile::tempdir().unwrap(), hand, options: options.default_ttl(Duration::from_secs(90_000)) }
        }

        fn open_on(&self, boot: u8) -> Store {
            let boot_id = Some(BootId::from_bytes([boot; 16]));
            self.options.clone().boot_id(boot_id).open(self.dir.path()).unwrap()
        }

        fn open(&self) -> Store {
            self.open_on(1)
        }
    }

    /// Ends the store as `kill -9` does: nothing is saved, no destructor runs. The lock is released, as the system does
    /// for a dead process.
    fn kill(store: Store) {
        let lock = store.shared.engine.log.files.directory.lock.clone();
        std::mem::forget(store);
        lock.release();
    }

    #[test]
    fn a_scheduled_clear_deletes_the_pairs_stored_before_it_only() {
        let scene = Scene::new(Durability::Os);
        let store = scene.open();
        store.set("a", "1").unwrap();
        store.clear_after(3 * SECOND).unwrap();
        assert_eq!(store.clears_in(), Some(3 * SECOND));
        store.set("b", "2").unwrap();
        scene.hand.advance(Duration::from_millis(2_999));
        assert!(store.contains("a") && store.contains("b"));
        scene.hand.advance(Duration::from_millis(1));
        assert!(store.get("a").is_none() && store.get("b").is_none() && store.clears_in().is_none());
        store.set("a", "3").unwrap();
        scene.hand.advance(10 * SECOND);
        assert_eq!(store.get("a").unwrap(), "3");
    }

    #[test]
    fn every_operation_executes_a_clear_that_is_due() {
        type Operation = fn(&Store) -> bool;
        let operations: [(&str, Operation); 13] = [
            ("get", |store| store.get("k").is_none()),
            ("get_with", |store| store.get_with("k", GetOptions::new()).unwrap().is_none()),
            ("len", |store| store.is_empty()),
            ("stats", |store| store.stats().pairs == 0),
            ("iter", |store| store.iter().next().is_none()),
            ("verify", |store| store.verify().sound == 0),
            ("touch", |store| !store.touch("k", Ttl::Never).unwrap()),
            ("delete", |store| !store.delete("k").unwrap()),
            ("add", |store| store.add("k", "new", Ttl::Default).unwrap() && store.get("k").unwrap() == "new"),
            ("replace", |store| !store.replace("k", "new", Ttl::Default).unwrap()),
            ("append", |store| !store.append("k", "new").unwrap().is_stored()),
            ("incr", |store| store.incr("k", 1).unwrap().is_none()),
            ("maintain", |store| store.maintain(1).is_ok() && store.shared.engine.index.len() == 0),
        ];
        for (name, operation) in operations {
            let scene = Scene::new(Durability::Os);
            let store = scene.open();
            store.set("k", "1").unwrap();
            store.clear_after(SECOND).unwrap();
            scene.hand.advance(SECOND);
            assert!(operation(&store), "{name}");
        }
    }

    #[test]
    fn a_scheduled_clear_survives_kill_and_close_in_every_durability() {
        let interval = Durability::Interval(SECOND);
        for durability in [Durability::Os, interval, Durability::Always] {
            for is_killed in [true, false] {
                let end = |store| if is_killed { kill(store) } else { drop(store) };
                let scene = Scene::new(durability);
                let store = scene.open();
                store.set("a", "1").unwrap();
                store.clear_after(5 * SECOND).unwrap();
                end(store);

                scene.hand.advance(2 * SECOND);
                // A step of the wall clock, forwards or backwards, does not change the time of the clear.
                scene.hand.step_wall(3_000_000_000 * SECOND);
                let store = scene.open();
                assert_eq!(store.clears_in(), Some(3 * SECOND), "{durability:?}");
                assert!(store.contains("a"));
                scene.hand.step_wall(SECOND);
                end(store);

                scene.hand.advance(3 * SECOND);
                let store = scene.open();
                assert!(store.recovery().pairs == 0 && store.is_empty() && store.clears_in().is_none());
                store.set("b", "2").unwrap();
                end(store);
                assert_eq!(scene.open().get("b").unwrap(), "2", "it is not cleared twice");
            }
        }
    }

    #[test]
    fn the_time_that_the_machine_was_off_counts_for_a_scheduled_clear() {
        for off in [SECOND, 100 * SECOND] {
            let scene = Scene::new(Durability::Always);
            let store = scene.open_on(1);
            store.set("a", "1").unwrap();
            store.clear_after(60 * SECOND).unwrap();
            kill(store);
            scene.hand.advance(off);
            scene.hand.reboot();
            let store = scene.open_on(2);
            assert_eq!(store.contains("a"), off < 60 * SECOND);
            scene.hand.advance(60 * SECOND);
            assert!(!store.contains("a"));
        }
    }

    #[test]
    fn a_later_clear_replaces_an_earlier_one() {
        let scene = Scene::new(Durability::Os);
        let store = scene.open();
        store.clear_after(2 * SECOND).unwrap();
        store.clear_after(9 * SECOND).unwrap();
        store.set("a", "1").unwrap();
        scene.hand.advance(2 * SECOND);
        assert!(store.contains("a"));
        store.clear_after(SECOND).unwrap();
        assert_eq!(store.clears_in(), Some(SECOND));
        store.clear().unwrap();
        assert!(store.clears_in().is_none() && store.is_empty());
        store.set("b", "1").unwrap();
        kill(store);
        scene.hand.advance(60 * SECOND);
        assert!(scene.open().contains("b"));
        let store = scene.open();
        store.clear_after(Duration::MAX).unwrap();
        store.clear_after(Duration::ZERO).unwrap();
        assert!(store.is_empty() && store.clears_in().is_none());
    }

    /// A clear that was saved, but whose marks did not reach the files.
    #[test]
    fn a_crash_between_the_clear_and_its_marks_restores_nothing() {
        for boot in [1, 2] {
            let scene = Scene::new(Durability::Os);
            let store = scene.open_on(1);
            (0..100u8).for_each(|key| store.set([key], [key; 100]).unwrap());
            let below = store.shared.engine.log.next_sequence();
            store.set("after", "it").unwrap();
            store.shared.clearing().save_clears(NEVER, below).unwrap();
            kill(store);
            let store = scene.open_on(boot);
            assert_eq!((store.len(), store.recovery().cleared, store.recovery().dropped), (1, 100, 0));
            assert_eq!(store.get("after").unwrap(), "it");
            drop(store);
            // Recovery has marked them, so it does not find them again.
            assert_eq!(scene.open_on(boot).recovery().cleared, 0);
        }
    }

    #[test]
    fn concurrent_writes_are_wholly_before_or_after_a_clear() {
        let scene = Scene::new(Durability::Os);
        let store = scene.open();
        for round in 0..50u32 {
            store.clear_after(SECOND).unwrap();
            store.set("before", "1").unwrap();
            std::thread::scope(|scope| {
                for writer in 0..3u32 {
                    let store = &store;
                    scope.spawn(move || (0..20).for_each(|i| store.set(key(writer, i), round.to_le_bytes()).unwrap()));
                }
                scene.hand.advance(SECOND);
                assert!(!store.contains("before"));
                store.set("after", round.to_le_bytes()).unwrap();
            });
            assert_eq!(store.get("after").unwrap(), round.to_le_bytes());
        }
        let pairs: Vec<_> = store.iter().map(|pair| pair.key().to_vec()).collect();
        kill(store);
        let store = scene.open();
        assert!(pairs.len() == store.len() && pairs.iter().all(|key| store.contains(key)));
    }

    fn key(writer: u32, i: u32) -> Vec<u8> {
        [writer.to_le_bytes(), i.to_le_bytes()].concat()
    }

    #[test]
    fn a_read_only_store_returns_nothing_after_a_clear_and_the_next_process_executes_it() {
        let scene = Scene::new(Durability::Always);
        let store = scene.open();
        store.set("a", "1").unwrap();
        store.clear_after(SECOND).unwrap();
        store.shared.syncs.group_commit.fail();
        assert!(store.contains("a"));
        scene.hand.advance(SECOND);
        assert!(!store.contains("a") && !store.contains("a"));
        assert!(matches!(store.set("a", "2"), Err(StoreError::ReadOnly)));
        drop(store);
        assert!(scene.open().is_empty());
    }

    #[test]
    fn a_clear_that_cannot_be_saved_refuses_writes_until_it_can_be() {
        let scene = Scene::new(Durability::Os);
        let store = scene.open();
        store.set("a", "1").unwrap();
        store.clear_after(SECOND).unwrap();
        scene.hand.advance(SECOND);
        store.shared.syncs.lock_meta().make_unwritable();
        assert!(!store.contains("a"));
        for _ in 0..2 {
            assert!(matches!(store.set("a", "2"), Err(StoreError::Io { .. })));
        }
        store.shared.syncs.lock_meta().reopen(scene.dir.path());
        store.set("a", "2").unwrap();
        kill(store);
        assert_eq!(scene.open().get("a").unwrap(), "2");
    }
}
