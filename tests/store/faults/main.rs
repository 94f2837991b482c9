//! System calls that fail: each that the store makes, at its first, second … N-th time, with EIO and with ENOSPC.
//!
//! `strace` makes them fail in a process that works on a store and holds it against a model: `faults/work.rs`. Whatever
//! fails, what was acknowledged is there, what was refused left everything as it was, and the store works on; a sync that
//! failed makes it read-only, and it says so. `FAULTS` says how many calls of
//! each kind are tried: one unless told, and with a number that is large enough all of them.

// A test that cannot use its own files is to fail at once.
#![allow(clippy::unwrap_used)]

mod trace;
mod work;

use sharedance_test_support::scratch;
use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use scratch::Chance;
use trace::{Call, Fault, Outcome};
use work::MODES;

/// What the store asks of the system: where something else asks for it as well, the store's part is told by its file.
const CALLS: &str = "openat,fallocate,ftruncate,mmap,madvise,msync,fdatasync,fsync,rename,renameat,unlink,unlinkat,\
                     pread64,pwrite64,mkdir,getdents64,statfs,fstatfs,statx,fstat,newfstatat,flock,getrandom";
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];

/// How many calls of each kind are made to fail.
fn samples() -> usize {
    std::env::var("FAULTS").ok().and_then(|samples| samples.parse().ok()).unwrap_or(1)
}

/// Which of `calls` are made to fail, and how: of each kind some, spread over all there are, with either error in turn;
/// with both where all are tried.
fn choose(calls: &[Call], chance: &mut Chance) -> Vec<Fault> {
    let mut by_name: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    calls.iter().for_each(|call| by_name.entry(&call.name).or_default().push(call));
    let mut faults = Vec::new();
    for of_name in by_name.values() {
        let (len, from) = (of_name.len(), chance.next_u64() as usize);
        let count = samples().min(2 * len);
        faults.extend((0..count).map(|i| {
            // Once around with one error each, then with the other.
            let place = if count < len { i * len / count } else { i };
            let call = of_name[(from % len + place) % len].clone();
            Fault { call, error: ERRORS[(from / len + i + i / len) % 2] }
        }));
    }
    faults
}

/// Makes calls fail one after the other, each in a process of its own.
fn fail_each(mode: usize, parent: &Path) {
    let Some(calls) = trace::calls(mode, parent, CALLS) else {
        eprintln!("skipped: strace is not here, or may not trace");
        return;
    };
    assert!(calls.len() > 100, "{}", calls.len());
    let faults = choose(&calls, &mut Chance(mode as u64));
    let halves = faults.split_at(faults.len() / 2);
    let outcomes: Vec<(Fault, Outcome)> = thread::scope(|scope| {
        let run = |faults: &[Fault]| -> Vec<_> {
            faults.iter().map(|fault| (fault.clone(), trace::run(mode, parent, CALLS, Some(fault)))).collect()
        };
        let (one, other) = (scope.spawn(move || run(halves.0)), scope.spawn(move || run(halves.1)));
        one.join().unwrap().into_iter().chain(other.join().unwrap()).collect()
    });
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.is_well).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:#?}", failed.len(), outcomes.len());
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, outcome)| wanted(outcome)).count();
    let (hit, told, read_only) =
        (count(|outcome| outcome.was_hit), count(|outcome| outcome.errors > 0), count(|outcome| outcome.was_read_only));
    eprintln!(
        "{:?}: {} calls, {} made to fail, {hit} of them were made, {told} were told, {read_only} left it read-only",
        MODES[mode],
        calls.len(),
        outcomes.len()
    );
    // Which calls are made, and how often, is not quite the same each time.
    assert!(hit * 10 >= outcomes.len() * 9, "{hit} of {} were made", outcomes.len());
    assert!(told > 0 && read_only > 0);
}

#[test]
fn invariant_08_whatever_call_fails_nothing_acknowledged_is_lost_under_os() {
    fail_each(0, &scratch::parent());
}

#[test]
fn invariant_08_whatever_call_fails_nothing_acknowledged_is_lost_under_interval() {
    fail_each(1, &scratch::parent());
}

#[test]
fn invariant_08_whatever_call_fails_nothing_acknowledged_is_lost_under_always() {
    fail_each(2, &scratch::parent());
}

/// On a disk new files are written before they are mapped, and syncs mean something.
#[test]
fn invariant_08_whatever_call_fails_nothing_acknowledged_is_lost_on_a_disk() {
    fail_each(0, Path::new(env!("CARGO_TARGET_TMPDIR")));
}
