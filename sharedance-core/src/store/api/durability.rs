//! What acknowledged writes survive, and what to keep after a restart of the machine.

use std::time::Duration;

/// What an acknowledged write survives, a delete included. Every mode survives the death of the process at any instant;
/// they differ in what a crash of the system, or a power cut, may cost, and in what a write waits for.
///
/// ```
/// # use std::time::Duration;
/// # use sharedance_core::store::{Durability, Options};
/// # let dir = tempfile::tempdir()?;
/// // Orders may not be lost; a second of clicks may.
/// let orders = Options::new().durability(Durability::Always).open(dir.path().join("orders"))?;
/// let clicks = Durability::Interval(Duration::from_secs(1));
/// let clicks = Options::new().durability(clicks).open(dir.path().join("clicks"))?;
/// orders.set("order:1", "paid")?;
/// clicks.set("click:1", "front page")?;
/// # drop(orders);
/// # let orders = Options::new().open(dir.path().join("orders"))?;
/// # assert_eq!(orders.get("order:1").unwrap(), "paid");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Neither of the latter two loses a pair that was synced by overwriting it: the old value stays on the disk until the
/// new one is there. A sync writes only what has changed since the last one, and closing such a store syncs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Any death of the process. A crash of the system costs what it had not yet written back, some seconds to half a
    /// minute of writes: of a key that was written in that time the older value may be left, or none. No write waits.
    #[default]
    Os,
    /// Also a crash of the system, except for writes and deletes within this time before it: such a key then has the
    /// value that it had at the last sync, or a later one. At least a millisecond.
    ///
    /// A sync begins when half the time has passed since the last one began. So the promise holds while syncs take up to
    /// half the time; where the disk takes longer, syncs follow one another without a pause, and writes within
    /// the length of two of them may be lost. A sync also begins early when a quarter of a million overwrites wait for it,
    /// which bounds the memory that they take.
    ///
    /// No write waits for a sync, because a thread of the store runs it. With
    /// [`Background::Manual`](crate::store::Background::Manual) and without a thread in
    /// [`Store::keep_synced`](crate::store::Store::keep_synced), the first write or
    /// [`Store::maintain`](crate::store::Store::maintain) that comes when a sync is due runs it; a write right before all
    /// calls cease is then only as safe as with [`Durability::Os`].
    Interval(Duration),
    /// Also a crash of the system at any time: each write, touch and delete waits for the next sync, which all waiting
    /// writers share. Writes that are acknowledged together share one sync in a [`Store::batch`](crate::store::Store::batch).
    Always,
}

/// What to do with a store that was last in use before the machine was restarted, whether orderly or by a crash, or that was
/// copied from elsewhere. That the process died, however it did, is no such thing: then all is there.
///
/// ```
/// # use sharedance_core::store::{BootId, Options, UncleanBoot};
/// # let dir = tempfile::tempdir()?;
/// # let rebooted = || Options::new().boot_id(Some(BootId::from_bytes([2; 16])));
/// let store = Options::new().boot_id(Some(BootId::from_bytes([1; 16]))).open(dir.path())?;
/// store.set("session:17", "user=ada")?;
/// drop(store);
/// // The machine is restarted. A page of a deleted session might have survived it: the store starts empty.
/// let store = rebooted().unclean_boot(UncleanBoot::Discard).open(dir.path())?;
/// assert!(!store.recovery().same_boot && store.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UncleanBoot {
    /// Keep records that verify. Pairs that were deleted within the time that the [`Durability`] may lose can be back.
    #[default]
    Salvage,
    /// Start empty: for sessions whose end must stick.
    Discard,
}
