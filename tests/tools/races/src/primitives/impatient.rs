//! A condition variable for which no time passes. A wait with a timeout ends at once, because the duration of the other
//! threads' steps is unknown. A wait without one is the checker's own.

use std::sync::LockResult;
use std::time::Duration;

#[cfg(loom)]
use ::loom::sync::Condvar as Inner;
#[cfg(shuttle)]
use ::shuttle::sync::Condvar as Inner;

use super::MutexGuard;

#[derive(Debug, Default)]
pub(crate) struct Condvar(Inner);

/// Whether a wait timed out.
#[derive(Debug)]
pub(crate) struct WaitTimeoutResult(#[allow(dead_code)] bool);

type Waited<'a, T> = LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>;

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar::default()
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    pub(crate) fn wait_timeout<'a, T>(&self, guard: MutexGuard<'a, T>, _most: Duration) -> Waited<'a, T> {
        Ok((guard, WaitTimeoutResult(true)))
    }

    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        _most: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Waited<'a, T> {
        let waited = condition(&mut guard);
        Ok((guard, WaitTimeoutResult(waited)))
    }
}
