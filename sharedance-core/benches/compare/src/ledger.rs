//! The operations of a pass on each key, and the value that each key must have afterwards.

use crate::peer::Result;
use crate::workload::{Action, Key, Load, Phase, Random, shuffle};

/// The number of keys whose values are verified after each phase.
const SAMPLE: usize = 5_000;

/// One action on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Get,
    /// Sets the value with this number.
    Set(u32),
    Delete,
}

/// One operation of a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) key: Key,
    pub(crate) step: Step,
}

/// The operations of the current pass, and the number of each key's value.
pub(crate) struct Ledger {
    seed: u64,
    /// `None` after a delete.
    versions: Vec<Option<u32>>,
    order: Vec<u32>,
    operations: Vec<Operation>,
}

impl Ledger {
    /// Allocates all memory in advance, so that it is not counted as a peer's.
    pub(crate) fn new(load: &Load) -> Result<Ledger> {
        let key = Key::new(0);
        let longest = load.keys * Phase::Age.operations_per_key();
        Ok(Ledger {
            seed: load.seed,
            versions: vec![Some(0); load.keys],
            order: (0..u32::try_from(load.keys)?).collect(),
            operations: vec![Operation { key, step: Step::Get }; longest],
        })
    }

    /// Returns the operations of `phase`, and records their results as if they had been executed.
    pub(crate) fn plan(&mut self, phase: Phase) -> &[Operation] {
        let random = &mut Random::new(self.seed * 100 + phase as u64);
        if !phase.is_drawn() {
            shuffle(&mut self.order, random);
        }
        self.operations.clear();
        for i in 0..self.order.len() * phase.operations_per_key() {
            let index = if phase.is_drawn() { random.below(self.order.len()) as u32 } else { self.order[i] };
            let version = &mut self.versions[index as usize];
            let step = match phase.action() {
                Action::Get => Step::Get,
                Action::GetOrOverwrite if random.below(2) == 0 => Step::Get,
                Action::Set => Step::Set(version.unwrap_or_default()),
                Action::Overwrite | Action::GetOrOverwrite => {
                    let next = version.map_or(0, |version| version + 1);
                    *version = Some(next);
                    Step::Set(next)
                }
                Action::Delete => {
                    *version = None;
                    Step::Delete
                }
            };
            self.operations.push(Operation { key: Key::new(index), step });
        }
        &self.operations
    }

    /// Returns a sample of the keys, spread over all of them, with the number of the value that each one must have.
    pub(crate) fn sample(&self) -> impl Iterator<Item = (Key, Option<u32>)> {
        let step = (self.order.len() / SAMPLE).max(1);
        self.order.iter().step_by(step).map(|index| (Key::new(*index), self.versions[*index as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { keys: 10_000, value_len: 100, threads: 1, seed: 1 };

    #[test]
    fn the_expected_values_follow_from_the_planned_operations() {
        let mut ledger = Ledger::new(&LOAD).unwrap();
        let mut naive = std::collections::HashMap::new();
        for phase in Phase::ALL {
            for operation in ledger.plan(phase) {
                match operation.step {
                    Step::Get => assert!(naive.contains_key(&operation.key.index)),
                    Step::Set(version) => drop(naive.insert(operation.key.index, version)),
                    Step::Delete => assert!(naive.remove(&operation.key.index).is_some()),
                }
            }
            assert!(ledger.sample().all(|(key, version)| naive.get(&key.index).copied() == version), "{phase:?}");
        }
        assert!(naive.is_empty());
    }

    #[test]
    fn half_of_the_mixed_operations_are_sets_and_drawn_keys_leave_some_out() {
        let mut ledger = Ledger::new(&LOAD).unwrap();
        ledger.plan(Phase::SetNew);
        let sets = ledger.plan(Phase::Half).iter().filter(|operation| operation.step != Step::Get).count();
        assert!((4_500..5_500).contains(&sets), "{sets}");
        let mut drawn: Vec<_> = ledger.plan(Phase::Overwrite).iter().map(|operation| operation.key.index).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert!((6_000..6_700).contains(&drawn.len()), "{} of 10 000 at least once", drawn.len());
    }

    #[test]
    fn threads_that_share_a_pass_have_distinct_keys() {
        let mut ledger = Ledger::new(&LOAD).unwrap();
        for phase in Phase::ALL.into_iter().filter(|phase| phase.is_shared()) {
            let mut keys: Vec<_> = ledger.plan(phase).iter().map(|operation| operation.key.index).collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), LOAD.keys);
        }
    }
}
