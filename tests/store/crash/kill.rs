//! `kill -9` of a real process under write load, in each durability mode, while segments rotate and are compacted. From
//! life to life the wall clock is stepped, both ways, and now and then the boot is another one.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use sharedance_core::clock::ManualClock;
use sharedance_core::store::Store;

use crate::rounds;
use crate::scratch::{self, Chance, SEGMENT_LEN};
use crate::writer::{Expires, KEYS, Kind, Known, LIFETIME, Life, MODES, Writer, expectations, look};

/// Kills the writer again and again, and sees each time that every key is at its last acknowledged operation, or at the
/// one that was in flight.
fn kill_again_and_again(mode: usize) {
    let dir = scratch::directory();
    let mut chance = Chance(mode as u64);
    let mut life = Life { seed: 0, mode, boot: 1, boot_secs: 0, wall_secs: 1_000_000_000 };
    let mut known: BTreeMap<_, _> = (0..KEYS).map(|i| (i, Known::Absent)).collect();
    let (mut operations, mut superseded, mut compacted, mut reboots) = (0, 0, 0, 0);
    let mut round = 0;
    // Until it has got as far as to compact, however slow the machine is.
    while round < rounds(7) || operations == 0 || compacted == 0 {
        round += 1;
        assert!(round < rounds(7) + 100, "{operations} operations, {compacted} bytes compacted");
        life.next(&mut chance);
        let writer = Writer::start(dir.path(), life);
        // Mostly while it writes, now and then while it opens.
        if chance.percent(85) {
            writer.wait_until_it_told(1);
        }
        thread::sleep(Duration::from_micros(chance.below(150_000)));
        let told = writer.kill();
        operations += told.iter().filter(|report| report.kind == Kind::Done).count();
        compacted += told.iter().filter(|report| report.kind == Kind::Compacted).map(|told| told.version).sum::<u64>();
        let lived_on = life.boot;
        life.next(&mut chance);
        let (store, hand) = life.open(dir.path());
        let report = store.recovery();
        reboots += u64::from(lived_on != life.boot);
        assert!(report.same_boot == (lived_on == life.boot) || told.is_empty(), "round {round}");
        assert_eq!(report.dropped, 0, "round {round}: {report:?}");
        assert!(report.set_aside.is_empty() && report.foreign.is_empty(), "round {round}: {report:?}");
        superseded += report.superseded;
        // Whatever the clocks did meanwhile, what lives for short is gone now.
        hand.advance(LIFETIME / 2);
        for (i, states) in expectations(&known, &told) {
            let found = look(&store, i);
            let fitting: Vec<_> = states.iter().copied().filter(|state| state.allows(found)).collect();
            assert!(!fitting.is_empty(), "round {round}, key {i}: found {found:?}, may be {states:?}");
            let has_expired = states.iter().all(|state| state.expires() == Expires::Soon);
            assert!(!has_expired || found.is_none(), "round {round}, key {i}: served past its deadline");
            let expires = if fitting.len() == 1 { fitting[0].expires() } else { Expires::Perhaps };
            known.insert(i, found.map_or(Known::Absent, |version| Known::Present { version, expires }));
        }
        drop(store);
        let (store, _) = life.open(dir.path());
        assert_eq!((store.recovery().superseded, store.recovery().dropped), (0, 0), "opening twice gives the same");
    }
    eprintln!(
        "{:?}: {round} kills, {operations} acknowledged operations, {superseded} superseded records, {compacted} bytes \
         compacted, {reboots} reboots",
        MODES[mode]
    );
    life.next(&mut chance);
    let (store, hand) = life.open(dir.path());
    check_room(&store, &hand);
}

#[test]
fn invariant_02_after_kill_9_every_key_is_at_its_last_acknowledged_operation_under_os() {
    kill_again_and_again(0);
}

#[test]
fn invariant_02_after_kill_9_every_key_is_at_its_last_acknowledged_operation_under_interval() {
    kill_again_and_again(1);
}

#[test]
fn invariant_02_after_kill_9_every_key_is_at_its_last_acknowledged_operation_under_always() {
    kill_again_and_again(2);
}

/// However often it was killed, the store takes no more room than it would without.
fn check_room(store: &Store, hand: &ManualClock) {
    for _ in 0..4 {
        while store.maintain(10_000).unwrap().pending {}
        store.sync().unwrap();
        hand.advance(Duration::from_secs(60));
    }
    let stats = store.stats();
    assert!(stats.file_bytes <= 2 * stats.live_bytes + 6 * SEGMENT_LEN as u64, "{stats:?}");
}
