//! Types without values, in place of those of the feature `tls`: the code that uses them is the same.

use std::io::{self, IoSlice};

use super::TlsProblem;

#[derive(Debug, Clone)]
pub(crate) enum Connector {}

impl Connector {
    pub(crate) fn session(&self) -> Result<Session, TlsProblem> {
        match *self {}
    }
}

pub(crate) enum Session {}

impl Session {
    pub(crate) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(crate) fn encrypt(&mut self, _: &[u8]) -> usize {
        match *self {}
    }

    pub(crate) fn wants_send(&self) -> bool {
        match *self {}
    }

    pub(crate) fn transmit(&mut self, _: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn absorb(&mut self, _: &[u8]) -> Result<(), TlsProblem> {
        match *self {}
    }

    pub(crate) fn decrypted(&mut self, _: &mut [u8]) -> Result<Option<usize>, TlsProblem> {
        match *self {}
    }

    pub(crate) fn has_decrypted(&mut self) -> Result<bool, TlsProblem> {
        match *self {}
    }

    pub(crate) fn has_ended(&self) -> bool {
        match *self {}
    }

    pub(crate) fn close(&mut self) {
        match *self {}
    }
}
