//! Runs the crate `memcache`, an existing memcached client, against `sharedanced`, in both of its protocols.

#![allow(clippy::unwrap_used)]

use sharedance_test_support::server;
use std::collections::HashMap;

use memcache::Client;
use server::Server;

fn check(client: &Client) {
    client.flush().unwrap();
    assert_eq!(client.get::<String>("greeting").unwrap(), None);
    client.set("greeting", "hello", 60).unwrap();
    client.append("greeting", ", world").unwrap();
    client.prepend("greeting", "> ").unwrap();
    assert_eq!(client.get::<String>("greeting").unwrap().as_deref(), Some("> hello, world"));

    // In text the crate does not report that a value was not stored.
    let _ = client.add("greeting", "added", 60);
    let _ = client.replace("nothing", "x", 60);
    assert_eq!(client.get::<String>("greeting").unwrap().as_deref(), Some("> hello, world"));
    assert_eq!(client.get::<String>("nothing").unwrap(), None);
    client.replace("greeting", "again", 60).unwrap();
    let (_, _, version): (Vec<u8>, u32, Option<u64>) = client.gets(&["greeting"]).unwrap().remove("greeting").unwrap();
    assert!(client.cas("greeting", "swapped", 60, version.unwrap()).unwrap());
    assert!(!client.cas("greeting", "late", 60, version.unwrap()).unwrap());
    assert_eq!(client.get::<String>("greeting").unwrap().as_deref(), Some("swapped"));

    client.set("count", 40u64, 0).unwrap();
    assert_eq!((client.increment("count", 5).unwrap(), client.decrement("count", 3).unwrap()), (45, 42));

    let big = vec![7; 1_000_000];
    client.set("big", &big[..], 60).unwrap();
    assert!(client.get::<Vec<u8>>("big").unwrap() == Some(big));
    let several: HashMap<String, Vec<u8>> = client.gets(&["greeting", "count", "nothing"]).unwrap();
    assert_eq!(several.len(), 2);

    assert!(client.touch("greeting", 100).unwrap() && !client.touch("nothing", 100).unwrap());
    assert!(client.delete("greeting").unwrap() && !client.delete("greeting").unwrap());
    assert!(client.version().unwrap().iter().all(|(_, version)| version == "1.6.45"));
}

#[test]
fn the_memcache_crate_works_in_both_protocols() {
    for protocol in ["ascii", "binary"] {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), &[]);
        let client = Client::connect(format!("memcache://{}?protocol={protocol}", server.address())).unwrap();
        check(&client);
        // In text the crate reads at most the first line of the statistics.
        if protocol == "binary" {
            assert!(client.stats().unwrap().iter().all(|(_, stats)| stats["curr_items"] == "2"));
        }
    }
}
