//! The options of a client, shared by the blocking client and the one for tokio.

use std::num::NonZeroUsize;
use std::time::Duration;

use sharedance_core::protocol::DEFAULT_MAX_REQUEST_LEN;

use crate::backoff::Backoff;
use crate::credentials::Credentials;
use crate::ring::Continuum;
#[cfg(feature = "tls")]
use crate::tls::TlsOptions;

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Half of a server's idle timeout, so that the client closes an idle connection first.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

const DEFAULT_MAX_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(32).unwrap();

const DEFAULT_BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };

/// What happens to calls for the keys of a server that is down, where there are several servers.
///
/// ```
/// use sharedance_client::{Client, WhenDown};
///
/// # fn main() -> Result<(), sharedance_client::Error> {
/// let cache = Client::builder("cache1").server("cache2").when_down(WhenDown::NextServer).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenDown {
    /// The keys are not available until the server is up again: each call fails at once with
    /// [`Error::Down`](crate::Error::Down). For web sessions: a session that moved to another server for a minute would
    /// be replaced by its older state afterwards.
    #[default]
    Fail,
    /// The keys move to the next server on the ring, and back once their server responds again. For caches: a value
    /// that was written in between is not found after that; the value from before is, if the server has kept it.
    NextServer,
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) connect_timeout: Duration,
    pub(crate) operation_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_connections: NonZeroUsize,
    pub(crate) max_request_len: usize,
    pub(crate) backoff: Backoff,
    pub(crate) when_down: WhenDown,
    pub(crate) continuum: Continuum,
    /// For servers without credentials of their own.
    pub(crate) credentials: Option<Credentials>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsOptions>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            operation_timeout: DEFAULT_OPERATION_TIMEOUT,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            max_request_len: DEFAULT_MAX_REQUEST_LEN,
            backoff: DEFAULT_BACKOFF,
            when_down: WhenDown::default(),
            continuum: Continuum::default(),
            credentials: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// How long to wait for a lock, and how long to hold it.
///
/// ```no_run
/// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
/// use std::time::Duration;
/// use sharedance_client::LockOptions;
///
/// let lock = client.lock("cart-3", LockOptions::new().wait(Duration::from_secs(2)))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct LockOptions {
    /// How long to wait for the lock while other clients hold it, at most a day; 10 s by default. This is added to the
    /// operation timeout.
    pub wait: Duration,
    /// When the lock ends if it has not been released: whole seconds, rounded up; 30 s by default. A client that hangs
    /// therefore does not block the others forever.
    pub ttl: Duration,
}

impl LockOptions {
    /// Waits up to 10 s, and holds for at most 30 s.
    ///
    /// ```
    /// use sharedance_client::LockOptions;
    ///
    /// assert_eq!(LockOptions::new().ttl.as_secs(), 30);
    /// ```
    pub fn new() -> LockOptions {
        LockOptions { wait: Duration::from_secs(10), ttl: Duration::from_secs(30) }
    }

    /// Waits up to `wait`; zero tries once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sharedance_client::LockOptions;
    ///
    /// let try_once = LockOptions::new().wait(Duration::ZERO);
    /// ```
    pub fn wait(mut self, wait: Duration) -> LockOptions {
        self.wait = wait;
        self
    }

    /// Holds for at most `ttl`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sharedance_client::LockOptions;
    ///
    /// let for_a_minute = LockOptions::new().ttl(Duration::from_secs(60));
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> LockOptions {
        self.ttl = ttl;
        self
    }
}

impl Default for LockOptions {
    fn default() -> LockOptions {
        LockOptions::new()
    }
}
