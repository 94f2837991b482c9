//! SIEVE: one queue with a fixed order. A hand moves from the oldest object to the newest, skips objects requested
//! since its last pass, and evicts others.
//!
//! Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is Simpler than LRU", NSDI 2024.

use super::queues::Queues;
use super::{Object, Policy};

pub(crate) struct Sieve {
    queue: Queues<1>,
    visited: Vec<bool>,
    hand: Option<u32>,
    capacity: u64,
}

impl Sieve {
    pub(crate) fn new(objects: u32, capacity: u64) -> Sieve {
        Sieve { queue: Queues::new(objects), visited: vec![false; objects as usize], hand: None, capacity }
    }

    fn take_out(&mut self, id: u32) {
        if self.hand == Some(id) {
            self.hand = self.queue.newer(id);
        }
        self.queue.remove(id);
        self.visited[id as usize] = false;
    }
}

impl Policy for Sieve {
    fn request(&mut self, object: Object) -> bool {
        if self.queue.holds(object.id) {
            self.visited[object.id as usize] = true;
            return true;
        }
        let bytes = u64::from(object.bytes);
        if bytes > self.capacity {
            return false;
        }
        while self.queue.bytes(0) + bytes > self.capacity
            && let Some(hand) = self.hand.or_else(|| self.queue.oldest(0))
        {
            if std::mem::take(&mut self.visited[hand as usize]) {
                self.hand = self.queue.newer(hand);
            } else {
                self.hand = Some(hand);
                self.take_out(hand);
            }
        }
        self.queue.push(0, object);
        false
    }

    fn expire(&mut self, id: u32) {
        if self.queue.holds(id) {
            self.take_out(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    #[test]
    fn the_hand_skips_requested_objects_without_moving_them() {
        // 1 2 3, 1 visited | 4: the hand skips 1, evicts 2, stops at 3 | 5: evicts 3, stops at 4 | 2: evicts 4. 1, not
        // visited since, stays: the hand has not reached it yet.
        assert_eq!(hits(&mut Sieve::new(9, 3), &[1, 2, 3, 1, 4, 5, 2, 1, 5, 4]), "---+---++-");
    }

    #[test]
    fn the_hand_starts_over_at_the_end() {
        // 1 2 both visited | 3: skips both, starts over, evicts 1 | 4: evicts 2 | 1: evicts 3.
        assert_eq!(hits(&mut Sieve::new(9, 2), &[1, 2, 1, 2, 3, 2, 4, 1]), "--++-+--");
    }
}
