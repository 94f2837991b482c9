//! A value as it is read: mapped bytes, pinned in their segment.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use crate::Version;
use crate::store::disk::format::Kind;
use crate::store::segment::record::Pinned;

/// The bytes of a value in the mapping: nothing is copied. It derefs to `[u8]`.
///
/// The bytes never change, even if the pair is overwritten, deleted or expires. The value pins the segment of its bytes:
/// that file is not recycled before the value is dropped. So hold it while the bytes are used, and no longer. It may
/// outlive the [`Store`](crate::store::Store), whose directory stays locked meanwhile. Its clones pin the same bytes.
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
/// let kept = Vec::from(before);
/// assert_eq!(kept, b"Ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # With `bytes`
///
/// A value is `AsRef<[u8]> + Send + 'static`. So it converts without a copy to the `Bytes` that HTTP libraries take:
///
/// ```
/// use bytes::Bytes;
///
/// # use sharedance_core::store::Store;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.set("page:1", "<html>")?;
/// let body: Option<Bytes> = store.get("page:1").map(Bytes::from_owner);
/// assert_eq!(body.unwrap(), "<html>");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The segment is pinned until the last clone of the `Bytes` is dropped: for a response until the peer has received it.
#[derive(Clone)]
pub struct Value {
    pinned: Pinned,
}

impl Value {
    pub(crate) fn new(pinned: Pinned) -> Value {
        Value { pinned }
    }

    /// The version of this value. It grows with each write of the key, and stays when the deadline is moved. See [`Condition::Version`](crate::store::Condition::Version).
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
    pub fn version(&self) -> Version {
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
    /// let attributes = Attributes::default().client_flags(COMPRESSED);
    /// assert!(store.write("page", "…", attributes, Condition::Always)?.is_stored());
    /// assert_eq!(store.get("page").unwrap().client_flags(), COMPRESSED);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn client_flags(&self) -> u32 {
        self.pinned.client_flags()
    }

    /// Whether the value has a file of its own, as large values have. Holding it then pins no other pair's segment.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("name", "Ada")?;
    /// store.set("portrait", vec![0; 3 << 20])?;
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

impl Eq for Value {}

/// As the hash of the bytes.
impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

/// Copies the bytes.
impl From<Value> for Vec<u8> {
    fn from(value: Value) -> Vec<u8> {
        value.to_vec()
    }
}

/// Prints only the length: a value may be a secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use crate::clock::Clock;
    use crate::store::{Options, Store};

    fn open(dir: &tempfile::TempDir) -> Store {
        Options::manual().segment_len(65_536).clock(Clock::manual().0).open(dir.path()).unwrap()
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
    fn values_with_the_same_bytes_are_equal_and_have_the_same_hash() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        for (key, value) in [("a", "same"), ("b", "same"), ("c", "other")] {
            store.set(key, value).unwrap();
        }
        let values = store.get_many(["a", "b", "c"]).into_iter().flatten().collect::<Vec<_>>();
        let hasher = RandomState::new();
        let hashes: Vec<u64> = values.iter().map(|value| hasher.hash_one(value)).collect();
        assert!(values[0] == values[1] && values[0] != values[2]);
        assert!(hashes[0] == hashes[1] && hashes[0] == hasher.hash_one(&b"same"[..]));
        assert_eq!(values.into_iter().map(Vec::from).collect::<Vec<_>>(), [&b"same"[..], b"same", b"other"]);
    }

    #[test]
    fn a_big_value_is_alone_and_outlives_its_file_and_its_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        store.set(b"small", [1; 16_000]).unwrap();
        store.set(b"big", [2; 17_000]).unwrap();
        let (small, big) = (store.get(b"small").unwrap(), store.get(b"big").unwrap());
        assert!(!small.is_alone() && big.is_alone());
        store.clear().unwrap();
        store.maintain(10).unwrap();
        drop(store);
        assert!(small == [1; 16_000] && big == [2; 17_000]);
    }
}
