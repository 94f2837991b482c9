//! The snapshots of the last minute.

use std::collections::VecDeque;
use std::time::Duration;

use super::snapshot::Snapshot;

/// How often a snapshot is taken.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);

/// How many snapshots are kept: those of a minute.
const LEN: usize = 31;

/// Rates are those of this many intervals.
const RATE_INTERVALS: usize = 5;

/// The snapshots of the last minute, the latest last.
#[derive(Debug)]
pub(super) struct History {
    snapshots: VecDeque<Snapshot>,
}

impl History {
    pub(super) fn new(first: Snapshot) -> History {
        History { snapshots: VecDeque::from([first]) }
    }

    pub(super) fn push(&mut self, snapshot: Snapshot) {
        if self.snapshots.len() == LEN {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back(snapshot);
    }

    /// The oldest snapshot, which is at most a minute old.
    pub(super) fn minute_ago(&self) -> &Snapshot {
        &self.snapshots[0]
    }

    /// The rate of a count per second, over the last ten seconds up to `now`.
    pub(super) fn rate(&self, now: &Snapshot, count: impl Fn(&Snapshot) -> u64) -> f64 {
        let from = self.snapshots.len().saturating_sub(RATE_INTERVALS);
        rate(&self.snapshots[from], now, count)
    }

    /// The rates of a count per second in each interval of the last minute.
    pub(super) fn rates(&self, count: impl Fn(&Snapshot) -> u64) -> Vec<f64> {
        let later = self.snapshots.iter().skip(1);
        self.snapshots.iter().zip(later).map(|(from, to)| rate(from, to, &count)).collect()
    }
}

fn rate(from: &Snapshot, to: &Snapshot, count: impl Fn(&Snapshot) -> u64) -> f64 {
    let time = to.at.saturating_duration_since(from.at).as_secs_f64();
    if time > 0.0 { count(to).saturating_sub(count(from)) as f64 / time } else { 0.0 }
}
