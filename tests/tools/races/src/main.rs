//! The engine's own sources, compiled with the locks, atomics and threads of a checker instead of the standard ones:
//! `--features shuttle`, `loom`, or `threads`, which is for sanitizers. The scenarios are in `engine/`, a module of the
//! store, because they use private parts of it.
//!
//! `sharedance-races [ROUNDS] [SCENARIO]` runs all scenarios, or the named one. A round is one order of all steps of
//! the threads. loom tries every order with at most ROUNDS interruptions.

#![cfg_attr(any(loom, visible_locks), feature(arbitrary_self_types))]

// The shared test code of the store refers to `sharedance_core`.
extern crate self as sharedance_core;

#[path = "../../../support/src/chance.rs"]
#[cfg(not(loom))]
#[allow(dead_code)]
mod chance;
#[path = "../../../store/linearizable/checker.rs"]
#[cfg(not(loom))]
mod checker;
#[path = "../../../../sharedance-core/src/clock.rs"]
pub mod clock;
#[path = "../../../store/linearizable/pair.rs"]
#[cfg(not(loom))]
#[allow(dead_code, unreachable_patterns)]
mod pair;
#[path = "../../../support/src/scratch.rs"]
#[cfg(not(loom))]
#[allow(dead_code, clippy::unwrap_used)]
mod scratch;
#[path = "../../../../sharedance-core/src/store/mod.rs"]
pub mod store;
#[path = "../../../../sharedance-core/src/write_result.rs"]
mod write_result;

pub use write_result::{Version, WriteResult};

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let rounds = match args.next().map(|rounds| rounds.parse()) {
        None => store::races::DEFAULT_ROUNDS,
        Some(Ok(rounds)) => rounds,
        Some(Err(_)) => {
            eprintln!("usage: sharedance-races [ROUNDS] [SCENARIO]");
            return ExitCode::from(2);
        }
    };
    let named = args.next();
    let mut passed = 0;
    for (name, scenario) in store::races::SCENARIOS {
        if named.as_ref().is_none_or(|named| named == name) {
            let begun = std::time::Instant::now();
            store::races::explore(name, *scenario, rounds);
            println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
            passed += 1;
        }
    }
    println!("{passed} passed, 0 failed");
    if passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
