//! Reads of a value with its metadata, and the choice of a reader that computes a new value.
//!
//! A value that is costly to compute should be computed again before it expires, by one of its readers and not by all.
//! So a reader can request to compute it if the value is stale, about to expire or missing. The first reader that
//! requests it is chosen: it sets one bit in the record's word, with one exchange.

use std::time::Duration;

use crate::store::api::recache::{Entry, GetOptions, Recache};
use crate::store::api::request::Ttl;
use crate::store::api::value::Value;
use crate::store::disk::format::{FLAG_REFRESHER, FLAG_STALE, Word};
use crate::store::operations::write::{WriteError, Writer};
use crate::store::segment::accesses::{self, Access};
use crate::store::segment::record::{Pinned, RecordRef};

impl Writer<'_> {
    pub(crate) fn get_with(&self, key: &[u8], options: GetOptions) -> Result<Option<Entry>, WriteError> {
        let hash = self.engine.hash(key);
        loop {
            if let Some(entry) = self.read_entry(hash, key, options) {
                return Ok(Some(entry));
            }
            // A value with a TTL of zero is never visible.
            let Some(ttl) = options.create.filter(|ttl| !matches!(ttl, Ttl::After(ttl) if ttl.as_millis() == 0)) else {
                return Ok(None);
            };
            if let Some(created) = self.create_empty(key, ttl, options.create_version)? {
                return Ok(Some(self.new_entry(created, options)));
            }
        }
    }

    /// The record that this caller has created, as it was then, even if it has been removed meanwhile.
    fn new_entry(&self, pinned: Pinned, options: GetOptions) -> Entry {
        let now_ms = self.engine.timeline.now_ms();
        if !options.peek {
            pinned.note_read(now_ms);
        }
        Entry {
            is_new: true,
            expires_in: pinned.record().word().deadline.remaining(now_ms),
            idle: pinned.segment().accesses.is_some().then_some(Duration::ZERO),
            was_read: false,
            is_stale: false,
            recache: Recache::Yours,
            value: Value::new(pinned),
        }
    }

    fn read_entry(&self, hash: u64, key: &[u8], options: GetOptions) -> Option<Entry> {
        let now = self.engine.timeline.now();
        let now_ms = now.ms;
        let (pinned, recache) = {
            let shard = self.engine.index.read(hash);
            let found = shard.find(hash, key)?;
            if found.has_expired(now_ms) {
                self.engine.counters.expired_reads.add(1);
                return None;
            }
            let word = match options.touch {
                Some(ttl) => found.touch(self.engine.lifetime(ttl, now).deadline),
                None => Some(found.word()),
            };
            let recache = word.and_then(|word| choose_refresher(&found, word, options, now_ms));
            (found.pin().with_word(word.unwrap_or(found.word())), recache)
        };
        let Some(recache) = recache else {
            self.engine.drop_damaged(&pinned);
            return None;
        };
        if !self.engine.is_sound(&pinned) {
            return None;
        }
        let last = pinned.segment().accesses.as_ref().map(|accesses| accesses.last(pinned.slot()));
        if !options.peek {
            pinned.note_read(now_ms);
        }
        let word = pinned.record().word();
        Some(Entry {
            is_new: false,
            expires_in: word.deadline.remaining(now_ms),
            idle: last.map(|last| idle(last, now_ms)),
            was_read: last.is_some_and(|last| last.was_read),
            is_stale: word.flags & FLAG_STALE != 0,
            recache,
            value: Value::new(pinned),
        })
    }
}

/// Chooses this reader to compute a new value if that is due and no other reader was chosen before. `None` if the
/// record's word is damaged.
fn choose_refresher(found: &RecordRef<'_>, word: Word, options: GetOptions, now_ms: u64) -> Option<Recache> {
    if word.flags & FLAG_REFRESHER != 0 {
        return Some(Recache::InProgress);
    }
    let is_late = options
        .recache_below
        .is_some_and(|below| word.deadline.remaining(now_ms).is_some_and(|remaining| remaining < below));
    if options.never_recache || !is_late && word.flags & FLAG_STALE == 0 {
        return Some(Recache::NotNeeded);
    }
    match found.mark(FLAG_REFRESHER)? {
        true => Some(Recache::Yours),
        false => Some(Recache::InProgress),
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
    use crate::store::{Attributes, Condition, Options, Store};
    use crate::{Version, WriteResult};

    const SECOND: Duration = Duration::from_secs(1);
    const PLAIN: GetOptions = GetOptions::new();

    fn open() -> (tempfile::TempDir, Store, ManualClock) {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let options = Options::manual().segment_len(65_536).clock(clock).track_accesses(true);
        let store = options.open(dir.path()).unwrap();
        (dir, store, hand)
    }

    fn entry(store: &Store, options: GetOptions) -> Option<Entry> {
        store.get_with(b"k", options).unwrap()
    }

    fn next(version: Version) -> Version {
        Version::new(version.get() + 1).unwrap()
    }

    #[test]
    fn an_entry_describes_the_value_as_it_was_before_the_read() {
        let (_dir, store, hand) = open();
        assert!(entry(&store, PLAIN).is_none());
        store.set_with_ttl(b"k", b"value", Ttl::After(100 * SECOND)).unwrap();
        hand.advance(10 * SECOND);
        let first = entry(&store, PLAIN).unwrap();
        assert_eq!((first.expires_in, first.idle, first.was_read), (Some(90 * SECOND), Some(10 * SECOND), false));
        hand.advance(20 * SECOND);
        let second = entry(&store, PLAIN.peek(true)).unwrap();
        assert_eq!((second.expires_in, second.idle, second.was_read), (Some(70 * SECOND), Some(20 * SECOND), true));
        let third = entry(&store, PLAIN.touch(Ttl::Never)).unwrap();
        assert_eq!((third.expires_in, third.idle), (None, Some(20 * SECOND)), "nothing remains of the value before");
        store.set(b"k", b"another").unwrap();
        assert!(!entry(&store, PLAIN).unwrap().was_read, "a new value is unread");
    }

    #[test]
    fn a_get_counts_as_a_read_and_a_touch_does_not() {
        let (_dir, store, _) = open();
        store.set(b"k", b"value").unwrap();
        assert!(store.touch(b"k", Ttl::Never).unwrap());
        assert!(!entry(&store, PLAIN.peek(true)).unwrap().was_read);
        assert_eq!(store.get_and_touch(b"k", Ttl::Never).unwrap().unwrap(), "value");
        assert!(entry(&store, PLAIN.peek(true)).unwrap().was_read);
    }

    #[test]
    fn metadata_moves_with_a_value() {
        let (_dir, store, hand) = open();
        for i in 0..1_000u32 {
            store.set_with_ttl(i.to_be_bytes(), [1; 600], Ttl::Never).unwrap();
        }
        store.set_with_ttl(b"k", b"value", Ttl::After(1_000 * SECOND)).unwrap();
        entry(&store, PLAIN).unwrap();
        assert!(store.invalidate(b"k", Condition::Present, None).unwrap().is_stored());
        entry(&store, PLAIN).unwrap();
        (0..1_000u32).for_each(|i| assert!(store.delete(i.to_be_bytes()).unwrap()));
        for i in 0..100u32 {
            store.set_with_ttl(i.to_be_bytes(), [1; 600], Ttl::After(1_000 * SECOND)).unwrap();
        }
        (0..100u32).for_each(|i| assert!(store.delete(i.to_be_bytes()).unwrap()));
        for _ in 0..20 {
            hand.advance(SECOND);
            store.maintain(10_000).unwrap();
        }
        let found = entry(&store, PLAIN).unwrap();
        assert!(found.is_stale && found.was_read && found.recache == Recache::InProgress, "{found:?}");
        assert_eq!(found.idle, Some(20 * SECOND));
    }

    #[test]
    fn a_stale_value_with_a_ttl_of_zero_keeps_the_remaining_ttl() {
        let (_dir, store, hand) = open();
        let no_time = Attributes::from(Ttl::After(Duration::ZERO));
        store.set_with_ttl(b"k", b"one", Ttl::After(100 * SECOND)).unwrap();
        let first = store.get(b"k").unwrap().version();
        store.set_with_ttl(b"k", b"two", Ttl::After(100 * SECOND)).unwrap();
        assert!(store.write(b"k", b"late", no_time, Condition::VersionOrStale(first)).unwrap().is_stored());
        hand.advance(99 * SECOND);
        let found = entry(&store, PLAIN).unwrap();
        assert!(found.is_stale && found.value == b"late");
        let current = found.value.version();
        assert!(store.write(b"k", b"x", no_time, Condition::VersionOrStale(current)).unwrap().is_stored());
        assert!(entry(&store, PLAIN).is_none(), "of the right version, it is gone");
    }

    #[test]
    fn a_reader_that_declines_is_not_chosen() {
        let (_dir, store, _hand) = open();
        store.set(b"k", b"value").unwrap();
        assert!(store.invalidate(b"k", Condition::Present, None).unwrap().is_stored());
        let curious = entry(&store, PLAIN.never_recache(true)).unwrap();
        assert!(curious.is_stale && curious.recache == Recache::NotNeeded);
        assert_eq!(entry(&store, PLAIN).unwrap().recache, Recache::Yours);
        assert_eq!(entry(&store, PLAIN.never_recache(true)).unwrap().recache, Recache::InProgress);
    }

    #[test]
    fn a_write_that_depends_on_a_value_does_not_count_as_a_read() {
        let (_dir, store, _hand) = open();
        store.set(b"k", b"value").unwrap();
        assert!(store.incr(b"k", 1).is_err());
        assert!(!entry(&store, PLAIN).unwrap().was_read);
    }

    #[test]
    fn one_reader_is_chosen_when_the_end_is_near() {
        let (_dir, store, hand) = open();
        store.set_with_ttl(b"k", b"value", Ttl::After(100 * SECOND)).unwrap();
        let options = PLAIN.recache_below(30 * SECOND);
        hand.advance(70 * SECOND);
        assert_eq!(entry(&store, options).unwrap().recache, Recache::NotNeeded, "30 seconds are not below 30");
        hand.advance(SECOND);
        assert_eq!(entry(&store, PLAIN).unwrap().recache, Recache::NotNeeded, "this reader did not request it");
        assert_eq!(entry(&store, options).unwrap().recache, Recache::Yours);
        assert_eq!(entry(&store, options).unwrap().recache, Recache::InProgress);
        assert_eq!(entry(&store, PLAIN).unwrap().recache, Recache::InProgress);
        store.set_with_ttl(b"k", b"value", Ttl::After(100 * SECOND)).unwrap();
        assert_eq!(
            entry(&store, options).unwrap().recache,
            Recache::NotNeeded,
            "there is a new one, though the bytes are the same"
        );
    }

    #[test]
    fn one_reader_creates_and_the_others_see_it() {
        let (_dir, store, hand) = open();
        let options = PLAIN.create(Ttl::After(10 * SECOND));
        let found = entry(&store, options).unwrap();
        assert!(found.is_new && found.value.is_empty() && found.recache == Recache::Yours);
        let found = entry(&store, options).unwrap();
        assert!(!found.is_new && found.recache == Recache::InProgress);
        hand.advance(10 * SECOND);
        assert!(entry(&store, PLAIN).is_none());
        assert!(entry(&store, options).unwrap().is_new);
        let no_time = PLAIN.create(Ttl::After(Duration::ZERO));
        store.delete(b"k").unwrap();
        assert!(entry(&store, no_time).is_none(), "what lives for no time is never found");
    }

    #[test]
    fn a_stale_value_has_a_new_version_and_one_refresher() {
        let (_dir, store, hand) = open();
        assert_eq!(store.invalidate(b"k", Condition::Present, None).unwrap(), WriteResult::NotFound);
        let attributes = Attributes::new(100 * SECOND).client_flags(7);
        assert!(store.write(b"k", b"value", attributes, Condition::Absent).unwrap().is_stored());
        let before = entry(&store, PLAIN).unwrap().value.version();
        assert_eq!(store.invalidate(b"k", Condition::Version(next(before)), None).unwrap(), WriteResult::Conflict);
        assert!(!entry(&store, PLAIN).unwrap().is_stale);
        let ttl = Some(Ttl::After(30 * SECOND));
        assert!(store.invalidate(b"k", Condition::Version(before), ttl).unwrap().is_stored());
        let found = entry(&store, PLAIN).unwrap();
        assert!(found.is_stale && found.recache == Recache::Yours && found.value.version() > before);
        assert_eq!(
            (&*found.value, found.value.client_flags(), found.expires_in),
            (&b"value"[..], 7, Some(30 * SECOND))
        );
        assert_eq!(entry(&store, PLAIN).unwrap().recache, Recache::InProgress);
        assert!(store.invalidate(b"k", Condition::Present, None).unwrap().is_stored());
        assert_eq!(
            entry(&store, PLAIN).unwrap().recache,
            Recache::Yours,
            "a reader that was chosen before used old data"
        );
        hand.advance(30 * SECOND);
        assert!(entry(&store, PLAIN).is_none());
    }

    #[test]
    fn a_value_computed_from_an_older_version_is_stored_as_stale() {
        let (_dir, store, _) = open();
        let ttl = |secs: u32| Attributes::from(Ttl::After(secs * SECOND));
        assert!(store.write(b"k", b"one", ttl(100), Condition::Always).unwrap().is_stored());
        let version = entry(&store, PLAIN).unwrap().value.version();
        assert!(store.invalidate(b"k", Condition::Present, None).unwrap().is_stored());
        assert_eq!(entry(&store, PLAIN).unwrap().recache, Recache::Yours);
        let condition = Condition::VersionOrStale(version);
        assert!(store.write(b"k", b"two", ttl(500), condition).unwrap().is_stored());
        let found = entry(&store, PLAIN).unwrap();
        assert!(found.value == b"two" && found.is_stale && found.recache == Recache::InProgress);
        assert_eq!(found.expires_in, Some(100 * SECOND));
        let current = Condition::VersionOrStale(found.value.version());
        assert!(store.write(b"k", b"three", ttl(500), current).unwrap().is_stored());
        let found = entry(&store, PLAIN).unwrap();
        assert!(found.value == b"three" && !found.is_stale && found.expires_in == Some(500 * SECOND));
        let newer = Condition::VersionOrStale(next(found.value.version()));
        assert_eq!(store.write(b"k", b"four", ttl(500), newer).unwrap(), WriteResult::Conflict);
    }

    #[test]
    fn marks_survive_reopening() {
        let (dir, store, hand) = open();
        store.set_with_ttl(b"k", b"value", Ttl::Never).unwrap();
        assert!(store.invalidate(b"k", Condition::Present, None).unwrap().is_stored());
        assert_eq!(entry(&store, PLAIN).unwrap().recache, Recache::Yours);
        drop(store);
        let store = Options::manual().segment_len(65_536).clock(hand.clock()).open(dir.path()).unwrap();
        let found = entry(&store, PLAIN).unwrap();
        assert!(found.is_stale && found.recache == Recache::InProgress && found.idle.is_none());
    }

    #[test]
    fn unread_expired_values_and_late_reads_are_counted() {
        let (_dir, store, hand) = open();
        for i in 0..10u32 {
            store.set_with_ttl(i.to_be_bytes(), b"value", Ttl::After(SECOND)).unwrap();
        }
        assert!((0..3u32).all(|i| store.contains(i.to_be_bytes())));
        hand.advance(10 * SECOND);
        assert!(
            store.get(0u32.to_be_bytes()).is_none() && store.get_with(1u32.to_be_bytes(), PLAIN).unwrap().is_none()
        );
        while store.maintain(4).unwrap().pending {}
        let stats = store.stats();
        assert_eq!((stats.expired, stats.expired_unread, stats.expired_reads), (10, 7, 2));
    }

    #[test]
    fn the_creator_of_a_value_gets_it_even_if_it_is_removed_at_once() {
        let (_dir, store, _) = open();
        let options = PLAIN.create(Ttl::Never);
        thread::scope(|scope| {
            let deleter = scope.spawn(|| (0..20_000).for_each(|_| assert!(store.delete(b"k").is_ok())));
            while !deleter.is_finished() {
                assert!(entry(&store, options).is_some());
            }
        });
    }

    #[test]
    fn of_concurrent_readers_one_is_chosen() {
        let (_dir, store, _) = open();
        for round in 0..200 {
            let options = PLAIN.create((round % 2 == 0).then_some(Ttl::Never));
            let key = [b'k', round];
            if round % 2 == 1 {
                store.set(key, b"value").unwrap();
                assert!(store.invalidate(key, Condition::Present, None).unwrap().is_stored());
            }
            let chosen: usize = thread::scope(|scope| {
                let reads: Vec<_> =
                    (0..3).map(|_| scope.spawn(|| store.get_with(key, options).unwrap().unwrap())).collect();
                reads.into_iter().map(|read| usize::from(read.join().unwrap().recache == Recache::Yours)).sum()
            });
            assert_eq!(chosen, 1, "round {round}");
        }
    }
}
