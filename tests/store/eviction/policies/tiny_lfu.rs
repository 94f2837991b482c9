//! W-TinyLFU: a window for new objects, and a main part of two queues. The window's oldest object enters the main part
//! only if it is requested more often than the object that it would evict.
//!
//! Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", 2017, with its sizes: one
//! percent for the window, four fifths of the rest for objects requested again. The counts are exact up to their limit,
//! where the paper estimates them in a sketch, and are halved at the interval of the paper.

use super::queues::Queues;
use super::{Object, Policy};

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

const WINDOW_PART: u64 = 100;
const MAX_COUNT: u8 = 15;
/// Requests per object in the cache after which all counts are halved.
const SAMPLE: u64 = 10;

pub(crate) struct TinyLfu {
    queues: Queues<3>,
    counts: Vec<u8>,
    /// Bytes of the objects requested since the counts were halved.
    requested_bytes: u64,
    window_capacity: u64,
    main_capacity: u64,
}

impl TinyLfu {
    pub(crate) fn new(objects: u32, capacity: u64) -> TinyLfu {
        let window_capacity = capacity / WINDOW_PART;
        TinyLfu {
            queues: Queues::new(objects),
            counts: vec![0; objects as usize],
            requested_bytes: 0,
            window_capacity,
            main_capacity: capacity - window_capacity,
        }
    }

    fn main_bytes(&self) -> u64 {
        self.queues.bytes(PROBATION) + self.queues.bytes(PROTECTED)
    }

    fn count(&mut self, object: Object) {
        let count = &mut self.counts[object.id as usize];
        *count = (*count + 1).min(MAX_COUNT);
        self.requested_bytes += u64::from(object.bytes);
        if self.requested_bytes >= SAMPLE * (self.window_capacity + self.main_capacity) {
            self.requested_bytes = 0;
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// Moves the window's oldest objects to the main part, which may reject them, until the window fits.
    fn shrink_window(&mut self) {
        while self.queues.bytes(WINDOW) > self.window_capacity
            && let Some(candidate) = self.queues.oldest(WINDOW)
        {
            self.queues.send(PROBATION, candidate);
            self.shrink_main(candidate);
        }
    }

    /// Evicts the oldest object or the `candidate`, whichever is requested less, until the main part fits.
    fn shrink_main(&mut self, candidate: u32) {
        while self.main_bytes() > self.main_capacity {
            let oldest = self.queues.oldest(PROBATION).filter(|oldest| *oldest != candidate);
            let Some(victim) = oldest.or_else(|| self.queues.oldest(PROTECTED)) else {
                return self.queues.remove(candidate);
            };
            if self.counts[candidate as usize] <= self.counts[victim as usize] {
                return self.queues.remove(candidate);
            }
            self.queues.remove(victim);
        }
    }

    fn protect(&mut self, object: Object) {
        self.queues.push(PROTECTED, object);
        while self.queues.bytes(PROTECTED) > self.main_capacity * 4 / 5
            && let Some(oldest) = self.queues.oldest(PROTECTED)
        {
            self.queues.send(PROBATION, oldest);
        }
    }
}

impl Policy for TinyLfu {
    fn request(&mut self, object: Object) -> bool {
        self.count(object);
        match self.queues.queue_of(object.id) {
            Some(WINDOW) => self.queues.push(WINDOW, object),
            Some(_) => self.protect(object),
            None if u64::from(object.bytes) > self.main_capacity => return false,
            None => {
                self.queues.push(WINDOW, object);
                self.shrink_window();
                return false;
            }
        }
        true
    }

    fn expire(&mut self, id: u32) {
        self.queues.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    #[test]
    fn only_more_requested_objects_evict_others() {
        // No window: each object competes at once. 1 and 2 are requested twice. 3 loses to 2, then to 1, which 2 made
        // the oldest on probation, and wins with its third request.
        let mut cache = TinyLfu::new(9, 2);
        assert_eq!(hits(&mut cache, &[1, 1, 2, 3, 2, 3, 3]), "-+--+--");
        // 1, with its third request, wins over 2. No other object wins over 1, and 2 does not win over 3.
        assert_eq!(hits(&mut cache, &[3, 1, 4, 5, 6, 1, 2]), "+----+-");
    }

    #[test]
    fn counts_are_halved_after_ten_requests_for_each_place() {
        let mut cache = TinyLfu::new(9, 2);
        hits(&mut cache, &[1; 19]);
        assert_eq!(cache.counts[1], MAX_COUNT);
        hits(&mut cache, &[1]);
        assert_eq!(cache.counts[1], MAX_COUNT / 2);
    }
}
