//! The bytes of a record that will be written, as parts that follow each other.

/// The contents of a record: client flags, version, key and value.
///
/// The checksum is computed before the bytes are copied. It shows whether a segment already contains the same payload,
/// without fetching the bytes from memory.
#[derive(Clone, Copy)]
pub(crate) struct Payload<'a> {
    parts: [&'a [u8]; Payload::MAX_PARTS],
    count: usize,
    len: usize,
    crc: u32,
}

impl<'a> Payload<'a> {
    /// Client flags and a version, the key, and a value of two parts: the old value, and the part that is appended or
    /// prepended.
    const MAX_PARTS: usize = 4;

    /// # Panics
    /// If there are more parts than `MAX_PARTS`, which is a bug of this crate.
    pub(crate) fn of(parts: impl IntoIterator<Item = &'a [u8]>) -> Payload<'a> {
        let mut payload = Payload { parts: [&[]; Payload::MAX_PARTS], count: 0, len: 0, crc: 0 };
        for part in parts {
            payload.parts[payload.count] = part;
            payload.count += 1;
            payload.len += part.len();
            payload.crc = crc32c::crc32c_append(payload.crc, part);
        }
        payload
    }

    pub(crate) fn parts(&self) -> &[&'a [u8]] {
        &self.parts[..self.count]
    }

    /// The length of all parts, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The CRC-32C of all parts.
    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }

    /// Whether `bytes` equal the payload.
    pub(crate) fn is(&self, mut bytes: &[u8]) -> bool {
        let parts_agree = self.parts().iter().all(|part| match bytes.split_at_checked(part.len()) {
            Some((head, tail)) => {
                bytes = tail;
                head == *part
            }
            None => false,
        });
        parts_agree && bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_equals_its_parts_together() {
        let whole = b"key and value";
        for parts in [vec![&whole[..]], vec![b"key", b" and", b"", b" value"], vec![b"", b"key and value"]] {
            let payload = Payload::of(parts);
            assert_eq!((payload.len(), payload.crc()), (whole.len(), crc32c::crc32c(whole)));
            assert!(payload.is(whole));
            let others = [&b"key and valuE"[..], b"Key and value", b"key and value ", b"key and valu", b"key", b""];
            assert!(others.iter().all(|other| !payload.is(other)));
        }
        assert!(Payload::of([]).is(b"") && !Payload::of([]).is(b"x"));
    }
}
