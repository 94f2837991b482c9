//! Queues of objects with removal from the middle: doubly linked lists in one array. An object is in at most one queue.

use crate::traces::Object;

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    /// The objects before and after it.
    older: u32,
    newer: u32,
    queue: u32,
    bytes: u32,
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    oldest: u32,
    newest: u32,
    bytes: u64,
}

/// `N` queues, identified by their number.
#[derive(Debug)]
pub(crate) struct Queues<const N: usize> {
    nodes: Vec<Node>,
    ends: [Ends; N],
}

impl<const N: usize> Queues<N> {
    /// Creates empty queues for objects with ids below `objects`.
    pub(crate) fn new(objects: u32) -> Queues<N> {
        let node = Node { older: NONE, newer: NONE, queue: NONE, bytes: 0 };
        Queues { nodes: vec![node; objects as usize], ends: [Ends { oldest: NONE, newest: NONE, bytes: 0 }; N] }
    }

    /// Returns the queue of an object.
    pub(crate) fn queue_of(&self, id: u32) -> Option<usize> {
        let queue = self.nodes[id as usize].queue;
        (queue != NONE).then_some(queue as usize)
    }

    pub(crate) fn holds(&self, id: u32) -> bool {
        self.queue_of(id).is_some()
    }

    pub(crate) fn bytes(&self, queue: usize) -> u64 {
        self.ends[queue].bytes
    }

    /// Returns the object that has been in the queue for the longest time.
    pub(crate) fn oldest(&self, queue: usize) -> Option<u32> {
        some(self.ends[queue].oldest)
    }

    /// Returns the object after this one.
    pub(crate) fn newer(&self, id: u32) -> Option<u32> {
        some(self.nodes[id as usize].newer)
    }

    /// Moves an object to the end of the queue, wherever it was before.
    pub(crate) fn push(&mut self, queue: usize, object: Object) {
        self.remove(object.id);
        let older = self.ends[queue].newest;
        self.nodes[object.id as usize] = Node { older, newer: NONE, queue: queue as u32, bytes: object.bytes };
        match some(older) {
            Some(older) => self.nodes[older as usize].newer = object.id,
            None => self.ends[queue].oldest = object.id,
        }
        self.ends[queue].newest = object.id;
        self.ends[queue].bytes += u64::from(object.bytes);
    }

    /// Moves an object that is in a queue to the end of the queue.
    pub(crate) fn send(&mut self, queue: usize, id: u32) {
        self.push(queue, Object { id, bytes: self.nodes[id as usize].bytes });
    }

    /// Removes an object from its queue, if it is in one.
    pub(crate) fn remove(&mut self, id: u32) {
        let Node { older, newer, queue, bytes } = self.nodes[id as usize];
        if queue == NONE {
            return;
        }
        let ends = &mut self.ends[queue as usize];
        ends.bytes -= u64::from(bytes);
        match some(older) {
            Some(older) => self.nodes[older as usize].newer = newer,
            None => ends.oldest = newer,
        }
        match some(newer) {
            Some(newer) => self.nodes[newer as usize].older = older,
            None => ends.newest = older,
        }
        self.nodes[id as usize].queue = NONE;
    }

    /// Removes the object that has been in the queue for the longest time.
    pub(crate) fn pop(&mut self, queue: usize) -> Option<u32> {
        let oldest = self.oldest(queue)?;
        self.remove(oldest);
        Some(oldest)
    }
}

fn some(id: u32) -> Option<u32> {
    (id != NONE).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_leave_in_order_except_removed_or_moved_ones() {
        let mut queues = Queues::<2>::new(6);
        (0..6).for_each(|id| queues.push(0, Object { id, bytes: id + 1 }));
        queues.remove(0);
        queues.remove(3);
        queues.send(0, 1);
        queues.send(1, 5);
        assert_eq!((queues.bytes(0), queues.bytes(1)), (3 + 5 + 2, 6));
        assert_eq!(
            (queues.newer(2), queues.newer(1), queues.queue_of(5), queues.queue_of(0)),
            (Some(4), None, Some(1), None)
        );
        assert_eq!(
            [queues.pop(0), queues.pop(0), queues.pop(0), queues.pop(0), queues.pop(1)],
            [Some(2), Some(4), Some(1), None, Some(5)]
        );
        assert_eq!((queues.bytes(0), queues.bytes(1)), (0, 0));
    }
}
