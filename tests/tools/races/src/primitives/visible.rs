//! Locks that ThreadSanitizer can observe, because all of them are instrumented code. The standard ones wait in the
//! precompiled library, where it observes nothing, and it then reports the accesses that they separated as races. These
//! locks wait by yielding, so they are for tests only.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::LockResult;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) use std::sync::atomic;

pub(crate) use super::counted::{Arc, Weak};

pub(crate) type MappedWord = atomic::AtomicU64;

pub(crate) fn before_access() {}

/// The number of readers, or a mark for a writer.
const WRITER: usize = usize::MAX;

#[derive(Debug, Default)]
pub(crate) struct RwLock<T> {
    state: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: `state` admits one writer or any number of readers at a time.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

#[derive(Debug)]
pub(crate) struct RwLockReadGuard<'a, T>(&'a RwLock<T>);

#[derive(Debug)]
pub(crate) struct RwLockWriteGuard<'a, T>(&'a RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> RwLock<T> {
        RwLock { state: AtomicUsize::new(0), value: UnsafeCell::new(value) }
    }

    pub(crate) fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.wait_for(|readers| (readers < WRITER - 1).then(|| readers + 1));
        Ok(RwLockReadGuard(self))
    }

    pub(crate) fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.wait_for(|readers| (readers == 0).then_some(WRITER));
        Ok(RwLockWriteGuard(self))
    }

    fn wait_for(&self, next: impl Fn(usize) -> Option<usize>) {
        while self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, &next).is_err() {
            thread::yield_now();
        }
    }

    fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard is one of the counted readers.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(1, Ordering::Release);
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard is the one writer.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the one writer.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.0.state.store(0, Ordering::Release);
    }
}

/// A lock for writers only.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(RwLock<T>);

// SAFETY: there is one writer at a time and no reader, so the value need not be `Sync`.
unsafe impl<T: Send> Sync for Mutex<T> {}

pub(crate) type MutexGuard<'a, T> = RwLockWriteGuard<'a, T>;

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(RwLock::new(value))
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.0.write()
    }

    pub(crate) fn into_inner(self) -> LockResult<T> {
        Ok(self.0.into_inner())
    }
}

/// Wakes all waiting threads: a wait may end without a reason.
#[derive(Debug, Default)]
pub(crate) struct Condvar {
    notified: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct WaitTimeoutResult(#[allow(dead_code)] bool);

type Waited<'a, T> = LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>;

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar::default()
    }

    pub(crate) fn notify_one(&self) {
        self.notify_all();
    }

    pub(crate) fn notify_all(&self) {
        self.notified.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        Ok(self.wait_until(guard, None))
    }

    pub(crate) fn wait_timeout<'a, T>(&self, guard: MutexGuard<'a, T>, most: Duration) -> Waited<'a, T> {
        let end = Instant::now() + most;
        Ok((self.wait_until(guard, Some(end)), WaitTimeoutResult(Instant::now() >= end)))
    }

    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        most: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Waited<'a, T> {
        let end = Instant::now() + most;
        while condition(&mut guard) {
            if Instant::now() >= end {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = self.wait_until(guard, Some(end));
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    fn wait_until<'a, T>(&self, guard: MutexGuard<'a, T>, end: Option<Instant>) -> MutexGuard<'a, T> {
        let lock = guard.0;
        let before = self.notified.load(Ordering::Acquire);
        drop(guard);
        while self.notified.load(Ordering::Acquire) == before && end.is_none_or(|end| Instant::now() < end) {
            thread::yield_now();
        }
        lock.wait_for(|readers| (readers == 0).then_some(WRITER));
        RwLockWriteGuard(lock)
    }
}

/// Set once, by the first caller.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    setting: Mutex<()>,
    is_set: AtomicBool,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is written before `is_set` is, by one thread at a time, and only read afterwards.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> OnceLock<T> {
        OnceLock { setting: Mutex::default(), is_set: AtomicBool::new(false), value: UnsafeCell::new(None) }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if !self.is_set.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: it is set, and is not written again.
        unsafe { &*self.value.get() }.as_ref()
    }

    pub(crate) fn get_or_init(&self, value: impl FnOnce() -> T) -> &T {
        let _setting = self.setting.lock();
        if !self.is_set.load(Ordering::Acquire) {
            // SAFETY: it is not set, and no other thread is setting it.
            unsafe { *self.value.get() = Some(value()) };
            self.is_set.store(true, Ordering::Release);
        }
        match self.get() {
            Some(value) => value,
            None => unreachable!("it was set above"),
        }
    }
}

pub(crate) mod thread {
    use std::sync::PoisonError;
    use std::thread::{Result, ScopedJoinHandle as Thread, scope as standard_scope};

    pub(crate) use std::thread::{Builder, JoinHandle, available_parallelism, current, yield_now};

    use super::{Arc, Mutex, MutexGuard};

    /// A scope that joins its threads one by one at its end: ThreadSanitizer cannot observe how the standard one waits
    /// for them.
    pub(crate) struct Scope<'scope, 'env: 'scope> {
        scope: &'scope std::thread::Scope<'scope, 'env>,
        threads: Mutex<Vec<Arc<Mutex<Option<Thread<'scope, ()>>>>>>,
    }

    pub(crate) struct ScopedJoinHandle<'scope, T> {
        thread: Arc<Mutex<Option<Thread<'scope, ()>>>>,
        result: Arc<Mutex<Option<T>>>,
    }

    pub(crate) fn scope<'env, T>(run: impl for<'scope> FnOnce(&Scope<'scope, 'env>) -> T) -> T {
        standard_scope(|scope| {
            let scope = Scope { scope, threads: Mutex::default() };
            let result = run(&scope);
            for thread in scope.threads.into_inner().into_iter().flatten() {
                join(&thread).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
            result
        })
    }

    fn join(thread: &Mutex<Option<Thread<'_, ()>>>) -> Result<()> {
        let thread = lock(thread).take();
        thread.map_or(Ok(()), Thread::join)
    }

    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    impl<'scope> Scope<'scope, '_> {
        pub(crate) fn spawn<T: Send + 'scope>(
            &self,
            run: impl FnOnce() -> T + Send + 'scope,
        ) -> ScopedJoinHandle<'scope, T> {
            let result = Arc::new(Mutex::new(None));
            let place = result.clone();
            let thread = self.scope.spawn(move || {
                let result = run();
                *lock(&place) = Some(result);
            });
            let thread = Arc::new(Mutex::new(Some(thread)));
            lock(&self.threads).push(thread.clone());
            ScopedJoinHandle { thread, result }
        }
    }

    impl<T> ScopedJoinHandle<'_, T> {
        pub(crate) fn join(self) -> Result<T> {
            join(&self.thread)?;
            let result = lock(&self.result).take();
            match result {
                Some(result) => Ok(result),
                None => unreachable!("a thread that did not panic has a result"),
            }
        }
    }
}
