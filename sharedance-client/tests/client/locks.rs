//! The commands of a lock on its connection, recorded by a peer; and mutual exclusion on a real server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::backends::ample;
use crate::memcached::eventually;
use crate::peer::{AMPLE, listen};
use crate::sharedanced::Sharedanced;
use sharedance_client::{Client, Delivery, Error, Lock, LockOptions, Rejection, Ttl};

const WAIT: Duration = Duration::from_millis(1500);
const TTL: Duration = Duration::from_secs(30);

/// The bytes received on each connection, in the order of the connections.
type Journal = Arc<Mutex<Vec<Vec<String>>>>;

/// A peer whose only value is `value`, that grants every lock, and closes the connection when it receives `incr`.
fn client() -> (Client, Journal) {
    let journal = Journal::default();
    let writer = Arc::clone(&journal);
    let address = listen(move |stream| serve(&stream, &writer));
    (ample(&address).build().unwrap(), journal)
}

fn serve(stream: &TcpStream, journal: &Journal) -> std::io::Result<()> {
    let number = {
        let mut journal = journal.lock().unwrap();
        journal.push(Vec::new());
        journal.len() - 1
    };
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(line) = lines.next().transpose()? {
        let mut words = line.split(' ');
        let (verb, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let tag = line.split(' ').find(|word| word.starts_with('O')).unwrap_or_default();
        let answer = match (verb, key) {
            ("lock", "busy") => "TIMEOUT\r\n".to_owned(),
            ("lock", _) => "LOCKED\r\n".to_owned(),
            ("unlock", "late") => "NOT_FOUND\r\n".to_owned(),
            ("unlock", _) => "UNLOCKED\r\n".to_owned(),
            ("unlock_all", number) => format!("UNLOCKED 1 {number}\r\n"),
            ("mg", "unread") => "SERVER_ERROR out of memory\r\n".to_owned(),
            ("mg", _) if line.contains(" v ") => format!("VA 5 c3 {tag}\r\nvalue\r\n"),
            ("ms", "late") => {
                lines.next().transpose()?;
                format!("EX c0 {tag}\r\n")
            }
            ("ms", _) => {
                lines.next().transpose()?;
                format!("HD c4 {tag}\r\n")
            }
            ("ma", _) => return Ok(()),
            _ => format!("HD {tag}\r\n"),
        };
        let said = match verb {
            "unlock_all" => verb.to_owned(),
            _ => line.split(' ').filter(|word| !word.starts_with('O')).collect::<Vec<_>>().join(" "),
        };
        journal.lock().unwrap()[number].push(said);
        (&*stream).write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Waits until the peer has received exactly this on each connection.
#[track_caller]
fn assert_heard(journal: &Journal, expected: &[&[&str]]) {
    let heard = || journal.lock().unwrap().clone();
    let is_there = |_| heard().iter().map(Vec::len).eq(expected.iter().map(|said| said.len()));
    eventually(&format!("{expected:?} is heard"), || Some(()).filter(|&()| is_there(())));
    assert_eq!(heard(), expected);
}

fn lock(client: &Client, key: &str) -> Lock {
    client.lock(key, LockOptions::new().wait(WAIT).ttl(TTL)).unwrap().unwrap()
}

#[test]
fn a_lock_is_released_on_drop_and_its_connection_is_kept() {
    let (client, journal) = client();
    for _ in 0..2 {
        drop(lock(&client, "key"));
    }
    assert_eq!(client.get("other").unwrap().as_deref(), Some(&b"value"[..]));
    let once = ["lock key 1500 30", "unlock_all"];
    assert_heard(&journal, &[&[once[0], once[1], once[0], once[1], "mg other v"]]);
}

#[test]
fn every_call_under_a_lock_uses_its_connection() {
    let (client, journal) = client();
    let mut lock = lock(&client, "key");
    // Another call needs another connection meanwhile.
    client.get("other").unwrap();
    assert_eq!(lock.get().unwrap().as_deref(), Some(&b"value"[..]));
    lock.set("new", Ttl::from_secs(60)).unwrap();
    assert!(lock.touch(Ttl::Never).unwrap());
    assert!(lock.delete().unwrap());
    assert!(lock.release().unwrap());
    let locked = ["lock key 1500 30", "mg key c v H", "ms key 3 c H T60 C3", "mg key T0 H", "md key H", "unlock key"];
    assert_heard(&journal, &[&locked, &["mg other v"]]);
}

#[test]
fn a_lock_that_others_hold_is_not_returned_and_not_released() {
    let (client, journal) = client();
    assert!(client.lock("busy", LockOptions::new().wait(Duration::ZERO).ttl(TTL)).unwrap().is_none());
    // A value that was read without the lock is not returned.
    assert!(client.lock_and_get("busy", LockOptions::new().wait(Duration::ZERO).ttl(TTL)).unwrap().is_none());
    client.get("other").unwrap();
    assert_heard(&journal, &[&["lock busy 0 30", "lock busy 0 30", "mg busy c v H", "mg other v"]]);
}

#[test]
fn a_lock_whose_value_could_not_be_read_does_not_stay_on_a_kept_connection() {
    let (client, journal) = client();
    let error = client.lock_and_get("unread", LockOptions::new().wait(WAIT).ttl(TTL)).unwrap_err();
    assert!(matches!(error, Error::Rejected { rejection: Rejection::OutOfMemory, .. }), "{error}");
    client.get("other").unwrap();
    assert_heard(&journal, &[&["lock unread 1500 30", "mg unread c v H", "unlock_all", "mg other v"]]);
}

#[test]
fn lock_and_get_with_set_and_release_take_two_round_trips() {
    let (client, journal) = client();
    let (lock, value) = client.lock_and_get("key", LockOptions::new().wait(WAIT).ttl(TTL)).unwrap().unwrap();
    assert_eq!(value.as_deref(), Some(&b"value"[..]));
    lock.set_and_release("new", Ttl::Never).unwrap();
    client.get("other").unwrap();
    assert_heard(&journal, &[&["lock key 1500 30", "mg key c v H", "ms key 3 c H T0 C3", "unlock key", "mg other v"]]);
}

#[test]
fn releasing_a_lock_reports_that_its_ttl_was_too_short() {
    let (client, _journal) = client();
    assert!(!lock(&client, "late").release().unwrap());
    let error = lock(&client, "late").set_and_release("new", Ttl::Never).unwrap_err();
    assert!(matches!(error, Error::LockExpired { .. }), "{error}");
    assert!(error.delivery() == Delivery::Refused && !error.is_retryable());
    drop(lock(&client, "late"));
    assert_eq!(client.get("other").unwrap().as_deref(), Some(&b"value"[..]));
}

#[test]
fn a_lock_is_lost_with_its_connection_and_nothing_is_done_without_it() {
    let address = listen(|stream| {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        lines.next();
        (&stream).write_all(b"LOCKED\r\n")?;
        lines.next();
        Ok(())
    });
    let client = ample(&address).build().unwrap();
    let mut lock = client.lock("key", LockOptions::new().wait(WAIT).ttl(TTL)).unwrap().unwrap();
    let error = lock.get().unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { received_len: 0, .. }), "{error}");
    let error = lock.set("new", Ttl::Never).unwrap_err();
    assert!(matches!(error, Error::LockLost { .. }), "{error}");
    assert!(error.delivery() == Delivery::NotSent && !error.is_retryable());
    assert!(matches!(lock.release().unwrap_err(), Error::LockLost { .. }));
}

#[test]
fn a_lock_is_requested_again_if_a_kept_connection_had_ended() {
    let address = listen(|stream| {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        lines.next();
        (&stream).write_all(b"LOCKED\r\n")?;
        lines.next();
        (&stream).write_all(b"UNLOCKED\r\n")?;
        lines.next();
        Ok(())
    });
    let client = ample(&address).build().unwrap();
    for _ in 0..3 {
        assert!(lock(&client, "key").release().unwrap());
    }
}

#[test]
fn a_server_without_locks_is_reported() {
    let memcached = crate::memcached::Memcached::start(&[]);
    let client = ample(memcached.address()).build().unwrap();
    let error = client.lock("key", LockOptions::new().wait(WAIT).ttl(TTL)).unwrap_err();
    assert!(matches!(error, Error::Rejected { rejection: Rejection::Unsupported, .. }), "{error}");
    assert!(client.lock_and_get("key", LockOptions::new().wait(WAIT).ttl(TTL)).is_err());
    assert_eq!(client.get("key").unwrap(), None);
}

#[test]
fn the_key_of_a_lock_is_not_shown() {
    let (client, _journal) = client();
    let shown = format!("{:?}", lock(&client, "secret"));
    assert!(shown.contains("key_len: 6") && !shown.contains("secret"), "{shown}");
}

#[test]
fn holders_take_turns_on_a_real_server() {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || {
                for _ in 0..25 {
                    let (lock, count) =
                        client.lock_and_get("count", LockOptions::new().wait(AMPLE).ttl(AMPLE)).unwrap().unwrap();
                    let count: u32 = count.map_or(0, |digits| String::from_utf8(digits).unwrap().parse().unwrap());
                    lock.set_and_release((count + 1).to_string(), Ttl::Never).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(client.get("count").unwrap().as_deref(), Some(&b"200"[..]));
}

#[test]
fn a_dropped_lock_passes_to_the_next_caller_on_a_real_server() {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    let first = lock(&client, "key");
    assert!(client.lock("key", LockOptions::new().wait(Duration::ZERO).ttl(TTL)).unwrap().is_none());
    let waiting = {
        let client = client.clone();
        thread::spawn(move || client.lock("key", LockOptions::new().wait(AMPLE).ttl(TTL)).unwrap().is_some())
    };
    drop(first);
    assert!(waiting.join().unwrap());
    assert!(client.lock("key", LockOptions::new().wait(AMPLE).ttl(TTL)).unwrap().unwrap().release().unwrap());

    let brief =
        client.lock("key", LockOptions::new().wait(Duration::ZERO).ttl(Duration::from_secs(1))).unwrap().unwrap();
    assert!(client.lock("key", LockOptions::new().wait(AMPLE).ttl(TTL)).unwrap().is_some(), "its time is over");
    assert!(!brief.release().unwrap());
}

/// A lock whose holder took too long, and the lock of its successor.
fn late_and_successor(client: &Client) -> ((Lock, Option<Vec<u8>>), Lock) {
    client.set("key", "old", Ttl::Never).unwrap();
    let late = client
        .lock_and_get("key", LockOptions::new().wait(Duration::ZERO).ttl(Duration::from_secs(1)))
        .unwrap()
        .unwrap();
    let successor = client.lock("key", LockOptions::new().wait(AMPLE).ttl(AMPLE)).unwrap().unwrap();
    (late, successor)
}

#[track_caller]
fn assert_expired<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::LockExpired { .. })), "{outcome:?}");
}

fn value(client: &Client) -> String {
    String::from_utf8(client.get("key").unwrap().unwrap_or_default()).unwrap()
}

/// Every call of a late holder except releasing the lock.
fn assert_changes_nothing(client: &Client, late: &mut Lock, expected: &str) {
    assert_expired(late.set("late", Ttl::Never));
    assert_expired(late.touch(Ttl::from_secs(0)));
    assert_expired(late.delete());
    assert_expired(late.get());
    assert_expired(late.set("late", Ttl::Never));
    assert_eq!(value(client), expected);
}

#[test]
fn a_late_holder_changes_nothing_before_its_successor_has_written() {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    let ((mut late, _), mut successor) = late_and_successor(&client);
    assert_changes_nothing(&client, &mut late, "old");
    assert_expired(late.set_and_release("late", Ttl::Never));
    assert_eq!(successor.get().unwrap().as_deref(), Some(&b"old"[..]));
    successor.set_and_release("new", Ttl::Never).unwrap();
    assert_eq!(value(&client), "new");
}

#[test]
fn a_late_holder_changes_nothing_after_its_successor_has_written() {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    let ((mut late, _), mut successor) = late_and_successor(&client);
    successor.set("new", Ttl::Never).unwrap();
    assert_changes_nothing(&client, &mut late, "new");
    assert!(successor.release().unwrap());
    // The lock is free now, but the late holder does not hold it.
    assert_changes_nothing(&client, &mut late, "new");
    assert_expired(late.set_and_release("late", Ttl::Never));
    assert_eq!(value(&client), "new");
}

#[test]
fn a_change_by_a_client_without_the_lock_is_not_overwritten() {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    let locked = || client.lock_and_get("key", LockOptions::new().wait(Duration::ZERO).ttl(AMPLE)).unwrap().unwrap().0;
    let conflicts = |outcome: Result<(), Error>| assert!(matches!(outcome, Err(Error::Conflict { .. })), "{outcome:?}");
    // There was no value; there was another value; the value was deleted.
    let mut lock = locked();
    client.set("key", "others", Ttl::Never).unwrap();
    conflicts(lock.set("new", Ttl::Never));
    conflicts(lock.set_and_release("new", Ttl::Never));
    let mut lock = locked();
    client.set("key", "others again", Ttl::Never).unwrap();
    conflicts(lock.set("new", Ttl::Never));
    assert_eq!(lock.get().unwrap().as_deref(), Some(&b"others again"[..]));
    lock.set("new", Ttl::Never).unwrap();
    lock.set("newer", Ttl::from_secs(60)).unwrap();
    assert!(lock.touch(Ttl::Never).unwrap());
    lock.set_and_release("newest", Ttl::Never).unwrap();
    let mut lock = locked();
    client.delete("key").unwrap();
    conflicts(lock.set("new", Ttl::Never));
    conflicts(lock.set_and_release("new", Ttl::Never));
    assert_eq!(client.get("key").unwrap(), None);
    // A value that the holder itself has deleted, or that expires by its TTL, is not a conflict.
    let mut lock = locked();
    lock.set("new", Ttl::Never).unwrap();
    assert!(lock.delete().unwrap());
    lock.set("new", Ttl::from_secs(0)).unwrap();
    lock.set("new", Ttl::Never).unwrap();
    assert!(lock.touch(Ttl::from_secs(0)).unwrap());
    lock.set_and_release("newest", Ttl::Never).unwrap();
    assert_eq!(value(&client), "newest");
}

#[test]
fn waits_and_ttls_of_locks_of_every_length() {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    let first = client.lock("key", LockOptions::new().wait(Duration::MAX).ttl(Duration::MAX)).unwrap().unwrap();
    let waiting = {
        let client = client.clone();
        thread::spawn(move || {
            client
                .lock("key", LockOptions::new().wait(Duration::MAX).ttl(Duration::MAX))
                .unwrap()
                .unwrap()
                .release()
                .unwrap()
        })
    };
    assert!(client.lock("key", LockOptions::new().wait(Duration::ZERO).ttl(Duration::MAX)).unwrap().is_none());
    assert!(first.release().unwrap());
    assert!(waiting.join().unwrap());
}
