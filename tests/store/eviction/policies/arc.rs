//! ARC: one queue for objects requested once, one for objects requested again, and a ghost list for each. A hit in a
//! ghost list shifts space towards its queue.
//!
//! Megiddo and Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003, with its T1, T2, B1, B2 and p.

use super::queues::Queues;
use super::{Object, Policy};

const ONCE: usize = 0;
const AGAIN: usize = 1;
const LEFT_ONCE: usize = 2;
const LEFT_AGAIN: usize = 3;

pub(crate) struct Arc {
    queues: Queues<4>,
    /// Target size of [`ONCE`], in bytes.
    target: u64,
    capacity: u64,
}

impl Arc {
    pub(crate) fn new(objects: u32, capacity: u64) -> Arc {
        Arc { queues: Queues::new(objects), target: 0, capacity }
    }

    fn cached(&self) -> u64 {
        self.queues.bytes(ONCE) + self.queues.bytes(AGAIN)
    }

    /// Frees space in the cache for `object`, which comes from `place`.
    fn replace(&mut self, object: Object, place: Option<usize>) {
        while self.cached() + u64::from(object.bytes) > self.capacity {
            let once = self.queues.bytes(ONCE);
            let takes_once = once > self.target || (place == Some(LEFT_AGAIN) && once == self.target);
            let (from, to) = match takes_once && once > 0 || self.queues.bytes(AGAIN) == 0 {
                true => (ONCE, LEFT_ONCE),
                false => (AGAIN, LEFT_AGAIN),
            };
            let Some(oldest) = self.queues.oldest(from) else { return };
            self.queues.send(to, oldest);
        }
    }

    /// Shrinks the ghost list by as much as `bytes` more in [`ONCE`] require.
    fn forget(&mut self, bytes: u64) {
        while self.queues.bytes(ONCE) + self.queues.bytes(LEFT_ONCE) + bytes > self.capacity {
            if self.queues.pop(LEFT_ONCE).is_none() && self.queues.pop(ONCE).is_none() {
                break;
            }
        }
        let all = |queues: &Queues<4>| (0..4).map(|queue| queues.bytes(queue)).sum::<u64>();
        while all(&self.queues) + bytes > 2 * self.capacity {
            if self.queues.pop(LEFT_AGAIN).is_none() {
                break;
            }
        }
    }

    /// Returns how far to shift the target: the rarer a hit in this ghost list is, the further.
    fn step(&self, object: Object, memory: usize, other: usize) -> u64 {
        let ratio = self.queues.bytes(other) / self.queues.bytes(memory).max(1);
        u64::from(object.bytes) * ratio.max(1)
    }
}

impl Policy for Arc {
    fn request(&mut self, object: Object) -> bool {
        if u64::from(object.bytes) > self.capacity {
            return false;
        }
        let place = self.queues.queue_of(object.id);
        match place {
            Some(ONCE | AGAIN) => {}
            Some(LEFT_ONCE) => {
                self.target = (self.target + self.step(object, LEFT_ONCE, LEFT_AGAIN)).min(self.capacity);
                self.replace(object, place);
            }
            Some(_) => {
                self.target = self.target.saturating_sub(self.step(object, LEFT_AGAIN, LEFT_ONCE));
                self.replace(object, place);
            }
            None => {
                self.forget(u64::from(object.bytes));
                self.replace(object, place);
                self.queues.push(ONCE, object);
                return false;
            }
        }
        self.queues.push(AGAIN, object);
        matches!(place, Some(ONCE | AGAIN))
    }

    fn expire(&mut self, id: u32) {
        if matches!(self.queues.queue_of(id), Some(ONCE | AGAIN)) {
            self.queues.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    #[test]
    fn objects_requested_again_are_kept_and_ghost_hits_shift_the_target() {
        let mut cache = Arc::new(9, 3);
        // 1 is requested again. Of 2, 3 and 4, requested once, 2 is evicted when 4 comes, and becomes a ghost.
        assert_eq!(hits(&mut cache, &[1, 1, 2, 3, 4]), "-+---");
        assert_eq!(
            (cache.queues.queue_of(1), cache.queues.queue_of(2), cache.target),
            (Some(AGAIN), Some(LEFT_ONCE), 0)
        );
        // 2 returns: the target for objects requested once grows. 3 is evicted, because they exceed the target.
        assert_eq!(hits(&mut cache, &[2]), "-");
        assert_eq!(
            (cache.target, cache.queues.queue_of(2), cache.queues.queue_of(3)),
            (1, Some(AGAIN), Some(LEFT_ONCE))
        );
        // 5 finds objects requested once at the target, so the oldest of the others, 1, is evicted. It returns and
        // shifts the target back.
        assert_eq!(hits(&mut cache, &[5]), "-");
        assert_eq!((cache.queues.queue_of(1), cache.queues.queue_of(4)), (Some(LEFT_AGAIN), Some(ONCE)));
        assert_eq!(hits(&mut cache, &[1]), "-");
        assert_eq!((cache.target, cache.queues.queue_of(1)), (0, Some(AGAIN)));
    }
}
