//! The scenarios, and how the checkers run them.

#[cfg(not(loom))]
mod deadlines;
#[cfg(loom)]
mod orderings;
#[cfg(not(loom))]
mod pairs;
#[cfg(not(loom))]
mod room;
#[cfg(not(loom))]
mod syncs;
#[cfg(not(loom))]
mod world;

#[cfg(not(loom))]
pub(crate) const DEFAULT_ROUNDS: usize = if cfg!(shuttle) { 10_000 } else { 100 };

/// The scenarios by name. Each starts from the beginning in every order, and panics in a forbidden one.
#[cfg(not(loom))]
pub(crate) const SCENARIOS: &[(&str, fn())] = &[
    ("operations", pairs::operations),
    ("compaction", pairs::compaction),
    ("eviction", pairs::eviction),
    ("deadlines", deadlines::touches_against_the_sweep),
    ("room", room::writers_of_a_full_store),
    ("syncs", syncs::writers_that_share_syncs),
    #[cfg(visible_locks)]
    ("maintenance", pairs::maintenance),
];

/// Runs `scenario` in `rounds` orders. Half of them are drawn evenly at each step. The other half has priorities that
/// change a few times (Burckhardt and others, 2010), which finds faults that need a thread to wait for long.
#[cfg(shuttle)]
pub(crate) fn explore(name: &str, scenario: fn(), rounds: usize) {
    use std::hash::{BuildHasher, RandomState};

    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::{Config, FailurePersistence, Runner};

    const CHANGES_OF_PRIORITY: usize = 4;
    const STACK_LEN: usize = 256 * 1024;

    let mut config = Config::new();
    config.stack_size = STACK_LEN;
    config.silence_warnings = true;
    config.failure_persistence = FailurePersistence::None;
    let seed_of = |text: String| text.parse().ok();
    let seed = std::env::var("RACES_SEED").ok().and_then(seed_of).unwrap_or_else(|| RandomState::new().hash_one(name));
    println!("{name}: RACES_SEED={seed}");
    Runner::new(RandomScheduler::new_from_seed(seed, rounds.div_ceil(2)), config.clone()).run(scenario);
    Runner::new(PctScheduler::new_from_seed(seed, CHANGES_OF_PRIORITY, rounds / 2), config).run(scenario);
}

/// Runs `scenario` in `rounds` rounds, on threads that no checker controls.
#[cfg(visible_locks)]
pub(crate) fn explore(_name: &str, scenario: fn(), rounds: usize) {
    (0..rounds).for_each(|_| scenario());
}

#[cfg(loom)]
pub(crate) use orderings::{DEFAULT_ROUNDS, SCENARIOS, explore};
