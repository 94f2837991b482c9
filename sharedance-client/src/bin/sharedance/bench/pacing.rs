//! When the next requests of a connection are due.

/// The pace of requests: the rate of `--rate`, or the rate of the responses.
#[derive(Debug, Clone)]
pub(super) enum Pacing {
    /// The next requests follow when all earlier ones have responses.
    Eager,
    /// At even intervals, regardless of pending responses.
    Even { next_due_ns: f64, interval_ns: f64 },
}

impl Pacing {
    /// The pacing of connection `number` of `count` connections that share a rate. They take turns.
    pub(super) fn new(rate: Option<f64>, number: u32, connections: u32, now_ns: u64) -> Pacing {
        match rate {
            None => Pacing::Eager,
            Some(rate) => {
                let interval_ns = 1e9 * f64::from(connections) / rate;
                let share = f64::from(number) / f64::from(connections);
                Pacing::Even { next_due_ns: now_ns as f64 + share * interval_ns, interval_ns }
            }
        }
    }

    /// The time from which the latency of the next request counts, if it is due.
    pub(super) fn take(&mut self, now_ns: u64) -> Option<u64> {
        match self {
            Pacing::Eager => Some(now_ns),
            Pacing::Even { next_due_ns, interval_ns } => {
                let due_ns = *next_due_ns as u64;
                (due_ns <= now_ns).then(|| {
                    *next_due_ns += *interval_ns;
                    due_ns
                })
            }
        }
    }

    /// When the next request is due, if that depends on time.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        match self {
            Pacing::Eager => None,
            Pacing::Even { next_due_ns, .. } => Some(*next_due_ns as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_and_latency_of_late_requests_counts_from_when_they_were_due() {
        // 1000 requests per second on two connections: one each millisecond.
        let mut pacings = [0, 1].map(|number| Pacing::new(Some(1000.0), number, 2, 5_000_000));
        assert_eq!(pacings[0].take(5_000_000), Some(5_000_000));
        assert_eq!(pacings[1].take(5_000_000), None);
        assert_eq!(pacings[1].next_due_ns(), Some(6_000_000));
        // The server was busy for ten milliseconds.
        let late: Vec<u64> = std::iter::from_fn(|| pacings[0].take(15_000_000)).collect();
        assert_eq!(late, [7_000_000, 9_000_000, 11_000_000, 13_000_000, 15_000_000]);
    }

    #[test]
    fn without_a_rate_the_next_is_due_at_once() {
        let mut pacing = Pacing::new(None, 0, 1, 0);
        assert_eq!((pacing.take(7), pacing.take(7), pacing.next_due_ns()), (Some(7), Some(7), None));
    }
}
