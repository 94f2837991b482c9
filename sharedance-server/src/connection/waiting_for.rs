//! What a connection waits for, and what follows from that.

/// What must happen before a connection can continue. It determines what the poller reports of the connection
/// ([`WaitingFor::interest`]) and how long the wait may take ([`WaitingFor::timeout`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitingFor {
    /// More of the peer's part of a handshake.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    HandshakeInput,
    /// Room in the socket for more of this server's part of a handshake.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    HandshakeRoom,
    /// A turn that allows another expensive step of a handshake.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    HandshakeTurn,
    /// The next request, where no part of a request has arrived and no part of a response is unsent.
    NextRequest,
    /// More of a request, or the first byte of a new connection.
    Request,
    /// Room in the socket for more of a response.
    SocketRoom,
    /// The end of what the peer sends after its last request.
    PeerClose,
    /// A lock that another connection holds.
    Lock,
    /// The end of the delay after wrong credentials.
    Delay,
    /// The next sync, after which the responses are sent.
    Sync,
}

/// What the poller reports of a connection. It reports errors and hang-ups in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Nothing,
    Readable,
    Writable,
}

/// Which timeout applies to a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// The handshake of a connection has to end.
    Handshake,
    /// `--timeout`: within a request or a response.
    Transfer,
    /// `--idle-timeout`: the connection is between two requests.
    Idle,
    /// The peer has to notice that the connection ends.
    Drain,
    /// The response to wrong credentials is delayed. The connection continues when this time is over.
    Delay,
}

impl WaitingFor {
    /// Returns `None` where the registered interest stays as it is: a sync happens within this turn or the next, which
    /// does not wait.
    pub(crate) fn interest(self) -> Option<Interest> {
        match self {
            WaitingFor::NextRequest | WaitingFor::Request | WaitingFor::PeerClose | WaitingFor::HandshakeInput => {
                Some(Interest::Readable)
            }
            WaitingFor::SocketRoom | WaitingFor::HandshakeRoom => Some(Interest::Writable),
            WaitingFor::Lock | WaitingFor::Delay | WaitingFor::HandshakeTurn => Some(Interest::Nothing),
            WaitingFor::Sync => None,
        }
    }

    /// Returns `None` where the wait has an end of its own.
    pub(crate) fn timeout(self) -> Option<Timeout> {
        match self {
            WaitingFor::NextRequest => Some(Timeout::Idle),
            WaitingFor::Request | WaitingFor::SocketRoom => Some(Timeout::Transfer),
            WaitingFor::PeerClose => Some(Timeout::Drain),
            WaitingFor::Delay => Some(Timeout::Delay),
            WaitingFor::HandshakeInput | WaitingFor::HandshakeRoom | WaitingFor::HandshakeTurn => {
                Some(Timeout::Handshake)
            }
            WaitingFor::Lock | WaitingFor::Sync => None,
        }
    }
}
