//! What a lock says on its connection, and when: against a peer that writes it all down; and that it keeps others out,
//! on a real server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::backends::ample;
use crate::memcached::eventually;
use crate::peer::{AMPLE, listen};
use crate::sharedanced::Sharedanced;
use sharedance_client::{Class, Client, Error, Lock, Rejection, Ttl};

const WAIT: Duration = Duration::from_millis(1500);
const TTL: Duration = Duration::from_secs(30);

/// What came on each connection, in the order of the connections.
type Journal = Arc<Mutex<Vec<Vec<String>>>>;

/// A peer whose only value is `value`, that gives every lock to everybody, and closes when it is told `incr`.
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
            ("mg", _) if line.contains(" v ") => format!("VA 5 {tag}\r\nvalue\r\n"),
            ("ms", _) => {
                lines.next().transpose()?;
                format!("HD {tag}\r\n")
            }
            ("ma", _) => return Ok(()),
            _ => format!("HD {tag}\r\n"),
        };
        let said = line.replace(tag, "").trim_end().to_owned();
        journal.lock().unwrap()[number].push(said);
        (&*stream).write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Waits until the peer has heard all of this, connection by connection.
#[track_caller]
fn assert_heard(journal: &Journal, expected: &[&[&str]]) {
    let heard = || journal.lock().unwrap().clone();
    let is_there = |_| heard().iter().map(Vec::len).eq(expected.iter().map(|said| said.len()));
    eventually(&format!("{expected:?} is heard"), || Some(()).filter(|&()| is_there(())));
    assert_eq!(heard(), expected);
}

fn lock(client: &Client, key: &str) -> Lock {
    client.lock(key, WAIT, TTL).unwrap().unwrap()
}

#[test]
fn a_lock_is_given_back_when_it_is_dropped_and_its_connection_goes_on() {
    let (client, journal) = client();
    for _ in 0..2 {
        drop(lock(&client, "key"));
    }
    assert_eq!(client.get("other").unwrap().as_deref(), Some(&b"value"[..]));
    let once = ["lock key 1500 30", "unlock key"];
    assert_heard(&journal, &[&[once[0], once[1], once[0], once[1], "mg other v"]]);
}

#[test]
fn all_that_is_done_under_a_lock_is_done_on_its_connection() {
    let (client, journal) = client();
    let mut lock = lock(&client, "key");
    // Somebody else needs another one meanwhile.
    client.get("other").unwrap();
    assert_eq!(lock.get().unwrap().as_deref(), Some(&b"value"[..]));
    lock.set("new", Ttl::from_secs(60)).unwrap();
    assert!(lock.touch(Ttl::Never).unwrap());
    assert!(lock.delete().unwrap());
    assert!(lock.release().unwrap());
    let locked = ["lock key 1500 30", "mg key v", "ms key 3  T60", "mg key T0", "md key", "unlock key"];
    assert_heard(&journal, &[&locked, &["mg other v"]]);
}

#[test]
fn a_lock_that_others_hold_is_none_and_nothing_is_to_be_given_back() {
    let (client, journal) = client();
    assert!(client.lock("busy", Duration::ZERO, TTL).unwrap().is_none());
    // What was read without the lock is not shown.
    assert!(client.lock_and_get("busy", Duration::ZERO, TTL).unwrap().is_none());
    client.get("other").unwrap();
    assert_heard(&journal, &[&["lock busy 0 30", "lock busy 0 30", "mg busy v", "mg other v"]]);
}

#[test]
fn locking_and_reading_and_writing_and_giving_back_are_two_round_trips() {
    let (client, journal) = client();
    let (lock, value) = client.lock_and_get("key", WAIT, TTL).unwrap().unwrap();
    assert_eq!(value.as_deref(), Some(&b"value"[..]));
    assert!(lock.set_and_release("new", Ttl::Never).unwrap());
    client.get("other").unwrap();
    assert_heard(&journal, &[&["lock key 1500 30", "mg key v", "ms key 3  T0", "unlock key", "mg other v"]]);
}

#[test]
fn a_lock_whose_ttl_was_too_short_says_so_when_it_is_given_back() {
    let (client, _journal) = client();
    assert!(!lock(&client, "late").release().unwrap());
    assert!(!lock(&client, "late").set_and_release("new", Ttl::Never).unwrap());
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
    let mut lock = client.lock("key", WAIT, TTL).unwrap().unwrap();
    let error = lock.get().unwrap_err();
    assert!(matches!(error, Error::Cut { received_len: 0, .. }), "{error}");
    let error = lock.set("new", Ttl::Never).unwrap_err();
    assert!(matches!(error, Error::LockLost { .. }), "{error}");
    assert!(error.class() == Class::NotSent && !error.is_retryable());
    assert!(matches!(lock.release().unwrap_err(), Error::LockLost { .. }));
}

#[test]
fn a_lock_is_asked_for_again_where_a_kept_connection_had_ended() {
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
fn a_server_without_locks_says_so() {
    let memcached = crate::memcached::Memcached::start(&[]);
    let client = ample(memcached.address()).build().unwrap();
    let error = client.lock("key", WAIT, TTL).unwrap_err();
    assert!(matches!(error, Error::Rejected { rejection: Rejection::Unsupported, .. }), "{error}");
    assert!(client.lock_and_get("key", WAIT, TTL).is_err());
    assert_eq!(client.get("key").unwrap(), None);
}

#[test]
fn the_key_of_a_lock_is_not_shown() {
    let (client, _journal) = client();
    let shown = format!("{:?}", lock(&client, "secret"));
    assert!(shown.contains("key_len: 6") && !shown.contains("secret"), "{shown}");
}

#[test]
fn one_after_the_other_on_a_real_server() {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || {
                for _ in 0..25 {
                    let (lock, count) = client.lock_and_get("count", AMPLE, AMPLE).unwrap().unwrap();
                    let count: u32 = count.map_or(0, |digits| String::from_utf8(digits).unwrap().parse().unwrap());
                    assert!(lock.set_and_release((count + 1).to_string(), Ttl::Never).unwrap());
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
fn a_lock_that_is_dropped_is_the_next_ones_on_a_real_server() {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    let first = lock(&client, "key");
    assert!(client.lock("key", Duration::ZERO, TTL).unwrap().is_none());
    let waiting = {
        let client = client.clone();
        thread::spawn(move || client.lock("key", AMPLE, TTL).unwrap().is_some())
    };
    drop(first);
    assert!(waiting.join().unwrap());
    assert!(client.lock("key", AMPLE, TTL).unwrap().unwrap().release().unwrap());

    let brief = client.lock("key", Duration::ZERO, Duration::from_secs(1)).unwrap().unwrap();
    assert!(client.lock("key", AMPLE, TTL).unwrap().is_some(), "its time is over");
    assert!(!brief.release().unwrap());
}
