//! Retrievals of several keys, some of which the user may not read.

use super::operations::Dialect;
use super::rights::PREFIX;
use super::site::Site;

/// The keys of a retrieval are all combinations of these many.
const KEYS: usize = 4;

/// Each verb with what comes before the keys, and the version after the length of a value.
const VERBS: [(&str, bool); 4] = [("get", false), ("gets", true), ("gat 1000", false), ("gats 1000", true)];

#[test]
fn a_retrieval_ends_at_the_first_key_that_is_not_allowed() {
    let site = Site::with_credentials();
    let mut overseer = site.log_in(0, Dialect::Text, "admin");
    let mut peer = site.log_in(0, Dialect::Text, "prefix");
    // Also lines that are decoded key by key as they arrive.
    for padding in [1, 3_000] {
        for (verb, with_version) in VERBS {
            for foreign in 0..1_u32 << KEYS {
                let key = |n: usize| format!("{}{n}", if foreign >> n & 1 == 0 { PREFIX } else { "other-" });
                for n in 0..KEYS {
                    assert_eq!(overseer.ask(format!("ms {} 1 E5\r\n{n}\r\n", key(n)).as_bytes()), b"HD\r\n");
                }
                let allowed = (0..KEYS).take_while(|n| foreign >> n & 1 == 0).count();
                let keys: Vec<String> = (0..KEYS).map(key).collect();
                let line = format!("{verb}{}{}\r\n", " ".repeat(padding), keys.join(" "));
                let mut expected = String::new();
                for (n, key) in keys.iter().enumerate().take(allowed) {
                    let version = if with_version { " 5" } else { "" };
                    expected += &format!("VALUE {key} 0 1{version}\r\n{n}\r\n");
                }
                expected += if allowed == KEYS { "END\r\n" } else { "CLIENT_ERROR access denied\r\n" };
                assert_eq!(String::from_utf8(peer.ask(line.as_bytes())).unwrap(), expected, "{foreign:b}: {line:.60}");

                for (n, key) in keys.iter().enumerate() {
                    let state = String::from_utf8(overseer.ask(format!("mg {key} u t\r\n").as_bytes())).unwrap();
                    let is_touched = state != "HD t-1\r\n";
                    assert_eq!(is_touched, n < allowed && verb.starts_with("gat"), "{foreign:b}: {line:.60}: {key}");
                }
            }
        }
    }
}

#[test]
fn a_retrieval_before_the_credentials_has_one_response() {
    let site = Site::with_credentials();
    for line in ["get a", "get a b c", "gats 5 a b", &format!("get {}", "key ".repeat(2_000)), "get", "gat x a"] {
        let mut peer = site.connect(0);
        peer.send(format!("{line}\r\n").as_bytes());
        assert_eq!(peer.rest().unwrap(), b"CLIENT_ERROR unauthenticated\r\n", "{line:.40}");
    }
}

#[test]
fn a_read_only_user_is_never_chosen_to_compute_a_value_again() {
    let site = Site::with_credentials();
    let mut writer = site.log_in(0, Dialect::Text, "plain");
    let mut reader = site.log_in(0, Dialect::Text, "reader");
    assert_eq!(writer.ask(b"set k 0 0 1\r\nv\r\nmd k I q\r\n"), b"STORED\r\n");
    for _ in 0..2 {
        let seen = String::from_utf8(reader.ask(b"mg k v\r\n")).unwrap();
        assert!(seen.starts_with("VA 1") && seen.contains(" X") && !seen.contains(" W"), "{seen}");
    }
    let seen = String::from_utf8(writer.ask(b"mg k v\r\n")).unwrap();
    assert!(seen.contains(" W"), "the reader has taken the turn of the writer: {seen}");
}
