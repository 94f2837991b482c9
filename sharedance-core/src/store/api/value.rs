//! A value as it is read: mapped bytes, held for as long as they are looked at.

use std::fmt;
use std::ops::Deref;

use crate::store::disk::format::Kind;
use crate::store::segment::record::Pinned;

/// The bytes of a value, straight from the mapping: nothing is copied. It derefs to `[u8]`.
///
/// The bytes never change, whatever becomes of the pair. The guard pins the segment that they lie in: its file cannot
/// be recycled before the guard is dropped, so hold it for as long as the bytes are used and no longer. It may outlive
/// the [`Store`](crate::store::Store), whose directory stays locked meanwhile. Its clones pin the same bytes.
///
/// ```
/// # use sharedance_core::store::Store;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.set("user:17", "Ada")?;
/// let before = store.get("user:17").unwrap();
/// store.set("user:17", "Grace")?;
/// assert_eq!((before.len(), &before[..]), (3, &b"Ada"[..]));
/// // To keep it for long, copy it.
/// let kept: Vec<u8> = before.to_vec();
/// assert_eq!(before, kept);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Value {
    pinned: Pinned,
}

impl Value {
    pub(crate) fn new(pinned: Pinned) -> Value {
        Value { pinned }
    }

    /// Distinguishes this value of the key from all others that it had, or will have: it grows with each write, and stays when
    /// the deadline is moved. See [`Condition::Version`](crate::store::Condition::Version).
    ///
    /// ```
    /// # use sharedance_core::store::{Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// let version = store.get("user:17").unwrap().version();
    /// store.touch("user:17", Ttl::Never)?;
    /// assert_eq!(store.get("user:17").unwrap().version(), version);
    /// store.set("user:17", "Grace")?;
    /// assert!(store.get("user:17").unwrap().version() > version);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A value that has been there while some thousand million other writes took place may change its version once,
    /// without a write.
    pub fn version(&self) -> u64 {
        self.pinned.version()
    }

    /// The number that was stored with it, [`Attributes::client_flags`](crate::store::Attributes::client_flags); zero where
    /// there was none.
    ///
    /// ```
    /// # use sharedance_core::store::{Attributes, Condition, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// const COMPRESSED: u32 = 1;
    /// let attributes = Attributes { client_flags: COMPRESSED, ..Attributes::default() };
    /// store.write("page", "…", attributes, Condition::Always)?;
    /// assert_eq!(store.get("page").unwrap().client_flags(), COMPRESSED);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn client_flags(&self) -> u32 {
        self.pinned.client_flags()
    }

    /// Whether the value has a file to itself, as big ones do: holding it then keeps nothing else from being recycled.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("name", "Ada")?;
    /// store.set("portrait", &vec![0; 3 << 20])?;
    /// assert!(!store.get("name").unwrap().is_alone());
    /// assert!(store.get("portrait").unwrap().is_alone());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_alone(&self) -> bool {
        self.pinned.segment().header.kind == Kind::Big
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.pinned.value()
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

/// Prints the length alone: a value may hold a secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Clock;
    use crate::store::{Options, Store};

    fn open(dir: &tempfile::TempDir) -> Store {
        Options::new().segment_len(65_536).clock(Clock::manual().0).open(dir.path()).unwrap()
    }

    #[test]
    fn a_value_is_its_bytes_and_prints_none_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        store.set(b"key", b"secret").unwrap();
        let value = store.get(b"key").unwrap();
        assert_eq!((&value[..], value.as_ref()), (&b"secret"[..], &b"secret"[..]));
        assert_eq!(value, "secret");
        assert_eq!(format!("{value:?} {store:?}").matches("secret").count(), 0);
        assert_eq!(format!("{value:?}"), "Value(6 bytes)");
    }

    #[test]
    fn a_big_value_is_alone_and_outlives_its_file_and_its_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        store.set(b"small", &[1; 16_000]).unwrap();
        store.set(b"big", &[2; 17_000]).unwrap();
        let (small, big) = (store.get(b"small").unwrap(), store.get(b"big").unwrap());
        assert!(!small.is_alone() && big.is_alone());
        store.clear().unwrap();
        store.maintain(10).unwrap();
        drop(store);
        assert!(small == [1; 16_000] && big == [2; 17_000]);
    }
}
