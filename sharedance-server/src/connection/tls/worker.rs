//! What the TLS connections of a worker share.

use std::sync::Arc;

use super::records::Sealed;
use crate::buffers::Budget;
use crate::observe::Counters;
use crate::tls::TlsConfig;

/// Room for the records of one read. It must be larger than [`MAX_KEPT_LEN`](super::stream::MAX_KEPT_LEN).
const INPUT_LEN: usize = 160 * 1024;

/// What the TLS connections of a worker share.
pub(crate) struct TlsWorker {
    /// `None` if the server has no TLS listener.
    config: Option<Arc<TlsConfig>>,
    pub(super) budget: Arc<Budget>,
    pub(super) counters: Arc<Counters>,
    /// Encrypted bytes that have arrived. Empty until the first connection uses TLS.
    pub(super) input: Vec<u8>,
    /// Encrypted bytes to be sent, of one call.
    pub(super) output: Sealed,
    /// Collects the bytes of one record that are in several pieces.
    pub(super) gathered: Vec<u8>,
    /// How many expensive steps this turn still allows.
    handshakes_left: usize,
}

impl TlsWorker {
    pub(crate) fn new(config: Option<Arc<TlsConfig>>, budget: Arc<Budget>, counters: Arc<Counters>) -> TlsWorker {
        TlsWorker {
            config,
            budget,
            counters,
            input: Vec::new(),
            output: Sealed::default(),
            gathered: Vec::new(),
            handshakes_left: 0,
        }
    }

    /// Sets how many expensive steps may follow.
    pub(crate) fn allow_handshakes(&mut self, count: usize) {
        self.handshakes_left = count;
    }

    pub(crate) fn may_handshake(&self) -> bool {
        self.handshakes_left > 0
    }

    pub(super) fn count_handshake(&mut self) {
        self.handshakes_left = self.handshakes_left.saturating_sub(1);
    }

    pub(super) fn config(&self) -> Option<&TlsConfig> {
        self.config.as_deref()
    }

    /// Lets the input begin with `kept`, and returns the offset behind it.
    pub(super) fn begin_input(&mut self, kept: &[u8]) -> usize {
        if self.input.is_empty() {
            self.input = vec![0; INPUT_LEN];
        }
        self.input[..kept.len()].copy_from_slice(kept);
        kept.len()
    }
}
