//! Deadlines of many connections, each a fixed time after the connection was last touched.
//!
//! Since the time is the same for all, the order of touching is the order of expiring: a doubly linked list through
//! an array, where every operation costs the same however many connections there are. It reads no clock.

use std::time::{Duration, Instant};

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Link {
    touched: Instant,
    previous: u32,
    next: u32,
    linked: bool,
}

/// A list of tokens in the order in which they were last touched. Tokens are small: they index an array.
#[derive(Debug)]
pub(crate) struct Deadlines {
    after: Duration,
    links: Vec<Link>,
    oldest: u32,
    newest: u32,
}

impl Deadlines {
    /// Deadlines that lie `after` the last touch.
    pub(crate) fn new(after: Duration) -> Deadlines {
        Deadlines { after, links: Vec::new(), oldest: NONE, newest: NONE }
    }

    /// Sets the deadline of `token`, new or known, counting from `now`, which never goes back.
    pub(crate) fn touch(&mut self, token: usize, now: Instant) {
        self.remove(token);
        if token >= self.links.len() {
            let unlinked = Link { touched: now, previous: NONE, next: NONE, linked: false };
            self.links.resize(token + 1, unlinked);
        }
        self.links[token] = Link { touched: now, previous: self.newest, next: NONE, linked: true };
        match self.newest {
            NONE => self.oldest = token as u32,
            newest => self.links[newest as usize].next = token as u32,
        }
        self.newest = token as u32;
    }

    /// Forgets `token`, if it is known.
    pub(crate) fn remove(&mut self, token: usize) {
        let Some(link) = self.links.get_mut(token).filter(|link| link.linked) else {
            return;
        };
        link.linked = false;
        let Link { previous, next, .. } = *link;
        match previous {
            NONE => self.oldest = next,
            previous => self.links[previous as usize].next = next,
        }
        match next {
            NONE => self.newest = previous,
            next => self.links[next as usize].previous = previous,
        }
        if self.oldest == NONE {
            // Nobody is left: a storm of connections does not leave its array behind.
            self.links.clear();
            self.links.shrink_to(1024);
        }
    }

    /// When the next token expires.
    pub(crate) fn next(&self) -> Option<Instant> {
        let oldest = self.links.get(self.oldest as usize)?;
        Some(oldest.touched + self.after)
    }

    /// A token whose deadline has come, if there is one. It stays until it is removed or touched.
    pub(crate) fn expired(&self, now: Instant) -> Option<usize> {
        (self.next()? <= now).then_some(self.oldest as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn drain(deadlines: &mut Deadlines, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| {
            let token = deadlines.expired(now)?;
            deadlines.remove(token);
            Some(token)
        })
        .collect()
    }

    #[test]
    fn expires_in_the_order_of_the_last_touch() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(MINUTE);
        for token in 0..5 {
            deadlines.touch(token, start + Duration::from_secs(token as u64));
        }
        deadlines.touch(0, start + Duration::from_secs(10));
        deadlines.remove(3);

        assert_eq!(deadlines.next(), Some(start + Duration::from_secs(61)));
        assert_eq!(deadlines.expired(start + Duration::from_secs(60)), None);
        assert_eq!(drain(&mut deadlines, start + Duration::from_secs(62)), [1, 2]);
        assert_eq!(drain(&mut deadlines, start + Duration::from_secs(69)), [4]);
        assert_eq!(drain(&mut deadlines, start + Duration::from_secs(70)), [0]);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn removing_the_only_the_first_the_last_and_the_unknown() {
        let now = Instant::now();
        let mut deadlines = Deadlines::new(MINUTE);
        deadlines.remove(7);
        deadlines.touch(7, now);
        deadlines.remove(7);
        deadlines.remove(7);
        assert_eq!(deadlines.next(), None);

        for token in [2, 0, 1] {
            deadlines.touch(token, now);
        }
        deadlines.remove(2);
        deadlines.remove(1);
        deadlines.touch(2, now);
        assert_eq!(drain(&mut deadlines, now + MINUTE), [0, 2]);
    }

    #[test]
    fn equals_a_sorted_list_under_random_operations() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(MINUTE);
        let mut model: Vec<usize> = Vec::new();
        let mut random = 12345_u32;
        for step in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let token = (random >> 16) as usize % 50;
            model.retain(|&known| known != token);
            if random & 0x100 == 0 {
                deadlines.remove(token);
            } else {
                deadlines.touch(token, start + Duration::from_millis(step));
                model.push(token);
            }
            let far = start + 1000 * MINUTE;
            assert_eq!(deadlines.expired(far), model.first().copied());
        }
        assert_eq!(drain(&mut deadlines, start + 1000 * MINUTE), model);
    }
}
