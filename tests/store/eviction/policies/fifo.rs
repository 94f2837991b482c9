//! First in, first out: the object stored first is evicted first, however often it is requested.

use super::queues::Queues;
use super::{Object, Policy};

pub(crate) struct Fifo {
    queue: Queues<1>,
    capacity: u64,
}

impl Fifo {
    pub(crate) fn new(objects: u32, capacity: u64) -> Fifo {
        Fifo { queue: Queues::new(objects), capacity }
    }
}

impl Policy for Fifo {
    fn request(&mut self, object: Object) -> bool {
        if self.queue.holds(object.id) {
            return true;
        }
        if u64::from(object.bytes) <= self.capacity {
            self.queue.push(0, object);
        }
        while self.queue.bytes(0) > self.capacity {
            self.queue.pop(0);
        }
        false
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
    fn a_request_does_not_keep_an_object() {
        // 1 2 3 | 4 evicts 1, which then evicts 2.
        assert_eq!(hits(&mut Fifo::new(9, 3), &[1, 2, 3, 1, 4, 1, 2, 4]), "---+---+");
    }

    #[test]
    fn the_capacity_is_in_bytes() {
        let mut fifo = Fifo::new(9, 10);
        let mut request = |id, bytes| fifo.request(Object { id, bytes });
        assert_eq!(
            [request(1, 4), request(2, 4), request(3, 4), request(2, 4), request(1, 4)],
            [false, false, false, true, false]
        );
        assert!(!request(4, 11) && !request(4, 11), "it does not fit");
        fifo.expire(3);
        assert!(fifo.request(Object { id: 1, bytes: 4 }) && !fifo.request(Object { id: 3, bytes: 4 }));
    }
}
