//! Base64 of keys: with padding, in the alphabet of RFC 4648, and in canonical form only.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PADDING: u8 = b'=';

/// Not a digit: digits are less than 64.
const NONE: u8 = 64;

const DIGITS: [u8; 256] = {
    let mut digits = [NONE; 256];
    let mut digit = 0;
    while digit < ALPHABET.len() {
        digits[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    digits
};

/// The maximum length of the decoded form of `encoded_len` characters.
pub(super) const fn decoded_len(encoded_len: usize) -> usize {
    encoded_len.div_ceil(4) * 3
}

/// Decodes `encoded` to the start of `room`, and returns that part. `None` if it is not base64, has no bytes, or does
/// not fit into `room`.
pub(super) fn decode<'r>(encoded: &[u8], room: &'r mut [u8]) -> Option<&'r [u8]> {
    if encoded.is_empty() || !encoded.len().is_multiple_of(4) || decoded_len(encoded.len()) > room.len() {
        return None;
    }
    let padding = encoded.iter().rev().take_while(|&&byte| byte == PADDING).count();
    if padding > 2 {
        return None;
    }
    let digits = encoded.len() - padding;
    for (group, bytes) in encoded.chunks_exact(4).zip(room.chunks_exact_mut(3)) {
        let mut bits = 0_u32;
        for &byte in group {
            // Padding counts as zero here. Its position is checked below.
            let digit = if byte == PADDING { 0 } else { DIGITS[usize::from(byte)] };
            if digit == NONE {
                return None;
            }
            bits = bits << 6 | u32::from(digit);
        }
        bytes.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    let (bytes, surplus) = room[..encoded.len() / 4 * 3].split_at(encoded.len() / 4 * 3 - padding);
    // A key has one encoded form: unused bits are zero.
    let is_canonical = surplus.iter().all(|&byte| byte == 0) && !encoded[..digits].contains(&PADDING);
    is_canonical.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Appends `bytes` in base64.
    fn push(out: &mut Vec<u8>, bytes: &[u8]) {
        for group in bytes.chunks(3) {
            let bits = group.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
            for digit in 0..4 {
                let is_padding = digit > group.len();
                let index = bits >> (18 - 6 * digit) & 63;
                out.push(if is_padding { PADDING } else { ALPHABET[index as usize] });
            }
        }
    }

    fn decoded(encoded: &str) -> Option<Vec<u8>> {
        decode(encoded.as_bytes(), &mut [0; 300]).map(<[u8]>::to_vec)
    }

    #[test]
    fn the_examples_of_the_rfc_are_encoded_and_decoded() {
        for (bytes, encoded) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            push(&mut out, bytes.as_bytes());
            assert_eq!(out, encoded.as_bytes());
            assert_eq!(decoded(encoded).unwrap(), bytes.as_bytes());
        }
    }

    #[test]
    fn text_that_is_not_base64_is_refused() {
        for encoded in [
            "",
            "Z",
            "Zg",
            "Zg=",
            "Zg===",
            "====",
            "Z===",
            "=Zg=",
            "Zg==Zg==",
            "Zm9\n",
            "Zm9_",
            "Zh==",
            "Zm9=",
            "Zm9v Zm9v",
        ] {
            assert_eq!(decoded(encoded), None, "{encoded}");
        }
        assert_eq!(decode(b"Zm9v", &mut [0; 2]), None);
    }

    proptest! {
        #[test]
        fn encoded_bytes_are_decoded(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            let mut out = Vec::new();
            push(&mut out, &bytes);
            let mut room = [0; 300];
            prop_assert_eq!(decode(&out, &mut room), Some(&bytes[..]));
        }
    }
}
