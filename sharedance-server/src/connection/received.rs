//! The result of receiving.

/// The result of receiving.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    /// How many bytes were received; 0 if the peer sends nothing more.
    pub(super) len: usize,
    /// Whether more may have arrived. A read that does not fill the buffer has emptied the socket.
    pub(super) may_have_more: bool,
}
