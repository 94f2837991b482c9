//! A touch races with the sweep: a pair touched in time stays, any other is removed permanently.

use std::time::Duration;

use super::world::{World, chance, key};
use crate::store::primitives::thread;
use crate::store::{Options, Ttl};

const KEYS: usize = 3;
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(1_000);

pub(crate) fn touches_against_the_sweep() {
    let world = World::new(KEYS, Options::new(), false);
    for i in 0..KEYS {
        world.store.set_with_ttl(&key(i), &[i as u8; 100], Ttl::After(SHORT)).unwrap();
    }
    let store = &world.store;
    let touched = thread::scope(|scope| {
        scope.spawn(|| {
            world.hand.advance(SHORT / 2);
            world.store.maintain(10).unwrap();
            // Past the deadline, and past the tolerance of the sweep.
            world.hand.advance(SHORT);
            world.store.maintain(1 + chance().below(3) as usize).unwrap();
            world.store.maintain(10).unwrap();
        });
        let touching = [0, 1].map(|i| scope.spawn(move || (i, store.touch(&key(i), Ttl::After(LONG)).unwrap())));
        touching.map(|touching| touching.join().unwrap())
    });
    for (i, was_there) in touched {
        assert_eq!(world.store.contains(&key(i)), was_there, "key {i}");
    }
    world.hand.advance(SHORT);
    assert!(!world.store.contains(&key(2)));
    while world.store.maintain(10).unwrap().pending {}
    assert_eq!(world.store.len(), touched.iter().filter(|(_, was_there)| *was_there).count());
    world.hand.advance(LONG * 2);
    while world.store.maintain(10).unwrap().pending {}
    assert!(world.store.is_empty(), "the sweep missed a touched pair");
}
