//! Output of a connection: bytes, and values that are sent from the store's mapping.
//!
//! A worker has one output, which collects the responses of a connection, so that one call sends them all. What the
//! socket does not take is [copied](Output::take_rest) for the connection, so that a slow peer pins nothing in the store.

use std::io::IoSlice;

use sharedance_core::store::Value;

/// Up to this length a value is copied: that costs less than pinning it and passing another piece to the kernel.
const MAX_COPIED_LEN: usize = 16 * 1024;

/// How many pieces one call sends. The kernel takes up to 1024.
const PIECES_PER_CALL: usize = 64;

/// The most bytes that one call sends, so that other connections have their turn.
const BYTES_PER_CALL: usize = 2 * 1024 * 1024;

/// The memory that an empty output keeps for the next connection.
const KEPT_LEN: usize = 256 * 1024;

/// Bytes to be sent, in order.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    values: Vec<Placed>,
    values_len: usize,
    /// How many bytes from the beginning are sent.
    sent: usize,
}

/// A value that is sent from the mapping.
#[derive(Debug)]
struct Placed {
    /// How many of the copied bytes precede it.
    at: usize,
    /// The offset in the value from which it is sent.
    from: usize,
    value: Value,
}

impl Output {
    /// The bytes, for appending a response.
    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a value.
    #[inline]
    pub(crate) fn push_value(&mut self, value: Value) {
        if value.len() <= MAX_COPIED_LEN {
            self.bytes.extend_from_slice(&value);
        } else {
            self.values_len += value.len();
            self.values.push(Placed { at: self.bytes.len(), from: 0, value });
        }
    }

    /// The number of bytes that are not sent yet.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.values_len - self.sent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends what `send` takes, by one call of it: it gets the pieces, and returns how many bytes of them it has taken.
    /// Returns how many bytes that were.
    #[inline]
    pub(crate) fn send<E>(&mut self, send: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>) -> Result<usize, E> {
        let sent = if self.values.is_empty() {
            let unsent = &self.bytes[self.sent..];
            send(&[IoSlice::new(&unsent[..unsent.len().min(BYTES_PER_CALL)])])?
        } else {
            let (pieces, count) = self.pieces();
            send(&pieces[..count])?
        };
        self.sent += sent;
        Ok(sent)
    }

    /// Removes everything, and keeps some memory for reuse.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_LEN {
            self.bytes.shrink_to(KEPT_LEN);
        }
        self.values.clear();
        (self.values_len, self.sent) = (0, 0);
    }

    /// How much memory [`Output::take_rest`] takes.
    pub(crate) fn rest_len(&self) -> usize {
        let mut rest_len = 0;
        self.for_each_unsent(|piece| {
            if piece.alone().is_none() {
                rest_len += piece.bytes.len();
            }
        });
        rest_len
    }

    /// Moves what is not sent yet into an output of exactly that size. Values are copied: a pinned value keeps the values
    /// beside it from being reclaimed. A value that has a file to itself pins only that file, and stays mapped.
    pub(crate) fn take_rest(&mut self) -> Output {
        let mut rest = Output { bytes: Vec::with_capacity(self.rest_len()), ..Output::default() };
        self.for_each_unsent(|piece| match piece.alone() {
            Some(value) => {
                rest.values_len += piece.bytes.len();
                let from = value.len() - piece.bytes.len();
                rest.values.push(Placed { at: rest.bytes.len(), from, value: value.clone() });
            }
            None => rest.bytes.extend_from_slice(piece.bytes),
        });
        self.clear();
        rest
    }

    fn pieces(&self) -> ([IoSlice<'_>; PIECES_PER_CALL], usize) {
        let mut pieces = [IoSlice::new(&[]); PIECES_PER_CALL];
        let (mut count, mut room) = (0, BYTES_PER_CALL);
        self.for_each_unsent(|piece| {
            if count < PIECES_PER_CALL && room > 0 {
                let share = &piece.bytes[..piece.bytes.len().min(room)];
                pieces[count] = IoSlice::new(share);
                count += 1;
                room -= share.len();
            }
        });
        (pieces, count)
    }

    fn for_each_unsent<'a>(&'a self, mut visit: impl FnMut(Piece<'a>)) {
        let (mut skip, mut copied) = (self.sent, 0);
        let mut visit_unsent = |bytes: &'a [u8], value: Option<&'a Value>| {
            let skipped = skip.min(bytes.len());
            skip -= skipped;
            if skipped < bytes.len() {
                visit(Piece { bytes: &bytes[skipped..], value });
            }
        };
        for placed in &self.values {
            visit_unsent(&self.bytes[copied..placed.at], None);
            visit_unsent(&placed.value[placed.from..], Some(&placed.value));
            copied = placed.at;
        }
        visit_unsent(&self.bytes[copied..], None);
    }
}

/// Contiguous bytes.
struct Piece<'a> {
    bytes: &'a [u8],
    /// The value whose end they are, if they are part of one.
    value: Option<&'a Value>,
}

impl<'a> Piece<'a> {
    fn alone(&self) -> Option<&'a Value> {
        self.value.filter(|value| value.is_alone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharedance_core::store::{Background, Options, Store};
    use std::io::{self, Read, Write};
    use std::os::unix::net::UnixStream;

    /// The first is copied, the second shares its segment, the third is alone in its file.
    const LENGTHS: [usize; 3] = [MAX_COPIED_LEN, MAX_COPIED_LEN + 1, 3_000_000];

    fn responses(store: &Store) -> (Output, Vec<u8>) {
        let (mut output, mut expected) = (Output::default(), Vec::new());
        for (n, len) in LENGTHS.into_iter().chain(LENGTHS).enumerate() {
            let value: Vec<u8> = (0..len).map(|at| (at * 31 + at / 251 + n) as u8).collect();
            store.set([n as u8], &value).unwrap();
            output.bytes().extend_from_slice(b"before");
            output.push_value(store.get([n as u8]).unwrap());
            expected.extend_from_slice(b"before");
            expected.extend_from_slice(&value);
        }
        output.bytes().extend_from_slice(b"end");
        expected.extend_from_slice(b"end");
        (output, expected)
    }

    #[test]
    fn all_is_sent_in_order_and_the_rest_pins_no_neighbours() {
        let directory = tempfile::tempdir().unwrap();
        let store = Options::new().background(Background::Manual).open(directory.path()).unwrap();
        let (mut output, expected) = responses(&store);
        assert_eq!(output.len(), expected.len());
        let (mut socket, mut theirs) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).unwrap();
            received
        });
        let mut turn = 0;
        while !output.is_empty() {
            let before = output.len();
            let sent = match output.send(|pieces| socket.write_vectored(pieces)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                sent => sent.unwrap(),
            };
            assert_eq!(output.len(), before - sent);
            if turn % 3 == 0 {
                let rest_len = output.rest_len();
                output = output.take_rest();
                assert_eq!((output.bytes.len(), output.len()), (rest_len, before - sent));
                assert!(output.values.iter().all(|placed| placed.value.is_alone()));
            }
            turn += 1;
        }
        drop(socket);
        assert!(reader.join().unwrap() == expected);
        output.clear();
        assert!(output.is_empty() && output.bytes.capacity() <= KEPT_LEN);
    }
}
