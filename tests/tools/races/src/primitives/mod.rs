//! The checkers' replacements for the standard library's locks, atomics, shared ownership and threads, and for mapped
//! memory (`region.rs`).

#[cfg(any(loom, visible_locks))]
mod counted;
#[cfg(any(loom, shuttle))]
mod impatient;
#[cfg(loom)]
mod loom;
#[cfg(shuttle)]
mod shuttle;
#[cfg(visible_locks)]
mod visible;

#[cfg(loom)]
pub(crate) use self::loom::*;
#[cfg(shuttle)]
pub(crate) use self::shuttle::*;
#[cfg(visible_locks)]
pub(crate) use self::visible::*;
