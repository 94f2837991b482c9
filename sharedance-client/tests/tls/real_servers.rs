//! memcached with TLS.

use sharedance_client::{Client, TlsOptions, Ttl};

use crate::certificates::{Authority, Valid};
use crate::child;
use crate::clients::{ample, both, trusting};
use crate::memcached::Memcached;

/// A memcached with a certificate of the authority.
fn memcached(authority: &Authority) -> Memcached {
    let issued = authority.issue(&["127.0.0.1"], Valid::Now);
    let files = format!("ssl_chain_cert={},ssl_key={}", issued.cert.display(), issued.key.display());
    Memcached::start(&["-Z", "-o", &files])
}

#[test]
fn calls_to_memcached() {
    let authority = Authority::new();
    let server = memcached(&authority);
    for client in both(&format!("memcached://{}", server.address()), &trusting(&authority)) {
        let value = vec![b'v'; 900_000];
        client.set("long", &value).unwrap();
        assert_eq!(client.get("long").unwrap(), Some(value));
        let keys: Vec<String> = (0..500).map(|number| format!("key-{number}")).collect();
        for key in &keys {
            client.set(key, key.as_bytes()).unwrap();
        }
        for (key, value) in keys.iter().zip(client.get_many(&keys)) {
            assert_eq!(value.unwrap().as_deref(), Some(key.as_bytes()));
        }
    }
    let url = format!("tls://{}/?ca={}", server.address(), authority.file().display());
    let client = ample(Client::builder(url)).build().unwrap();
    client.set("key", "1", Ttl::Never).unwrap();
    assert_eq!(client.incr("key", 1).unwrap(), Some(2));
    assert!(client.ping().iter().all(Result::is_ok) && client.delete("key").unwrap());
}

#[test]
fn a_call_takes_three_system_calls_with_tls_too() {
    let authority = Authority::new();
    let server = memcached(&authority);
    let argument = format!("{}?{}", server.address(), authority.file().display());
    let calls = child::calls_each(
        "real_servers::a_call_takes_three_system_calls_with_tls_too",
        &argument,
        |argument, count| {
            let (address, ca) = argument.split_once('?').unwrap();
            let client = ample(Client::builder(address)).tls(TlsOptions::new().ca(ca)).build().unwrap();
            for _ in 0..count {
                client.get("key").unwrap();
            }
        },
    );
    if let Some(calls) = calls {
        assert!((2.9..4.5).contains(&calls), "{calls}");
    }
}
