//! Several writers in a store that is too small for all their values.

use super::world::{World, key};
use crate::scratch::SEGMENT_LEN;
use crate::store::primitives::thread;
use crate::store::{Options, StoreError};

const MAX_BYTES: u64 = 8 * SEGMENT_LEN as u64;
const WRITERS: usize = 3;
const EACH: usize = 12;
const LEN: usize = 15_000;

pub(crate) fn writers_of_a_full_store() {
    let world = World::new(0, Options::new().max_bytes(MAX_BYTES), false);
    let store = &world.store;
    let write = &|i: usize| match store.set(&key(i), &[i as u8; LEN]) {
        Ok(()) => Some(i),
        Err(StoreError::Full) => None,
        Err(error) => panic!("{error}"),
    };
    let stored: Vec<usize> = thread::scope(|scope| {
        let of_writer = |writer| (0..EACH).map(move |i| writer * EACH + i);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let stored = of_writer(writer).filter_map(write).collect::<Vec<_>>();
                    // Half of the values are deleted again, so that there is space, and no writer finds it by waiting.
                    stored.iter().step_by(2).for_each(|i| assert!(store.delete(&key(*i)).unwrap()));
                    stored.into_iter().skip(1).step_by(2).collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert!(world.store.stats().file_bytes <= MAX_BYTES);
    assert_eq!(world.store.len(), stored.len());
    assert!(stored.iter().all(|i| world.store.get(&key(*i)).unwrap() == [*i as u8; LEN]));
    world.examine(None);
}
