//! Deadlines of many connections, each a fixed time after the connection was last touched.
//!
//! The time is the same for all members of a list, so that they expire in the order in which they were touched. The list
//! is doubly linked through the table of the connections: the cost of an operation depends neither on the number of
//! connections nor on their tokens. Reads no clock.

use std::time::{Duration, Instant};

use slab::Slab;

const NONE: u32 = u32::MAX;

/// The place of an entry of the table in a list of deadlines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    touched: Instant,
    previous: u32,
    next: u32,
}

/// An entry of a table that can be a member of one list of deadlines at a time.
pub(super) trait Linked {
    /// Its place in that list.
    fn link(&mut self) -> &mut Option<Link>;
}

/// A list of tokens, in the order in which they were last touched.
///
/// All calls on a list take the same table. An entry that is linked is linked in this list: it is removed from one list
/// before it is touched in another.
#[derive(Debug)]
pub(super) struct Deadlines {
    after: Duration,
    oldest: Option<Oldest>,
    newest: u32,
}

#[derive(Debug, Clone, Copy)]
struct Oldest {
    token: u32,
    touched: Instant,
}

impl Deadlines {
    /// Deadlines that are `after` the last touch.
    pub(super) fn new(after: Duration) -> Deadlines {
        Deadlines { after, oldest: None, newest: NONE }
    }

    /// Sets the deadline of `token`, counted from `now`, which must not be earlier than in the call before.
    pub(super) fn touch(&mut self, entries: &mut Slab<impl Linked>, token: usize, now: Instant) {
        self.remove(entries, token);
        let Some(entry) = entries.get_mut(token) else {
            return;
        };
        let previous = if self.oldest.is_some() { self.newest } else { NONE };
        *entry.link() = Some(Link { touched: now, previous, next: NONE });
        match link_of(entries, previous) {
            Some(newest) => newest.next = token as u32,
            None => self.oldest = Some(Oldest { token: token as u32, touched: now }),
        }
        self.newest = token as u32;
    }

    /// Removes `token`, if it is in the list.
    pub(super) fn remove(&mut self, entries: &mut Slab<impl Linked>, token: usize) {
        let Some(Link { previous, next, .. }) = entries.get_mut(token).and_then(|entry| entry.link().take()) else {
            return;
        };
        if let Some(previous) = link_of(entries, previous) {
            previous.next = next;
        } else {
            self.oldest = link_of(entries, next).map(|link| Oldest { token: next, touched: link.touched });
        }
        match link_of(entries, next) {
            Some(next) => next.previous = previous,
            None => self.newest = previous,
        }
    }

    /// When the next token expires.
    pub(super) fn next(&self) -> Option<Instant> {
        self.oldest.map(|oldest| oldest.touched + self.after)
    }

    /// A token whose deadline has passed, if there is one. It stays in the list until it is removed or touched.
    pub(super) fn expired(&self, now: Instant) -> Option<usize> {
        let oldest = self.oldest?;
        (oldest.touched + self.after <= now).then_some(oldest.token as usize)
    }
}

fn link_of(entries: &mut Slab<impl Linked>, token: u32) -> Option<&mut Link> {
    entries.get_mut(token as usize)?.link().as_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    impl Linked for Option<Link> {
        fn link(&mut self) -> &mut Option<Link> {
            self
        }
    }

    fn table(len: usize) -> Slab<Option<Link>> {
        (0..len).map(|token| (token, None)).collect()
    }

    fn drain(deadlines: &mut Deadlines, entries: &mut Slab<Option<Link>>, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| {
            let token = deadlines.expired(now)?;
            deadlines.remove(entries, token);
            Some(token)
        })
        .collect()
    }

    #[test]
    fn expires_in_the_order_of_the_last_touch() {
        let start = Instant::now();
        let (mut deadlines, mut entries) = (Deadlines::new(MINUTE), table(5));
        for token in 0..5 {
            deadlines.touch(&mut entries, token, start + Duration::from_secs(token as u64));
        }
        deadlines.touch(&mut entries, 0, start + Duration::from_secs(10));
        deadlines.remove(&mut entries, 3);

        assert_eq!(deadlines.next(), Some(start + Duration::from_secs(61)));
        assert_eq!(deadlines.expired(start + Duration::from_secs(60)), None);
        assert_eq!(drain(&mut deadlines, &mut entries, start + Duration::from_secs(62)), [1, 2]);
        assert_eq!(drain(&mut deadlines, &mut entries, start + Duration::from_secs(69)), [4]);
        assert_eq!(drain(&mut deadlines, &mut entries, start + Duration::from_secs(70)), [0]);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn the_only_the_first_the_last_and_an_unknown_token_can_be_removed() {
        let now = Instant::now();
        let (mut deadlines, mut entries) = (Deadlines::new(MINUTE), table(8));
        deadlines.remove(&mut entries, 7);
        deadlines.remove(&mut entries, 70);
        deadlines.touch(&mut entries, 7, now);
        deadlines.remove(&mut entries, 7);
        deadlines.remove(&mut entries, 7);
        assert_eq!(deadlines.next(), None);

        for token in [2, 0, 1] {
            deadlines.touch(&mut entries, token, now);
        }
        deadlines.remove(&mut entries, 2);
        deadlines.remove(&mut entries, 1);
        deadlines.touch(&mut entries, 2, now);
        assert_eq!(drain(&mut deadlines, &mut entries, now + MINUTE), [0, 2]);
    }

    /// An empty list was extended up to the token by each touch.
    #[test]
    fn a_touch_costs_the_same_whatever_the_token() {
        const LEN: usize = 1_000_000;
        const AMPLE: Duration = Duration::from_secs(60);
        let (mut deadlines, mut entries) = (Deadlines::new(MINUTE), table(LEN));
        let began = Instant::now();
        for _ in 0..100_000 {
            deadlines.touch(&mut entries, LEN - 1, began);
            deadlines.remove(&mut entries, LEN - 1);
            assert!(began.elapsed() < AMPLE, "a touch takes time in proportion to the token");
        }
    }

    #[test]
    fn equals_a_sorted_list_under_random_operations() {
        let start = Instant::now();
        let (mut deadlines, mut entries) = (Deadlines::new(MINUTE), table(50));
        let mut model: Vec<usize> = Vec::new();
        let mut random = 12345_u32;
        for step in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let token = (random >> 16) as usize % 50;
            model.retain(|&known| known != token);
            if random & 0x100 == 0 {
                deadlines.remove(&mut entries, token);
            } else {
                deadlines.touch(&mut entries, token, start + Duration::from_millis(step));
                model.push(token);
            }
            let far = start + 1000 * MINUTE;
            assert_eq!(deadlines.expired(far), model.first().copied());
        }
        assert_eq!(drain(&mut deadlines, &mut entries, start + 1000 * MINUTE), model);
    }
}
