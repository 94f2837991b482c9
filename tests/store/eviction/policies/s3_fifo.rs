//! S3-FIFO: a small queue for new objects, a main queue for objects requested again, and a ghost list of objects that
//! left the small queue. All of them are first in, first out.
//!
//! Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023, with its sizes: a
//! tenth for the small queue; a ghost list as long as the main queue.

use super::queues::Queues;
use super::{Object, Policy};

const SMALL: usize = 0;
const MAIN: usize = 1;
const GHOST: usize = 2;

const SMALL_PART: u64 = 10;
const MAX_COUNT: u8 = 3;
/// An object requested more often than this in the small queue moves to the main queue.
const MOVE_ABOVE: u8 = 1;

pub(crate) struct S3Fifo {
    queues: Queues<3>,
    counts: Vec<u8>,
    small_capacity: u64,
    main_capacity: u64,
}

impl S3Fifo {
    pub(crate) fn new(objects: u32, capacity: u64) -> S3Fifo {
        let small_capacity = capacity / SMALL_PART;
        S3Fifo {
            queues: Queues::new(objects),
            counts: vec![0; objects as usize],
            small_capacity,
            main_capacity: capacity - small_capacity,
        }
    }

    fn capacity(&self) -> u64 {
        self.small_capacity + self.main_capacity
    }

    fn evict(&mut self) {
        if self.queues.bytes(SMALL) >= self.small_capacity && self.queues.oldest(SMALL).is_some() {
            self.evict_from_small();
        } else {
            self.evict_from_main();
        }
    }

    fn evict_from_small(&mut self) {
        while let Some(oldest) = self.queues.oldest(SMALL) {
            let count = std::mem::take(&mut self.counts[oldest as usize]);
            if count <= MOVE_ABOVE {
                self.queues.send(GHOST, oldest);
                while self.queues.bytes(GHOST) > self.main_capacity {
                    self.queues.pop(GHOST);
                }
                return;
            }
            self.queues.send(MAIN, oldest);
            if self.queues.bytes(MAIN) > self.main_capacity {
                return self.evict_from_main();
            }
        }
    }

    fn evict_from_main(&mut self) {
        while let Some(oldest) = self.queues.oldest(MAIN) {
            let count = &mut self.counts[oldest as usize];
            if *count == 0 {
                self.queues.remove(oldest);
                return;
            }
            *count -= 1;
            self.queues.send(MAIN, oldest);
        }
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, object: Object) -> bool {
        let place = self.queues.queue_of(object.id);
        if matches!(place, Some(SMALL | MAIN)) {
            let count = &mut self.counts[object.id as usize];
            *count = (*count + 1).min(MAX_COUNT);
            return true;
        }
        let bytes = u64::from(object.bytes);
        if bytes > self.main_capacity {
            return false;
        }
        while self.queues.bytes(SMALL) + self.queues.bytes(MAIN) + bytes > self.capacity() {
            self.evict();
        }
        self.counts[object.id as usize] = 0;
        self.queues.push(if place == Some(GHOST) { MAIN } else { SMALL }, object);
        false
    }

    fn expire(&mut self, id: u32) {
        if self.queues.queue_of(id) != Some(GHOST) {
            self.queues.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    #[test]
    fn a_returning_object_enters_the_main_queue() {
        // Ten places, one of them small. 1 is requested twice more and moves to the main queue. The others leave the
        // small queue in order, 2 when 11 comes. 2 becomes a ghost, returns to the main queue (3 is evicted) and stays.
        let mut cache = S3Fifo::new(40, 10);
        assert_eq!(hits(&mut cache, &[1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), "-++---------");
        assert_eq!(hits(&mut cache, &[11, 2, 3]), "---");
        assert_eq!((cache.queues.queue_of(1), cache.queues.queue_of(2)), (Some(MAIN), Some(MAIN)));
        assert_eq!((cache.queues.queue_of(3), cache.queues.queue_of(4)), (Some(MAIN), Some(GHOST)));
        assert_eq!(hits(&mut cache, &(20..35).collect::<Vec<_>>()), "-".repeat(15));
        assert_eq!(hits(&mut cache, &[1, 2, 3]), "+++");
    }

    #[test]
    fn a_requested_object_stays_for_another_round_in_the_main_queue() {
        // Two places, none of them small: all objects enter through the ghost list. 1 and 2 were there before; 1 is
        // requested and outlives 2.
        let mut cache = S3Fifo::new(9, 2);
        assert_eq!(hits(&mut cache, &[1, 2, 3, 4, 1, 2]), "------");
        assert_eq!((cache.queues.queue_of(1), cache.queues.queue_of(2)), (Some(MAIN), Some(MAIN)));
        assert_eq!(hits(&mut cache, &[1, 3]), "+-");
    }
}
