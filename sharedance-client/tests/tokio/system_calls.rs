//! The system calls of a call, and the effect of a closed connection on the host process.

use std::io::Read;

use crate::ample;
use crate::child;
use crate::memcached::Memcached;
use crate::peer::{AMPLE, grant_a_lock, once};
use sharedance_client::{LockOptions, Ttl};

fn run<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(body)
}

#[test]
fn a_host_with_sigpipe_at_its_default_outlives_a_closed_connection() {
    let test = "system_calls::a_host_with_sigpipe_at_its_default_outlives_a_closed_connection";
    child::with_default_sigpipe(test, || {
        run(async {
            // A call on a closed connection, and releasing a lock on one.
            for is_used in [true, false] {
                let (_folder, address, peer) = once(grant_a_lock);
                let client = ample(&address).build().unwrap();
                let mut lock = client.lock("key", LockOptions::new().wait(AMPLE).ttl(AMPLE)).await.unwrap().unwrap();
                peer.join().unwrap();
                if is_used {
                    lock.get().await.unwrap_err();
                }
                drop(lock);
            }
            // A value of which the peer reads only one byte.
            let (_folder, address, _peer) = once(|stream| stream.read_exact(&mut [0]).unwrap());
            let value = vec![b'v'; 8_000_000];
            ample(&address).build().unwrap().set("key", &value, Ttl::Never).await.unwrap_err();
        });
    });
}

#[test]
fn a_call_takes_three_system_calls_and_at_most_one_to_wait() {
    let memcached = Memcached::start(&[]);
    let test = "system_calls::a_call_takes_three_system_calls_and_at_most_one_to_wait";
    let calls = child::calls_each(test, memcached.address(), |address, count| {
        run(async {
            let client = ample(address).build().unwrap();
            for _ in 0..count {
                client.get("key").await.unwrap();
            }
        });
    });
    if let Some(calls) = calls {
        assert!((2.9..4.6).contains(&calls), "{calls}");
    }
}
