//! A value as it is read: mapped bytes, held for as long as they are looked at.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::format::Kind;
use super::segment::{Record, Segment};

/// The bytes of a value, straight from the mapping: nothing is copied.
///
/// The bytes never change, whatever becomes of the pair. The guard pins the segment that they lie in: its file cannot
/// be recycled before the guard is dropped, so hold it for as long as the bytes are used and no longer. It may outlive
/// the [`Store`](super::Store), whose directory stays locked meanwhile.
#[derive(Clone)]
pub struct Value {
    segment: Arc<Segment>,
    record: Record,
}

impl Value {
    pub(crate) fn new(segment: Arc<Segment>, record: Record) -> Value {
        Value { segment, record }
    }

    /// Whether the value has a file to itself, as big ones do: holding it then keeps nothing else from being recycled.
    pub fn is_alone(&self) -> bool {
        self.segment.header.kind == Kind::Big
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.segment.value(&self.record)
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
