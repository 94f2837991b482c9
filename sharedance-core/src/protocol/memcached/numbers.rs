//! Decimal numbers in text.

/// The maximum number of digits of a 64-bit number.
const MAX_DIGITS: usize = 20;

const PAIRS: &[u8; 200] = b"\
    0001020304050607080910111213141516171819\
    2021222324252627282930313233343536373839\
    4041424344454647484950515253545556575859\
    6061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899";

/// A number in decimal digits.
pub(super) struct Digits {
    bytes: [u8; MAX_DIGITS],
    start: usize,
}

impl Digits {
    #[inline]
    pub(super) fn new(number: u64) -> Digits {
        let mut bytes = [b'0'; MAX_DIGITS];
        let mut start = MAX_DIGITS;
        let mut rest = number;
        while rest >= 10 {
            let pair = (rest % 100) as usize * 2;
            rest /= 100;
            start -= 2;
            bytes[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        }
        if rest > 0 || start == MAX_DIGITS {
            start -= 1;
            bytes[start] = b'0' + rest as u8;
        }
        Digits { bytes, start }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Appends `number` in decimal digits.
#[inline]
pub(super) fn push(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(Digits::new(number).as_bytes());
}

/// The number in `token`; `None` if it is not a number or does not fit.
#[inline]
pub(super) fn unsigned(token: &[u8]) -> Option<u64> {
    let digits = token.strip_prefix(b"+").unwrap_or(token);
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return None;
    }
    let mut number = 0_u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// The same as [`unsigned`], with an optional sign.
#[inline]
pub(super) fn signed(token: &[u8]) -> Option<i64> {
    match token.strip_prefix(b"-") {
        None => unsigned(token).and_then(|number| i64::try_from(number).ok()),
        Some([b'+' | b'-', ..]) => None,
        Some(digits) => unsigned(digits).and_then(|number| 0_i64.checked_sub_unsigned(number)),
    }
}

/// The same as [`unsigned`], within 32 bits.
#[inline]
pub(super) fn unsigned_32(token: &[u8]) -> Option<u32> {
    unsigned(token).and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_is_not_a_number_is_none() {
        for token in ["", "+", "-", "a", "1a", "1 ", " 1", "+-1", "18446744073709551616", "000000000000000000001"] {
            assert_eq!(unsigned(token.as_bytes()), None, "{token}");
            assert_eq!(signed(token.as_bytes()), None, "{token}");
        }
        assert_eq!(unsigned(b"-1"), None);
        assert_eq!(signed(b"--1"), None);
        assert_eq!(signed(b"-+1"), None);
        assert_eq!(signed(b"9223372036854775808"), None);
        assert_eq!(signed(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(unsigned(b"+18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned_32(b"4294967296"), None);
        assert_eq!(unsigned_32(b"4294967295"), Some(u32::MAX));
    }

    proptest! {
        #[test]
        fn a_written_number_is_read(number: u64, shift in 0_u32..64) {
            let number = number >> shift;
            let mut out = b"x".to_vec();
            push(&mut out, number);
            let expected = number.to_string();
            prop_assert_eq!(&out[1..], expected.as_bytes());
            prop_assert_eq!(unsigned(&out[1..]), Some(number));
        }

        #[test]
        fn signs_are_read(number: i64) {
            prop_assert_eq!(signed(number.to_string().as_bytes()), Some(number));
        }
    }
}
