//! Queues of objects, any of which can be taken out of the middle: doubly linked lists over one array. An object stands
//! in one queue at the most.

use crate::traces::Object;

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    /// Who came before and after it.
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

/// `N` queues, named by their number.
#[derive(Debug)]
pub(crate) struct Queues<const N: usize> {
    nodes: Vec<Node>,
    ends: [Ends; N],
}

impl<const N: usize> Queues<N> {
    /// Empty queues for objects with ids below `objects`.
    pub(crate) fn new(objects: u32) -> Queues<N> {
        let node = Node { older: NONE, newer: NONE, queue: NONE, bytes: 0 };
        Queues { nodes: vec![node; objects as usize], ends: [Ends { oldest: NONE, newest: NONE, bytes: 0 }; N] }
    }

    /// The queue that an object stands in.
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

    /// The object that has been in the queue for longest.
    pub(crate) fn oldest(&self, queue: usize) -> Option<u32> {
        some(self.ends[queue].oldest)
    }

    /// The object that came after this one.
    pub(crate) fn newer(&self, id: u32) -> Option<u32> {
        some(self.nodes[id as usize].newer)
    }

    /// Puts an object behind all others of the queue, wherever it was before.
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

    /// Puts an object that stands somewhere behind all others of the queue.
    pub(crate) fn send(&mut self, queue: usize, id: u32) {
        self.push(queue, Object { id, bytes: self.nodes[id as usize].bytes });
    }

    /// Takes an object out of its queue, if it stands in one.
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

    /// Takes out the object that has been in the queue for longest.
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
    fn objects_leave_in_their_order_but_for_those_taken_out_or_sent_elsewhere() {
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
