//! Least recently used: the object whose last request is the oldest is evicted first.

use super::queues::Queues;
use super::{Object, Policy};

pub(crate) struct Lru {
    queue: Queues<1>,
    capacity: u64,
}

impl Lru {
    pub(crate) fn new(objects: u32, capacity: u64) -> Lru {
        Lru { queue: Queues::new(objects), capacity }
    }
}

impl Policy for Lru {
    fn request(&mut self, object: Object) -> bool {
        let hit = self.queue.holds(object.id);
        if u64::from(object.bytes) <= self.capacity {
            self.queue.push(0, object);
        }
        while self.queue.bytes(0) > self.capacity {
            self.queue.pop(0);
        }
        hit
    }

    fn expire(&mut self, id: u32) {
        self.queue.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    #[test]
    fn a_request_keeps_an_object() {
        // 1 2 3, then 1 is the newest: 4 evicts 2, and 2 evicts 3.
        assert_eq!(hits(&mut Lru::new(9, 3), &[1, 2, 3, 1, 4, 1, 2, 4, 3]), "---+-+-+-");
    }
}
