//! Checks whether a history of concurrent operations on one key is linearizable (Wing and Gong, 1993, with the
//! memoization of Lowe, 2017).
//!
//! An operation takes effect at one moment between its call and its return. The search looks for an order that allows
//! this: the next operation is one that was called before any other remaining one returned. A failed state, which is a
//! set of operations and the resulting pair, is not searched again.

use std::collections::HashSet;

use crate::pair::{Answer, Op, Pair};

/// One operation of a history. Stamps come from one counter: an operation that returned before another was called has
/// the lower stamp.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) op: Op,
    pub(crate) answer: Answer,
    pub(crate) called: u64,
    pub(crate) returned: u64,
}

/// The state of the search: all operations before `end` except a few, and the resulting pair.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Reached {
    end: usize,
    /// Called before an operation that took effect, and not yet in the order: at most as many as threads.
    skipped: Vec<usize>,
    pair: Pair,
}

/// Finds an order in which `events` are possible one after the other, from `start` on. With `may_vanish` the pair may
/// disappear between two operations, as after an eviction.
///
/// # Errors
/// There is no such order. The error describes the operations around the conflict.
pub(crate) fn check(mut events: Vec<Event>, start: Pair, may_vanish: bool) -> Result<(), String> {
    events.sort_by_key(|event| event.called);
    let mut tried = HashSet::new();
    let mut left = vec![Reached { end: 0, skipped: Vec::new(), pair: start }];
    let mut furthest = 0;
    while let Some(reached) = left.pop() {
        if reached.end == events.len() && reached.skipped.is_empty() {
            return Ok(());
        }
        if !tried.insert(reached.clone()) {
            continue;
        }
        furthest = furthest.max(reached.end);
        if may_vanish && let Some(pair) = reached.pair.evicted() {
            left.push(Reached { pair, ..reached.clone() });
        }
        for next in candidates(&events, &reached) {
            let event = &events[next];
            let after = reached.pair.after(&event.op, &event.answer);
            left.extend(after.into_iter().map(|pair| reached.with(next, pair)));
        }
    }
    let around = &events[furthest.saturating_sub(4)..events.len().min(furthest + 8)];
    Err(format!("no order of these operations explains their results (at {furthest} of {}): {around:#?}", events.len()))
}

/// Returns the operations that may come next: those called before any remaining one returned.
fn candidates(events: &[Event], reached: &Reached) -> Vec<usize> {
    let mut first_return = u64::MAX;
    let mut found = Vec::new();
    for i in reached.skipped.iter().copied().chain(reached.end..events.len()) {
        if events[i].called > first_return {
            break;
        }
        first_return = first_return.min(events[i].returned);
        found.push(i);
    }
    found
}

impl Reached {
    fn with(&self, i: usize, pair: Pair) -> Reached {
        let left_out = self.skipped.iter().copied().chain(self.end..i).filter(|skipped| *skipped != i);
        Reached { end: self.end.max(i + 1), skipped: left_out.collect(), pair }
    }
}

#[cfg(test)]
mod tests {
    use sharedance_core::store::{Condition, DeleteResult, Recache};
    use sharedance_core::{Version, WriteResult};

    use super::*;

    fn event(called: u64, returned: u64, op: Op, answer: Answer) -> Event {
        Event { op, answer, called, returned }
    }

    fn number(version: u64) -> Version {
        Version::new(version).unwrap()
    }

    fn stored(version: u64) -> WriteResult {
        WriteResult::Stored(number(version))
    }

    fn write(called: u64, returned: u64, value: &[u8], condition: Condition, result: WriteResult) -> Event {
        event(called, returned, Op::Write(value.to_vec(), condition), Answer::Written(result))
    }

    fn set(called: u64, returned: u64, value: &[u8], version: u64) -> Event {
        write(called, returned, value, Condition::Always, stored(version))
    }

    fn get(called: u64, returned: u64, found: Option<(&[u8], u64)>) -> Event {
        event(called, returned, Op::Get, Answer::Found(found.map(|(value, version)| (value.to_vec(), version))))
    }

    fn incr(called: u64, returned: u64, sum: u64) -> Event {
        event(called, returned, Op::Incr(1), Answer::Counted(Some(sum)))
    }

    fn delete(called: u64, returned: u64, result: DeleteResult) -> Event {
        event(called, returned, Op::Delete(Condition::Always), Answer::Deleted(result))
    }

    fn is_possible(events: &[Event]) -> bool {
        check(events.to_vec(), Pair::default(), false).is_ok()
    }

    const A: Option<(&[u8], u64)> = Some((b"a", 1));
    const B: Option<(&[u8], u64)> = Some((b"b", 2));

    #[test]
    fn sequential_reads_find_the_last_write() {
        assert!(is_possible(&[get(0, 1, None), set(2, 3, b"a", 1), get(4, 5, A), set(6, 7, b"b", 2), get(8, 9, B)]));
        assert!(!is_possible(&[set(2, 3, b"a", 1), set(6, 7, b"b", 2), get(8, 9, A)]), "a stale read");
        assert!(!is_possible(&[set(2, 3, b"a", 1), get(4, 5, None)]), "a lost write");
        assert!(!is_possible(&[set(2, 3, b"a", 1), get(4, 5, Some((b"x", 1)))]), "a value that was never written");
    }

    #[test]
    fn overlapping_operations_have_any_order_but_only_one() {
        let writes = [set(0, 1, b"a", 1), set(2, 9, b"b", 2)];
        assert!(is_possible(&[&writes[..], &[get(3, 4, A), get(5, 6, B)]].concat()));
        assert!(is_possible(&[&writes[..], &[get(3, 6, B), get(4, 5, A)]].concat()));
        assert!(!is_possible(&[&writes[..], &[get(3, 4, B), get(5, 6, A)]].concat()), "readers never go back");
    }

    #[test]
    fn no_update_is_lost() {
        let start = write(0, 1, b"5", Condition::Always, stored(1));
        assert!(is_possible(&[start.clone(), incr(2, 5, 6), incr(3, 4, 7)]));
        assert!(!is_possible(&[start.clone(), incr(2, 5, 6), incr(3, 4, 6)]), "two counted from the same number");
        let cas = |called, returned, result| write(called, returned, b"c", Condition::Version(number(1)), result);
        assert!(is_possible(&[start.clone(), cas(2, 5, WriteResult::Conflict), cas(3, 4, stored(2))]));
        assert!(!is_possible(&[start, cas(2, 5, stored(3)), cas(3, 4, stored(2))]), "both found the same version");
    }

    #[test]
    fn only_one_add_succeeds() {
        let add = |called, returned, result| write(called, returned, b"a", Condition::Absent, result);
        assert!(is_possible(&[add(0, 3, stored(1)), add(1, 2, WriteResult::Conflict)]));
        assert!(!is_possible(&[add(0, 3, stored(1)), add(1, 2, stored(2))]));
    }

    #[test]
    fn a_missing_pair_does_not_return() {
        let gone = [set(0, 1, b"a", 1), delete(2, 3, DeleteResult::Deleted(number(1)))];
        assert!(is_possible(&[&gone[..], &[get(4, 5, None), delete(6, 7, DeleteResult::NotFound)]].concat()));
        assert!(!is_possible(&[&gone[..], &[get(4, 5, A)]].concat()));
        let vanished = [set(0, 1, b"a", 1), get(2, 3, None), get(4, 5, None)];
        assert!(!is_possible(&vanished));
        check(vanished.to_vec(), Pair::default(), true).unwrap();
        let back = [set(0, 1, b"a", 1), get(2, 3, None), get(4, 5, A)];
        assert!(check(back.to_vec(), Pair::default(), true).is_err(), "evicted, and back again");
    }

    #[test]
    fn versions_only_increase() {
        assert!(is_possible(&[set(0, 1, b"a", 5), set(2, 3, b"a", 5), set(4, 5, b"b", 6)]), "the value was there");
        assert!(!is_possible(&[set(0, 1, b"a", 5), set(2, 3, b"b", 5)]));
        assert!(!is_possible(&[
            set(0, 1, b"a", 5),
            delete(2, 3, DeleteResult::Deleted(number(5))),
            set(4, 5, b"b", 4)
        ]));
    }

    #[test]
    fn one_reader_is_chosen_for_a_stale_value() {
        let get_with = |called, returned, version, is_stale, recache| {
            event(called, returned, Op::GetWith, Answer::Entry { value: b"a".to_vec(), version, is_stale, recache })
        };
        let invalidate = |called, returned, version| {
            event(called, returned, Op::Invalidate(Condition::Present), Answer::Written(stored(version)))
        };
        let stale = [set(0, 1, b"a", 1), get_with(2, 3, 1, false, Recache::NotNeeded), invalidate(4, 5, 2)];
        let chosen =
            |first, second| [&stale[..], &[get_with(6, 9, 2, true, first), get_with(7, 8, 2, true, second)]].concat();
        assert!(is_possible(&chosen(Recache::Yours, Recache::InProgress)));
        assert!(is_possible(&chosen(Recache::InProgress, Recache::Yours)));
        assert!(!is_possible(&chosen(Recache::Yours, Recache::Yours)));
        assert!(!is_possible(&chosen(Recache::InProgress, Recache::InProgress)));
        let or_stale = |version, result| write(6, 7, b"a", Condition::VersionOrStale(number(version)), result);
        let done = stored(3);
        assert!(is_possible(&[&stale[..], &[or_stale(1, done), get_with(8, 9, 3, true, Recache::Yours)]].concat()));
        assert!(is_possible(
            &[&stale[..], &[or_stale(2, done), get_with(8, 9, 3, false, Recache::NotNeeded)]].concat()
        ));
        assert!(!is_possible(
            &[&stale[..], &[or_stale(1, done), get_with(8, 9, 3, false, Recache::NotNeeded)]].concat()
        ));
    }

    #[test]
    fn the_time_is_proportional_to_the_history() {
        // Each operation of three threads overlaps with those of the others.
        let overlapping = |i: u64| incr(i, i + 3, i + 1);
        let start = set(0, 1, b"0", 1);
        let mut events: Vec<_> = (0..5_000).map(overlapping).collect();
        events.iter_mut().for_each(|event| (event.called, event.returned) = (event.called + 2, event.returned + 2));
        events.push(start);
        assert!(is_possible(&events));
        events[4_000].answer = Answer::Counted(Some(7));
        assert!(!is_possible(&events));
    }
}
