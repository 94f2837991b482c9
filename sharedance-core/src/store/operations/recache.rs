//! Reading a value together with what is known about it, and choosing who is to make a new one.
//!
//! A value that is costly to make has to be made again before it expires, by one of its readers and not by all. So a
//! reader may ask to be the one, where the value is stale, about to expire or missing; the first who asks is chosen, and
//! the choice is one bit in the record's word, taken in one step.

use std::time::Duration;

use crate::store::api::recache::{Look, Refresh, Seen};
use crate::store::api::request::Ttl;
use crate::store::api::value::Value;
use crate::store::disk::format::{FLAG_REFRESHER, FLAG_STALE, Word};
use crate::store::operations::write::{WriteError, Writer};
use crate::store::segment::accesses::{self, Access};
use crate::store::segment::record::{Pinned, RecordRef};

impl Writer<'_> {
    pub(crate) fn look(&self, key: &[u8], look: &Look) -> Result<Option<Seen>, WriteError> {
        let hash = self.engine.hash(key);
        loop {
            if let Some(seen) = self.see(hash, key, look) {
                return Ok(Some(seen));
            }
            // What lives for no time is never seen.
            let Some(ttl) = look.create.filter(|ttl| !matches!(ttl, Ttl::After(ttl) if ttl.as_millis() == 0)) else {
                return Ok(None);
            };
            if let Some(created) = self.create_empty(key, ttl, look.create_version)? {
                return Ok(Some(self.seen_as_new(created, look)));
            }
        }
    }

    /// The record that the caller has made: whatever became of it meanwhile, this is how it was.
    fn seen_as_new(&self, pinned: Pinned, look: &Look) -> Seen {
        let now_ms = self.engine.timeline.now_ms();
        if look.note_access {
            pinned.note_read(now_ms);
        }
        Seen {
            is_new: true,
            expires_in: pinned.record().word().deadline.remaining(now_ms),
            idle: pinned.segment().accesses.is_some().then_some(Duration::ZERO),
            was_read: false,
            is_stale: false,
            refresh: Refresh::Yours,
            value: Value::new(pinned),
        }
    }

    fn see(&self, hash: u64, key: &[u8], look: &Look) -> Option<Seen> {
        let now = self.engine.timeline.now();
        let now_ms = now.ms;
        let (pinned, refresh) = {
            let shard = self.engine.index.read(hash);
            let found = shard.find(hash, key)?;
            if found.has_expired(now_ms) {
                self.engine.counters.expired_reads.add(1);
                return None;
            }
            let word = match look.touch {
                Some(ttl) => found.touch(self.engine.lifetime(ttl, now).deadline),
                None => Some(found.word()),
            };
            let refresh = word.and_then(|word| choose_refresher(&found, word, look, now_ms));
            (found.pin().with_word(word.unwrap_or(found.word())), refresh)
        };
        let Some(refresh) = refresh else {
            self.engine.drop_damaged(&pinned);
            return None;
        };
        if !self.engine.is_sound(&pinned) {
            return None;
        }
        let last = pinned.segment().accesses.as_ref().map(|accesses| accesses.last(pinned.slot()));
        if look.note_access {
            pinned.note_read(now_ms);
        }
        let word = pinned.record().word();
        Some(Seen {
            is_new: false,
            expires_in: word.deadline.remaining(now_ms),
            idle: last.map(|last| idle(last, now_ms)),
            was_read: last.is_some_and(|last| last.was_read),
            is_stale: word.flags & FLAG_STALE != 0,
            refresh,
            value: Value::new(pinned),
        })
    }
}

/// Chooses this reader to refresh the value where that is due and no other reader was chosen before. `None` where the
/// record's word is damaged.
fn choose_refresher(found: &RecordRef<'_>, word: Word, look: &Look, now_ms: u64) -> Option<Refresh> {
    if word.flags & FLAG_REFRESHER != 0 {
        return Some(Refresh::InProgress);
    }
    let is_late = look
        .refresh_below
        .is_some_and(|below| word.deadline.remaining(now_ms).is_some_and(|remaining| remaining < below));
    if look.never_chosen || !is_late && word.flags & FLAG_STALE == 0 {
        return Some(Refresh::NotNeeded);
    }
    match found.mark(FLAG_REFRESHER)? {
        true => Some(Refresh::Yours),
        false => Some(Refresh::InProgress),
    }
}

fn idle(last: Access, now_ms: u64) -> Duration {
    Duration::from_secs(u64::from(accesses::seconds(now_ms).saturating_sub(last.at_secs)))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::{Attributes, Condition, Options, Outcome, Store};

    const SECOND: Duration = Duration::from_secs(1);
    const PLAIN: Look = Look {
        touch: None,
        create: None,
        create_version: None,
        refresh_below: None,
        note_access: true,
        never_chosen: false,
    };

    fn open() -> (tempfile::TempDir, Store, ManualClock) {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let options = Options::new().segment_len(65_536).clock(clock).track_accesses(true);
        let store = options.open(dir.path()).unwrap();
        (dir, store, hand)
    }

    fn see(store: &Store, look: Look) -> Option<Seen> {
        store.look(b"k", &look).unwrap()
    }

    #[test]
    fn a_look_tells_what_went_before_it() {
        let (_dir, store, hand) = open();
        assert!(see(&store, PLAIN).is_none());
        store.set_with_ttl(b"k", b"value", Ttl::After(100 * SECOND)).unwrap();
        hand.advance(10 * SECOND);
        let first = see(&store, PLAIN).unwrap();
        assert_eq!((first.expires_in, first.idle, first.was_read), (Some(90 * SECOND), Some(10 * SECOND), false));
        hand.advance(20 * SECOND);
        let second = see(&store, Look { note_access: false, ..PLAIN }).unwrap();
        assert_eq!((second.expires_in, second.idle, second.was_read), (Some(70 * SECOND), Some(20 * SECOND), true));
        let third = see(&store, Look { touch: Some(Ttl::Never), ..PLAIN }).unwrap();
        assert_eq!((third.expires_in, third.idle), (None, Some(20 * SECOND)), "the one before left no trace");
        store.set(b"k", b"another").unwrap();
        assert!(!see(&store, PLAIN).unwrap().was_read, "a new value is unread");
    }

    #[test]
    fn whoever_gets_a_value_reads_it_and_whoever_touches_it_does_not() {
        let (_dir, store, _) = open();
        store.set(b"k", b"value").unwrap();
        assert!(store.touch(b"k", Ttl::Never).unwrap());
        assert!(!see(&store, Look { note_access: false, ..PLAIN }).unwrap().was_read);
        assert_eq!(store.get_and_touch(b"k", Ttl::Never).unwrap().unwrap(), "value");
        assert!(see(&store, Look { note_access: false, ..PLAIN }).unwrap().was_read);
    }

    #[test]
    fn what_is_known_of_a_value_moves_with_it() {
        let (_dir, store, hand) = open();
        for i in 0..1_000u32 {
            store.set_with_ttl(&i.to_be_bytes(), &[1; 600], Ttl::Never).unwrap();
        }
        store.set_with_ttl(b"k", b"value", Ttl::After(1_000 * SECOND)).unwrap();
        see(&store, PLAIN).unwrap();
        store.invalidate(b"k", Condition::Present, None).unwrap();
        see(&store, PLAIN).unwrap();
        (0..1_000u32).for_each(|i| assert!(store.delete(&i.to_be_bytes()).unwrap()));
        for i in 0..100u32 {
            store.set_with_ttl(&i.to_be_bytes(), &[1; 600], Ttl::After(1_000 * SECOND)).unwrap();
        }
        (0..100u32).for_each(|i| assert!(store.delete(&i.to_be_bytes()).unwrap()));
        for _ in 0..20 {
            hand.advance(SECOND);
            store.maintain(10_000).unwrap();
        }
        let seen = see(&store, PLAIN).unwrap();
        assert!(seen.is_stale && seen.was_read && seen.refresh == Refresh::InProgress, "{seen:?}");
        assert_eq!(seen.idle, Some(20 * SECOND));
    }

    #[test]
    fn a_stale_value_that_was_to_live_for_no_time_lives_as_long_as_the_one_before() {
        let (_dir, store, hand) = open();
        let no_time = Attributes::from(Ttl::After(Duration::ZERO));
        store.set_with_ttl(b"k", b"one", Ttl::After(100 * SECOND)).unwrap();
        let first = store.get(b"k").unwrap().version();
        store.set_with_ttl(b"k", b"two", Ttl::After(100 * SECOND)).unwrap();
        assert!(store.write(b"k", b"late", no_time, Condition::VersionOrStale(first)).unwrap().is_done());
        hand.advance(99 * SECOND);
        let seen = see(&store, PLAIN).unwrap();
        assert!(seen.is_stale && seen.value == b"late");
        let current = seen.value.version();
        assert!(store.write(b"k", b"x", no_time, Condition::VersionOrStale(current)).unwrap().is_done());
        assert!(see(&store, PLAIN).is_none(), "of the right version, it is gone");
    }

    #[test]
    fn who_declines_is_not_chosen() {
        let (_dir, store, _hand) = open();
        store.set(b"k", b"value").unwrap();
        store.invalidate(b"k", Condition::Present, None).unwrap();
        let curious = see(&store, Look { never_chosen: true, ..PLAIN }).unwrap();
        assert!(curious.is_stale && curious.refresh == Refresh::NotNeeded);
        assert_eq!(see(&store, PLAIN).unwrap().refresh, Refresh::Yours);
        assert_eq!(see(&store, Look { never_chosen: true, ..PLAIN }).unwrap().refresh, Refresh::InProgress);
    }

    #[test]
    fn a_write_that_depends_on_a_value_does_not_count_as_reading_it() {
        let (_dir, store, _hand) = open();
        store.set(b"k", b"value").unwrap();
        assert!(store.incr(b"k", 1).is_err());
        assert!(!see(&store, PLAIN).unwrap().was_read);
    }

    #[test]
    fn one_reader_is_chosen_when_the_end_is_near() {
        let (_dir, store, hand) = open();
        store.set_with_ttl(b"k", b"value", Ttl::After(100 * SECOND)).unwrap();
        let look = Look { refresh_below: Some(30 * SECOND), ..PLAIN };
        hand.advance(70 * SECOND);
        assert_eq!(see(&store, look).unwrap().refresh, Refresh::NotNeeded, "30 seconds are not below 30");
        hand.advance(SECOND);
        assert_eq!(see(&store, PLAIN).unwrap().refresh, Refresh::NotNeeded, "this one did not ask");
        assert_eq!(see(&store, look).unwrap().refresh, Refresh::Yours);
        assert_eq!(see(&store, look).unwrap().refresh, Refresh::InProgress);
        assert_eq!(see(&store, PLAIN).unwrap().refresh, Refresh::InProgress);
        store.set_with_ttl(b"k", b"value", Ttl::After(100 * SECOND)).unwrap();
        assert_eq!(
            see(&store, look).unwrap().refresh,
            Refresh::NotNeeded,
            "there is a new one, though the bytes are the same"
        );
    }

    #[test]
    fn one_reader_creates_and_the_others_see_it() {
        let (_dir, store, hand) = open();
        let look = Look { create: Some(Ttl::After(10 * SECOND)), ..PLAIN };
        let seen = see(&store, look).unwrap();
        assert!(seen.is_new && seen.value.is_empty() && seen.refresh == Refresh::Yours);
        let seen = see(&store, look).unwrap();
        assert!(!seen.is_new && seen.refresh == Refresh::InProgress);
        hand.advance(10 * SECOND);
        assert!(see(&store, PLAIN).is_none());
        assert!(see(&store, look).unwrap().is_new);
        let no_time = Look { create: Some(Ttl::After(Duration::ZERO)), ..PLAIN };
        store.delete(b"k").unwrap();
        assert!(see(&store, no_time).is_none(), "what lives for no time is never seen");
    }

    #[test]
    fn a_stale_value_has_a_new_version_and_one_refresher() {
        let (_dir, store, hand) = open();
        assert_eq!(store.invalidate(b"k", Condition::Present, None).unwrap(), Outcome::Missing);
        store
            .write(
                b"k",
                b"value",
                Attributes { ttl: Ttl::After(100 * SECOND), client_flags: 7, ..Attributes::default() },
                Condition::Absent,
            )
            .unwrap();
        let before = see(&store, PLAIN).unwrap().value.version();
        assert_eq!(store.invalidate(b"k", Condition::Version(before + 1), None).unwrap(), Outcome::Exists);
        assert!(!see(&store, PLAIN).unwrap().is_stale);
        let ttl = Some(Ttl::After(30 * SECOND));
        assert!(store.invalidate(b"k", Condition::Version(before), ttl).unwrap().is_done());
        let seen = see(&store, PLAIN).unwrap();
        assert!(seen.is_stale && seen.refresh == Refresh::Yours && seen.value.version() > before);
        assert_eq!((&*seen.value, seen.value.client_flags(), seen.expires_in), (&b"value"[..], 7, Some(30 * SECOND)));
        assert_eq!(see(&store, PLAIN).unwrap().refresh, Refresh::InProgress);
        assert!(store.invalidate(b"k", Condition::Present, None).unwrap().is_done());
        assert_eq!(
            see(&store, PLAIN).unwrap().refresh,
            Refresh::Yours,
            "a reader that was chosen before used old data"
        );
        hand.advance(30 * SECOND);
        assert!(see(&store, PLAIN).is_none());
    }

    #[test]
    fn what_was_made_from_an_older_version_is_stored_as_stale() {
        let (_dir, store, _) = open();
        let ttl = |secs: u32| Attributes::from(Ttl::After(secs * SECOND));
        store.write(b"k", b"one", ttl(100), Condition::Always).unwrap();
        let version = see(&store, PLAIN).unwrap().value.version();
        store.invalidate(b"k", Condition::Present, None).unwrap();
        assert_eq!(see(&store, PLAIN).unwrap().refresh, Refresh::Yours);
        let condition = Condition::VersionOrStale(version);
        assert!(store.write(b"k", b"two", ttl(500), condition).unwrap().is_done());
        let seen = see(&store, PLAIN).unwrap();
        assert!(seen.value == b"two" && seen.is_stale && seen.refresh == Refresh::InProgress);
        assert_eq!(seen.expires_in, Some(100 * SECOND));
        let current = Condition::VersionOrStale(seen.value.version());
        assert!(store.write(b"k", b"three", ttl(500), current).unwrap().is_done());
        let seen = see(&store, PLAIN).unwrap();
        assert!(seen.value == b"three" && !seen.is_stale && seen.expires_in == Some(500 * SECOND));
        let newer = Condition::VersionOrStale(seen.value.version() + 1);
        assert_eq!(store.write(b"k", b"four", ttl(500), newer).unwrap(), Outcome::Exists);
    }

    #[test]
    fn marks_survive_reopening() {
        let (dir, store, hand) = open();
        store.set_with_ttl(b"k", b"value", Ttl::Never).unwrap();
        store.invalidate(b"k", Condition::Present, None).unwrap();
        assert_eq!(see(&store, PLAIN).unwrap().refresh, Refresh::Yours);
        drop(store);
        let store = Options::new().segment_len(65_536).clock(hand.clock()).open(dir.path()).unwrap();
        let seen = see(&store, PLAIN).unwrap();
        assert!(seen.is_stale && seen.refresh == Refresh::InProgress && seen.idle.is_none());
    }

    #[test]
    fn what_expires_unread_is_counted_and_so_is_who_came_too_late() {
        let (_dir, store, hand) = open();
        for i in 0..10u32 {
            store.set_with_ttl(&i.to_be_bytes(), b"value", Ttl::After(SECOND)).unwrap();
        }
        assert!((0..3u32).all(|i| store.contains(&i.to_be_bytes())));
        hand.advance(10 * SECOND);
        assert!(store.get(&0u32.to_be_bytes()).is_none() && store.look(&1u32.to_be_bytes(), &PLAIN).unwrap().is_none());
        while store.maintain(4).unwrap().pending {}
        let stats = store.stats();
        assert_eq!((stats.expired, stats.expired_unread, stats.expired_reads), (10, 7, 2));
    }

    #[test]
    fn whoever_creates_is_told_so_though_it_is_gone_at_once() {
        let (_dir, store, _) = open();
        let look = Look { create: Some(Ttl::Never), ..PLAIN };
        thread::scope(|scope| {
            let deleter = scope.spawn(|| (0..20_000).for_each(|_| assert!(store.delete(b"k").is_ok())));
            while !deleter.is_finished() {
                assert!(see(&store, look).is_some());
            }
        });
    }

    #[test]
    fn of_concurrent_readers_one_is_chosen() {
        let (_dir, store, _) = open();
        for round in 0..200 {
            let look = Look { create: (round % 2 == 0).then_some(Ttl::Never), ..PLAIN };
            let key = [b'k', round];
            if round % 2 == 1 {
                store.set(&key, b"value").unwrap();
                store.invalidate(&key, Condition::Present, None).unwrap();
            }
            let chosen: usize = thread::scope(|scope| {
                let looks: Vec<_> = (0..3).map(|_| scope.spawn(|| store.look(&key, &look).unwrap().unwrap())).collect();
                looks.into_iter().map(|look| usize::from(look.join().unwrap().refresh == Refresh::Yours)).sum()
            });
            assert_eq!(chosen, 1, "round {round}");
        }
    }
}
