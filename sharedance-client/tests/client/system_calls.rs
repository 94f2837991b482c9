//! The system calls of a call, and the effect of a closed connection on the host process.

use std::io::Read;
use std::os::unix::net::UnixStream;

use crate::backends::ample;
use crate::child;
use crate::memcached::Memcached;
use crate::peer::{AMPLE, grant_a_lock, once};
use sharedance_client::{LockOptions, Ttl, classic};

#[test]
fn a_host_with_sigpipe_at_its_default_outlives_a_closed_connection() {
    child::with_default_sigpipe(
        "system_calls::a_host_with_sigpipe_at_its_default_outlives_a_closed_connection",
        || {
            // A call on a closed connection, and releasing a lock on one.
            for is_used in [true, false] {
                let (_folder, address, peer) = once(grant_a_lock);
                let client = ample(&address).build().unwrap();
                let mut lock = client.lock("key", LockOptions::new().wait(AMPLE).ttl(AMPLE)).unwrap().unwrap();
                peer.join().unwrap();
                if is_used {
                    lock.get().unwrap_err();
                }
                drop(lock);
            }
            // A value of which the peer reads only one byte.
            let value = vec![b'v'; 8_000_000];
            let read_a_byte = |stream: &mut UnixStream| stream.read_exact(&mut [0]).unwrap();
            let (_folder, address, _peer) = once(read_a_byte);
            ample(&address).build().unwrap().set("key", &value, Ttl::Never).unwrap_err();
            let (_folder, address, _peer) = once(read_a_byte);
            classic::Client::builder(address).build().unwrap().store(b"key", &value).unwrap_err();
        },
    );
}

#[test]
fn a_call_takes_three_system_calls_and_not_nine() {
    let memcached = Memcached::start(&[]);
    let calls = child::calls_each(
        "system_calls::a_call_takes_three_system_calls_and_not_nine",
        memcached.address(),
        |address, count| {
            let client = ample(address).build().unwrap();
            for _ in 0..count {
                client.get("key").unwrap();
            }
        },
    );
    if let Some(calls) = calls {
        assert!((2.9..4.5).contains(&calls), "{calls}");
    }
}
