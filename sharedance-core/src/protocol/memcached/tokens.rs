//! Lines, and their words, which spaces separate.

/// The offset of the first `wanted` in `bytes`. It compares eight bytes in one step: lines are short, and decoders
/// spend most of their time here.
#[inline]
pub(super) fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let pattern = ONES * u64::from(wanted);
    let mut chunks = bytes.chunks_exact(8);
    let mut at = 0;
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default()) ^ pattern;
        // The lowest marked byte is a zero byte; higher ones may not be.
        let zeros = word.wrapping_sub(ONES) & !word & HIGHS;
        if zeros != 0 {
            return Some(at + zeros.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    chunks.remainder().iter().position(|&byte| byte == wanted).map(|offset| at + offset)
}

/// Iterates over the words of a line.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) fn new(line: &'a [u8]) -> Tokens<'a> {
        Tokens { rest: line }
    }

    /// The rest of the line.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        let (token, rest) = match find(self.rest, b' ') {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_byte_is_found_where_it_first_stands(bytes in proptest::collection::vec(any::<u8>(), 0..40), wanted: u8) {
            prop_assert_eq!(find(&bytes, wanted), bytes.iter().position(|&byte| byte == wanted));
        }

        #[test]
        fn tokens_are_what_stands_between_spaces(line in "[ a-c\t]{0,30}") {
            let tokens: Vec<&[u8]> = Tokens::new(line.as_bytes()).collect();
            let expected: Vec<&[u8]> = line.split(' ').filter(|token| !token.is_empty()).map(str::as_bytes).collect();
            prop_assert_eq!(tokens, expected);
        }
    }

    #[test]
    fn bytes_next_to_the_wanted_value_are_not_matched() {
        assert_eq!(find(b"\x0b\x0a\x0b\x0a____", b'\n'), Some(1));
        assert_eq!(find(b"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", b'\n'), None);
        assert_eq!(find(b"\x8a\x8a\x8a\x8a\x8a\x8a\x8a\x0a", b'\n'), Some(7));
    }
}
