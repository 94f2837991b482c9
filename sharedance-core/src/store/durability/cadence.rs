//! When a sync begins under [`Durability::Interval`](crate::store::Durability::Interval), and which thread runs it.
//!
//! A crash loses at most the writes since the beginning of the last completed sync. Just before the next sync ends,
//! that is the time between the two beginnings plus the duration of the second sync. So a sync begins when half the
//! interval has passed since the last one began: then the loss stays within the interval if no sync takes more than
//! half of it. Longer syncs follow each other without a pause, and the loss is at most the duration of two.
//!
//! A thread in [`Store::keep_synced`](crate::store::Store::keep_synced) does this. Without such a thread, writers and
//! maintenance do it: the first one to find that a sync is due runs it.

use std::time::Duration;

use crate::store::primitives::atomic::{AtomicU64, AtomicUsize, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Cadence {
    /// When the last sync began, in nanoseconds of boot time.
    began_at_ns: AtomicU64,
    /// Threads that keep the interval.
    pub(crate) keepers: AtomicUsize,
    #[cfg(test)]
    pub(crate) disk: tests::Disk,
}

impl Cadence {
    /// For a store that is opened at `now`, in boot time, with all files synced.
    pub(crate) fn begun_at(now: Duration) -> Cadence {
        let cadence = Cadence::default();
        cadence.begin(now);
        cadence
    }

    /// Records that a sync begins.
    pub(crate) fn begin(&self, now: Duration) {
        self.began_at_ns.store(now.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The time until the next sync is due.
    pub(crate) fn due_in(&self, interval: Duration, now: Duration) -> Duration {
        (Duration::from_nanos(self.began_at_ns.load(Ordering::Relaxed)) + interval / 2).saturating_sub(now)
    }
}

/// Counts a thread among those that keep the interval.
pub(crate) struct Keeper<'c>(&'c Cadence);

impl<'c> Keeper<'c> {
    pub(crate) fn of(cadence: &'c Cadence) -> Keeper<'c> {
        cadence.keepers.fetch_add(1, Ordering::Relaxed);
        Keeper(cadence)
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        self.0.keepers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::Durability;
    use crate::store::durability::superseded::MAX_OVERWRITES_WAITING;
    use crate::store::{Options, Store};

    type Work = dyn Fn() + Send + Sync;

    /// What the disk of a test does in each sync, after the files were written and before the sync ends.
    #[derive(Default)]
    pub(crate) struct Disk(Mutex<Option<Arc<Work>>>);

    impl Disk {
        pub(crate) fn work(&self) {
            let work = self.0.lock().unwrap().clone();
            if let Some(work) = work {
                work();
            }
        }

        fn replace(&self, work: impl Fn() + Send + Sync + 'static) {
            *self.0.lock().unwrap() = Some(Arc::new(work));
        }
    }

    impl fmt::Debug for Disk {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Disk")
        }
    }

    const MS: Duration = Duration::from_millis(1);

    /// A store, its clock, and the writes that no completed sync covers: the number of the sync that will cover them,
    /// and their times in milliseconds.
    struct Scene {
        _dir: tempfile::TempDir,
        hand: ManualClock,
        store: Store,
        at_risk: Mutex<VecDeque<(u64, u64)>>,
        now_ms: AtomicU64,
        /// The maximum age of a write that is not synced.
        loss_ms: AtomicU64,
        syncs: AtomicU64,
    }

    impl Scene {
        /// A disk on which a sync takes `sync_ms`.
        fn new(interval_ms: u32, sync_ms: SyncMs) -> Arc<Scene> {
            let dir = tempfile::tempdir().unwrap();
            let (clock, hand) = Clock::manual();
            let durability = Durability::Interval(interval_ms * MS);
            let store =
                Options::manual().segment_len(65_536).clock(clock).durability(durability).open(dir.path()).unwrap();
            let scene = Arc::new(Scene {
                _dir: dir,
                hand,
                store,
                at_risk: Mutex::default(),
                now_ms: AtomicU64::new(0),
                loss_ms: AtomicU64::new(0),
                syncs: AtomicU64::new(0),
            });
            let disk = Arc::downgrade(&scene);
            scene.store.shared.syncs.cadence.disk.replace(move || {
                if let Some(scene) = disk.upgrade() {
                    let sync = scene.syncs.fetch_add(1, Ordering::Relaxed);
                    scene.pass(sync_ms(sync));
                }
            });
            scene
        }

        /// Advances the clock, and writes once in each millisecond.
        fn pass(&self, ms: u64) {
            for _ in 0..ms {
                self.hand.advance(MS);
                let now_ms = self.now_ms.fetch_add(1, Ordering::Relaxed) + 1;
                {
                    let mut at_risk = self.at_risk.lock().unwrap();
                    let ended = self.store.shared.syncs.group_commit.ended();
                    while at_risk.front().is_some_and(|(covered_by, _)| *covered_by <= ended) {
                        at_risk.pop_front();
                    }
                    let age_ms = at_risk.front().map_or(0, |(_, at_ms)| now_ms - at_ms);
                    self.loss_ms.fetch_max(age_ms, Ordering::Relaxed);
                    at_risk.push_back((self.store.shared.syncs.group_commit.next(), now_ms));
                }
                self.store.set("key", now_ms.to_le_bytes()).unwrap();
            }
        }

        fn keep_synced_for(&self, ms: u64) {
            let end_ms = self.now_ms.load(Ordering::Relaxed) + ms;
            let rest = |time: Duration| {
                self.pass(time.as_millis() as u64);
                self.now_ms.load(Ordering::Relaxed) >= end_ms
            };
            self.store.keep_synced(rest).unwrap();
        }

        fn loss_ms(&self) -> u64 {
            self.loss_ms.load(Ordering::Relaxed)
        }
    }

    /// The duration of a sync in milliseconds, by its number.
    type SyncMs = fn(u64) -> u64;

    /// An interval, the duration of syncs, and the promised maximum loss, in milliseconds.
    const DISKS: [(u32, SyncMs, u64); 7] = [
        (100, |_| 0, 100),
        (100, |_| 10, 100),
        (100, |_| 49, 100),
        (100, |i| 50 * (i % 2), 100),
        (100, |_| 80, 160),
        (100, |_| 400, 800),
        (1_000, |i| if i % 7 == 3 { 400 } else { 20 }, 1_000),
    ];

    const TOTAL_MS: u64 = 5_000;

    #[test]
    fn the_loss_stays_within_the_interval_if_syncs_take_up_to_half_of_it() {
        for (interval_ms, sync_ms, promised_ms) in DISKS {
            let scene = Scene::new(interval_ms, sync_ms);
            scene.keep_synced_for(TOTAL_MS);
            let (loss_ms, syncs) = (scene.loss_ms(), scene.syncs.load(Ordering::Relaxed));
            assert!(loss_ms <= promised_ms, "{loss_ms} of {promised_ms} ms");
            // There are no more syncs than necessary.
            assert!(syncs <= TOTAL_MS / u64::from(interval_ms / 2) + 1, "{syncs} syncs");
        }
    }

    #[test]
    fn without_a_sync_thread_writers_keep_the_interval() {
        for (interval_ms, sync_ms, promised_ms) in DISKS {
            let scene = Scene::new(interval_ms, sync_ms);
            while scene.now_ms.load(Ordering::Relaxed) < TOTAL_MS {
                scene.pass(1);
            }
            // There is one write in each millisecond, so a due sync begins up to a millisecond late.
            assert!(scene.loss_ms() <= promised_ms + 1, "{} of {promised_ms} ms", scene.loss_ms());
        }
    }

    #[test]
    fn writers_do_not_sync_while_a_thread_does() {
        let scene = Scene::new(100, |_| 0);
        scene
            .store
            .keep_synced(|_| {
                let before = scene.syncs.load(Ordering::Relaxed);
                scene.pass(1_000);
                scene.store.maintain(10).unwrap();
                assert_eq!(scene.syncs.load(Ordering::Relaxed), before);
                true
            })
            .unwrap();
        scene.pass(1);
        assert_eq!(scene.syncs.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn without_maintenance_the_memory_of_overwrites_is_bounded_by_syncs() {
        let scene = Scene::new(3_600_000, |_| 0);
        for i in 0..2 * MAX_OVERWRITES_WAITING as u64 + 10 {
            scene.store.set("key", i.to_le_bytes()).unwrap();
        }
        let waiting = scene.store.shared.syncs.superseded.len();
        assert!(waiting <= MAX_OVERWRITES_WAITING, "{waiting} overwrites wait for a sync");
        assert_eq!(scene.syncs.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn keep_synced_returns_at_once_without_an_interval() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::manual().segment_len(65_536).open(dir.path()).unwrap();
        store.keep_synced(|_| unreachable!("it returns at once")).unwrap();
    }
}
