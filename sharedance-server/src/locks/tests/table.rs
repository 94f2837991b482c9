//! The lock table, case by case.

use std::time::{Duration, Instant};

use super::super::request::{LockOutcome, LockRequest, LockTicket, LockWakeup};
use super::super::table::{LockStats, LockTable};
use super::{HASH, id, locked, timed_out};

const SECOND: Duration = Duration::from_secs(1);

fn acquire(
    table: &mut LockTable,
    key: &[u8],
    token: u32,
    [wait_secs, ttl_secs]: [u32; 2],
    now: Instant,
) -> (LockOutcome, Vec<LockWakeup>) {
    let mut wakeups = Vec::new();
    let (wait, ttl) = (SECOND * wait_secs, SECOND * ttl_secs);
    let request = LockRequest { key, connection: id(token), wait, ttl };
    (table.acquire(HASH, &request, now, &mut wakeups), wakeups)
}

fn unlock(table: &mut LockTable, key: &[u8], token: u32, now: Instant) -> (bool, Vec<LockWakeup>) {
    let mut wakeups = Vec::new();
    (table.unlock(HASH, key, id(token), now, &mut wakeups).is_some(), wakeups)
}

#[test]
fn first_come_first_served() {
    let (mut table, now) = (LockTable::new(0, 10), Instant::now());
    assert!(matches!(acquire(&mut table, b"k", 0, [9, 9], now).0, LockOutcome::Acquired(_)));
    for token in 1..=3 {
        assert!(matches!(acquire(&mut table, b"k", token, [9, 9], now).0, LockOutcome::Queued(_)));
    }
    assert!(matches!(acquire(&mut table, b"other", 4, [9, 9], now).0, LockOutcome::Acquired(_)));
    assert_eq!(unlock(&mut table, b"k", 2, now), (false, vec![]));
    for token in 0..3 {
        assert_eq!(unlock(&mut table, b"k", token, now), (true, vec![locked(token + 1)]));
    }
    assert_eq!(unlock(&mut table, b"k", 3, now), (true, vec![]));
    assert_eq!(unlock(&mut table, b"k", 3, now), (false, vec![]));
    assert_eq!(table.next_deadline(), None);
    let stats = LockStats { held: 1, waits: 3, ..LockStats::default() };
    assert_eq!(table.stats(now, &mut Vec::new()), stats);
}

#[test]
fn a_lock_ends_by_its_ttl_and_the_next_owner_has_its_whole_ttl() {
    let (mut table, start) = (LockTable::new(0, 10), Instant::now());
    acquire(&mut table, b"k", 0, [0, 5], start);
    acquire(&mut table, b"k", 1, [60, 3], start);
    acquire(&mut table, b"k", 2, [60, 3], start);
    let mut wakeups = Vec::new();
    assert_eq!(table.next_deadline(), Some(start + 5 * SECOND));
    table.expire(start + 4 * SECOND, &mut wakeups);
    assert_eq!(wakeups, []);
    table.expire(start + 5 * SECOND, &mut wakeups);
    assert_eq!(wakeups, [locked(1)]);
    assert_eq!(table.next_deadline(), Some(start + 8 * SECOND));
    assert_eq!(unlock(&mut table, b"k", 0, start + 6 * SECOND), (false, vec![]));
    assert_eq!(unlock(&mut table, b"k", 1, start + 8 * SECOND), (false, vec![locked(2)]));
}

#[test]
fn a_wait_that_times_out_is_reported_and_never_gets_the_lock() {
    let (mut table, start) = (LockTable::new(0, 10), Instant::now());
    acquire(&mut table, b"k", 0, [0, 60], start);
    acquire(&mut table, b"k", 1, [2, 60], start);
    acquire(&mut table, b"k", 2, [4, 60], start);
    assert_eq!(acquire(&mut table, b"k", 3, [0, 60], start).0, LockOutcome::TimedOut);
    let mut wakeups = Vec::new();
    table.expire(start + 2 * SECOND, &mut wakeups);
    assert_eq!(wakeups, [timed_out(1)]);
    assert_eq!(unlock(&mut table, b"k", 0, start + 4 * SECOND), (true, vec![timed_out(2)]));
    assert_eq!(table.stats(start, &mut Vec::new()), LockStats { waits: 2, timeouts: 3, ..LockStats::default() });
}

#[test]
fn a_released_ticket_is_a_lock_or_a_place_in_the_queue() {
    let (mut table, now) = (LockTable::new(0, 10), Instant::now());
    let mut wakeups = Vec::new();
    let LockOutcome::Acquired(owner) = acquire(&mut table, b"k", 0, [0, 9], now).0 else { panic!() };
    let LockOutcome::Queued(first) = acquire(&mut table, b"k", 1, [9, 9], now).0 else { panic!() };
    let LockOutcome::Queued(second) = acquire(&mut table, b"k", 2, [9, 9], now).0 else { panic!() };
    assert!([owner, first, second].iter().all(|&ticket| table.is_current(ticket, now)));
    table.release(first, now, &mut wakeups);
    table.release(first, now, &mut wakeups);
    assert_eq!(wakeups, []);
    table.release(owner, now, &mut wakeups);
    table.release(owner, now, &mut wakeups);
    assert_eq!(wakeups, [locked(2)]);
    assert!(!table.is_current(owner, now) && !table.is_current(first, now) && table.is_current(second, now));
    table.release(second, now, &mut wakeups);
    assert_eq!((wakeups.len(), table.next_deadline()), (1, None));
    // The slot is used again, with another ticket number.
    acquire(&mut table, b"k", 3, [0, 9], now);
    table.release(second, now, &mut wakeups);
    assert_eq!(unlock(&mut table, b"k", 3, now), (true, vec![]));
}

fn pin(table: &mut LockTable, key: &[u8], token: u32, now: Instant) -> Option<LockTicket> {
    table.pin(HASH, key, id(token), now)
}

#[test]
fn a_lock_is_not_handed_over_while_it_is_pinned() {
    let (mut table, start) = (LockTable::new(0, 2), Instant::now());
    acquire(&mut table, b"k", 0, [0, 5], start);
    let pinned = pin(&mut table, b"k", 0, start + 4 * SECOND).unwrap();
    let late = start + 6 * SECOND;
    let mut wakeups = Vec::new();
    assert_eq!(acquire(&mut table, b"k", 1, [0, 9], late), (LockOutcome::TimedOut, vec![]));
    assert!(matches!(acquire(&mut table, b"k", 2, [9, 9], late).0, LockOutcome::Queued(_)));
    table.expire(late, &mut wakeups);
    assert_eq!(table.stats(late, &mut wakeups).held, 1);
    assert_eq!(wakeups, []);
    table.unpin(pinned, late, &mut wakeups);
    assert_eq!(wakeups, [locked(2)]);
    assert_eq!(pin(&mut table, b"k", 0, late), None);
    // A pin that has ended has no effect on a later owner.
    table.unpin(pinned, late + 9 * SECOND, &mut wakeups);
    assert_eq!(unlock(&mut table, b"k", 2, late), (true, vec![]));
}

#[test]
fn a_lock_that_expired_while_it_was_pinned_is_handed_over_by_the_next_expire() {
    let (mut table, start) = (LockTable::new(0, 2), Instant::now());
    acquire(&mut table, b"k", 0, [0, 5], start);
    acquire(&mut table, b"k", 1, [60, 9], start);
    let before = start + 4 * SECOND;
    let pinned = pin(&mut table, b"k", 0, before).unwrap();
    let mut wakeups = Vec::new();
    table.expire(start + 5 * SECOND, &mut wakeups);
    // The owner's worker has read the clock earlier than the worker that called `expire`.
    table.unpin(pinned, before, &mut wakeups);
    assert_eq!((&wakeups[..], table.next_deadline()), (&[][..], Some(start + 5 * SECOND)));
    table.expire(start + 5 * SECOND, &mut wakeups);
    assert_eq!(wakeups, [locked(1)]);
}

#[test]
fn only_the_owner_can_pin_and_only_within_its_ttl() {
    let (mut table, start) = (LockTable::new(0, 2), Instant::now());
    assert_eq!(pin(&mut table, b"k", 0, start), None);
    acquire(&mut table, b"k", 0, [0, 5], start);
    assert_eq!((pin(&mut table, b"k", 1, start), pin(&mut table, b"l", 0, start)), (None, None));
    assert_eq!(pin(&mut table, b"k", 0, start + 5 * SECOND), None);
    let pinned = pin(&mut table, b"k", 0, start + 4 * SECOND).unwrap();
    table.unpin(pinned, start + 4 * SECOND, &mut Vec::new());
    assert_eq!(unlock(&mut table, b"k", 0, start + 4 * SECOND), (true, vec![]));
}

#[test]
fn a_second_request_extends_the_lock() {
    let (mut table, start) = (LockTable::new(0, 10), Instant::now());
    acquire(&mut table, b"k", 0, [0, 5], start);
    acquire(&mut table, b"k", 1, [60, 5], start);
    assert_eq!(acquire(&mut table, b"k", 0, [0, 5], start + 3 * SECOND).0, LockOutcome::Extended);
    assert_eq!(table.next_deadline(), Some(start + 8 * SECOND));
    assert_eq!(unlock(&mut table, b"k", 0, start + 7 * SECOND), (true, vec![locked(1)]));
}

#[test]
fn at_most_max_locks_are_held_until_one_expires() {
    let (mut table, start) = (LockTable::new(0, 2), Instant::now());
    assert!(matches!(acquire(&mut table, b"a", 0, [0, 5], start).0, LockOutcome::Acquired(_)));
    assert!(matches!(acquire(&mut table, b"b", 1, [0, 7], start).0, LockOutcome::Acquired(_)));
    assert_eq!(acquire(&mut table, b"c", 2, [9, 5], start + 4 * SECOND).0, LockOutcome::TooMany);
    assert!(matches!(acquire(&mut table, b"a", 2, [9, 5], start + 4 * SECOND).0, LockOutcome::Queued(_)));
    assert!(matches!(acquire(&mut table, b"c", 3, [9, 5], start + 7 * SECOND).0, LockOutcome::Acquired(_)));
}
