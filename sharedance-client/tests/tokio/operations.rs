//! Every call, on a real server.

use std::time::Duration;

use crate::client;
use crate::memcached::Memcached;
use crate::peer::AMPLE;
use sharedance_client::tokio::Client;
use sharedance_client::{Error, LockOptions, RefreshOptions, Rejection, Ttl, WriteResult};

const HOUR: Ttl = Ttl::from_secs(3600);

#[tokio::test]
async fn every_call() {
    let (_server, client) = client();
    assert_eq!(client.get("key").await.unwrap(), None);
    client.set("key", "1", HOUR).await.unwrap();
    assert!(!client.add("key", "2", HOUR).await.unwrap().is_stored());
    assert!(client.replace("key", "2", HOUR).await.unwrap().is_stored());
    assert!(client.append("key", "3").await.unwrap().is_stored());
    assert!(client.prepend("key", "1").await.unwrap().is_stored());
    assert_eq!(client.get("key").await.unwrap().as_deref(), Some(&b"123"[..]));
    assert_eq!(client.incr("key", 7).await.unwrap(), Some(130));
    assert_eq!(client.decr("key", 31).await.unwrap(), Some(99));

    let entry = client.get_entry("key").await.unwrap().unwrap();
    assert!(entry.expires_in.is_some_and(|left| left <= Duration::from_secs(3601)));
    assert!(client.compare_and_set("key", "5", Ttl::Never, entry.version).await.unwrap().is_stored());
    assert_eq!(client.compare_and_set("key", "6", Ttl::Never, entry.version).await.unwrap(), WriteResult::Conflict);
    assert!(client.touch("key", HOUR).await.unwrap());
    assert_eq!(client.get_and_touch("key", HOUR).await.unwrap().as_deref(), Some(&b"5"[..]));
    assert!(client.delete("key").await.unwrap());
    assert!(!client.delete("key").await.unwrap());

    let (wait, ttl) = (Duration::ZERO, Duration::from_secs(60));
    let mut lock = client.lock("key", LockOptions::new().wait(wait).ttl(ttl)).await.unwrap().unwrap();
    assert!(client.lock("key", LockOptions::new().wait(wait).ttl(ttl)).await.unwrap().is_none());
    lock.set("6", HOUR).await.unwrap();
    assert!(lock.touch(HOUR).await.unwrap());
    assert_eq!(lock.get().await.unwrap().as_deref(), Some(&b"6"[..]));
    assert!(lock.delete().await.unwrap());
    lock.set_and_release("7", HOUR).await.unwrap();
    let (lock, value) = client.lock_and_get("key", LockOptions::new().wait(wait).ttl(ttl)).await.unwrap().unwrap();
    assert_eq!(value.as_deref(), Some(&b"7"[..]));
    assert!(lock.release().await.unwrap());
    drop(client.lock("key", LockOptions::new().wait(wait).ttl(ttl)).await.unwrap());
    assert!(client.lock("key", LockOptions::new().wait(AMPLE).ttl(ttl)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_late_holder_changes_nothing() {
    let (_server, client) = client();
    let brief = Duration::from_secs(1);
    let mut late = client.lock("key", LockOptions::new().wait(Duration::ZERO).ttl(brief)).await.unwrap().unwrap();
    let (late_too, _) =
        client.lock_and_get("other", LockOptions::new().wait(Duration::ZERO).ttl(brief)).await.unwrap().unwrap();
    let successor = client.lock("key", LockOptions::new().wait(AMPLE).ttl(AMPLE)).await.unwrap().unwrap();
    let _other = client.lock("other", LockOptions::new().wait(AMPLE).ttl(AMPLE)).await.unwrap().unwrap();
    assert!(matches!(late.set("late", HOUR).await, Err(Error::LockExpired { .. })));
    successor.set_and_release("new", HOUR).await.unwrap();
    assert!(matches!(late.set_and_release("late", HOUR).await, Err(Error::LockExpired { .. })));
    assert!(matches!(late_too.set_and_release("late", HOUR).await, Err(Error::LockExpired { .. })));
    assert_eq!(client.get("key").await.unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(client.get("other").await.unwrap(), None);
}

#[tokio::test]
async fn a_server_without_locks_is_reported() {
    let memcached = Memcached::start(&[]);
    let client = crate::ample(memcached.address()).build().unwrap();
    let lock = client.lock("key", LockOptions::new().wait(Duration::ZERO).ttl(Duration::from_secs(1))).await;
    assert!(matches!(lock, Err(Error::Rejected { rejection: Rejection::Unsupported, .. })));
    assert_eq!(client.get("key").await.unwrap(), None);
}

#[tokio::test]
async fn client_and_server_do_not_deadlock_with_a_large_batch() {
    let (_server, client) = client();
    let keys: Vec<String> = (0..500).map(|number| format!("{number:0200}")).collect();
    let value = vec![b'v'; 40_000];
    let pairs: Vec<_> = keys.iter().map(|key| (key, &value)).collect();
    client.set_many(&pairs, HOUR).await.all().unwrap();
    let values = client.get_many(&keys).await.all().unwrap();
    assert!(values.len() == 500 && values.iter().all(|found| found.as_deref() == Some(&value[..])));
    assert_eq!(client.delete_many(&keys).await.all().unwrap(), vec![true; 500]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_in_many_tasks() {
    fn assert_usable_anywhere<T: Send + Sync + Clone + 'static>(_: &T) {}

    let (_server, client) = client();
    assert_usable_anywhere(&client);
    client.set("all", "0", HOUR).await.unwrap();
    let tasks: Vec<_> = (0..100).map(|number| tokio::spawn(visit(client.clone(), number))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(client.get("all").await.unwrap().as_deref(), Some(&b"2000"[..]));
}

async fn visit(client: Client, number: u32) {
    let key = format!("task-{number}");
    for round in 0..20 {
        let value = format!("{number} {round}").into_bytes();
        client.set(&key, &value, HOUR).await.unwrap();
        assert_eq!(client.get(&key).await.unwrap(), Some(value));
        client.incr("all", 1).await.unwrap();
    }
}

#[tokio::test]
#[cfg(unix)]
async fn over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; "mg key v O0\r\n".len()]).unwrap();
        stream.write_all(b"VA 5 O0\r\nvalue\r\n").unwrap();
    });
    let client = crate::ample(&format!("unix:{}", path.display())).build().unwrap();
    assert_eq!(client.get("key").await.unwrap().as_deref(), Some(&b"value"[..]));
}

#[tokio::test]
async fn one_caller_computes_a_value_again_while_the_others_get_the_old_one() {
    let (_server, client) = client();
    let options = RefreshOptions::new(HOUR).before(Duration::from_secs(7200));
    let first = client.get_or_refresh("key", options, || async { Ok::<_, Error>(b"1".to_vec()) }).await.unwrap();
    assert_eq!(first, b"1");
    let second = client.get_or_refresh("key", options, || async {
        let not_chosen = || async { Err::<Vec<u8>, Error>(Error::Encode) };
        let meanwhile = client.get_or_refresh("key", options, not_chosen).await?;
        assert_eq!(meanwhile, b"1");
        Ok::<_, Error>(b"2".to_vec())
    });
    assert_eq!(second.await.unwrap(), b"2");
    assert!(client.invalidate("key").await.unwrap());
    // This read is chosen to compute the value, and ignores it.
    assert_eq!(client.get("key").await.unwrap().as_deref(), Some(&b"2"[..]));
}

#[tokio::test]
async fn ping_version_stats_and_flush_of_each_server() {
    let (_server, client) = client();
    client.ping().await.all().unwrap();
    assert!(client.version().await.all().unwrap()[0].starts_with("1.6."));
    client.set("key", "value", HOUR).await.unwrap();
    assert_eq!(client.stats().await.all().unwrap()[0].get("curr_items").map(String::as_str), Some("1"));
    client.flush().await.all().unwrap();
    assert_eq!(client.get("key").await.unwrap(), None);
}
