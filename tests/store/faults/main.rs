//! System calls that fail: each one that the store makes, at its first, second … N-th time, with EIO and with ENOSPC.
//!
//! `strace` makes them fail in a process that works on a store and compares it with a model: `faults/work.rs`. After
//! any failure, acknowledged writes are there, refused operations have changed nothing, and the store continues to
//! work. A failed sync makes the store read-only, and its errors say so. `FAULTS` sets how many calls of each kind are
//! tried: one by default; a large number tries all.

// A test that cannot use its own files fails at once.
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

/// The calls that the store makes. If other code makes the same call, the store's calls are identified by their file.
const CALLS: &str = "openat,fallocate,ftruncate,mmap,madvise,msync,fdatasync,fsync,rename,renameat,unlink,unlinkat,\
                     pread64,pwrite64,mkdir,getdents64,statfs,fstatfs,statx,fstat,newfstatat,flock,getrandom";
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];

/// Returns how many calls of each kind are made to fail.
fn samples() -> usize {
    std::env::var("FAULTS").ok().and_then(|samples| samples.parse().ok()).unwrap_or(1)
}

/// Selects the calls that fail, and their errors: some of each kind, spread evenly, with either error alternately; with
/// both errors if all are tried.
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
        eprintln!("skipped: strace is missing, or may not trace");
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
    let (hit, reported, read_only) =
        (count(|outcome| outcome.was_hit), count(|outcome| outcome.errors > 0), count(|outcome| outcome.was_read_only));
    eprintln!(
        "{:?}: {} calls, {} made to fail, {hit} of them were made, {reported} were reported, {read_only} left it read-only",
        MODES[mode],
        calls.len(),
        outcomes.len()
    );
    // The calls and their number differ slightly between runs.
    assert!(hit * 10 >= outcomes.len() * 9, "{hit} of {} were made", outcomes.len());
    assert!(reported > 0 && read_only > 0);
}

#[test]
fn invariant_08_any_failed_call_loses_no_acknowledged_write_under_os() {
    fail_each(0, &scratch::parent());
}

#[test]
fn invariant_08_any_failed_call_loses_no_acknowledged_write_under_interval() {
    fail_each(1, &scratch::parent());
}

#[test]
fn invariant_08_any_failed_call_loses_no_acknowledged_write_under_always() {
    fail_each(2, &scratch::parent());
}

/// On a disk, new files are written before they are mapped, and syncs have an effect.
#[test]
fn invariant_08_any_failed_call_loses_no_acknowledged_write_on_a_disk() {
    fail_each(0, Path::new(env!("CARGO_TARGET_TMPDIR")));
}
