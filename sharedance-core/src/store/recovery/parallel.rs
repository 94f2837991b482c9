//! Work that several threads share.

use std::io;

use crate::store::primitives::atomic::{AtomicUsize, Ordering};
use crate::store::primitives::{Condvar, Mutex, MutexGuard, PoisonError, thread};

/// The maximum number of threads. Recovery waits for the disk more than it computes.
const MAX_THREADS: usize = 4;

/// Runs `work` for each of `0..count`, on several threads if there is enough of it; stops at the first error.
pub(crate) fn in_parallel(count: usize, work: impl Fn(usize) -> io::Result<()> + Sync) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(count);
    let next = AtomicUsize::new(0);
    let run = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count {
                return Ok(());
            }
            work(i)?;
        }
    };
    if threads <= 1 {
        return run();
    }
    // A thread that starts while no memory mapping is available aborts the process. So the work, which creates
    // mappings, begins after all threads have started.
    let gate = Gate::default();
    thread::scope(|scope| {
        let opening = OpenOnDrop(&gate);
        let enter = || {
            gate.enter();
            run()
        };
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(enter)).collect();
        gate.wait_for(others.len());
        drop(opening);
        let own = run();
        others.into_iter().fold(own, |result, other| {
            let other = other.join().unwrap_or_else(|_| Err(io::Error::other("a recovery thread panicked")));
            result.and(other)
        })
    })
}

/// Blocks threads until it is opened.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    waiting: usize,
    is_open: bool,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the gate is open.
    fn enter(&self) {
        let mut state = self.lock();
        state.waiting += 1;
        self.changed.notify_all();
        while !state.is_open {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until this many threads wait at the gate.
    fn wait_for(&self, threads: usize) {
        let mut state = self.lock();
        while state.waiting < threads {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Opens the gate, even if a thread could not be started.
struct OpenOnDrop<'g>(&'g Gate);

impl Drop for OpenOnDrop<'_> {
    fn drop(&mut self) {
        self.0.lock().is_open = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn parallel_work_is_complete_or_returns_its_error() {
        let done = Mutex::new(BTreeSet::new());
        in_parallel(100, |i| {
            assert!(done.lock().unwrap().insert(i), "{i} is done twice");
            Ok(())
        })
        .unwrap();
        assert_eq!(done.lock().unwrap().len(), 100);
        for failing in [0, 50, 99] {
            let failure = in_parallel(100, |i| if i == failing { Err(io::Error::other("ill")) } else { Ok(()) });
            assert_eq!(failure.unwrap_err().to_string(), "ill");
        }
        in_parallel(0, |_| Err(io::Error::other("there is nothing to do"))).unwrap();
    }
}
