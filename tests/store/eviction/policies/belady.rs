//! Belady's optimum: evicts the object whose next request is furthest away, or does not admit it. It knows the future.
//! No policy is better if all objects have the same size, and few are otherwise.
//!
//! Belady, "A study of replacement algorithms for a virtual-storage computer", 1966.

use std::collections::BinaryHeap;

use super::{Object, Policy, Trace};

const NEVER: u32 = u32::MAX;

pub(crate) struct Belady {
    /// For each request of the trace, the number of the next request for the same object.
    next_requests: Vec<u32>,
    /// For each object in the cache, its next request and its bytes; no bytes if it is not in the cache.
    cached: Vec<(u32, u32)>,
    /// Objects by their next request. Entries of objects that were requested or removed since are outdated.
    by_next_request: BinaryHeap<(u32, u32)>,
    position: usize,
    bytes: u64,
    capacity: u64,
}

impl Belady {
    pub(crate) fn new(trace: &Trace, capacity: u64) -> Belady {
        let ids: Vec<u32> = trace.requests.iter().map(|request| request.id).collect();
        Belady::of_ids(&ids, trace.objects(), capacity)
    }

    fn of_ids(ids: &[u32], objects: u32, capacity: u64) -> Belady {
        let mut next_requests = vec![NEVER; ids.len()];
        let mut next_of = vec![NEVER; objects as usize];
        for (position, id) in ids.iter().enumerate().rev() {
            next_requests[position] = std::mem::replace(&mut next_of[*id as usize], position as u32);
        }
        Belady {
            next_requests,
            cached: vec![(NEVER, 0); objects as usize],
            by_next_request: BinaryHeap::new(),
            position: 0,
            bytes: 0,
            capacity,
        }
    }

    fn take_out(&mut self, id: u32) {
        let (_, bytes) = std::mem::replace(&mut self.cached[id as usize], (NEVER, 0));
        self.bytes -= u64::from(bytes);
    }
}

impl Policy for Belady {
    fn request(&mut self, object: Object) -> bool {
        let next = self.next_requests[self.position];
        self.position += 1;
        let (_, bytes_before) = self.cached[object.id as usize];
        self.cached[object.id as usize] = (next, object.bytes);
        self.by_next_request.push((next, object.id));
        if bytes_before > 0 {
            return true;
        }
        self.bytes += u64::from(object.bytes);
        while self.bytes > self.capacity
            && let Some((next, id)) = self.by_next_request.pop()
        {
            let (cached_next, bytes) = self.cached[id as usize];
            if bytes > 0 && cached_next == next {
                self.take_out(id);
            }
        }
        false
    }

    fn expire(&mut self, id: u32) {
        if self.cached[id as usize].1 > 0 {
            self.take_out(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    #[test]
    fn the_object_with_the_furthest_next_request_is_evicted() {
        // The textbook example with three places: nine misses if every object is admitted, and eight if 4, which is not
        // requested again, is not admitted.
        let ids = [7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1];
        let answers = hits(&mut Belady::of_ids(&ids, 8, 3), &ids);
        assert_eq!(answers, "----+-+-+++++-+++-++");
    }
}
