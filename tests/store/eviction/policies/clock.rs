//! CLOCK: first in, first out, except that objects requested meanwhile stay for another round.
//!
//! Corbató, "A Paging Experiment with the Multics System", 1968. Also called second chance, or FIFO reinsertion.

use super::queues::Queues;
use super::{Object, Policy};

pub(crate) struct Clock {
    queue: Queues<1>,
    visited: Vec<bool>,
    capacity: u64,
}

impl Clock {
    pub(crate) fn new(objects: u32, capacity: u64) -> Clock {
        Clock { queue: Queues::new(objects), visited: vec![false; objects as usize], capacity }
    }
}

impl Policy for Clock {
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
            && let Some(oldest) = self.queue.oldest(0)
        {
            if std::mem::take(&mut self.visited[oldest as usize]) {
                self.queue.send(0, oldest);
            } else {
                self.queue.remove(oldest);
            }
        }
        self.queue.push(0, object);
        false
    }

    fn expire(&mut self, id: u32) {
        self.queue.remove(id);
        self.visited[id as usize] = false;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    #[test]
    fn a_requested_object_stays_for_another_round() {
        // 1 2 3 | 4 skips 1, evicts 2: 3 1 4 | 5 evicts 3: 1 4 5 | 2 evicts 1, which was not requested again.
        assert_eq!(hits(&mut Clock::new(9, 3), &[1, 2, 3, 1, 4, 5, 2, 1, 5]), "---+----+");
    }
}
