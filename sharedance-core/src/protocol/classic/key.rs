//! Which keys the dialect permits.

use crate::protocol::{KeyError, MAX_KEY_LEN};

/// Checks a key: 1 to [`MAX_KEY_LEN`] bytes of printable ASCII, including the space, without `.` and `/`.
///
/// ```
/// # use sharedance_core::protocol::KeyError;
/// # use sharedance_core::protocol::classic::check_key;
/// assert!(check_key(b"session 17").is_ok());
/// assert_eq!(check_key(&[b'k'; 251]), Err(KeyError::TooLong { len: 251 }));
/// ```
///
/// # Errors
/// A wrong length is reported first, otherwise the first forbidden byte.
pub fn check_key(key: &[u8]) -> Result<(), KeyError> {
    check_key_len(key.len() as u64)?;
    check_key_bytes(key)
}

pub(super) fn check_key_len(len: u64) -> Result<(), KeyError> {
    match len {
        0 => Err(KeyError::Empty),
        len if len > MAX_KEY_LEN as u64 => Err(KeyError::TooLong { len }),
        _ => Ok(()),
    }
}

pub(super) fn check_key_bytes(key: &[u8]) -> Result<(), KeyError> {
    match key.iter().position(|&byte| !is_key_byte(byte)) {
        None => Ok(()),
        Some(offset) => Err(KeyError::ForbiddenByte { byte: key[offset], offset }),
    }
}

fn is_key_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'.' && byte != b'/'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_and_each_length_of_a_key() {
        for byte in 0..=u8::MAX {
            let allowed = (32..=126).contains(&byte) && byte != b'.' && byte != b'/';
            assert_eq!(check_key(&[b'k', byte]).is_ok(), allowed, "{byte:#04x}");
        }
        assert_eq!(check_key(b""), Err(KeyError::Empty));
        assert_eq!(check_key(&[b'k'; MAX_KEY_LEN]), Ok(()));
        assert_eq!(check_key(&[b'/'; MAX_KEY_LEN + 1]), Err(KeyError::TooLong { len: 251 }));
    }
}
