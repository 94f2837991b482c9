//! Kills a real process with `kill -9` under write load, in each durability mode, while segments rotate and are
//! compacted. Between two runs the wall clock is stepped forwards or backwards, and sometimes the boot changes.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use sharedance_core::clock::ManualClock;
use sharedance_core::store::Store;

use crate::rounds;
use crate::scratch::{self, Chance, SEGMENT_LEN};
use crate::writer::{Expires, KEYS, Kind, Known, LIFETIME, Life, MODES, Writer, expectations, look};

/// Kills the writer repeatedly, and checks each time that every key has its last acknowledged operation, or the one in
/// flight.
fn kill_repeatedly(mode: usize) {
    let dir = scratch::directory();
    let mut chance = Chance(mode as u64);
    let mut life = Life { seed: 0, mode, boot: 1, boot_secs: 0, wall_secs: 1_000_000_000 };
    let mut known: BTreeMap<_, _> = (0..KEYS).map(|i| (i, Known::Absent)).collect();
    let (mut operations, mut superseded, mut compacted, mut reboots) = (0, 0, 0, 0);
    let mut round = 0;
    // Until the writer has compacted, on any machine.
    while round < rounds(7) || operations == 0 || compacted == 0 {
        round += 1;
        assert!(round < rounds(7) + 100, "{operations} operations, {compacted} bytes compacted");
        life.next(&mut chance);
        let writer = Writer::start(dir.path(), life);
        // Usually while it writes, sometimes while it opens.
        if chance.percent(85) {
            writer.wait_until_it_reported(1);
        }
        thread::sleep(Duration::from_micros(chance.below(150_000)));
        let reported = writer.kill();
        operations += reported.iter().filter(|report| report.kind == Kind::Done).count();
        compacted += reported
            .iter()
            .filter(|report| report.kind == Kind::Compacted)
            .map(|reported| reported.version)
            .sum::<u64>();
        let lived_on = life.boot;
        life.next(&mut chance);
        let (store, hand) = life.open(dir.path());
        let report = store.recovery();
        reboots += u64::from(lived_on != life.boot);
        assert!(report.same_boot == (lived_on == life.boot) || reported.is_empty(), "round {round}");
        assert_eq!(report.dropped, 0, "round {round}: {report:?}");
        assert!(report.set_aside.is_empty() && report.foreign.is_empty(), "round {round}: {report:?}");
        superseded += report.superseded;
        // Whatever the clocks did, short-lived pairs have expired now.
        hand.advance(LIFETIME / 2);
        for (i, states) in expectations(&known, &reported) {
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
        assert_eq!((store.recovery().superseded, store.recovery().dropped), (0, 0), "reopening gives the same pairs");
    }
    eprintln!(
        "{:?}: {round} kills, {operations} acknowledged operations, {superseded} superseded records, {compacted} bytes \
         compacted, {reboots} reboots",
        MODES[mode]
    );
    life.next(&mut chance);
    let (store, hand) = life.open(dir.path());
    check_space(&store, &hand);
}

#[test]
fn invariant_02_after_kill_9_every_key_is_at_its_last_acknowledged_operation_under_os() {
    kill_repeatedly(0);
}

#[test]
fn invariant_02_after_kill_9_every_key_is_at_its_last_acknowledged_operation_under_interval() {
    kill_repeatedly(1);
}

#[test]
fn invariant_02_after_kill_9_every_key_is_at_its_last_acknowledged_operation_under_always() {
    kill_repeatedly(2);
}

/// Checks that the store needs no more space after many kills than without.
fn check_space(store: &Store, hand: &ManualClock) {
    for _ in 0..4 {
        while store.maintain(10_000).unwrap().pending {}
        store.sync().unwrap();
        hand.advance(Duration::from_secs(60));
    }
    let stats = store.stats();
    assert!(stats.file_bytes <= 2 * stats.live_bytes + 6 * SEGMENT_LEN as u64, "{stats:?}");
}
