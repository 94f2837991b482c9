//! The client against a server that works correctly.

use std::sync::Arc;
use std::thread;

use crate::server::{Pairs, ample, serve};
use sharedance_client::classic::Client;

fn client() -> Client {
    let pairs = Arc::new(Pairs::default());
    serve(move |mut stream| pairs.serve(&mut stream)).build().unwrap()
}

fn store_fetch_delete(client: &Client) {
    assert_eq!(client.fetch(b"key").unwrap(), None);
    client.store(b"key", b"first").unwrap();
    client.store(b"key", b"a value\0\n").unwrap();
    assert_eq!(client.fetch(b"key").unwrap().as_deref(), Some(&b"a value\0\n"[..]));
    assert!(client.delete(b"key").unwrap());
    assert!(!client.delete(b"key").unwrap());
    assert_eq!(client.fetch(b"key").unwrap(), None);
}

#[test]
fn store_fetch_delete_over_tcp() {
    store_fetch_delete(&client());
}

#[test]
#[cfg(unix)]
fn store_fetch_delete_over_a_unix_socket() {
    use std::os::unix::net::UnixListener;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sharedance.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let pairs = Pairs::default();
        for mut stream in listener.incoming().flatten() {
            let _ = pairs.serve(&mut stream);
        }
    });
    let address = format!("unix:{}", path.display());
    store_fetch_delete(&ample(Client::builder(address)).build().unwrap());
}

#[test]
fn an_empty_value_is_stored_and_fetched_as_missing() {
    let client = client();
    client.store(b"empty", b"").unwrap();
    assert_eq!(client.fetch(b"empty").unwrap(), None);
    assert!(client.delete(b"empty").unwrap());
}

#[test]
fn a_value_equal_to_an_acknowledgement() {
    let client = client();
    client.store(b"okay", b"OK\n").unwrap();
    assert_eq!(client.fetch(b"okay").unwrap().as_deref(), Some(&b"OK\n"[..]));
}

#[test]
fn values_of_every_size_are_returned_whole() {
    let client = client();
    for len in [1, 8191, 8192, 8193, 65_536, 1_048_577, 8_000_000] {
        let value: Vec<u8> = (0..len).map(|i: u32| (i % 251) as u8).collect();
        client.store(b"size", &value).unwrap();
        assert!(client.fetch(b"size").unwrap() == Some(value), "{len} bytes");
    }
}

#[test]
fn one_client_in_many_threads() {
    fn assert_shareable<T: Send + Sync + Clone + 'static>(_: &T) {}

    let client = client();
    assert_shareable(&client);
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let client = client.clone();
            thread::spawn(move || {
                let key = format!("thread {number}");
                for round in 0..20_u32 {
                    let value = format!("{number} {round}").into_bytes();
                    client.store(key.as_bytes(), &value).unwrap();
                    assert_eq!(client.fetch(key.as_bytes()).unwrap(), Some(value));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
