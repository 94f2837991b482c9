//! Operations on a few keys, in segments that fill up, are emptied, recycled and evicted meanwhile, by a process that
//! is killed at any step.

use std::time::Duration;

use super::world::{World, chance};
use crate::Version;
use crate::pair::{Answer, Op};
use crate::scratch::{Chance, SEGMENT_LEN};
use crate::store::primitives::thread;
use crate::store::{Condition, Durability, Options, StoreError, Ttl, WhenFull};

const KEYS: usize = 2;
const CLIENTS: usize = 2;
const NEVER_WRITTEN: Version = Version::new(u64::MAX).unwrap();
/// Operations per client: few, because each of them has hundreds of steps at which a checker may switch threads.
const OPERATIONS: u64 = if cfg!(shuttle) { 3 } else { 60 };
/// Four of them fill a segment.
const LONG: usize = 15_000;
/// In a file of its own.
const BIG: usize = 20_000;
const INTERVAL: Duration = Duration::from_millis(100);

/// Two keys that are set and deleted.
pub(crate) fn operations() {
    let mut chance = chance();
    let world = World::new(KEYS, Options::new().durability(durability(&mut chance)), false);
    let fillers = chance.below(7);
    (0..fillers).for_each(|i| fill(&world, i));
    work(world, fillers, |world, chance| match chance.below(5) {
        0 => {
            world.store.maintain(1 + chance.below(60) as usize).unwrap();
        }
        1 => world.store.prepare(Duration::ZERO).unwrap(),
        2 => world.hold(chance.below(KEYS as u64) as usize, 10),
        3 => world.hand.advance(INTERVAL),
        _ => world.store.sync().unwrap(),
    });
}

/// Two keys in segments with little else, which are emptied.
pub(crate) fn compaction() {
    let world = World::new(KEYS, Options::new().durability(durability(&mut chance())), false);
    let mut fillers = 0;
    for i in 0..KEYS {
        world.run(i, Op::Write(vec![b'0' + i as u8; 1 + LONG * i], Condition::Always));
        (0..4).for_each(|more| fill(&world, fillers + more));
        fillers += 4;
    }
    (0..fillers).for_each(|i| assert!(world.store.delete(&filler(i)).unwrap()));
    work(world, 0, |world, chance| match chance.below(3) {
        0 => {
            world.store.maintain(1 + chance.below(60) as usize).unwrap();
        }
        1 => world.hold(chance.below(KEYS as u64) as usize, 10),
        _ => world.compact(1 + chance.below(60) as usize),
    });
}

/// Two keys in a full store, which evicts pairs that are not read.
pub(crate) fn eviction() {
    let options = Options::new().max_bytes(8 * SEGMENT_LEN as u64).when_full(WhenFull::Evict);
    let world = World::new(KEYS, options, true);
    (0..26).for_each(|i| fill(&world, i));
    work(world, 0, |world, chance| match chance.below(3) {
        0 => {
            world.store.maintain(1 + chance.below(60) as usize).unwrap();
        }
        1 => world.hold(chance.below(KEYS as u64) as usize, 10),
        _ => fill(world, 30 + chance.below(4)),
    });
}

/// A store with its own maintenance threads, and iteration over it. For real threads only, because the store's own
/// threads wait for time to pass.
#[cfg(visible_locks)]
pub(crate) fn maintenance() {
    let world = World::new(KEYS, Options::new().durability(durability(&mut chance())), false);
    let maintenance = world.store.start_maintenance(&crate::store::MaintenanceOptions::new()).unwrap();
    (0..20).for_each(|i| fill(&world, i));
    let store = &world.store;
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| operate(&world, &mut chance()));
        }
        scope.spawn(|| {
            for i in 0..20 {
                // A missing one was cleared by a client.
                store.delete(&filler(i)).unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..10 {
                let filler = store.iter_prefix(b"f").find(|pair| pair.value() != [7; LONG]);
                assert!(filler.is_none());
                assert_eq!(store.verify().damaged, 0);
                world.hand.advance(INTERVAL);
            }
        });
    });
    drop(maintenance);
    world.examine(None);
}

fn durability(chance: &mut Chance) -> Durability {
    match chance.below(4) {
        0..2 => Durability::Os,
        2 => Durability::Interval(INTERVAL),
        _ => Durability::Always,
    }
}

fn filler(i: u64) -> [u8; 9] {
    let mut key = [b'f'; 9];
    key[1..].copy_from_slice(&i.to_le_bytes());
    key
}

fn fill(world: &World, i: u64) {
    match world.store.set_with_ttl(&filler(i), &[7; LONG], Ttl::Never) {
        Ok(()) | Err(StoreError::Full) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Runs clients on the keys, beside a thread that deletes the fillers and then runs `upkeep` a few times, and one that
/// kills the process. Checks the result.
fn work(world: World, fillers: u64, upkeep: impl Fn(&World, &mut Chance) + Sync) {
    let on = &world;
    let killed = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| operate(on, &mut chance()));
        }
        scope.spawn(|| {
            for i in 0..fillers {
                on.store.delete(&filler(i)).unwrap();
            }
            let mut chance = chance();
            (0..2 + chance.below(3)).for_each(|_| upkeep(on, &mut chance));
        });
        let killer = scope.spawn(|| on.kill_after(chance().below(150)));
        killer.join().unwrap()
    });
    world.examine(killed);
}

fn operate(world: &World, chance: &mut Chance) {
    let mut versions = [0; KEYS];
    for _ in 0..OPERATIONS {
        let i = chance.below(KEYS as u64) as usize;
        if let Some(Answer::Found(Some((_, version)))) = world.run(i, choose(chance, versions[i])) {
            versions[i] = version;
        }
    }
}

fn choose(chance: &mut Chance, version: u64) -> Op {
    // No write gets this far.
    let version = Version::new(version).unwrap_or(NEVER_WRITTEN);
    match chance.below(23) {
        0..3 => Op::Get,
        3 => Op::GetWith,
        4..8 => Op::Write(value(chance), Condition::Always),
        8 => Op::Write(value(chance), Condition::Absent),
        9 => Op::Write(value(chance), Condition::Present),
        10 => Op::Write(value(chance), Condition::Version(version)),
        11 => Op::Append(value(chance)),
        12..14 => Op::Incr(1),
        14 => Op::Touch(Ttl::Default),
        15 => Op::Delete(Condition::Version(version)),
        16..19 => Op::Delete(Condition::Always),
        19 => Op::GetOrCreate,
        20 => Op::Invalidate(Condition::Present),
        21 => Op::Prepend(value(chance)),
        _ => Op::Clear,
    }
}

fn value(chance: &mut Chance) -> Vec<u8> {
    let digit = b'0' + chance.below(3) as u8;
    match chance.below(5) {
        0 => vec![digit; LONG],
        1 => vec![digit; BIG],
        _ => vec![digit; 1 + chance.below(3) as usize],
    }
}
