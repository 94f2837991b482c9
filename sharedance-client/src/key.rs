//! The keys of the memcached dialect: 1 to 250 bytes without a space or a control byte.

use sharedance_core::protocol::{KeyError, MAX_KEY_LEN};

pub(crate) fn check(key: &[u8]) -> Result<(), KeyError> {
    match key.len() {
        0 => return Err(KeyError::Empty),
        len if len > MAX_KEY_LEN => return Err(KeyError::TooLong { len: len as u64 }),
        _ => {}
    }
    match key.iter().position(|&byte| byte <= b' ' || byte == 0x7f) {
        Some(offset) => Err(KeyError::ForbiddenByte { byte: key[offset], offset }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_end_a_key_in_the_dialect_are_refused() {
        for (key, expected) in [
            (&b""[..], KeyError::Empty),
            (&[b'k'; 251], KeyError::TooLong { len: 251 }),
            (b"a b", KeyError::ForbiddenByte { byte: b' ', offset: 1 }),
            (b"a\r\nflush_all", KeyError::ForbiddenByte { byte: b'\r', offset: 1 }),
            (b"\0", KeyError::ForbiddenByte { byte: 0, offset: 0 }),
            (b"abc\x7f", KeyError::ForbiddenByte { byte: 0x7f, offset: 3 }),
        ] {
            assert_eq!(check(key), Err(expected));
        }
        for key in [&b"k"[..], &[b'k'; 250], b"page/1.html", "schl\u{fc}ssel".as_bytes(), b"\xff\x80"] {
            assert_eq!(check(key), Ok(()));
        }
    }
}
